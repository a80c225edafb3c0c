"""Off-policy linear prediction against sums over all steps, matrices, and the book's figures."""

import functools

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.lab.theorems.enumeration import enumerate_trajectories, probabilities
from rewardtogo.tabular.mdp import TabularMDP, tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.counterexamples import (
    BAIRD_BEHAVIOUR,
    BAIRD_FEATURES,
    BAIRD_TARGET,
    BAIRD_WEIGHTS,
    baird,
)
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.td.off_policy.exact import (
    OffPolicyCase,
    expected_step,
    growth_rate,
    moments,
    update_matrix,
)
from rewardtogo.td.off_policy.methods import GTD2, METHODS, TDC, EmphaticTD, OffPolicyTD, Weights
from rewardtogo.td.off_policy.run import Updates, off_policy_prediction


METHOD = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def baird_case(behaviour=BAIRD_BEHAVIOUR):
    return OffPolicyCase(
        mdp=baird().mdp,
        features=BAIRD_FEATURES,
        target=BAIRD_TARGET,
        behaviour=behaviour,
        initial_weights=BAIRD_WEIGHTS,
    )


def random_off_policy(*, states=5, features=3, terminal=1, discount=0.8, seed=0):
    """A process whose rewards depend on the successor, and two policies that do everything."""
    draws = np.random.default_rng(seed)
    found = garnet(
        num_states=states, num_actions=2, discount=discount, num_terminal=terminal, key=jr.key(seed)
    )
    mdp = tabular_mdp(
        found.transition,
        draws.normal(size=(states, 2, states)),
        found.initial,
        discount=discount,
        terminal=found.terminal,
    )
    target, behaviour = 0.2 / 2 + 0.8 * draws.dirichlet(np.ones(2), (2, states))
    x, start = draws.normal(size=(states, features)), draws.normal(size=features)
    return OffPolicyCase(
        mdp=mdp, features=x, target=target, behaviour=behaviour, initial_weights=start
    )


def table_of(case):
    assert isinstance(case.mdp, TabularMDP)
    return case.mdp


def summed(case):
    """d by power iteration; A, b, C and their emphatic kin by sums over (s, a, s')."""
    mdp = table_of(case)
    live = ~mdp.terminal
    n, x, discount = mdp.num_states, case.features * live[:, None], mdp.discount
    d = f = mdp.initial
    for _ in range(3000):
        after = np.einsum("s,sa,sat->t", d, case.behaviour, mdp.transition)
        d = (d + np.where(live, after, 0) + after[~live].sum() * mdp.initial) / 2
    for _ in range(300):
        f = d + discount * live * np.einsum("s,sa,sat->t", f, case.target, mdp.transition)
    width = x.shape[1]
    sums = {"a": np.zeros((width, width)), "b": np.zeros(width), "c": np.zeros((width, width))}
    sums |= {"emphatic a": np.zeros((width, width)), "emphatic b": np.zeros(width)}
    for s, a, t in np.ndindex(n, 2, n):
        p = case.behaviour[s, a] * mdp.transition[s, a, t]
        ratio = case.target[s, a] / case.behaviour[s, a]
        outer = np.outer(x[s], x[s] - discount * x[t])
        paid = np.asarray(mdp.successor_reward)[s, a, t] * x[s]
        sums["a"] += d[s] * p * ratio * outer
        sums["b"] += d[s] * p * ratio * paid
        sums["c"] += d[s] * p * np.outer(x[s], x[s])
        sums["emphatic a"] += f[s] * p * ratio * outer
        sums["emphatic b"] += f[s] * p * ratio * paid
    return d, sums


