"""Total variation, couplings, and the Kullback–Leibler divergence."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.random import Generator

from ...tabular.exact.distances import (
    kl_divergence,
    optimal_coupling,
    total_variation,
    total_variation_by_events,
    total_variation_by_excess,
)
from .cases import draws_of
from .theorem import Sides, Theorem, at_most, equal, unequal


POINTS, PAIRS = 6, 20


def _distributions(draws: Generator, count: int) -> np.ndarray:
    """Between nearly uniform and nearly certain, some entries being 0."""
    sharpness = 10 ** draws.uniform(-1, 1, (count, 1))
    powers = draws.gamma(sharpness, size=(count, POINTS)) + 1e-12
    powers[draws.random(powers.shape) < 0.1] = 0
    powers[:, 0] += 1e-3
    return powers / powers.sum(axis=1, keepdims=True)


def _three_forms(key: PRNGKeyArray) -> Sequence[Sides]:
    p, q = _distributions(draws_of(key), 2 * PAIRS).reshape(2, PAIRS, POINTS)
    differences = (p - q).tolist()
    half = [sum(abs(x) for x in row) / 2 for row in differences]
    members = [
        [point for point in range(POINTS) if event >> point & 1] for event in range(2**POINTS)
    ]
    largest = np.max([np.abs((p - q)[:, event].sum(axis=1)) for event in members], axis=0)
    surplus = [sum(x for x in row if x >= 0) for row in differences]
    return [
        equal("½ Σ|p − q| = max over events", total_variation(p, q), largest),
        equal("max over events = Σ(p − q)₊", total_variation_by_events(p, q), surplus),
        equal("Σ(p − q)₊ = ½ Σ|p − q|", total_variation_by_excess(p, q), half),
    ]


def _metric(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    p, q, via = _distributions(draws, 3 * PAIRS).reshape(3, PAIRS, POINTS)
    function = draws.normal(size=(PAIRS, POINTS))
    distance = total_variation(p, q)
    gap = np.abs(((p - q) * function).sum(axis=1))
    between = (p + via) / 2
    return [
        at_most(
            "TV(p,q) ≤ TV(p,m) + TV(m,q)",
            distance,
            total_variation(p, via) + total_variation(via, q),
        ),
        equal(
            "equality on the segment from p to m",
            total_variation(p, via),
            total_variation(p, between) + total_variation(between, via),
        ),
        equal("TV(p,q) = TV(q,p)", distance, total_variation(q, p)),
        at_most("|E_p f − E_q f| ≤ span(f) TV", gap, np.ptp(function, axis=1) * distance),
    ]


def _northwest(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The coupling that draws both by inverse cumulative sums from one uniform number."""
    tops = np.cumsum(p), np.cumsum(q)
    lows = tops[0] - p, tops[1] - q
    overlap = np.minimum.outer(*tops) - np.maximum.outer(*lows)
    return np.maximum(overlap, 0)


def _coupling(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    pairs = _distributions(draws, 2 * PAIRS).reshape(PAIRS, 2, POINTS)
    # Equal ones and disjoint ones are where a formula might divide by zero.
    disjoint = np.eye(POINTS)[[0, 1]]
    cases = [*pairs, np.stack([pairs[0, 0]] * 2), disjoint]
    tables = [optimal_coupling(p, q) for p, q in cases]
    apart = [0.5 * np.abs(p - q).sum() for p, q in cases]
    rivals = [table for p, q in cases for table in (np.outer(p, q), _northwest(p, q))]
    return [
        equal("rows sum to p", [table.sum(axis=1) for table in tables], [p for p, _ in cases]),
        equal("columns sum to q", [table.sum(axis=0) for table in tables], [q for _, q in cases]),
        equal("P(X ≠ Y) = 1 − trace = TV", [1 - np.trace(table) for table in tables], apart),
        equal(
            "another coupling has the marginals too",
            [table.sum(axis=0) for table in rivals[1::2]],
            [q for _, q in cases],
        ),
        at_most(
            "TV ≤ P(X ≠ Y) of any coupling",
            np.repeat(apart, 2),
            [1 - np.trace(table) for table in rivals],
        ),
    ]


def _misprints(key: PRNGKeyArray) -> Sequence[Sides]:
    p, q = _distributions(draws_of(key), 2)
    shared = np.minimum(p, q)
    mass = shared.sum()
    surplus, deficit = np.maximum(p - q, 0), np.maximum(q - p, 0)
    joint = optimal_coupling(p, q)
    return [
        equal("mψ + (1−m)φ₂ = q with φ₂ ∝ (q − p)₊", shared + deficit, joint.sum(axis=0)),
        unequal("with φ₂ ∝ (p − q)₊", shared + surplus, q),
        equal("P(X ≠ Y) = 1 − m", 1 - np.trace(joint), 1 - mass),
    ]


def _pinsker(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    p, q = _distributions(draws, 2 * PAIRS).reshape(2, PAIRS, POINTS)
    p, q = 0.999 * p + 0.001 / POINTS, 0.999 * q + 0.001 / POINTS
    distance = 0.5 * np.abs(p - q).sum(axis=1)
    tilt = draws.uniform(1e-4, 1e-3)
    fair, biased = np.array([0.5, 0.5]), np.array([0.5 + tilt, 0.5 - tilt])
    ratio = kl_divergence(biased, fair) / total_variation(biased, fair) ** 2
    return [
        at_most("2 TV² ≤ KL(p‖q)", 2 * distance**2, kl_divergence(p, q)),
        at_most("2 TV² ≤ KL(q‖p)", 2 * distance**2, kl_divergence(q, p)),
        at_most("TV² ≤ KL", distance**2, kl_divergence(p, q)),
        equal("KL / TV² → 2 for near coins", ratio, [2.0], tolerance=1e-5),
    ]


THEOREMS = (
    Theorem(
        name="total variation, three forms",
        statement="max_E |p(E) − q(E)| = ½ Σ|p − q| = Σ(p − q)₊.",
        source="004 §A.1.1, proposition 29, corollary 30; Levin and Peres (2017), proposition 4.2",
        check=_three_forms,
    ),
    Theorem(
        name="total variation is a metric",
        statement="TV(p,q) ≤ TV(p,m) + TV(m,q), and it bounds differences of means.",
        source="004 §A.1.1, corollary 31; Levin and Peres (2017), section 4.1",
        check=_metric,
    ),
    Theorem(
        name="optimal coupling",
        statement="P(X ≠ Y) ≥ TV for every coupling, and one attains it.",
        source="004 §A.1.2, proposition 32; Levin and Peres (2017), proposition 4.7",
        check=_coupling,
    ),
    Theorem(
        name="optimal coupling, its parts",
        statement="m = Σ min(p,q), φ₂ = (q − p)₊/TV, and P(X ≠ Y) = 1 − m.",
        source="004 §A.1.2, which prints φ₂ with p − q and P(X ≠ Y) = m",
        check=_misprints,
    ),
    Theorem(
        name="Pinsker",
        statement="2 TV² ≤ KL, hence TV² ≤ KL; the 2 is the best constant.",
        source="004 §2.9; Cover and Thomas (2006), lemma 11.6.1",
        check=_pinsker,
    ),
)
