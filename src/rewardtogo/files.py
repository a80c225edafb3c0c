"""Files that are always whole: the old content or the new one, never a part of either."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np


UNFINISHED = ".unfinished-"
"""How the name of a file begins while it is being written."""


def write_json(path: Path, data: Any) -> None:
    """Write `data` as JSON so that a reader sees the old file or the new one, never a part.

    NumPy and JAX arrays become numbers and lists, dataclasses dictionaries, paths strings.
    **Raises:** `ValueError` naming the entry that is NaN, infinite or unknown to JSON.
    """
    text = json.dumps(plain_data(data, where=path.name), indent=2, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> Any:
    """Read a JSON file; raises `ValueError` naming the file if it is missing or malformed."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` with `content`, on the disk before its name is."""
    unfinished = path.with_name(f"{UNFINISHED}{path.name}-{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


def plain_data(data: Any, *, where: str = "data") -> Any:
    """`data` in what JSON knows; raises `ValueError` naming what does not fit."""
    if data is None or isinstance(data, bool | int | str):
        return data
    if isinstance(data, float):
        if not math.isfinite(data):
            raise ValueError(f"{where} is {data}, and only finite numbers are written")
        return data
    if isinstance(data, np.ndarray | np.generic | jax.Array):
        return plain_data(np.asarray(data).tolist(), where=where)
    if isinstance(data, Path):
        return str(data)
    if is_dataclass(data) and not isinstance(data, type):
        data = {field.name: getattr(data, field.name) for field in fields(data)}
    if isinstance(data, Mapping):
        return {str(key): plain_data(item, where=f"{where}/{key}") for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [plain_data(item, where=f"{where}/{i}") for i, item in enumerate(data)]
    raise ValueError(f"{where} is a {type(data).__name__}, which cannot be written as JSON")


def sync(path: Path) -> None:
    """Wait until the file or folder at `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