@METHOD
@pytest.mark.parametrize("terminal", [0, 1])
def test_mean_updates_are_linear_in_the_moments(method, terminal, x64):
    """Sums over (s, a, s') of what a step changes, against A, b and C."""
    case = random_off_policy(terminal=terminal)
    d, sums = summed(case)
    a, b, c = sums["a"], sums["b"], sums["c"]
    draws = np.random.default_rng(1)
    w, v = draws.normal(size=(2, 3))
    auxiliary = 0.05 * (b - a @ w - c @ v)
    expected = {
        OffPolicyTD: (b - a @ w, 0 * v),
        EmphaticTD: (sums["emphatic b"] - sums["emphatic a"] @ w, 0 * v),
        GTD2: (a.T @ v, auxiliary),
        TDC: (b - a @ w - (c - a.T) @ v, auxiliary),
    }[method]
    exact = moments(case)
    step = expected_step(method(step_size=0.1), case, exact)
    after = step(Weights(jnp.asarray(w), jnp.asarray(v)))
    assert np.allclose(exact.weighting, d, rtol=0, atol=1e-12)
    assert np.allclose(after.value, w + 0.1 * expected[0], rtol=0, atol=1e-12)
    assert np.allclose(after.auxiliary, v + expected[1], rtol=0, atol=1e-12)


@METHOD
def test_samples_have_the_mean_of_all_trajectories(method):
    """The mean of w after four steps, over seeds, against every trajectory by its probability."""
    case = random_off_policy(states=3, features=2, terminal=0)
    paths = enumerate_trajectories(table_of(case), horizon=4)
    chance = probabilities(paths, case.behaviour)
    ratio, x, discount = case.target / case.behaviour, case.features, case.mdp.discount
    w = np.broadcast_to(case.initial_weights, (len(chance), 2)).copy()
    v, trace = np.zeros_like(w), np.ones(len(chance))
    for s, a, r, t in zip(paths.state, paths.action, paths.reward, paths.next_state, strict=True):
        rho, xs, xt = ratio[s, a][:, None], x[s], x[t]
        delta = (r + discount * np.sum(w * xt, 1) - np.sum(w * xs, 1))[:, None]
        predicted = np.sum(v * xs, 1)[:, None]
        w = (
            w
            + 0.3
            * rho
            * {
                OffPolicyTD: delta * xs,
                EmphaticTD: trace[:, None] * delta * xs,
                GTD2: predicted * (xs - discount * xt),
                TDC: delta * xs - discount * predicted * xt,
            }[method]
        )
        v = v + 0.05 * rho * (delta - predicted) * xs
        trace = 1 + discount * rho[:, 0] * trace
    found = off_policy_prediction(method(), case, step_sizes=[0.3], steps=4, points=1, seeds=20_000)
    last = found.weights[0, :, -1]
    spread = last.std(axis=0) / np.sqrt(len(last))
    assert np.all(np.abs(last.mean(axis=0) - chance @ w) < 4 * spread)
    assert np.all(spread < 0.02)


@METHOD
def test_episodes_that_end(method):
    """Down a corridor again and again: no bootstrapping at its end, and the trace begins anew."""
    transition = np.zeros((3, 1, 3))
    transition[[0, 1, 2], 0, [1, 2, 2]] = 1
    mdp = tabular_mdp(transition, [[1.0], [2.0], [0.0]], [1, 0, 0], discount=0.9)
    x, alone = np.array([[1.0, 0.5], [0.2, 1.0], [7.0, 7.0]]), np.ones((3, 1))
    case = OffPolicyCase(mdp=mdp, features=x, target=alone, behaviour=alone)
    w, v, trace, x = np.zeros(2), np.zeros(2), 1.0, x * [[1], [1], [0]]
    for t in range(6):
        now, after = x[t % 2], x[t % 2 + 1]
        delta = 1 + t % 2 + 0.9 * w @ after - w @ now
        change = {
            OffPolicyTD: delta * now,
            EmphaticTD: trace * delta * now,
            GTD2: (v @ now) * (now - 0.9 * after),
            TDC: delta * now - 0.9 * (v @ now) * after,
        }[method]
        w, v = w + 0.1 * change, v + 0.05 * (delta - v @ now) * now
        trace = 1.0 if t % 2 else 1 + 0.9 * trace
    found = off_policy_prediction(method(), case, step_sizes=[0.1], steps=6, points=3, seeds=1)
    assert np.allclose(found.weights[0, 0, -1], w, rtol=0, atol=1e-13)


