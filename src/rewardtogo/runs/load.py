"""Trained policies, read from a run folder."""

import contextlib
import functools
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from .. import validate
from ..envs.wrappers import scale_action
from ..nn.policies import AbstractPolicy
from ..sources.task import AbstractTask, Environment
from ..spaces import first_choice, num_choices
from ..training.compiled import shape_and_static, with_seeds
from ..training.evaluators import Evaluated, policy_builder
from ..training.loop import Loop
from . import checkpoint
from .evaluation import Evaluation, evaluation
from .folder import RunFolder
from .resume import read_settings, recorded_task
from .writer import policy_folder


def learner_shape(loop: Loop) -> PyTree:
    """Shapes and dtypes of one seed's arrays."""
    return shape_and_static(loop.init_learner, jr.key(0))[0]


class SavedRun:
    """The policies that a run has learned, one a seed.

    Nothing of its environment is needed before something is evaluated: the folder has the spaces.

    **Arguments:** `environment`: the run's, where it was given as an object and no name leads to
    it. `best`: the policies of the best evaluation during training, not the last ones.
    **Raises:** `ValueError` if `path` is no run folder or holds no policy; `CheckpointError`, which
    is one too, if the policy's file is damaged.
    """

    def __init__(self, path: Path, *, environment: Environment | None = None, best: bool = False):
        self.path, self.settings = path, read_settings(path, environment)
        self.num_seeds = self.settings.run.seeds or 1
        self.recorded = recorded_task(path, self.settings)
        loop = self.settings.recipe.phases(self.recorded, None)[-1].loop
        folder = RunFolder.open_(path)
        latest = checkpoint.latest(folder.best if best else policy_folder(folder))
        if latest is None:
            raise ValueError(f"{path} holds no saved {'best ' if best else ''}policy yet.")
        self.policy_of = policy_builder(loop)
        self.steps = tuple(checkpoint.read_info(latest)["steps"])
        self.arrays = checkpoint.restore(latest, with_seeds(learner_shape(loop), self.num_seeds))

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
        task, recipe = self.settings.task(), self.settings.recipe
        with contextlib.closing(task):
            _require_spaces(task, self.recorded)
            evaluator = recipe.evaluator(None)
            loop = recipe.phases(task, None)[-1].loop
            measure = evaluator.prepare(Evaluated(loop, task, self.num_seeds, num_episodes))
            found = measure(self.arrays, seed)
            first = self.settings.run.seed
            seeds = range(first, first + self.num_seeds)
            return evaluation(
                found, seeds, self.steps, optimum=task.optimum, figure=evaluator.figure
            )


def _require_spaces(task: AbstractTask, recorded: AbstractTask | None) -> None:
    """Raise `ValueError` for another environment than those that the policies fit."""
    for name in ("observation_space", "raw_action_space"):
        now, then = getattr(task, name), getattr(recorded, name, None)
        if now != then:
            raise ValueError(f"the {name} of {task.name} is {now}, and the run's was {then}.")


class Predictor:
    """A trained policy as a plain object: observations in, actions in the environment's units."""

    def __init__(self, policy: AbstractPolicy, task: AbstractTask):
        self.observation_space = task.observation_space
        self.action_space = task.raw_action_space
        self._key = jr.key(0)
        dynamic, static = eqx.partition(policy, eqx.is_array)

        def act(arrays, observation, carry, key, deterministic):
            policy = eqx.combine(arrays, static)
            distribution, carry = policy(observation, carry)
            return (distribution.mode() if deterministic else distribution.sample(key)), carry

        self._act = functools.partial(jax.jit(act, static_argnums=4), dynamic)
        self._initial_carry = policy.initial_carry()

    def predict(
        self, observation: Any, state: Any = None, *, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """The action for one observation or a batch of them, and the policy's next carry.

        **Arguments:** `state`: the carry from the call before; None begins an episode.
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
        carry = jax.tree.map(begin, self._initial_carry) if state is None else state
        action, carry = self._act(observation, carry, key, deterministic)
        action = np.asarray(action)
        if num_choices(self.action_space):
            return np.asarray(action + first_choice(self.action_space)), carry
        return scale_action(self.action_space, action), carry


def load(path: str | Path, *, seed: int | None = None, best: bool = False) -> Predictor:
    """Read a trained policy from a run folder; its environment need not be there.

    **Arguments:** `seed`: which of the run's training seeds; the first without it. `best`: the
    policy of the best evaluation during training (`--eval-every`), not the last.
    **Raises:** `ValueError` if there is no such policy, or its file is damaged.
    """
    run = SavedRun(Path(path), best=best)
    if run.recorded is None:
        raise ValueError(f"{path} holds a run without an environment: it has no policy to act by.")
    return Predictor(run.policy(seed), run.recorded)


def evaluate(
    run: str | Path,
    environment: Environment | None = None,
    *,
    episodes: int = 100,
    seed: int = 1,
    best: bool = False,
) -> Evaluation:
    """Fresh episodes with the mode of a run's policies, as `rtg eval` plays them.

    **Arguments:** `run`: its folder. `environment`: another than the run's, or the run's own where
    it was given as an object. `episodes`: for each training seed. `seed`: of the evaluation; 0 is
    the final evaluation's. `best`: the best policy seen during training, not the last.
    **Raises:** `ValueError` if there is no policy, or the environment has other spaces.
    """
    validate.count("episodes", episodes)
    validate.whole_seed("seed", seed)
    saved = SavedRun(Path(run), environment=environment, best=best)
    return saved.evaluate(num_episodes=episodes, seed=seed)
