"""Every statement holds for several random cases, and notices a wrong function on its one side."""

import importlib
import pkgutil

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.lab import theorems
from rewardtogo.lab.theorems import (
    THEOREMS,
    approximation,
    certificates,
    conservative,
    contraction,
    coupling,
    difference,
    distances,
    improvement,
    offline,
    prediction,
    preference,
    soft,
)
from rewardtogo.lab.theorems.theorem import Relation
from rewardtogo.tabular.exact.evaluation import action_values
from rewardtogo.tabular.exact.trust_region import LowerBounds
from rewardtogo.tabular.problems.counterexamples import BAIRD_TARGET
from rewardtogo.tabular.solvers.soft import soft_state_values


MODULES = (
    difference,
    coupling,
    improvement,
    contraction,
    certificates,
    soft,
    distances,
    offline,
    conservative,
    preference,
    prediction,
    approximation,
)
HERE = {theorem.name: theorem for module in MODULES for theorem in module.THEOREMS}


@pytest.mark.parametrize("seed", [1, 20, 300])
@pytest.mark.parametrize("name", HERE)
def test_holds(name, seed):
    comparisons = HERE[name].check(jr.key(seed))
    failed = [comparison for comparison in comparisons if not comparison.holds]
    assert len(comparisons) > 0
    assert not failed


def scaled(function):
    return lambda *args, **kwargs: 1.01 * np.asarray(function(*args, **kwargs))


def without_discount(mdp, policy, values):
    return (policy * (mdp.reward + mdp.transition @ values)).sum(axis=1)


def at_temperature_one(mdp, policy, *, temperature):
    del temperature
    return soft_state_values(mdp, policy, temperature=1.0)


def unclipped(log_prob, old_log_prob, advantage, *, clip):
    del clip
    return -jnp.exp(log_prob - old_log_prob) * advantage


def smallest_of_values(mdp, values):
    return -np.asarray(action_values(mdp, values))


WRONG = [
    ("performance difference", difference, "expected_return", scaled(difference.expected_return)),
    ("surrogate, first order", difference, "summed_occupancy", scaled(difference.summed_occupancy)),
    (
        "surrogate, second order",
        difference,
        "summed_advantages",
        scaled(difference.summed_advantages),
    ),
    ("natural gradient", difference, "visitation", scaled(difference.visitation)),
    ("potential shaping", difference, "state_values", scaled(difference.state_values)),
    ("coupled actions", coupling, "optimal_coupling", np.outer),
    ("coupled states, tight", coupling, "advantages", lambda mdp, pi: mdp.reward + 1),
    ("trust region bound", coupling, "total_variation", scaled(coupling.total_variation)),
    ("trust region bound", coupling, "lower_bound", lambda *args: LowerBounds(*np.full(2, 9.0))),
    ("clipped surrogate", coupling, "clipped_surrogate", unclipped),
    ("penalised surrogate", coupling, "expected_return", lambda mdp, pi: np.zeros(())),
    ("policy improvement", improvement, "action_values", smallest_of_values),
    ("policy iteration", improvement, "state_values", scaled(improvement.state_values)),
    ("deterministic policies suffice", improvement, "state_values", lambda mdp, pi: 1e3 + pi[:, 0]),
    ("evaluation is a contraction", contraction, "policy_backup", without_discount),
    ("optimality backup is a contraction", contraction, "greedy", lambda q: 1 / 3 + 0 * q),
    ("convergence of the backups", contraction, "best_values", scaled(contraction.best_values)),
    ("value certificate", certificates, "lookahead", scaled(certificates.lookahead)),
    ("greedy loss", certificates, "greedy", lambda q: np.eye(3)[q.argmin(axis=1)]),
    ("greedy loss, attained", certificates, "state_values", scaled(certificates.state_values)),
    ("soft optimum", soft, "soft_state_values", at_temperature_one),
    ("soft identity, pointwise", soft, "gibbs_policy", scaled(soft.gibbs_policy)),
    ("soft identity, integrated", soft, "visitation", scaled(soft.visitation)),
    ("soft policy improvement", soft, "gibbs_policy", lambda q, temperature: 1 / 3 + 0 * q),
    ("soft performance difference", soft, "divergence", scaled(soft.divergence)),
    ("entropy-augmented reward", soft, "action_values", scaled(soft.action_values)),
    (
        "total variation, three forms",
        distances,
        "total_variation",
        scaled(distances.total_variation),
    ),
    ("optimal coupling", distances, "optimal_coupling", np.outer),
    ("Pinsker", distances, "kl_divergence", lambda p, q: 0.5 * ((p - q) ** 2).sum(axis=-1)),
    ("expectile", offline, "_loss", lambda x, p, level, m: np.sum(p * (x - m) ** 2)),
    ("implicit Q-learning", offline, "state_values", scaled(offline.state_values)),
    ("regularised improvement", offline, "divergence", lambda p, q: (q * np.log(q / p)).sum(-1)),
    ("conservative evaluation", conservative, "action_values", scaled(conservative.action_values)),
    (
        "conservative evaluation with the data term",
        conservative,
        "chain",
        scaled(conservative.chain),
    ),
    ("conservative control", conservative, "divergence", lambda p, q: (q * np.log(q / p)).sum(-1)),
    ("optimum of preference fine-tuning", preference, "divergence", scaled(preference.divergence)),
    ("direct preference optimisation", preference, "_sigmoid", np.tanh),
    ("first visit and every visit", prediction, "state_values", scaled(prediction.state_values)),
    (
        "linear TD and Monte Carlo",
        approximation,
        "td_fixed_point",
        approximation.monte_carlo_projection,
    ),
    (
        "linear TD and Monte Carlo",
        approximation,
        "monte_carlo_projection",
        scaled(approximation.monte_carlo_projection),
    ),
    ("stability of linear TD", approximation, "BAIRD_BEHAVIOUR", BAIRD_TARGET),
    ("emphasis", approximation, "_shares", lambda case, policy: case.start),
    ("double estimator", prediction, "_noise", lambda values, size: values + size * np.eye(4)),
]


@pytest.mark.parametrize(
    ("name", "module", "attribute", "wrong"), WRONG, ids=[f"{row[0]}, {row[2]}" for row in WRONG]
)
def test_a_wrong_function_is_noticed(name, module, attribute, wrong, monkeypatch):
    monkeypatch.setattr(module, attribute, wrong)
    assert not all(comparison.holds for comparison in HERE[name].check(jr.key(1)))


def test_every_theorem_of_the_folder_is_collected_once_and_says_what_it_is():
    names = [module.name for module in pkgutil.iter_modules(theorems.__path__)]
    modules = [importlib.import_module(f"{theorems.__name__}.{name}") for name in names]
    there = [theorem for module in modules for theorem in getattr(module, "THEOREMS", ())]
    assert len(there) == len(THEOREMS)
    assert {theorem.name for theorem in there} == {theorem.name for theorem in THEOREMS}
    assert len({theorem.name for theorem in THEOREMS}) == len(THEOREMS)
    assert all(theorem.statement.strip() and theorem.source.strip() for theorem in THEOREMS)


def test_a_key_is_all_the_randomness():
    check = HERE["performance difference"].check
    first, again, other = (check(jr.key(seed))[0] for seed in (1, 1, 2))
    assert first == again
    assert first.left != other.left
    assert first.relation is Relation.EQUAL
