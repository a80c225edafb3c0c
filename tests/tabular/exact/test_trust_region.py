"""T7: the bounds hold and are nearly attained; the penalty never lowers J where a limit does."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from rewardtogo.tabular.exact.evaluation import advantages, expected_return
from rewardtogo.tabular.exact.natural import natural_gradient
from rewardtogo.tabular.exact.trust_region import (
    exact_trpo_step,
    exact_trpo_step_worst_state,
    kl_divergences,
    lower_bound,
    max_kl_divergence,
    mean_kl_divergence,
    monotone_policy_iteration,
    penalised_step,
    penalty_coefficient,
    surrogate,
)
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet


STATES, ACTIONS = 4, 3


def problem(discount, *, num_terminal=1, branching=None, seed=5):
    return garnet(
        num_states=STATES,
        num_actions=ACTIONS,
        num_terminal=num_terminal,
        branching=branching,
        discount=discount,
        key=jr.key(seed),
    )


def random_policies(key, count, scale=1.0):
    return jax.nn.softmax(scale * jr.normal(key, (count, STATES, ACTIONS)))


def aliased(theta):
    """Logits shared by all states: most directions of improvement do not exist."""
    return jnp.broadcast_to(jax.nn.softmax(theta)[None, :], (STATES, ACTIONS))


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_the_surrogate_is_the_return_to_first_order(discount, key, x64):
    """It is linear in π', so that it is J(π) plus J's derivative towards π', exactly."""
    mdp = problem(discount)
    old, new = random_policies(key, 2)
    value, slope = jax.jvp(lambda policy: expected_return(mdp, policy), (old,), (new - old,))
    assert np.abs(slope) > 1e-2
    assert np.isclose(surrogate(mdp, old, new), value + slope, rtol=1e-10)


def test_the_divergence_is_old_from_new(key, x64):
    old, new = random_policies(key, 2)
    each = np.asarray(scipy.stats.entropy(old, new, axis=1))
    assert np.allclose(kl_divergences(old, new), each, rtol=1e-12)
    mdp = problem(0.9)
    assert np.isclose(max_kl_divergence(mdp, old, new), each[:3].max())
    visits = 0.1 * np.linalg.solve(
        np.eye(STATES) - 0.9 * np.einsum("sa,sat->ts", old, mdp.transition), mdp.initial
    )
    assert np.isclose(mean_kl_divergence(mdp, old, new), visits[:3] @ each[:3])


@pytest.mark.parametrize("discount", [0.3, 0.9, 0.99])
def test_the_bounds_hold_on_random_pairs(discount, x64):
    """Far pairs, and pairs so close that the bounds say something."""
    mdp = problem(discount)
    old, far = random_policies(jr.key(1), 60), random_policies(jr.key(2), 60, scale=3.0)
    for share in (1.0, 1e-2, 1e-4):
        new = (1 - share) * old + share * far
        returns = jax.vmap(lambda policy: expected_return(mdp, policy))(new)
        bounds = jax.vmap(lambda *pair: lower_bound(mdp, *pair))(old, new)
        assert np.all(returns >= bounds.total_variation - 1e-12)
        assert np.all(bounds.total_variation >= bounds.kl - 1e-12)


def test_the_bound_by_hand(key, x64):
    mdp = problem(0.9)
    old, new = random_policies(key, 2)
    coefficient = 4 * np.abs(advantages(mdp, old)).max() * 0.9 / 0.1**2
    distance = 0.5 * np.abs(old - new).sum(axis=1)[:3].max()
    divergence = np.asarray(scipy.stats.entropy(old, new, axis=1))[:3].max()
    ours, estimate = lower_bound(mdp, old, new), surrogate(mdp, old, new)
    assert np.isclose(ours.total_variation, estimate - coefficient * distance**2, rtol=1e-12)
    assert np.isclose(ours.kl, estimate - coefficient * divergence, rtol=1e-12)
    # ε_A is the old policy's: the new one's is another number.
    assert not np.isclose(penalty_coefficient(mdp, new), coefficient, rtol=1e-2)


