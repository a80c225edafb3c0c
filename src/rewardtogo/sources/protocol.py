"""What the training loop asks of a source of batches.

`gather` meets the environment, and may need Python between steps. `absorb` and `batches` turn what
was gathered into batches, and are always pure. So one loop serves environments written in JAX,
where all three run inside a compiled scan, and host environments, where the last two are compiled
together with the update.
"""

import abc
from typing import Any, Protocol

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..nn.policies import AbstractBehaviour
from ..types import AnyArray
from .episode_statistics import Tally
from .fault import Fault


class GathererState(Protocol):
    """What every gatherer's state offers to the training loop."""

    steps: Int[AnyArray, "*seed"]  # environment steps taken, warm-up included
    tally: Tally  # episodes finished since the last report
    fault: Fault  # the first number that was not finite


class AbstractSource(eqx.Module):
    """Where the next batch comes from."""

    @property
    @abc.abstractmethod
    def on_host(self) -> bool:
        """Whether `gather` needs Python between steps, so that it cannot be compiled."""

    @property
    @abc.abstractmethod
    def steps_per_gather(self) -> int | None:
        """Environment steps that one `gather` takes; None where that depends on what happens."""

    @property
    @abc.abstractmethod
    def warmup(self) -> tuple[AbstractBehaviour, int] | None:
        """A behaviour, and how many times to gather with it before anything is learned."""

    @abc.abstractmethod
    def init(self, behaviour: Any, *, key: PRNGKeyArray) -> Any:
        """Reset the environments; return the gatherer's state."""

    @abc.abstractmethod
    def resume(self, state: Any, memory: Any, behaviour: Any) -> tuple[Any, Any]:
        """Go on from a gatherer's state and a memory that were read from a checkpoint.

        What a host environment holds inside cannot be saved: there, new episodes begin.
        """

    @abc.abstractmethod
    def gather(self, state: Any, behaviour: Any, *, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Act in the environment; return the state and what was gathered.

        `behaviour` is an `AbstractBehaviour`, or on the host a `CompiledBehaviour`.
        """

    @abc.abstractmethod
    def empty_memory(self, gathered: Any) -> Any:
        """The memory before anything is absorbed; `gathered` shows shapes and dtypes only."""

    @abc.abstractmethod
    def absorb(self, memory: Any, gathered: Any, *, index: Int[Array, ""]) -> Any:
        """Remember what the gather number `index` brought, counted from 0, warm-up included.

        `index` is the same for every seed, so that a position computed from it stays one number
        under `vmap`, and a buffer is written in one window.
        """

    @abc.abstractmethod
    def batches(
        self, memory: Any, gathered: Any, *, index: Int[Array, ""], key: PRNGKeyArray
    ) -> Any:
        """A stack of batches along a new leading axis, one for each update of this iteration."""


class PrioritisedMemory(eqx.Module):
    """The part of a memory that learning reads, and the part that it changes."""

    steps: Any
    priorities: Any


def priorities_of(memory: Any) -> Any:
    """What learning changes of a memory; () where that is nothing."""
    return memory.priorities if isinstance(memory, PrioritisedMemory) else ()


def with_priorities(memory: Any, priorities: Any) -> Any:
    """The memory with these in their place."""
    if isinstance(memory, PrioritisedMemory):
        return PrioritisedMemory(memory.steps, priorities)
    return memory


class AbstractPrioritisedSource(AbstractSource):
    """A source that is told the error of each step it gave, and gives the next ones by it.

    Its memory is a `PrioritisedMemory`. Its `batches` are the random numbers of draws: each becomes
    a batch just before its update, by the priorities that the update before has left.
    """

    @abc.abstractmethod
    def draw(
        self, memory: PrioritisedMemory, chance: Any, *, index: Int[Array, ""]
    ) -> tuple[Any, Any]:
        """One batch by one of `batches`, in gather `index`; and where its steps are kept."""

    @abc.abstractmethod
    def learned(self, priorities: Any, place: Any, error: Float[Array, "..."]) -> Any:
        """The priorities once the steps at `place` were learned from, each with its error."""
