"""The data contract: every array that crosses a wall between two rooms is named here once."""

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped


if TYPE_CHECKING:
    AnyArray = Any
else:
    AnyArray = jax.Array | np.ndarray
"""On the device, or gathered on the host and not yet there."""

Scalar = float | Float[Array, ""]
"""A real hyperparameter: a number, or an array that `vmap` may sweep."""

Metrics = dict[str, Float[Array, "*any"]]


class Unit(NamedTuple):
    """What a run's progress is counted in, and the tag of that count in its rows."""

    name: str
    tag: str


STEPS = Unit("steps", "time/total_timesteps")
UPDATES = Unit("updates", "time/total_updates")
TOKENS = Unit("tokens", "time/total_tokens")
UNITS = (STEPS, UPDATES, TOKENS)


class AbstractShared(eqx.Module):
    """Arrays that all seeds share: a data set, a frozen model.

    They are arguments of the compiled program, without an axis of seeds: never constants of it,
    never given away, and in no checkpoint. A run folder keeps their digest.
    """

    value: eqx.AbstractVar[Any]  # the arrays, in a pytree of any kind

    @property
    @abc.abstractmethod
    def whole(self) -> Any:
        """All there is, for a digest: more than `value` where that is a part of it."""

    @property
    @abc.abstractmethod
    def period(self) -> int | None:
        """After how many gathers others take their place; None where none ever do."""

    @abc.abstractmethod
    def at(self, index: int) -> Any:
        """The arrays while gather `index` is learned from, in the shapes of `value`."""


class Shared(AbstractShared):
    """Arrays that stay the same for the whole run."""

    value: Any

    @property
    def whole(self) -> Any:
        return self.value

    @property
    def period(self) -> None:
        return None

    def at(self, index: int) -> Any:
        del index
        return self.value


class Transition(eqx.Module):
    """One step of experience, or a batch of steps with leading axes `*batch`.

    The source sets the leading axes: `(time, env)` from a rollout, `(batch,)` from a replay
    buffer or a data set. Observations are pytrees and keep their dtype; actions are in the
    policy's units, before the environment scales and clips them.
    """

    observation: Any
    action: Shaped[AnyArray, "..."]
    reward: Float[AnyArray, "*batch"]
    next_observation: Any  # the true successor, taken before any reset
    terminated: Bool[AnyArray, "*batch"]  # the process ended: the successor is worth 0
    truncated: Bool[AnyArray, "*batch"]  # only the record ended: bootstrap from the successor
    record: Any = ()  # what the acting policy wrote down (log-probability, memory), or `Replayed`

    @property
    def boundary(self) -> Bool[AnyArray, "*batch"]:
        """Whether the next stored step belongs to another episode."""
        return self.terminated | self.truncated


class StartRecord(eqx.Module):
    """The record of a rollout whose policy's carry is kept where the rollout began, and only there.

    A cache of everything attended to is too large to be written down at every step.
    """

    step: Any  # what the acting policy wrote down at each step, `[time, env, ...]`
    start: Any  # the carry before the first step, `[1, env, ...]`


class Replayed(eqx.Module):
    """What a replay buffer writes into the record of what it draws, where it has more to say."""

    discount: Scalar | Float[AnyArray, "*batch"]  # of the successor's value: γᵐ, m steps later
    weight: Scalar | Float[AnyArray, "*batch"]  # of this step's loss


@dataclasses.dataclass(frozen=True)
class Optimum:
    """The largest expected sum of rewards, not discounted, of an episode cut after `steps` steps.

    Exact over all policies, also those that see the time; no other can exceed it. `aliased`: the
    learner does not see the state, as the optimal policy does, and may be bound to stay below.
    """

    value: float
    steps: int
    aliased: bool

    def __str__(self) -> str:
        if self.aliased:
            return (
                f"upper bound {self.value:.4g} "
                f"(exact optimum where the state is seen, {self.steps} steps)"
            )
        return f"optimum {self.value:.4g} (exact, not discounted, {self.steps} steps)"


class EpisodeBatch(eqx.Module):
    """Episodes with axes `(time, episode)`; rows after an episode's end are outside the mask."""

    transition: Transition
    mask: Bool[AnyArray, "*batch time episode"]  # whether the step was taken