def test_the_bound_is_nearly_attained(x64):
    """State 1 keeps what enters. π stays in 0 and is fair in 1; π' leaks and tilts by α.

    Leaking pays +ε at once, tilting costs 2αε for ever after: L − J = 3αε · αγ/(1−γ)² nearly, three
    quarters of what the bound allows.
    """
    transition = np.zeros((2, 2, 2))
    transition[0, 0, 0] = transition[0, 1, 1] = 1
    transition[1, :, 1] = 1
    mdp = tabular_mdp(transition, [[0.0, 1.0], [1.0, -1.0]], [1.0, 0.0], discount=0.9)
    old = np.array([[1.0, 0.0], [0.5, 0.5]])
    for alpha in (1e-2, 1e-3, 1e-4):
        new = old + alpha * np.array([[-1, 1], [-1, 1]])
        bound = lower_bound(mdp, old, new).total_variation
        estimate, exact = surrogate(mdp, old, new), expected_return(mdp, new)
        assert bound <= exact
        share = (estimate - exact) / (estimate - bound)
    assert 0.74 < share <= 0.75


def test_without_discounted_future_the_bound_is_the_return():
    mdp = problem(0.0)
    old = np.eye(ACTIONS)[[0, 1, 2, 0]]
    new = np.roll(old, 1, axis=1)
    ours = lower_bound(mdp, old, new)
    assert np.allclose([*ours], expected_return(mdp, new))


@pytest.mark.parametrize(
    ("step", "divergence"),
    [
        (exact_trpo_step, mean_kl_divergence),
        (exact_trpo_step_worst_state, max_kl_divergence),
    ],
)
def test_a_trust_region_step(step, divergence, key, x64):
    mdp, policy = problem(0.9), jax.nn.softmax
    theta = jr.normal(key, (STATES, ACTIONS))
    natural = np.asarray(natural_gradient(mdp, policy, theta))
    run = jax.jit(lambda limit: step(mdp, policy, theta, max_kl=limit))
    for limit in (1e-6, 1e-2, 1.0):
        taken = run(jnp.float64(limit))
        new = policy(taken.theta)
        assert np.isclose(divergence(mdp, policy(theta), new), taken.divergence, rtol=1e-9)
        assert 0.3 * limit < taken.divergence <= limit
        assert np.isclose(surrogate(mdp, policy(theta), new), taken.surrogate, rtol=1e-10)
        assert taken.surrogate > expected_return(mdp, policy(theta))
        move = np.asarray(taken.theta - theta)
        assert np.isclose(np.vdot(move, natural), np.linalg.norm(move) * np.linalg.norm(natural))
        if limit == 1e-6:
            # So short a step is scaled to the limit by the quadratic form.
            assert np.isclose(taken.divergence, taken.share**2 * limit, rtol=1e-2)


def test_no_direction_no_step(key, x64):
    """All rewards are equal: nothing gains, and θ stays without NaN."""
    still = tabular_mdp(np.full((2, 2, 2), 0.5), np.ones((2, 2)), [0.5, 0.5], discount=0.9)
    theta = jr.normal(key, (2, 2))
    step = jax.jit(lambda theta: exact_trpo_step(still, jax.nn.softmax, theta, max_kl=0.1))
    taken = step(theta)
    assert np.array_equal(taken.theta, theta) and taken.share == 0
    assert np.isclose(taken.surrogate, 10.0)
    penalised = jax.jit(lambda t: penalised_step(still, jax.nn.softmax, t, iterations=2))(theta)
    assert np.isfinite(penalised.theta).all() and np.isclose(penalised.bound, 10.0)


@jax.jit
def limited_changes(mdp, thetas):
    """What a step of δ = 0.5 does to the return, and what it promises."""

    def change(theta):
        taken = exact_trpo_step(mdp, aliased, theta, max_kl=0.5)
        first = expected_return(mdp, aliased(theta))
        return expected_return(mdp, aliased(taken.theta)) - first, taken.surrogate - first

    return jax.vmap(change)(thetas)