def test_semi_gradient_td_diverges_on_baird():
    """By matrix, by rate, and by figure 11.2 of the book, whose w₈ is near 300 after 1000 steps."""
    case, method = baird_case(), OffPolicyTD(step_size=0.01)
    x, solid = BAIRD_FEATURES, np.eye(7)[[6] * 7]
    a = x.T @ (x - 0.99 * solid @ x) / 7
    assert np.allclose(update_matrix(method, case)[:8, :8], np.eye(8) - 0.01 * a, atol=1e-14)
    assert np.linalg.eigvals(a).real.min() < -0.2
    radius = np.abs(np.linalg.eigvals(np.eye(8) - 0.01 * a)).max()
    assert np.isclose(growth_rate(method, case), np.log(radius), rtol=1e-9) and radius > 1.002
    run = off_policy_prediction(
        method, case, step_sizes=[0.01], updates=Updates.EXPECTED, steps=10_000
    )
    size = np.log(np.linalg.norm(run.weights[0, 0], axis=-1))
    assert np.isclose((size[100] - size[50]) / 5000, np.log(radius), rtol=1e-6)
    sampled = off_policy_prediction(method, case, step_sizes=[0.01], steps=1000, points=10)
    assert 200 < sampled.weights[0, :, -1, 7].mean() < 400
    long = off_policy_prediction(method, case, step_sizes=[0.01], steps=20_000, points=4)
    assert np.all(long.value_error[0, :, -1] > 1e12)
    assert np.all(np.diff(long.value_error[0], axis=-1) > 0)


def test_the_rate_of_updates_that_converge():
    """On-policy, a feature a state: that of the slowest direction of A, and of no other weight."""
    mdp = problem("Garnet-6-2-3").mdp
    even = np.full((6, 2), 0.5)
    case = OffPolicyCase(mdp=mdp, features=np.eye(6), target=even, behaviour=even)
    slowest = np.abs(1 - 0.5 * np.linalg.eigvals(moments(case).a)).max()
    assert slowest < 1
    assert np.isclose(growth_rate(OffPolicyTD(step_size=0.5), case), np.log(slowest), rtol=1e-9)


def test_on_policy_the_same_features_are_stable():
    """A is positive semi-definite where b is π, and x is not changed."""
    exact = moments(baird_case(behaviour=BAIRD_TARGET))
    assert np.linalg.eigvalsh(exact.a + exact.a.T).min() > -1e-12
    off = moments(baird_case())
    assert np.linalg.eigvalsh(off.a + off.a.T).min() < -1


@pytest.mark.parametrize("method", [GTD2(), TDC()], ids=["gtd2", "tdc"])
@pytest.mark.parametrize("updates", Updates)
def test_gradient_methods_stay_bounded_on_baird(method, updates):
    """Figure 11.5: the projected error falls to 0, the value error stays near 2."""
    run = off_policy_prediction(
        method, baird_case(), step_sizes=[0.005], updates=updates, steps=4000, points=40
    )
    assert run.projected_error[0, :, 0].mean() > 8
    assert run.projected_error[0, :, -1].mean() < 0.02
    assert np.all(np.abs(run.value_error[0, :, 10:] - 2) < 0.3)
    assert np.abs(run.weights).max() < 11
    assert growth_rate(method, baird_case()) < 1e-12


def test_emphatic_td_is_stable_in_the_mean():
    """Figure 11.6, α = 0.03: the value error itself goes to 0."""
    run = off_policy_prediction(
        EmphaticTD(), baird_case(), step_sizes=[0.03], updates=Updates.EXPECTED, steps=500
    )
    assert run.value_error[0, 0, -1] < 1e-6


@pytest.mark.parametrize("method", [OffPolicyTD(), GTD2(), TDC()])
def test_expected_updates_come_to_the_fixed_point(method):
    """Where A is regular: A⁻¹b, at which the projected error is 0 and the value error is not."""
    case = random_off_policy(seed=3)
    _, sums = summed(case)
    fixed = np.linalg.solve(sums["a"], sums["b"])
    method = method if isinstance(method, OffPolicyTD) else eqx.tree_at(_auxiliary, method, 0.1)
    run = off_policy_prediction(
        method, case, step_sizes=[0.1], updates=Updates.EXPECTED, steps=40_000, points=2
    )
    assert np.allclose(run.weights[0, 0, -1], fixed, rtol=0, atol=1e-8)
    assert np.allclose(run.exact.fixed_point, fixed, rtol=0, atol=1e-10)
    assert run.projected_error[0, 0, -1] < 1e-7 < 1e-2 < run.value_error[0, 0, -1]


