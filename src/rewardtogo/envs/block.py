"""The tight loop over Gymnasium environments that both pools share."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from ..spaces import first_choice, num_choices


# Places in a block's progress, three numbers that whoever watches for a hang reads: the number of
# calls so far, which environment is at work (IDLE between calls), and whether it is being reset.
TICK, INDEX, RESETTING = range(3)
IDLE = -1


class EnvironmentFault(RuntimeError):
    """A host environment raised, hung, died, or gave something of the wrong shape.

    `environments` holds the indices of those concerned: one, or all of a dead worker's.
    """

    def __init__(self, message: str, *, environments: Sequence[int]):
        super().__init__(message)
        self.environments = tuple(environments)


class PoolStep(NamedTuple):
    """What one action each brought about; the arrays are the caller's, and never written again.

    `observation` is `next_observation` itself where no episode ended, so change neither.
    """

    next_observation: Shaped[np.ndarray, "env ..."]  # the true successor, before any reset
    reward: Float[np.ndarray, " env"]
    terminated: Bool[np.ndarray, " env"]
    truncated: Bool[np.ndarray, " env"]
    observation: Shaped[np.ndarray, "env ..."]  # to act on next: after the reset where one was due


class Buffers(NamedTuple):
    """Where a block writes; in shared memory where workers do it."""

    next_observation: Shaped[np.ndarray, "env ..."]
    reset_observation: Shaped[np.ndarray, "env ..."]  # rows are fresh where an episode ended
    reward: Float[np.ndarray, " env"]
    terminated: Bool[np.ndarray, " env"]
    truncated: Bool[np.ndarray, " env"]


@dataclasses.dataclass(frozen=True)
class Ledger:
    """Each environment's episode number, its seed, and the tick at which it began."""

    episodes: Int64[np.ndarray, " env"]
    seeds: Int64[np.ndarray, " env"]
    started: Int64[np.ndarray, " env"]

    def whereabouts(self, index: int, progress: Sequence[int]) -> str:
        """Say in words what environment `index` is at."""
        episode, seed = self.episodes[index], self.seeds[index]
        if progress[RESETTING]:
            return f"the reset that begins its episode {episode} (seed {seed})"
        return f"step {progress[TICK] - self.started[index]} of its episode {episode} (seed {seed})"


