"""A language of two symbols, written token by token by a causal transformer that remembers.

A probe of what the training loop can carry: what the policy remembers is the cache of its keys and
values, too large to be stored at every step; PPO, with the surrogate that exists, unrolls all steps
of an episode at once from where it began. The best sentence is known by enumeration.
"""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

import rewardtogo as rtg
from rewardtogo.envs.protocol import AbstractEnvironment, Step
from rewardtogo.nn.actor_critic import AbstractActorCritic
from rewardtogo.nn.distributions import Categorical


SYMBOLS, START = 2, 2


class Sentence(eqx.Module):
    """What has been written: its symbols as the digits of a number, and how many there are."""

    number: Int[Array, ""]
    length: Int[Array, ""]


class TwoSymbols(AbstractEnvironment[Sentence]):
    """Sentences of `length` symbols, each worth its entry of `reward`, paid when it is whole."""

    length: int = eqx.field(static=True)
    reward: Float[Array, " sentences"]

    @property
    def observation_space(self) -> gym.Space:
        """The symbol written last; at first the start."""
        return gym.spaces.Discrete(SYMBOLS + 1)

    @property
    def action_space(self) -> gym.Space:
        return gym.spaces.Discrete(SYMBOLS)

    def reset(self, key: PRNGKeyArray) -> tuple[Sentence, Array]:
        del key
        zero = jnp.zeros((), jnp.int32)
        return Sentence(zero, zero), jnp.asarray(START, jnp.int32)

    def step(self, state: Sentence, action: Array) -> tuple[Sentence, Step]:
        symbol = action.astype(jnp.int32)
        after = Sentence(SYMBOLS * state.number + symbol, state.length + 1)
        whole = after.length == self.length
        reward = jnp.where(whole, self.reward[after.number % self.reward.size], 0)
        return after, Step(symbol, reward, whole, jnp.zeros((), bool))


class Cache(eqx.Module):
    """Keys and values of the symbols read, `[*batch, place, width]`, and how many there are."""

    key: Float[Array, "*batch places width"]
    value: Float[Array, "*batch places width"]
    length: Int[Array, "*batch"]


class Context(eqx.Module):
    """What each step of an unrolled sequence could look back to."""

    key: Float[Array, "seen *batch width"]
    value: Float[Array, "seen *batch width"]
    visible: Bool[Array, "time seen *batch"]
    place: Int[Array, "time *batch"]


class Transformer(AbstractActorCritic):
    r"""One layer of causal attention: $h = e_o + p + \mathrm{softmax}(q K^\top/\sqrt{d})\, V$.

    Vaswani et al. (2017), section 3.2. Logits and value are linear in $\tanh(h)$.
    """

    symbols: Float[Array, "symbols width"]
    places: Float[Array, "places width"]
    projections: Float[Array, "3 width width"]
    head: Float[Array, "width outputs"]

    @property
    def large_carry(self) -> bool:
        return True

    def initial_carry(self) -> Cache:
        empty = jnp.zeros_like(self.places)
        return Cache(empty, empty, jnp.zeros((), jnp.int32))

    def __call__(self, observation: Any, carry: Cache) -> tuple[Categorical, Array, Cache]:
        read, query, key, value = self._read(observation, carry.length)
        place = _count(carry.key.shape[:-1], axis=-1)
        here, visible = place == carry.length[..., None], place <= carry.length[..., None]
        written = lambda old, new: jnp.where(here[..., None], new[..., None, :], old)
        cache = Cache(written(carry.key, key), written(carry.value, value), carry.length + 1)
        score = jnp.einsum("...d,...pd->...p", query, cache.key)
        weight = jax.nn.softmax(jnp.where(visible, score, -jnp.inf))
        distribution, v = self._said(read + jnp.einsum("...p,...pd->...d", weight, cache.value))
        return distribution, v, cache

    def unroll(
        self, observation: Any, carry: Cache, boundary: Bool[Array, "time *batch"]
    ) -> tuple[Categorical, Float[Array, "time *batch"], Context]:
        """All steps at once: each looks back to those of its own episode, the cache's included."""
        limit = self.places.shape[0]
        ended = jnp.cumsum(boundary, axis=0) - boundary  # how many episodes had ended before
        step = _count(boundary.shape, axis=0)
        begun = lax.cummax(jnp.where(_shifted(boundary), step, 0), axis=0)
        place = step - begun + jnp.where(ended == 0, carry.length[None], 0)
        read, query, key, value = self._read(observation, place)
        before = lambda x: jnp.moveaxis(x, -2, 0)  # the cache's places, as steps before the first
        old = _count((limit, *carry.length.shape), axis=0) < carry.length[None]
        own = (ended[:, None] == ended[None]) & (step[:, None] >= step[None])
        visible = jnp.concatenate([old[None] & (ended == 0)[:, None], own], axis=1)
        context = Context(
            jnp.concatenate([before(carry.key), key]),
            jnp.concatenate([before(carry.value), value]),
            visible,
            place,
        )
        score = jnp.einsum("t...d,s...d->ts...", query, context.key)
        weight = jax.nn.softmax(jnp.where(visible, score, -jnp.inf), axis=1)
        seen = jnp.einsum("ts...,s...d->t...d", weight, context.value)
        distribution, v = self._said(read + seen)
        return distribution, v, context

    def next_values(self, next_observation: Any, after: Context) -> Float[Array, "time *batch"]:
        """Each successor looks back to what its step saw, and at itself."""
        place = jnp.minimum(after.place + 1, self.places.shape[0] - 1)
        read, query, key, value = self._read(next_observation, place)
        score = jnp.einsum("t...d,s...d->ts...", query, after.key)
        own = jnp.sum(query * key, axis=-1)[:, None]
        score = jnp.concatenate([jnp.where(after.visible, score, -jnp.inf), own], axis=1)
        weight = jax.nn.softmax(score, axis=1)
        seen = jnp.einsum("ts...,s...d->t...d", weight[:, :-1], after.value)
        return self._said(read + seen + weight[:, -1][..., None] * value)[1]

    def _read(self, observation: Any, place: Array) -> tuple[Array, Array, Array, Array]:
        read = self.symbols[observation] + self.places[place]
        query, key, value = (read @ projection for projection in self.projections)
        return read, query / np.sqrt(self.places.shape[1]), key, value

    def _said(self, hidden: Float[Array, "*batch width"]) -> tuple[Categorical, Array]:
        out = jnp.tanh(hidden) @ self.head
        return Categorical(out[..., :SYMBOLS]), out[..., SYMBOLS]


