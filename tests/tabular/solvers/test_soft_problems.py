import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.exact.occupancy import occupancy, visitation
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.tabular.solvers.soft import (
    gibbs_policy,
    soft_action_values,
    soft_backup,
    soft_policy_iteration,
    soft_state_values,
    soft_value_iteration,
)
from rewardtogo.tabular.successors import successor_mdp


SOLVERS = {"values": soft_value_iteration, "policies": soft_policy_iteration}
solvers = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)


def process(key, *, discount=0.9):
    """Five states, the last of them terminal, and three actions."""
    return garnet(num_states=5, num_actions=3, num_terminal=1, discount=discount, key=key)


def some_policy(key):
    return np.array(jax.nn.softmax(jr.normal(key, (5, 3))))


def leaving(cost):
    """γ = 1: pay `cost` to stay, or leave for nothing. exp(V/τ) = 1 + exp((V - cost)/τ)."""
    stay, leave = [1, 0], [0, 1]
    return tabular_mdp([[stay, leave], [leave, leave]], [[-cost, 0], [0, 0]], [1, 0], discount=1.0)


@solvers
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_the_optimum_is_the_fixed_point(solve, temperature, key, x64):
    mdp = process(key)
    found = solve(mdp, temperature=temperature, tolerance=1e-11)
    q = mdp.reward + 0.9 * mdp.transition @ found.values
    fixed = temperature * np.log(np.exp(q / temperature).sum(axis=1))
    assert found.converged and found.value_error is not None and found.value_error <= 1e-11
    assert np.allclose(found.values[:4], fixed[:4], rtol=0, atol=1e-10)
    assert np.allclose(found.action_values, q, rtol=0, atol=1e-10)
    assert np.allclose(found.policy[:4], np.exp((q - fixed[:, None]) / temperature)[:4], atol=1e-9)
    assert found.values[4] == 0
    assert np.allclose(soft_backup(mdp, found.values, temperature=temperature), found.values)


@pytest.mark.parametrize("discount", [0.0, 0.99])
def test_the_two_methods_agree_within_their_bounds(discount, key, x64):
    mdp = process(key, discount=discount)
    rough = soft_value_iteration(mdp, temperature=0.5, tolerance=1e-3)
    exact = soft_policy_iteration(mdp, temperature=0.5, tolerance=1e-10)
    assert rough.value_error is not None and exact.value_error is not None
    assert rough.value_error <= 1e-3 and exact.value_error <= 1e-10
    bound = rough.value_error + exact.value_error
    assert np.abs(rough.values - exact.values).max() <= bound
    assert np.abs(rough.action_values - exact.action_values).max() <= bound


@solvers
@pytest.mark.parametrize("temperature", [0.2, 1.0, 30.0])
def test_one_state_is_a_bandit(solve, temperature, x64):
    """V = τ log Σ exp(r/τ) / (1-γ): the same choice for ever."""
    reward = np.array([[1.0, -0.5, 0.3, 2.0]])
    mdp = tabular_mdp(np.ones((1, 4, 1)), reward, [1.0], discount=0.8)
    found = solve(mdp, temperature=temperature, tolerance=1e-10)
    value = temperature * np.log(np.exp(reward / temperature).sum()) / 0.2
    assert np.isclose(found.values[0], value, rtol=1e-10)
    weight = np.exp(reward / temperature)
    assert np.allclose(found.policy, weight / weight.sum(), rtol=1e-10)


def test_evaluation_sums_rewards_and_entropies(key, x64):
    """The soft value is the plain value of the process that pays r - τ Σ π log π, in which the
    entropy of a deterministic row is 0 and a terminal state pays nothing."""
    mdp = process(key)
    policy = some_policy(key)
    policy[1] = [0, 1, 0]
    entropy = -np.sum(policy * np.log(np.where(policy > 0, policy, 1)), axis=1, keepdims=True)
    paid = tabular_mdp(
        mdp.transition, mdp.reward + 0.7 * entropy, mdp.initial, discount=0.9, terminal=mdp.terminal
    )
    values = soft_state_values(mdp, policy, temperature=0.7)
    assert np.allclose(values, state_values(paid, policy), rtol=1e-11)
    q = soft_action_values(mdp, policy, temperature=0.7)
    assert np.allclose(q, mdp.reward + 0.9 * mdp.transition @ values, rtol=1e-11)
    assert np.allclose(np.sum(policy * q, axis=1)[:4] + 0.7 * entropy[:4, 0], values[:4])


