import jax
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.lab.theorems.enumeration import enumerate_trajectories
from rewardtogo.tabular.exact.evaluation import expected_return, transition_matrix
from rewardtogo.tabular.exact.occupancy import occupancy, state_distributions, visitation
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet


@pytest.fixture(params=[0.0, 0.9, 0.99])
def case(request, key, x64):
    mdp = garnet(num_states=4, num_actions=2, num_terminal=1, discount=request.param, key=key)
    return mdp, np.asarray(jax.nn.softmax(jr.normal(key, (4, 2))))


def test_state_distributions_by_enumeration(case):
    mdp, policy = case
    paths = enumerate_trajectories(mdp, horizon=3)
    taken = np.where(paths.mask, policy[paths.state, paths.action], 1)
    probability = paths.dynamics * taken.prod(0)
    ours = state_distributions(mdp, policy, horizon=3)
    for t, s in np.ndindex(3, 4):
        assert np.isclose(ours[t, s], probability[paths.state[t] == s].sum(), rtol=1e-12)


def test_occupancy_sums_the_distributions(case):
    mdp, policy = case
    horizon = 4000
    visits = state_distributions(mdp, policy, horizon=horizon)
    expected = mdp.discount ** np.arange(horizon) @ visits
    assert np.allclose(occupancy(mdp, policy), expected, rtol=1e-10)


def test_visitation_obeys_its_identities(case):
    """Mass 1; flow d(s') = (1-γ)μ₀(s') + γ Σ d(s)P^π(s,s'), which says that d is stationary for
    the restart chain; J = Σ d π r / (1-γ)."""
    mdp, policy = case
    d = visitation(mdp, policy)
    restart = (1 - mdp.discount) * mdp.initial + mdp.discount * transition_matrix(mdp, policy)
    assert np.isclose(d.sum(), 1, rtol=1e-12)
    assert np.allclose(d @ restart, d, rtol=1e-11)
    total = np.sum(d[:, None] * policy * mdp.reward) / (1 - mdp.discount)
    assert np.isclose(total, expected_return(mdp, policy), rtol=1e-10)


def test_undiscounted_mass_is_the_mean_episode_length():
    """A state left with probability ¼ a step: 4 steps on average; the end is not counted."""
    transition = [[[0.75, 0.25]], [[0.0, 1.0]]]
    mdp = tabular_mdp(transition, [[1.0], [0.0]], [0.5, 0.5], discount=1.0)
    policy = np.ones((2, 1))
    assert np.allclose(occupancy(mdp, policy), [2.0, 0.0], rtol=1e-12)
    with pytest.raises(ValueError, match="`visitation` needs a `discount` below 1"):
        visitation(mdp, policy)


def test_undiscounted_occupancy_of_an_endless_policy_is_refused(key):
    mdp = garnet(num_states=3, num_actions=2, discount=1.0, key=key)
    with pytest.raises(ValueError, match="never ends from state 0"):
        occupancy(mdp, np.full((3, 2), 0.5))