def episode_seed(run_seed: int, environment: int, episode: int) -> int:
    r"""Return the seed of one episode, below 2³¹.

    It is word $e \bmod 64$ of NumPy's `SeedSequence` over the run's seed, the environment's index
    and $\lfloor e / 64 \rfloor$: drawn one by one they would take longer than a step.
    """
    return _seed_words(run_seed, environment, episode // 64)[episode % 64]


@functools.lru_cache(maxsize=4096)
def _seed_words(run_seed: int, environment: int, page: int) -> list[int]:
    sequence = np.random.SeedSequence((run_seed, environment, page))
    return (sequence.generate_state(64) >> 1).tolist()


def observation_dtype(space: gym.Space, dtype: Any) -> np.dtype:
    """Return `dtype` for a box of floats, and the space's own for bytes and integers."""
    own = np.dtype(space.dtype)
    return np.dtype(dtype) if np.issubdtype(own, np.floating) else own


def collect(buffers: Buffers, space: gym.Space, any_ended: bool) -> PoolStep:
    """Copy a step out of the buffers; discrete observations are counted from 0."""
    next_observation = _copied(buffers.next_observation, space)
    terminated, truncated = buffers.terminated.copy(), buffers.truncated.copy()
    observation = next_observation
    if any_ended:
        ended = terminated | truncated
        observation = next_observation.copy()
        observation[ended] = _copied(buffers.reset_observation[ended], space)
    return PoolStep(next_observation, buffers.reward.copy(), terminated, truncated, observation)


def first_observation(buffers: Buffers, space: gym.Space) -> Shaped[np.ndarray, "env ..."]:
    """Copy the observations of a reset out of the buffers, as `collect` does those of a step."""
    return _copied(buffers.reset_observation, space)


def _copied(
    observation: Shaped[np.ndarray, "env ..."], space: gym.Space
) -> Shaped[np.ndarray, "env ..."]:
    if isinstance(space, gym.spaces.Discrete) and space.start:
        return observation - space.start
    return observation.copy()


class Block:
    """Environments `first`, `first + 1`, … stepped one after the other, each reset when it ends.

    **Raises:** `EnvironmentFault` from whatever an environment raised, saying where.
    """

    def __init__(
        self,
        envs: Sequence[gym.Env],
        *,
        first: int,
        run_seed: int,
        buffers: Buffers,
        ledger: Ledger,
        progress: memoryview,
    ):
        self._envs = envs
        self._steps = [env.step for env in envs]
        self._first = first
        self._run_seed = run_seed
        self._buffers = buffers
        self._ledger = ledger
        self._progress = progress
        self._shape = buffers.next_observation.shape[1:]
        self._discrete = isinstance(envs[0].action_space, gym.spaces.Discrete)

    def reset(self) -> None:
        """Reset every environment with its seed in the ledger, into `reset_observation`."""
        progress, i = self._progress, 0
        progress[TICK] += 1
        try:
            for i in range(len(self._envs)):
                progress[INDEX] = i
                self._begin(i)
        except Exception as error:
            raise self._fault(i, error) from error
        finally:
            progress[INDEX] = IDLE

    def step(self, actions: Shaped[np.ndarray, "env ..."]) -> bool:
        """Act in every environment, and reset those whose episode ended with their next seed.

        **Returns:** whether any episode ended.
        """
        progress, shape, i, any_ended = self._progress, self._shape, 0, False
        next_observation, _, rewards, terminations, truncations = self._buffers
        terminations.fill(False)
        truncations.fill(False)
        # Python's own integers are what discrete environments are quickest with.
        rows = actions.tolist() if self._discrete else actions
        progress[RESETTING] = 0
        progress[TICK] += 1
        try:
            for i, (step, action) in enumerate(zip(self._steps, rows, strict=True)):
                progress[INDEX] = i
                observation, reward, terminated, truncated, _ = step(action)
                if getattr(observation, "shape", ()) != shape:
                    self._require_shape(observation)
                next_observation[i] = observation
                rewards[i] = reward
                if terminated or truncated:
                    any_ended = True
                    terminations[i] = terminated
                    truncations[i] = truncated
                    self._begin_next(i)
        except Exception as error:
            raise self._fault(i, error) from error
        finally:
            progress[INDEX] = IDLE
        return any_ended

    def close(self) -> None:
        """Close every environment."""
        with contextlib.ExitStack() as stack:
            for env in self._envs:
                stack.callback(env.close)

    def _begin_next(self, i: int) -> None:
        ledger = self._ledger
        ledger.episodes[i] += 1
        ledger.seeds[i] = episode_seed(self._run_seed, self._first + i, int(ledger.episodes[i]))
        self._begin(i)
        self._progress[RESETTING] = 0

    def _begin(self, i: int) -> None:
        self._progress[RESETTING] = 1
        self._ledger.started[i] = self._progress[TICK]
        observation, _ = self._envs[i].reset(seed=int(self._ledger.seeds[i]))
        self._require_shape(observation)
        self._buffers.reset_observation[i] = observation

    def _require_shape(self, observation: Any) -> None:
        if np.shape(observation) != self._shape:
            raise ValueError(
                f"an observation has shape {np.shape(observation)}, "
                f"but the observation space's is {self._shape}."
            )

    def _fault(self, i: int, error: Exception) -> EnvironmentFault:
        where = self._ledger.whereabouts(i, tuple(self._progress))
        return EnvironmentFault(
            f"environment {self._first + i} failed in {where}: {type(error).__name__}: {error}",
            environments=(self._first + i,),
        )


def make_all(make: Callable[[], gym.Env], indices: Iterable[int]) -> list[gym.Env]:
    """Make environments; raises `EnvironmentFault` from what a constructor raised."""
    envs = []
    for index in indices:
        try:
            envs.append(make())
        except Exception as error:
            raise EnvironmentFault(
                f"environment {index} could not be made: {type(error).__name__}: {error}",
                environments=(index,),
            ) from error
    return envs


def episode_seeds(run_seed: int, episodes: Int64[np.ndarray, " env"]) -> list[int]:
    """Return the seed of each environment's episode."""
    return [episode_seed(run_seed, i, int(episode)) for i, episode in enumerate(episodes)]


def own_actions(
    space: gym.Space, actions: Shaped[np.ndarray, "env ..."], num_envs: int
) -> Shaped[np.ndarray, "env ..."]:
    """Return new actions in the space's dtype, discrete ones from the space's first number on.

    New, since an environment may keep or change what it is given.
    **Raises:** `ValueError` if the shape is not `(num_envs, *space.shape)`.
    """
    expected = (num_envs, *(space.shape or ()))
    if np.shape(actions) != expected:
        raise ValueError(f"actions have shape {np.shape(actions)}, but must have {expected}.")
    own = np.array(actions, space.dtype)
    return own + first_choice(space) if num_choices(space) else own
