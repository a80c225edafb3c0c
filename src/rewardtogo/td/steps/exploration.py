r"""Exploration: with what probability each action is taken, given Q(s, ·)."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ... import validate
from ...nn.distributions import EpsilonGreedy, boltzmann
from ...types import Scalar


class AbstractExploration(eqx.Module):
    """π(· | s) as a function of Q(s, ·)."""

    @abc.abstractmethod
    def probabilities(self, q: Float[Array, " actions"]) -> Float[Array, " actions"]:
        """Of each action; they sum to 1."""


class EpsilonGreedyExploration(AbstractExploration):
    r"""$\pi(a) = \epsilon/|A| + (1-\epsilon)\,[a \in \arg\max Q]\,/\,|\arg\max Q|$.

    Sutton and Barto (2018), section 2.2; actions that tie share the greedy mass equally.
    **Raises:** `ValueError` for an `epsilon` outside [0, 1].
    """

    epsilon: Scalar = 0.3
    """ε, the share of steps on which any action is taken, all equally likely."""

    def __check_init__(self):
        validate.unit_interval("epsilon", self.epsilon)

    def probabilities(self, q: Float[Array, " actions"]) -> Float[Array, " actions"]:
        return EpsilonGreedy(q, self.epsilon).probabilities()


class BoltzmannExploration(AbstractExploration):
    r"""$\pi(a) \propto \exp(Q(s,a)/\tau)$.

    Sutton and Barto (2018), section 2.8.
    **Raises:** `ValueError` for a `temperature` that is not above 0.
    """

    temperature: Scalar = 1.0
    """τ, in units of return: the larger, the more even."""

    def __check_init__(self):
        validate.positive("temperature", self.temperature)

    def probabilities(self, q: Float[Array, " actions"]) -> Float[Array, " actions"]:
        return jax.nn.softmax(boltzmann(q, self.temperature).logits)


def drawn(probabilities: Float[Array, " actions"], draw: Float[Array, ""]) -> Int[Array, ""]:
    """The action at `draw`, uniform on [0, 1): the first whose cumulative sum exceeds it."""
    sums = jnp.cumsum(probabilities)
    # Of the sum as it was rounded, so that an action of probability 0 is never drawn.
    return jnp.sum(sums <= draw * sums[-1], dtype=jnp.int32)
