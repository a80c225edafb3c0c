"""What was gathered last, and nothing of what came before: on-policy learning."""

from typing import Any

import jax

from ..protocol import BufferState, EmptyBuffer


class Latest(EmptyBuffer):
    """Each iteration's one batch is what was just gathered, whole."""

    def plan(self, state: BufferState, gathered: Any, *, index: Any, key: Any) -> Any:
        del state, index, key
        return jax.tree.map(lambda x: x[None], gathered)

    def draw(self, state: BufferState, plan: Any, *, index: Any) -> tuple[Any, tuple[()]]:
        del state, index
        return plan, ()
