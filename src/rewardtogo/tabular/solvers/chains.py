r"""The Markov chain of a deterministic policy: $P^\pi$ without the actions not taken."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..mdp import AbstractMDP, TabularMDP
from ..successors import SuccessorMDP


class AbstractChain(eqx.Module):
    """Rewards and dynamics under a policy."""

    reward: eqx.AbstractVar[Float[Array, " states"]]

    @abc.abstractmethod
    def expected(self, values: Float[Array, " states"]) -> Float[Array, " states"]:
        r"""$\sum_{s'} P^\pi(s,s')\, V(s')$."""

    @abc.abstractmethod
    def matrix(self) -> Float[Array, "states states"]:
        r"""$P^\pi$, dense."""


class DenseChain(AbstractChain):
    """A table of transition probabilities."""

    reward: Float[Array, " states"]
    dynamics: Float[Array, "states states"]

    def expected(self, values: Float[Array, " states"]) -> Float[Array, " states"]:
        return self.dynamics @ values

    def matrix(self) -> Float[Array, "states states"]:
        return self.dynamics


class SuccessorChain(AbstractChain):
    """Lists of outcomes, states last."""

    reward: Float[Array, " states"]
    successor: Int[Array, "outcomes states"]
    probability: Float[Array, "outcomes states"]

    def expected(self, values: Float[Array, " states"]) -> Float[Array, " states"]:
        return jnp.sum(self.probability * values[self.successor], axis=0)

    def matrix(self) -> Float[Array, "states states"]:
        states = jnp.broadcast_to(jnp.arange(self.reward.size), self.successor.shape)
        zeros = jnp.zeros((self.reward.size, self.reward.size))
        return zeros.at[states, self.successor].add(self.probability)


def chain_of(mdp: AbstractMDP, policy: Int[Array, " states"]) -> AbstractChain:
    """The chain of the policy that takes action `policy[s]` in state s."""
    reward = jnp.take_along_axis(jnp.asarray(mdp.reward), policy[:, None], axis=1)[:, 0]
    if isinstance(mdp, SuccessorMDP):
        of_action = lambda table: jnp.take_along_axis(table, policy[None, None, :], axis=0)[0]
        lists = jnp.asarray(mdp.successor), jnp.asarray(mdp.probability)
        return SuccessorChain(reward, *map(of_action, lists))
    assert isinstance(mdp, TabularMDP)
    taken = jnp.take_along_axis(jnp.asarray(mdp.transition), policy[:, None, None], axis=1)
    return DenseChain(reward, taken[:, 0])
