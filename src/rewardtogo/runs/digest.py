"""The digest of what all seeds of a run share, so that a run goes on with the same data only."""

import hashlib
from collections.abc import Iterable

import jax
import numpy as np

from ..training.loop import Loop
from ..training.shared import shared_by
from ..types import AbstractShared


def digest_of(loops: Iterable[Loop]) -> str | None:
    """SHA-256 over the arrays that these loops share among their seeds; None where there are none.

    Names, kinds and shapes of the arrays count as well as their bytes.
    """
    shared = [each for loop in loops for each in shared_by(loop)]
    if not shared:
        return None
    whole = hashlib.sha256()
    for each in shared:
        for piece in _pieces(each):
            whole.update(piece)
    return whole.hexdigest()


def _pieces(shared: AbstractShared) -> Iterable[bytes | memoryview]:
    for path, leaf in jax.tree_util.tree_flatten_with_path(shared.whole)[0]:
        array = np.asarray(leaf)
        yield f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode()
        flat = array.reshape(-1)
        for start in range(0, flat.size, 1 << 22):  # a map of a file is read piece by piece
            yield np.ascontiguousarray(flat[start : start + (1 << 22)]).view(np.uint8).data
