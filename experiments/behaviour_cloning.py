"""Behaviour cloning from arrays: a learner that does not act, and a run without an environment.

A probe of what the training loop can carry: data larger than a batch, one copy for all seeds, an
evaluation that is a loss. `rtg.fit(BehaviourCloningRecipe(…), data=Example(seen, done))` runs it.
"""

import dataclasses
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from rewardtogo import validate
from rewardtogo.algorithms.protocol import AbstractLearner
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.policies import EntropicPolicy
from rewardtogo.optim.trainable import Trainable, descend, trainable
from rewardtogo.recipes.base import AbstractRecipe, Phase
from rewardtogo.sources.buffers.dataset import Dataset
from rewardtogo.sources.collectors.absent import NoCollector
from rewardtogo.sources.protocol import Source
from rewardtogo.training.evaluators import AbstractEvaluator, HeldOutLoss
from rewardtogo.training.loop import Loop
from rewardtogo.types import AbstractShared, Metrics, Scalar


class Example(NamedTuple):
    """What somebody did: rows of observations and of the actions taken there."""

    observation: Any
    action: Any


class BehaviourCloning(AbstractLearner[EntropicPolicy, Trainable[EntropicPolicy], Example]):
    r"""Maximum likelihood: minimises $-\log\pi_\theta(a \mid o)$ over the examples.

    Pomerleau (1991), section 3, with a distribution in place of a squared error.
    """

    learning_rate: Scalar = 1e-2

    def init(self, models: EntropicPolicy) -> Trainable[EntropicPolicy]:
        return trainable(models, self.optimiser)

    def update(
        self, state: Trainable[EntropicPolicy], batch: Example, *, key: PRNGKeyArray
    ) -> tuple[Trainable[EntropicPolicy], Metrics]:
        del key

        def loss(policy: EntropicPolicy) -> tuple[Float[Array, ""], Float[Array, ""]]:
            value = negative_log_likelihood(policy, batch).mean()
            return value, value

        state, value = descend(loss, state, self.optimiser)
        return state, {"train/loss": value}

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


def negative_log_likelihood(policy: EntropicPolicy, rows: Example) -> Float[Array, " row"]:
    """In nats, one number a row."""
    distribution, _ = policy(jnp.asarray(rows.observation), ())
    return -distribution.log_prob(jnp.asarray(rows.action))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BehaviourCloningRecipe(AbstractRecipe):
    """Behaviour cloning of discrete actions; `total_steps` counts updates."""

    name = "behaviour-cloning"

    num_actions: int
    algorithm: BehaviourCloning = BehaviourCloning()
    hidden: tuple[int, ...] = ()
    batch_size: int = 32

    def phases(self, task: Any, data: AbstractShared | None) -> tuple[Phase, ...]:
        del task
        if data is None:
            raise ValueError("behaviour cloning learns from examples: give `data`.")
        validate.count("num_actions", self.num_actions)
        low = np.full(jax.tree.leaves(data.value)[0].shape[1:], -np.inf, np.float32)
        spaces = gym.spaces.Box(low, -low), gym.spaces.Discrete(self.num_actions)
        nets = Architecture(*spaces, self.hidden, "tanh")
        source = Source(NoCollector(10), Dataset(data, self.batch_size, 10))
        loop = Loop(self.algorithm, source, lambda key: nets.actor(key, log_std=0.0))
        return (Phase(loop, self.total_steps),)

    def evaluator(self, data: AbstractShared | None) -> AbstractEvaluator:
        assert data is not None
        loss = lambda learner, state, rows: negative_log_likelihood(state.model, rows)
        return HeldOutLoss(loss, data)
