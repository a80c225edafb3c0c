"""What a run of control reports: the truth it is held against, regret, and words for bad input."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import expected_return
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import dense
from rewardtogo.td.control.one_step import QLearning
from rewardtogo.td.control.optimum import control_optimum, greedy_returns
from rewardtogo.td.control.run import control
from rewardtogo.td.steps.exploration import BoltzmannExploration, EpsilonGreedyExploration, drawn
from rewardtogo.td.steps.step_sizes import ConstantStepSize, PolynomialStepSize


def test_probabilities_with_ties():
    """Each action that is not greedy has ε/|A|; those that tie share the rest."""
    q = jnp.asarray([1.0, 3.0, 3.0, 0.0])
    found = EpsilonGreedyExploration(0.2).probabilities(q)
    assert np.allclose(found, [0.05, 0.45, 0.45, 0.05])
    assert np.allclose(EpsilonGreedyExploration(0.0).probabilities(q), [0, 0.5, 0.5, 0])
    assert np.allclose(EpsilonGreedyExploration(1.0).probabilities(q), 0.25)


def test_boltzmann_is_the_softmax(x64):
    q = np.array([1.0, 3.0, -2.0])
    weights = np.exp(q / 0.7)
    found = BoltzmannExploration(0.7).probabilities(jnp.asarray(q))
    assert np.allclose(found, weights / weights.sum(), rtol=1e-14)


def test_actions_are_drawn_with_their_probabilities():
    """Over a fine grid of draws each action has its share; one of probability 0 has none."""
    p = jnp.asarray([0.0, 0.1, 0.0, 0.6, 0.3, 0.0])
    grid = jnp.append((jnp.arange(10_000) + 0.5) / 10_000, jnp.asarray([0.0, 1 - 2.0**-24]))
    found = np.asarray(jax.vmap(lambda draw: drawn(p, draw))(grid))
    assert np.abs(np.bincount(found, minlength=6) / 10_000 - np.asarray(p)).max() < 3e-4
    assert set(found.tolist()) == {1, 3, 4}


def test_step_sizes():
    n = jnp.asarray([1.0, 2.0, 100.0])
    assert np.allclose(PolynomialStepSize(1.0)(n), [1, 0.5, 0.01])
    assert np.allclose(PolynomialStepSize()(n), [1, 0.6155722, 0.0398107])
    assert np.allclose(ConstantStepSize(0.1)(n), 0.1)
    assert PolynomialStepSize().converges and not ConstantStepSize().converges


@pytest.mark.parametrize("name", ["FrozenLake-v1", "Garnet-20-4-3"])
def test_values_of_greedy_policies_are_exact(name):
    """As the linear solve of each, for lists and for tables."""
    mdp = problem(name).mdp
    policies = np.random.default_rng(0).integers(4, size=(5, mdp.num_states))
    policies[4] = policies[0]
    expected = [expected_return(mdp, np.eye(4)[policy]) for policy in policies]
    for form in (mdp, dense(mdp)) if name == "FrozenLake-v1" else (mdp,):
        assert np.allclose(greedy_returns(form, policies, limit=3), expected, rtol=1e-6, atol=1e-9)


def test_without_discount_a_greedy_policy_is_worth_what_its_limit_allows():
    """Up against the wall of the cliff for ever, at a cost of 1 a step."""
    mdp = problem("CliffWalking-v1").mdp
    assert greedy_returns(mdp, np.zeros((1, 48), int), limit=70) == -70


def test_only_states_that_can_be_reached_count():
    """From the taxi's 300 starts: its 400 states on the way; 100 with a passenger at home not."""
    assert control_optimum(problem("Taxi-v4").mdp).reachable.sum() == 400
    lake = control_optimum(problem("FrozenLake-v1").mdp)
    assert lake.reachable.sum() == 11 and round(lake.optimum, 6) == 0.542026


def test_regret_is_what_episodes_fall_short_of_the_optimum():
    """Mean return = optimum - mean regret an episode, where no episode is cut; Blackjack."""
    result = control(problem("Blackjack"), QLearning(), steps=200_000, seeds=8)
    episodes = result.episodes.sum(axis=1)
    earned = np.sum(np.nan_to_num(result.returns) * result.episodes, axis=1) / episodes
    short = result.exact.optimum - result.regret[:, -1] / episodes
    assert short.std() < 0.02
    assert abs(np.mean(earned - short)) < 5 / np.sqrt(episodes.sum())  # returns lie in [-1, 1]
    assert np.all(np.diff(result.regret, axis=1) >= 0)


def test_the_seed_says_it_all():
    runs = [control(problem("Chain"), QLearning(), steps=500, seeds=2, seed=s) for s in (0, 0, 1)]
    first, again, other = (run.action_values for run in runs)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
    assert runs[0].steps.tolist() == list(range(5, 501, 5))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: ConstantStepSize(0.0), r"`size` must lie in \(0, 1\]; got 0.0"),
        (lambda: ConstantStepSize(1.5), r"`size` must lie in \(0, 1\]; got 1.5"),
        (
            lambda: PolynomialStepSize(0.5),
            r"`exponent` must lie in \(0.5, 1\]; got 0.5: else n\^-κ has a finite sum",
        ),
        (lambda: PolynomialStepSize(1.1), r"`exponent` must lie in \(0.5, 1\]; got 1.1"),
        (lambda: EpsilonGreedyExploration(-0.1), r"`epsilon` must lie in \[0, 1\]; got -0.1"),
        (lambda: BoltzmannExploration(0.0), "`temperature` must lie in"),
        (
            # As users call it, whose types nothing checks.
            lambda: inspect.unwrap(control)(problem("Chain").mdp, QLearning()),
            r"`problem` is an MDP, .*: give a Problem, `rtg.problem\(name\)` or `rtg.tabular.Pro",
        ),
        (lambda: control(problem("Chain"), QLearning(), steps=0), "`steps`.*got 0"),
        (lambda: control(problem("Chain"), QLearning(), steps=2**31), "`steps` must be below 2"),
        (lambda: control(problem("Chain"), QLearning(), seeds=0), "`seeds`.*got 0"),
        (lambda: control(problem("Chain"), QLearning(), seed=-1), "`seed`.*got -1"),
        (
            lambda: control(problem("Chain"), QLearning(), initial_value=float("nan")),
            "`initial_value`.*got nan",
        ),
    ],
)
def test_bad_input_is_refused_at_once(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_a_process_that_never_ends_needs_a_discount():
    named = problem("RiverSwim")
    endless = dataclasses.replace(named, mdp=dataclasses.replace(named.mdp, discount=1.0))
    with pytest.raises(ValueError, match="discount"):
        control(endless, QLearning(), steps=100)
