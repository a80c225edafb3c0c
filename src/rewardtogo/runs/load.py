"""Trained policies, read from a run folder."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from ..envs.wrappers import scale_action
from ..nn.policies import AbstractPolicy
from ..recipes import Ingredients
from ..sources.task import AbstractTask
from ..spaces import first_choice, num_choices
from ..training.compiled import shape_and_static, with_seeds
from ..training.evaluate import make_evaluator
from ..training.loop import Loop
from . import checkpoint
from .evaluation import Evaluation, evaluation
from .folder import RunFolder
from .resume import read_settings
from .writer import policy_folder


def policy_builder(ingredients: Ingredients) -> Callable[[PyTree], AbstractPolicy]:
    """From one seed's arrays, as a checkpoint holds them, to the policy that was learned."""
    algorithm = ingredients.algorithm
    _, static = shape_and_static(Loop(*ingredients).init_algorithm, jr.key(0))
    return lambda arrays: algorithm.policy(eqx.combine(arrays, static))


def algorithm_shape(ingredients: Ingredients) -> PyTree:
    """Shapes and dtypes of one seed's arrays."""
    return shape_and_static(Loop(*ingredients).init_algorithm, jr.key(0))[0]


class SavedRun:
    """The policies that a run has learned, one a seed.

    **Arguments:** `best`: those of the best evaluation during training, not the last ones.
    **Raises:** `ValueError` if `path` is no run folder or holds no policy; `CheckpointError`, which
    is one too, if the policy's file is damaged.
    """

    def __init__(self, path: Path, *, best: bool = False):
        self.path, self.settings = path, read_settings(path)
        self.num_seeds = self.settings.run.seeds or 1
        self.task = self.settings.task()
        ingredients = self.settings.recipe.build(self.task)
        shape = algorithm_shape(ingredients)
        self.policy_of = policy_builder(ingredients)
        folder = RunFolder.open_(path)
        latest = checkpoint.latest(folder.best if best else policy_folder(folder))
        if latest is None:
            raise ValueError(f"{path} holds no saved {'best ' if best else ''}policy yet.")
        self.steps = tuple(checkpoint.read_info(latest)["steps"])
        self.arrays = checkpoint.restore(latest, with_seeds(shape, self.num_seeds))

    def policy(self, seed: int | None = None) -> AbstractPolicy:
        """The policy of one training seed; the first without one named."""
        first = self.settings.run.seed
        number = first if seed is None else seed
        if not 0 <= number - first < self.num_seeds:
            last = first + self.num_seeds - 1
            raise ValueError(
                f"{self.path} trained the seeds {first} to {last}, not `seed` {number}."
            )
        return self.policy_of(jax.tree.map(lambda x: x[number - first], self.arrays))

    def evaluate(self, *, num_episodes: int, seed: int) -> Evaluation:
        """Fresh episodes for the policy of every training seed, the same for each."""
        evaluator = make_evaluator(
            self.task, self.policy_of, num_seeds=self.num_seeds, num_episodes=num_episodes
        )
        first = self.settings.run.seed
        episodes = evaluator(self.arrays, seed)
        seeds = range(first, first + self.num_seeds)
        return evaluation(episodes, seeds, self.steps, self.task.optimum)


class Predictor:
    """A trained policy as a plain object: observations in, actions in the environment's units."""

    def __init__(self, policy: AbstractPolicy, task: AbstractTask):
        self.observation_space = task.observation_space
        self.action_space = task.raw_action_space
        self._key = jr.key(0)
        dynamic, static = eqx.partition(policy, eqx.is_array)

        def act(arrays, observation, memory, key, deterministic):
            policy = eqx.combine(arrays, static)
            distribution, memory = policy(observation, memory)
            return (distribution.mode() if deterministic else distribution.sample(key)), memory

        self._act = functools.partial(jax.jit(act, static_argnums=4), dynamic)
        self._initial_memory = policy.initial_carry()

    def predict(
        self, observation: Any, state: Any = None, *, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """The action for one observation or a batch of them, and the policy's next memory.

        **Arguments:** `state`: the memory from the call before; None begins an episode.
        **Raises:** `ValueError` for an observation of another shape than the environment's.
        """
        observation, shape = np.asarray(observation), self.observation_space.shape or ()
        if observation.shape[observation.ndim - len(shape) :] != shape:
            raise ValueError(
                f"an observation has shape {shape}, or that after batch axes; "
                f"got {observation.shape}."
            )
        if isinstance(self.observation_space, gym.spaces.Discrete):
            observation = observation - self.observation_space.start
        self._key, key = jr.split(self._key)
        batch = observation.shape[: observation.ndim - len(shape)]
        begin = lambda x: jnp.broadcast_to(x, (*batch, *x.shape))
        memory = jax.tree.map(begin, self._initial_memory) if state is None else state
        action, memory = self._act(observation, memory, key, deterministic)
        action = np.asarray(action)
        if num_choices(self.action_space):
            return np.asarray(action + first_choice(self.action_space)), memory
        return scale_action(self.action_space, action), memory


def load(path: str | Path, *, seed: int | None = None, best: bool = False) -> Predictor:
    """Read a trained policy from a run folder.

    **Arguments:** `seed`: which of the run's training seeds; the first without it. `best`: the
    policy of the best evaluation during training (`--eval-every`), not the last.
    **Raises:** `ValueError` if there is no such policy, or its file is damaged.
    """
    run = SavedRun(Path(path), best=best)
    return Predictor(run.policy(seed), run.task)
