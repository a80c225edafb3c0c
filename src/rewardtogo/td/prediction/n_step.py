"""Prediction by n-step temporal differences, between TD(0) and Monte Carlo."""

from typing import Any, NamedTuple

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ... import validate
from ...types import Scalar
from ..steps.dynamics import Experience
from ..values.state_values import AbstractValues
from .one_step import AbstractPredictor, Estimate, check_steps, moved, successor_value, untouched


class _Window(NamedTuple):
    """The last n steps of the episode, step t at t mod n, and how many it has taken."""

    state: Int[Array, " n"]
    reward: Float[Array, " n"]
    length: Int[Array, ""]


class NStepTD(AbstractPredictor):
    r"""n-step temporal differences.

    $$V(S_t) \leftarrow V(S_t) + \alpha_k\,[G_{t:t+n} - V(S_t)], \qquad
    G_{t:t+n} = \sum_{i=1}^{n} \gamma^{i-1} R_{t+i} + \gamma^n V(S_{t+n})$$

    Sutton and Barto (2018), eq. 7.1 and 7.2; with features or a network, eq. 9.15. At an episode's
    end the steps still open are updated, earliest first, with the shorter sums; where it was
    truncated they end in V of its last state.

    **Raises:** `ValueError` for a step size outside (0, 1], a decay outside [0, 1], or n below 1.
    """

    n: int = 4
    """Rewards before the value: 1 is TD(0), an episode's length or more is Monte Carlo."""
    step_size: Scalar = 0.1
    """α, the share of the error by which a first update moves a value."""
    step_decay: Scalar = 0.0
    """ω: the k-th update of a state takes α k^(−ω)."""

    def __check_init__(self):
        check_steps(self)
        validate.count("n", self.n)

    def init(self, values: AbstractValues, weights: Any, *, max_steps: int) -> Estimate:
        del max_steps
        states = jnp.zeros(self.n, jnp.int32)
        window = _Window(states, jnp.zeros(self.n), jnp.zeros((), jnp.int32))
        return untouched(values, weights, window)

    def observe(
        self, estimate: Estimate, seen: Experience, discount: Scalar, values: AbstractValues
    ) -> Estimate:
        memory, n = estimate.memory, self.n
        at = memory.length % n
        state, reward = memory.state.at[at].set(seen.state), memory.reward.at[at].set(seen.reward)
        length = memory.length + 1
        offset = jnp.arange(n)
        power = jnp.asarray(discount, reward.dtype) ** jnp.arange(n + 1)

        def update(t, estimate):
            steps = length - t
            rewards = jnp.where(offset < steps, power[:n] * reward[(t + offset) % n], 0)
            beyond = power[steps] * successor_value(estimate.weights, seen, values)
            return moved(estimate, state[t % n], jnp.sum(rewards) + beyond, self, values)

        ended = seen.terminated | seen.truncated
        first = jnp.maximum(length - n, 0)
        last = jnp.where(ended, length, jnp.maximum(length - n + 1, 0))
        learned = lax.fori_loop(first, last, update, estimate._replace(memory=()))
        return learned._replace(memory=_Window(state, reward, jnp.where(ended, 0, length)))
