"""What was gathered last, and nothing of what came before: on-policy learning."""

from typing import Any

import jax

from ..protocol import AbstractBuffer, BufferState


class Latest(AbstractBuffer):
    """Each iteration's one batch is what was just gathered, whole."""

    @property
    def needs_errors(self) -> bool:
        return False

    def init(self, gathered: Any) -> BufferState:
        del gathered
        return BufferState(())

    def add(self, state: BufferState, gathered: Any, *, index: Any) -> BufferState:
        del gathered, index
        return state

    def interrupted(self, state: BufferState, progress: Any) -> BufferState:
        del progress
        return state

    def plan(self, state: BufferState, gathered: Any, *, index: Any, key: Any) -> Any:
        del state, index, key
        return jax.tree.map(lambda x: x[None], gathered)

    def draw(self, state: BufferState, plan: Any, *, index: Any) -> tuple[Any, tuple[()]]:
        del state, index
        return plan, ()

    def learned(self, changing: Any, place: Any, error: Any) -> Any:
        del place, error
        return changing