@jax.jit
def climbs(mdp, thetas):
    climb = lambda theta: monotone_policy_iteration(mdp, aliased, theta, steps=3, iterations=5)
    return jax.vmap(climb)(thetas)


@pytest.mark.parametrize("seed", [7, 28])
def test_the_penalty_never_lowers_the_return_where_a_fixed_limit_does(seed, x64):
    """Over random starts of a random MDP with aliased logits, some limited steps fall."""
    mdp = problem(0.9, num_terminal=0, branching=1, seed=seed)
    thetas = 2 * jr.normal(jr.key(7), (40, ACTIONS))
    change, promise = limited_changes(mdp, thetas)
    fallen = np.flatnonzero(change < -0.1)
    assert len(fallen) >= 3 and np.all(promise[fallen] > 0.1)

    ours = climbs(mdp, thetas)
    assert ours.returns.shape == (40, 4) and ours.bounds.shape == (40, 3)
    assert np.all(ours.returns[:, 1:] >= ours.bounds - 1e-12)
    assert np.all(ours.bounds >= ours.returns[:, :-1] - 1e-12)
    # It does climb, from where the limited step falls too.
    assert np.all(ours.returns[fallen, 1:] > ours.returns[fallen, :-1])


def test_the_step_is_the_maximum_of_the_bound(x64):
    """Where all states share their logits the bound is smooth; scipy finds the same maximum."""
    mdp = problem(0.5, num_terminal=0)
    theta = jnp.array([0.3, -0.2, 0.5])
    old = aliased(theta)
    loss = jax.jit(lambda new: -lower_bound(mdp, old, aliased(new)).kl)
    best = scipy.optimize.minimize(loss, np.asarray(theta), jac=jax.jit(jax.grad(loss)), tol=1e-12)
    ours = penalised_step(mdp, aliased, theta)
    assert np.isclose(ours.bound, -loss(ours.theta), rtol=1e-12)
    gain = ours.bound - expected_return(mdp, old)
    assert gain > 1e-4
    assert np.isclose(gain, -best.fun - expected_return(mdp, old), rtol=1e-3)


def test_a_table_climbs_with_the_bound_below(key, x64):
    mdp, theta = problem(0.5), jr.normal(key, (STATES, ACTIONS))
    climb = jax.jit(lambda t: monotone_policy_iteration(mdp, jax.nn.softmax, t, steps=5))
    ours = climb(theta)
    assert np.all(np.diff(ours.returns) > 1e-4)
    assert np.all((ours.returns[:-1] < ours.bounds) & (ours.bounds < ours.returns[1:]))
    assert np.isclose(ours.returns[0], expected_return(mdp, jax.nn.softmax(theta)))
    assert np.isclose(ours.returns[-1], expected_return(mdp, jax.nn.softmax(ours.theta)))


def test_bad_input_is_named(key):
    theta = jr.normal(key, (STATES, ACTIONS))
    policy = np.full((STATES, ACTIONS), 1 / 3)
    with pytest.raises(ValueError, match="`max_kl` must be above 0 nats; got 0"):
        exact_trpo_step(problem(0.9), jax.nn.softmax, theta, max_kl=0.0)
    with pytest.raises(ValueError, match="the bound needs a `discount` below 1"):
        lower_bound(problem(1.0), policy, policy)
    with pytest.raises(ValueError, match="the bound needs a `discount` below 1"):
        penalised_step(problem(1.0), jax.nn.softmax, theta)
    with pytest.raises(ValueError, match="`steps` must be at least 1; got 0"):
        monotone_policy_iteration(problem(0.9), jax.nn.softmax, theta, steps=0)
    with pytest.raises(ValueError, match="`iterations` must be at least 1; got 0"):
        penalised_step(problem(0.9), jax.nn.softmax, theta, iterations=0)
    with pytest.raises(ValueError, match="is no distribution"):
        kl_divergences(policy, 2 * policy)