def _count(shape: tuple[int, ...], *, axis: int) -> Int[Array, "..."]:
    """0, 1, … along one axis."""
    return lax.broadcasted_iota(jnp.int32, shape, axis % len(shape))


def _shifted(boundary: Bool[Array, "time *batch"]) -> Bool[Array, "time *batch"]:
    """Whether an episode begins at the step, the first one apart."""
    return jnp.concatenate([jnp.zeros_like(boundary[:1]), boundary[:-1]])


def transformer(length: int, width: int, *, key: PRNGKeyArray, dtype: Any = None) -> Transformer:
    """Random weights of deviation 1/√width."""
    shapes = ((SYMBOLS + 1, width), (length, width), (3, width, width), (width, SYMBOLS + 1))
    keys, kind = jr.split(key, len(shapes)), dtype or float
    drawn = [jr.normal(k, shape, kind) for k, shape in zip(keys, shapes, strict=True)]
    return Transformer(*(x / np.sqrt(width) for x in drawn))


def expected_reward(model: Transformer, env: TwoSymbols) -> Float[Array, ""]:
    """J by enumeration of all sentences."""
    count = SYMBOLS**env.length
    powers = SYMBOLS ** jnp.arange(env.length)[::-1]
    digits = jnp.arange(count)[:, None] // powers[None] % SYMBOLS
    observation = jnp.concatenate([jnp.full((count, 1), START), digits[:, :-1]], axis=1).T
    begin = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), model.initial_carry())
    boundary = jnp.zeros((env.length, count), bool)
    distribution, _, _ = model.unroll(observation, begin, boundary)
    log_prob = distribution.log_prob(digits.T).sum(axis=0)
    return jnp.exp(log_prob) @ env.reward


def loop(env: TwoSymbols, *, num_envs: int = 64, width: int = 16) -> rtg.Loop:
    """PPO on whole sentences."""
    algorithm = rtg.PPO(learning_rate=3e-3, discount=1.0, num_minibatches=1, entropy_coef=0.01)
    rollout = rtg.Rollout(env, num_envs, env.length, record_start=True)
    models = lambda key: transformer(env.length, width, key=key)
    return rtg.Loop(algorithm, rtg.Source(rollout, rtg.Latest()), models)


def main() -> None:
    """Train, and print how far the exact expectation is from the best sentence."""
    env = TwoSymbols(5, jr.uniform(jr.key(1), (SYMBOLS**5,)))
    program = rtg.build_program(loop(env), keys=jr.split(jr.key(0), 1))
    for report in rtg.train(program, total_steps=64_000, report_every=8_000):
        model = jax.tree.map(lambda x: x[0], report.state.learner).trainable.model
        found = float(expected_reward(model, env))
        print(f"{report.progress[0]:>7,} steps  J {found:.4f} of {float(env.reward.max()):.4f}")


if __name__ == "__main__":
    main()