@pytest.mark.parametrize("temperature", [0.1, 1e-3, 1e-6, 1e-300])
def test_no_temperature_is_the_hard_optimum(temperature, key, x64):
    """V* ≤ soft V* ≤ V* + τ log|A| / (1-γ)."""
    mdp = process(key)
    hard = np.zeros(5)
    for _ in range(400):
        hard = np.max(mdp.reward + 0.9 * mdp.transition @ hard, axis=1)
    for solve in SOLVERS.values():
        found = solve(mdp, temperature=temperature, tolerance=1e-10)
        assert np.isfinite(found.policy).all()
        assert np.all(found.values >= hard - 1e-10)
        assert np.all(found.values <= hard + temperature * np.log(3) / 0.1 + 1e-10)


def test_improvement_is_monotone_and_strict_somewhere(key, x64):
    mdp, policy = process(key), some_policy(jr.key(5))
    optimum = soft_policy_iteration(mdp, temperature=0.5).values
    values = soft_state_values(mdp, policy, temperature=0.5)
    for _ in range(3):
        q = soft_action_values(mdp, policy, temperature=0.5)
        policy = gibbs_policy(q, temperature=0.5)
        better = soft_state_values(mdp, policy, temperature=0.5)
        assert np.all(better >= values - 1e-12) and np.all(better <= optimum + 1e-7)
        values = better
    first = soft_state_values(mdp, some_policy(jr.key(5)), temperature=0.5)
    assert np.all(values[:4] > first[:4] + 1e-3)


def test_the_pointwise_identity_holds_at_the_optimum_only(key, x64):
    """r - τ log π = V(s) - γ E V(s') for each (s, a) at the soft optimum. For another policy it
    fails, yet over the policy's own visitation both sides agree on average, as they do for the
    optimum over anyone's."""
    mdp, other = process(key), some_policy(jr.key(5))
    best = soft_policy_iteration(mdp, temperature=0.6, tolerance=1e-10)

    def gap(policy, values):
        drop = values[:, None] - 0.9 * mdp.transition @ values
        return (mdp.reward - 0.6 * np.log(policy) - drop)[:4]

    def averaged(policy, gaps):
        return np.sum((visitation(mdp, policy)[:, None] * policy)[:4] * gaps)

    at_optimum = gap(best.policy, best.values)
    elsewhere = gap(other, soft_state_values(mdp, other, temperature=0.6))
    assert np.allclose(at_optimum, 0, atol=1e-9)
    assert np.abs(elsewhere).max() > 0.1
    assert abs(averaged(other, elsewhere)) < 1e-11
    assert abs(averaged(other, at_optimum)) < 1e-9
    assert abs(averaged(best.policy, elsewhere)) > 1e-3


def test_the_derivative_in_the_reward_is_the_occupancy(key, x64):
    """∂ Σ μ₀ V* / ∂ r(s,a) = p(s) π(a|s) of the soft-optimal policy (envelope theorem)."""
    mdp = process(key)
    best = soft_policy_iteration(mdp, temperature=0.6, tolerance=1e-10)
    expected = occupancy(mdp, best.policy)[:, None] * best.policy

    def total(solve, reward):
        changed = eqx.tree_at(lambda m: m.reward, mdp, jnp.asarray(reward))
        return mdp.initial @ solve(changed)

    optimal = lambda m: soft_policy_iteration(m, temperature=0.6, tolerance=1e-10).values
    for s, a in np.ndindex(4, 3):
        bump = np.zeros((5, 3))
        bump[s, a] = 1e-4
        slope = (total(optimal, mdp.reward + bump) - total(optimal, mdp.reward - bump)) / 2e-4
        assert np.isclose(slope, expected[s, a], rtol=1e-6)
    held = lambda m: soft_state_values(m, best.policy, temperature=0.6)
    slopes = jax.grad(lambda reward: total(held, reward))(jnp.asarray(mdp.reward))
    assert np.allclose(slopes[:4], expected[:4], rtol=1e-9)
    found = lambda m: soft_value_iteration(m, temperature=0.6, tolerance=1e-10).values
    forward = jax.jacfwd(lambda reward: total(found, reward))(jnp.asarray(mdp.reward))
    assert np.allclose(forward[:4], expected[:4], rtol=1e-6)


def test_evaluation_has_finite_gradients_at_the_edge(key, x64):
    """An action that is never taken has probability 0, whose logarithm is not finite."""
    policy = jnp.asarray(np.eye(3)[[0, 1, 2, 0, 1]])
    total = lambda p: soft_state_values(process(key), p, temperature=0.5).sum()
    assert jnp.isfinite(jax.grad(total)(policy)).all()


