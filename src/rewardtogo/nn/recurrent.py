"""A gated recurrent unit, and the actor–critic that acts on what it remembers."""

import dataclasses
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .actor_critic import SteppedActorCritic
from .build import Architecture, Std
from .distributions import AbstractEntropicDistribution
from .encoders import AbstractEncoder
from .mlp import Linear, orthogonal
from .policies import EntropicPolicy
from .values import StateValue


class GRU(eqx.Module):
    r"""One step of a gated recurrent unit, over any leading axes:

    $$r = \sigma(x W_r + h U_r + b_r), \quad z = \sigma(x W_z + h U_z + b_z), \quad
    n = \tanh(x W_n + b_n + r \odot (h U_n + c)), \quad h' = (1 - z) \odot n + z \odot h$$

    Cho et al. (2014), *Learning Phrase Representations using RNN Encoder–Decoder*, eqs. 5–8, with
    the reset gate $r$ applied after the product with $U_n$, as cuDNN, PyTorch and Equinox have it:
    one product serves all three gates. What is remembered stays within (−1, 1).
    """

    inputs: Linear  # W and b of r, z, n, one beside the other
    recurrent: Float[Array, "size three_sizes"]  # U, likewise
    bias: Float[Array, " size"]  # c

    def __call__(
        self, x: Float[Array, "*batch inputs"], carry: Float[Array, "*batch size"]
    ) -> Float[Array, "*batch size"]:
        """h', from x and h."""
        given = jnp.split(self.inputs(x), 3, axis=-1)
        kept = jnp.split(carry @ self.recurrent, 3, axis=-1)
        reset = jax.nn.sigmoid(given[0] + kept[0])
        update = jax.nn.sigmoid(given[1] + kept[1])
        bias = jnp.expand_dims(self.bias, range(carry.ndim - 1))
        new = jnp.tanh(given[2] + reset * (kept[2] + bias))
        return (1 - update) * new + update * carry


def gru(inputs: int, size: int, *, key: PRNGKeyArray, dtype: Any = jnp.float32) -> GRU:
    """Build a GRU with zero biases and orthogonal weights, each gate's for itself.

    Saxe et al. (2014): orthogonal recurrent weights keep the lengths of what passes through time.
    """
    given_keys, kept_keys = jr.split(key, (2, 3))
    initialise = orthogonal(1.0)
    given = [initialise(k, inputs, size, dtype) for k in given_keys]
    kept = [initialise(k, size, size, dtype) for k in kept_keys]
    return GRU(
        Linear(jnp.concatenate(given, axis=1), jnp.zeros(3 * size, dtype)),
        jnp.concatenate(kept, axis=1),
        jnp.zeros(size, dtype),
    )


class RecurrentActorCritic(SteppedActorCritic):
    """A trunk, one GRU, and two heads that read what it remembers.

    Policy and value share the memory. What is worth remembering shows in the error of the value
    long before the policy gradient, which is noisier, tells it; and the recurrence, whose steps
    cannot be taken side by side, is paid once.
    """

    trunk: AbstractEncoder
    cell: GRU
    actor: EntropicPolicy
    critic: StateValue

    def __call__(
        self, observation: Any, carry: Float[Array, "*batch size"]
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "*batch"], Float[Array, "*batch size"]]:
        carry = self.cell(self.trunk(observation), carry)
        distribution, _ = self.actor(carry, self.actor.initial_carry())
        return distribution, self.critic(carry), carry

    def initial_carry(self) -> Float[Array, " size"]:
        return jnp.zeros_like(self.cell.bias)


def recurrent_actor_critic(
    nets: Architecture, key: PRNGKeyArray, *, size: int, log_std: float, std: Std = "learned"
) -> RecurrentActorCritic:
    """The hidden layers of `nets`, on its convolutions, a GRU of `size` units, two linear heads.

    Orthogonal weights: gain √2 in the trunk, 1 in the GRU, 0.01 for the policy, 1 for the value.

    **Raises:** `ValueError` where there are neither hidden layers nor convolutions.
    """
    trunk_key, cell_key, actor_key, critic_key = jr.split(key, 4)
    trunk = nets.trunk(trunk_key)
    remembered = gym.spaces.Box(-1.0, 1.0, (size,), np.float32)
    heads = dataclasses.replace(nets, observation_space=remembered, hidden=(), conv_channels=None)
    return RecurrentActorCritic(
        trunk,
        gru(trunk.size, size, key=cell_key, dtype=nets.dtype),
        heads.actor(actor_key, log_std=log_std, std=std),
        heads.state_value(critic_key),
    )