def _auxiliary(method):
    return method.auxiliary_step_size


def test_errors_by_their_definitions(x64):
    """Π by least squares, the Bellman error state by state."""
    case = random_off_policy(terminal=0)
    exact, w = moments(case), np.array([0.3, -1.0, 2.0])
    x, d = case.features, exact.weighting
    mdp, v = table_of(case), x @ w
    p = np.einsum("sa,sat->st", case.target, mdp.transition)
    paid = np.einsum("sa,sat,sat->s", case.target, mdp.transition, np.asarray(mdp.successor_reward))
    bellman, root = paid + 0.8 * p @ v - v, np.sqrt(d)
    projected = x @ np.linalg.lstsq(root[:, None] * x, root * bellman)[0]
    assert np.isclose(exact.projected_error(w), np.sqrt(d @ projected**2), rtol=1e-12)
    truth = np.linalg.solve(np.eye(5) - 0.8 * p, paid)
    assert np.isclose(exact.value_error(w), np.sqrt(d @ (v - truth) ** 2), rtol=1e-12)


def test_step_sizes_meet_the_same_steps():
    run = off_policy_prediction(
        OffPolicyTD(), random_off_policy(), step_sizes=[0.1, 0.1], steps=50, points=5, seeds=2
    )
    assert np.array_equal(run.weights[0], run.weights[1])
    assert not np.allclose(run.weights[0, 0], run.weights[0, 1])
    assert run.steps.tolist() == [0, 10, 20, 30, 40, 50]
    assert run.weights.dtype == np.float64


def test_bad_input_is_refused_at_once():
    mdp, good = baird().mdp, {"features": BAIRD_FEATURES, "target": BAIRD_TARGET}
    everything = {**good, "behaviour": BAIRD_BEHAVIOUR}
    with pytest.raises(ValueError, match="`features` must have a row for each of 7 states"):
        OffPolicyCase(mdp=mdp, **{**everything, "features": np.ones((6, 2))})
    with pytest.raises(ValueError, match="never takes action 1 in state 0, which `target` may"):
        OffPolicyCase(mdp=mdp, **{**everything, "behaviour": BAIRD_TARGET[:, ::-1]})
    with pytest.raises(ValueError, match=r"`target` must have shape \(7, 2\); got \(7, 3\)"):
        OffPolicyCase(mdp=mdp, **{**everything, "target": np.ones((7, 3)) / 3})
    with pytest.raises(ValueError, match="one for each of 8 features; got shape"):
        OffPolicyCase(mdp=mdp, **everything, initial_weights=np.ones(7))
    with pytest.raises(ValueError, match="`initial_weights` must be finite"):
        OffPolicyCase(mdp=mdp, **everything, initial_weights=np.nan)
    with pytest.raises(ValueError, match="`step_size` must lie in"):
        TDC(step_size=0.0)
    with pytest.raises(ValueError, match="`auxiliary_step_size` must lie in"):
        GTD2(auxiliary_step_size=-1.0)
    case = OffPolicyCase(mdp=mdp, **everything)
    run = functools.partial(off_policy_prediction, TDC(), case)
    for wrong, said in (
        (lambda: run(step_sizes=[]), "`step_sizes` is empty"),
        (lambda: run(step_sizes=[0.0]), "`step_sizes` must lie in"),
        (lambda: run(step_sizes=[0.1], steps=0), "`steps`.*got 0"),
        (lambda: run(step_sizes=[0.1], seeds=0), "`seeds`.*got 0"),
        (lambda: run(step_sizes=[0.1], points=0), "`points`.*got 0"),
        (lambda: run(step_sizes=[0.1], seed=-1), "`seed`.*got -1"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()


def test_where_an_episode_begins_may_not_matter():
    """Two rooms without a door: how often a state is met is a matter of the start."""
    mdp = tabular_mdp(
        np.eye(2)[:, None], [[1.0], [0.0]], [0.5, 0.5], discount=0.9, terminal=[False, False]
    )
    alone = np.ones((2, 1))
    case = OffPolicyCase(mdp=mdp, features=np.eye(2), target=alone, behaviour=alone)
    with pytest.raises(ValueError, match="comes to stay in one of 2 parts"):
        moments(case)
