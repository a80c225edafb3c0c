"""No environment at all: learning from data that are there already."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from ... import validate
from ...types import UPDATES, Unit
from ..episode_statistics import EpisodeStatistics, no_statistics
from ..fault import Fault, no_fault
from ..protocol import AbstractCollector


class NoCollectorState(eqx.Module):
    """A count of updates, and nothing that could end or go wrong."""

    progress: Int[Array, ""]
    statistics: EpisodeStatistics
    fault: Fault


class NoCollector(AbstractCollector):
    """Gathers nothing; an iteration is `num_updates` updates, which is what progress counts."""

    num_updates: int

    def __check_init__(self):
        validate.count("num_updates", self.num_updates)

    @property
    def on_host(self) -> bool:
        return False

    @property
    def unit(self) -> Unit:
        return UPDATES

    @property
    def per_gather(self) -> int:
        return self.num_updates

    def init(self, behaviour: Any, *, key: Any) -> NoCollectorState:
        del behaviour, key
        return NoCollectorState(jnp.zeros((), jnp.int32), no_statistics(0), no_fault())

    def resume(self, state: NoCollectorState, behaviour: Any) -> NoCollectorState:
        del behaviour
        return state

    def gather(
        self, state: NoCollectorState, behaviour: Any, *, key: Any
    ) -> tuple[NoCollectorState, tuple[()]]:
        del behaviour, key
        progress = state.progress + self.num_updates
        return NoCollectorState(progress, state.statistics, state.fault), ()
