"""Solvers against enumeration of all policies, published optima, and one another."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact import evaluation
from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.exact.termination import check_policy_ends
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.tabular.solvers.modified_policy_iteration import modified_policy_iteration
from rewardtogo.tabular.solvers.policy_iteration import policy_iteration
from rewardtogo.tabular.solvers.solve import Method, chosen_method, solve
from rewardtogo.tabular.solvers.sparsity import as_lists, to_lists
from rewardtogo.tabular.solvers.value_iteration import value_iteration
from rewardtogo.tabular.successors import dense


METHODS = pytest.mark.parametrize("method", list(Method))


def best_of_all_policies(mdp):
    """V* by enumeration: at every state the best value that any deterministic policy has there."""
    choices = itertools.product(range(mdp.num_actions), repeat=mdp.num_states)
    tables = (np.eye(mdp.num_actions)[list(actions)] for actions in choices)
    return np.max([state_values(mdp, table) for table in tables], axis=0)


def small(discount, *, terminal=0):
    return garnet(
        num_states=4, num_actions=2, num_terminal=terminal, discount=discount, key=jr.key(5)
    )


@METHODS
@pytest.mark.parametrize(("discount", "terminal"), [(0.0, 0), (0.9, 0), (0.9, 1), (1.0, 1)])
def test_no_policy_is_better(method, discount, terminal):
    mdp = small(discount, terminal=terminal)
    found = solve(mdp, method=method, tolerance=1e-9)
    truth = best_of_all_policies(mdp)
    assert found.converged
    assert np.allclose(found.values, truth, atol=1e-8)
    table = np.eye(mdp.num_actions)[found.policy]
    assert np.allclose(state_values(mdp, table), truth, atol=1e-8)


@METHODS
@pytest.mark.parametrize("name", ["FrozenLake-v1", "Garnet-40-3-2"])
@pytest.mark.parametrize("tolerance", [1.0, 1e-2, 1e-5])
def test_certificates_hold(method, name, tolerance):
    """The bounds cover the true errors, and are not vastly larger than the tolerance."""
    mdp = problem(name).mdp
    truth = np.asarray(policy_iteration(mdp, tolerance=1e-9).values)
    found = solve(mdp, method=method, tolerance=tolerance)
    bounds = found.certificate
    loss = truth - state_values(mdp, np.eye(mdp.num_actions)[found.policy])
    assert np.max(np.abs(found.values - truth)) <= bounds.value_error <= tolerance
    assert -1e-9 <= np.max(loss) <= bounds.policy_loss <= 2.1 * tolerance


PUBLISHED = [
    ("FrozenLake-v1", 0.99, 0, 0.542026),
    ("FrozenLake8x8-v1", 0.99, 0, 0.414640),
    ("CliffWalking-v1", 1.0, 36, -13.0),
]


@pytest.mark.parametrize(("name", "discount", "state", "value"), PUBLISHED)
@METHODS
def test_published_optima(method, name, discount, state, value):
    found = solve(problem(name, discount=discount).mdp, method=method, tolerance=1e-7)
    assert found.values[state] == pytest.approx(value, abs=1e-6)


def test_taxi_earns_what_is_known():
    """7.93 on the mean over its 300 starts, undiscounted."""
    mdp = problem("Taxi-v4").mdp
    assert float(mdp.initial @ solve(mdp).values) == pytest.approx(7.93, abs=1e-9)


@METHODS
def test_undiscounted_policies_end(method):
    """At γ = 1 going round in circles ties with the way out on the frozen lake."""
    mdp = problem("FrozenLake-v1", discount=1.0).mdp
    found = solve(mdp, method=method, tolerance=1e-9)
    table = np.eye(mdp.num_actions)[found.policy]
    check_policy_ends(mdp, table)
    assert float(mdp.initial @ state_values(mdp, table)) == pytest.approx(14 / 17, abs=1e-6)
    assert found.certificate.value_error is None and found.certificate.policy_loss is None


@METHODS
def test_ties_end(method):
    """Where every action is as good as any other, nothing is exchanged for ever."""
    mdp = tabular_mdp(
        np.full((3, 4, 3), 1 / 3), np.full((3, 4), 0.1), np.ones(3) / 3, discount=0.99
    )
    found = solve(mdp, method=method)
    assert np.allclose(found.values, 10)
    assert found.iterations < 2000


@METHODS
def test_a_loop_that_pays_is_explained(method):
    """At γ = 1, staying in state 0 earns 1 for ever, though an end can be reached."""
    transition = np.array([[[1.0, 0], [0, 1]], [[0, 1], [0, 1]]])
    mdp = tabular_mdp(transition, [[1.0, 0], [0, 0]], [1.0, 0], discount=1.0)
    with pytest.raises(ValueError, match="infinite"):
        solve(mdp, method=method)


@METHODS
def test_an_end_that_cannot_be_reached_is_explained(method):
    mdp = tabular_mdp(np.eye(2)[:, None, :], [[1.0], [0]], [1.0, 0], discount=1.0)
    with pytest.raises(ValueError, match="no terminal state can be reached from state 0"):
        solve(mdp, method=method)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), 1e-18])
def test_tolerances_out_of_reach_are_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        solve(small(0.9), tolerance=tolerance)


@METHODS
def test_lists_and_tables_agree(method):
    mdp = dense(problem("Garnet-40-3-2").mdp)
    ours, theirs = solve(to_lists(mdp), method=method), solve(mdp, method=method)
    assert np.allclose(ours.values, theirs.values, atol=2e-6)


def test_tables_of_zeros_are_taken_as_lists(key):
    mdp = garnet(num_states=300, num_actions=2, branching=3, discount=0.9, key=key)
    lists = as_lists(mdp)
    assert lists is not None
    assert np.allclose(dense(lists).transition, mdp.transition, atol=1e-15)
    full = garnet(num_states=300, num_actions=2, discount=0.9, key=key)
    assert as_lists(full) is None
    assert as_lists(small(0.9)) is None
    assert chosen_method(lists) is Method.MODIFIED_POLICY_ITERATION
    assert chosen_method(problem("FrozenLake-v1").mdp) is Method.GAUSS_SEIDEL
    assert chosen_method(full) is Method.MODIFIED_POLICY_ITERATION


@pytest.mark.parametrize("solver", [value_iteration, modified_policy_iteration, policy_iteration])
def test_solvers_are_compiled_over_a_batch(solver, x64):
    """Under `jit` and `vmap` over rewards: each solution as if it were alone."""
    mdp = small(0.9)
    rewards = jr.normal(jr.key(1), (3, 4, 2), jnp.float64)

    def values(reward):
        changed = dataclasses.replace(mdp, reward=reward)
        return solver(changed, tolerance=1e-9).values

    together = jax.jit(jax.vmap(values))(rewards)
    alone = [values(reward) for reward in rewards]
    assert np.allclose(together, alone, atol=1e-8)


def tabular_mdp_with(mdp, reward):
    return type(mdp)(mdp.transition, reward, mdp.initial, mdp.terminal, discount=mdp.discount)


def test_large_lists_are_evaluated_by_sparse_solves(monkeypatch):
    monkeypatch.setattr(evaluation, "_DENSE", 10)
    mdp = problem("SlipperyGrid-33x33").mdp
    policy = np.eye(4)[np.arange(mdp.num_states) % 2 + 1]
    sparse = state_values(mdp, policy)
    assert np.allclose(sparse, state_values(dense(mdp), policy), atol=1e-12)
    iterated = policy_iteration(mdp)
    assert np.allclose(iterated.values, solve(mdp).values, atol=1e-6)


def test_one_way_of_writing_lists(key):
    mdp = garnet(num_states=6, num_actions=2, branching=2, discount=0.9, key=key)
    lists = to_lists(mdp)
    assert lists.successor.shape == (2, 2, 6)
    assert np.allclose(dense(lists).transition, mdp.transition)
    assert np.array_equal(lists.reward, mdp.reward)
