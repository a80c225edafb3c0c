"""What the training loop asks of a source of batches: who collects, and who holds what came.

A *collector* meets the environment, and may need Python between steps. A *buffer* holds what was
collected and gives batches; it is always pure. So one loop serves environments written in JAX,
where both run inside a compiled scan, and host environments, where the buffer alone is compiled,
together with the update. Where there is no environment, `NoCollector` stands in its place.
"""

import abc
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..nn.policies import AbstractBehaviour
from ..types import AnyArray, Unit
from .episode_statistics import EpisodeStatistics
from .fault import Fault


class CollectorState(Protocol):
    """What every collector's state offers to the training loop."""

    progress: Int[AnyArray, "*seed"]  # in the collector's unit, warm-up included
    statistics: EpisodeStatistics  # of episodes finished since the last report
    fault: Fault  # the first number that was not finite


class AbstractCollector(eqx.Module):
    """Where experience comes from."""

    @property
    @abc.abstractmethod
    def on_host(self) -> bool:
        """Whether `gather` needs Python between steps, so that it cannot be compiled."""

    @property
    @abc.abstractmethod
    def unit(self) -> Unit:
        """What progress is counted in."""

    @property
    @abc.abstractmethod
    def per_gather(self) -> int | None:
        """How much progress one `gather` is; None where that depends on what happens."""

    @abc.abstractmethod
    def init(self, behaviour: Any, *, key: PRNGKeyArray) -> Any:
        """Reset the environments; return the collector's state."""

    @abc.abstractmethod
    def resume(self, state: Any, behaviour: Any) -> Any:
        """Go on from a state that was read from a checkpoint.

        What a host environment holds inside cannot be saved: there, new episodes begin.
        """

    @abc.abstractmethod
    def gather(self, state: Any, behaviour: Any, *, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Act in the environment; return the state and what was gathered.

        `behaviour` is an `AbstractBehaviour`, or on the host a `CompiledBehaviour`. What is
        gathered may be any pytree that the buffer takes.
        """


class BufferState(eqx.Module):
    """What learning reads of a buffer, and what it changes: only this goes through updates."""

    held: Any
    changing: Any = ()


class AbstractBuffer(eqx.Module):
    """Holds what was gathered, and gives the batches of the updates.

    A batch is made in two steps. `plan` says once an iteration, for all its updates, by what each
    is drawn; `draw` makes the batch of one update just before it, when the update before has left
    its mark on what is `changing`. A buffer that nothing changes may draw all batches in `plan`.
    """

    @property
    @abc.abstractmethod
    def needs_errors(self) -> bool:
        """Whether `learned` wants the error of each step, which not every algorithm tells."""

    @abc.abstractmethod
    def init(self, gathered: Any) -> BufferState:
        """The state before anything is added; `gathered` shows shapes and dtypes only."""

    @abc.abstractmethod
    def add(self, state: BufferState, gathered: Any, *, index: Int[Array, ""]) -> BufferState:
        """Keep what the gather number `index` brought, counted from 0, warm-up included.

        `index` is the same for every seed, so that a position computed from it stays one number
        under `vmap`, and a ring is written in one window.
        """

    @abc.abstractmethod
    def interrupted(self, state: BufferState, progress: Any) -> BufferState:
        """The state where the newest episodes were broken off: others will be stored after them.

        Called on the host, with the seeds as first axis of every array.
        """

    @abc.abstractmethod
    def plan(
        self, state: BufferState, gathered: Any, *, index: Int[Array, ""], key: PRNGKeyArray
    ) -> Any:
        """What each update of this iteration is drawn by, stacked along a new leading axis."""

    @abc.abstractmethod
    def draw(self, state: BufferState, plan: Any, *, index: Int[Array, ""]) -> tuple[Any, Any]:
        """One batch by one entry of `plan`, in gather `index`; and where its steps are kept."""

    @abc.abstractmethod
    def learned(self, changing: Any, place: Any, error: Float[Array, "..."] | None) -> Any:
        """What is `changing`, once the steps at `place` were learned from, each with its error."""


class UnchangedBuffer(AbstractBuffer):
    """A buffer in which learning changes nothing."""

    @property
    def needs_errors(self) -> bool:
        return False

    def learned(self, changing: Any, place: Any, error: Float[Array, "..."] | None) -> Any:
        del place, error
        return changing


class EmptyBuffer(UnchangedBuffer):
    """A buffer that keeps nothing of what is gathered."""

    def init(self, gathered: Any) -> BufferState:
        del gathered
        return BufferState(())

    def add(self, state: BufferState, gathered: Any, *, index: Int[Array, ""]) -> BufferState:
        del gathered, index
        return state

    def interrupted(self, state: BufferState, progress: Any) -> BufferState:
        del progress
        return state


class Warmup(NamedTuple):
    """What is gathered before the first update."""

    behaviour: AbstractBehaviour
    least: int  # progress, rounded up to whole gathers


class AbstractScreening(eqx.Module):
    """A step on the host between collecting and buffer: scores, drops, and gathers anew."""

    @abc.abstractmethod
    def screen(self, gathered: Any, again: Callable[[], Any]) -> Any:
        """What goes into the buffer, in the shapes of `gathered`; `again()` gathers once more."""


class Source(eqx.Module):
    """Where the next batch comes from: a collector, a buffer, and what is gathered first."""

    collector: AbstractCollector
    buffer: AbstractBuffer
    warmup: Warmup | None = None
    screening: AbstractScreening | None = None

    def __check_init__(self):
        if self.screening is not None and not self.collector.on_host:
            raise ValueError("a screening runs on the host, and so must the collector before it.")

    @property
    def on_host(self) -> bool:
        """Whether an iteration needs Python."""
        return self.collector.on_host

    @property
    def warmup_gathers(self) -> int:
        """How many gathers precede the first update."""
        if self.warmup is None:
            return 0
        assert self.collector.per_gather is not None, "a warm-up needs gathers of one size"
        return math.ceil(self.warmup.least / self.collector.per_gather)

    def num_iterations(self, total: int) -> int | None:
        """Iterations until so much progress, warm-up counted; None if not known ahead."""
        if self.collector.per_gather is None:
            return None
        return max(math.ceil(total / self.collector.per_gather) - self.warmup_gathers, 0)