def test_outcome_lists_give_what_tables_give(key, x64):
    mdp = process(key)
    everywhere = np.broadcast_to(np.arange(5), (5, 3, 5))
    lists = successor_mdp(
        everywhere, mdp.transition, mdp.reward, mdp.initial, discount=0.9, terminal=mdp.terminal
    )
    for solve in SOLVERS.values():
        ours, theirs = (solve(m, temperature=0.5, tolerance=1e-9) for m in (lists, mdp))
        assert np.allclose(ours.values, theirs.values, rtol=0, atol=2e-9)


@solvers
@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_solvers_under_jit_and_vmap(solve, discount, key, x64):
    mdp = process(key, discount=discount)
    if discount == 1:
        mdp = eqx.tree_at(lambda m: m.reward, mdp, mdp.reward - 4 * ~mdp.terminal[:, None])
    sweep = jax.vmap(lambda m, t: solve(m, temperature=t, tolerance=1e-9), in_axes=(None, 0))
    both = jax.jit(sweep)(mdp, jnp.array([0.3, 1.0]))
    assert both.converged.all() and both.method.startswith("soft")
    for i, temperature in enumerate((0.3, 1.0)):
        alone = solve(mdp, temperature=temperature, tolerance=1e-9)
        assert np.allclose(both.values[i], alone.values, rtol=0, atol=2e-9)
        assert np.allclose(both.policy[i], alone.policy, rtol=0, atol=1e-8)


def test_single_precision_programs_get_double_precision_results(key):
    found = soft_policy_iteration(process(key), temperature=0.3, tolerance=1e-10)
    assert (
        found.values.dtype == np.float64
        and found.converged
        and isinstance(found.policy, np.ndarray)
    )


@solvers
@pytest.mark.parametrize("cost", [3.0, 0.1])
def test_undiscounted_values_are_finite_when_going_on_costs_enough(solve, cost, x64):
    found = solve(leaving(cost), temperature=0.8, tolerance=1e-9)
    value = -0.8 * np.log1p(-np.exp(-cost / 0.8))
    assert abs(found.values[0] - value) <= 1e-9
    assert found.values[1] == 0 and found.value_error is None


def test_undiscounted_sweeps_go_on_until_the_error_bound_is_met(x64):
    """Twice the residual times the mean number of steps, a policy's steps iterated alongside."""
    value, steps, sweeps = 0.0, 0.0, 1
    while True:
        stay = np.exp((value - 0.1) / 0.8)
        backed, longest = 0.8 * np.log1p(stay), max(steps, 1)
        if 2 * (backed - value) * longest <= 1e-3 and 4 * (backed - value) * longest**2 <= 0.8:
            break
        value, steps, sweeps = backed, 1 + steps * stay / (1 + stay), sweeps + 1
    found = soft_value_iteration(leaving(0.1), temperature=0.8, tolerance=1e-3)
    assert found.iterations == sweeps


@solvers
@pytest.mark.parametrize("cost", [0.0, -5.0])
@pytest.mark.parametrize("tolerance", [1e-3, 5.0])
def test_infinite_values_are_refused(solve, cost, tolerance, x64):
    """At cost 0 values grow like τ log k: a residual alone would call that converged."""
    with pytest.raises(ValueError, match=r"`discount` is 1 and soft .* infinite"):
        solve(leaving(cost), temperature=0.8, tolerance=tolerance, max_iterations=5000)


@solvers
def test_a_problem_without_an_end_is_refused_at_discount_one(solve):
    endless = tabular_mdp(np.ones((1, 2, 1)), np.ones((1, 2)), [1.0], discount=1.0)
    with pytest.raises(ValueError, match="no terminal state"):
        solve(endless, temperature=1.0)


@solvers
def test_an_unmet_tolerance_is_told(solve, key):
    found = solve(process(key), temperature=0.5, tolerance=1e-9, max_iterations=1)
    assert not found.converged and found.iterations == 1
    assert found.value_error is not None and found.value_error > 1e-9


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperatures_out_of_range_are_refused(temperature, key):
    mdp, policy = process(key), some_policy(key)
    for call in (
        lambda t: soft_state_values(mdp, policy, temperature=t),
        lambda t: soft_action_values(mdp, policy, temperature=t),
        lambda t: soft_backup(mdp, np.zeros(5), temperature=t),
        lambda t: gibbs_policy(policy, temperature=t),
        lambda t: soft_value_iteration(mdp, temperature=t),
        lambda t: soft_policy_iteration(mdp, temperature=t),
    ):
        with pytest.raises(ValueError, match="`temperature` must lie in"):
            call(temperature)


def test_settings_out_of_range_are_refused(key):
    with pytest.raises(ValueError, match="`tolerance` must lie in"):
        soft_value_iteration(process(key), temperature=1.0, tolerance=0.0)
    with pytest.raises(ValueError, match="`max_iterations` must be a whole number"):
        soft_policy_iteration(process(key), temperature=1.0, max_iterations=0)
