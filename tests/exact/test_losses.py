import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from rewardtogo.losses.policy_gradient import clipped_surrogate, score_function
from rewardtogo.tabular.exact.evaluation import advantages, expected_return
from rewardtogo.tabular.exact.occupancy import occupancy
from rewardtogo.tabular.problems.garnet import garnet


LOSSES = {
    "score_function": lambda log_prob, old_log_prob, advantage: score_function(log_prob, advantage),
    "clipped_surrogate": lambda *arrays: clipped_surrogate(*arrays, clip=0.2),
}


@pytest.mark.parametrize("discount", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradient_is_the_exact_policy_gradient(loss, discount, key, x64):
    """Summed over every (s, a) with its true occupancy, a loss has gradient -∇J."""
    mdp_key, theta_key = jr.split(key)
    mdp = garnet(num_states=5, num_actions=3, discount=discount, key=mdp_key)
    theta = jr.normal(theta_key, (5, 3))
    policy = jax.nn.softmax(theta)
    weight = occupancy(mdp, policy)[:, None] * policy
    advantage = jnp.asarray(advantages(mdp, policy))

    def surrogate(theta):
        log_prob = jax.nn.log_softmax(theta)
        return jnp.sum(weight * loss(log_prob, jnp.log(policy), advantage))

    expected = jax.grad(lambda theta: -expected_return(mdp, jax.nn.softmax(theta)))(theta)
    assert jnp.allclose(jax.grad(surrogate)(theta), expected, rtol=1e-10, atol=1e-12)
