"""The leaves of a pytree as a checkpoint holds them: their names, their bytes, and back again."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np


DTYPES = {"bool", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


PYTHON_TYPES: dict[str, Callable[[Any], Any]] = {
    kind.__name__: kind for kind in (bool, int, float, complex, str)
}


class CheckpointError(ValueError):
    """A checkpoint is damaged, or does not hold what was asked for."""


class Damage(Exception):
    """What is on disk is not what was written there."""


def is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def is_value(leaf: Any) -> bool:
    return type(leaf) in PYTHON_TYPES.values()


def is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def named_leaves(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Every leaf with a name that is readable and its own."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    taken = {"__metadata__"}  # reserved by the safetensors format
    named = []
    for path, leaf in leaves:
        plain = name = jax.tree_util.keystr(path, simple=True, separator="/") or "value"
        count = 1
        while name in taken:
            count += 1
            name = f"{plain}#{count}"
        taken.add(name)
        named.append((name, leaf))
    return named, structure


def stored_form(tree: Any) -> tuple[dict[str, np.ndarray], dict, dict]:
    """The arrays as the file holds them, and the manifest's entries for arrays and values."""
    leaves, _ = named_leaves(tree)
    values = {
        name: {"type": type(leaf).__name__, "value": in_json(leaf)}
        for name, leaf in leaves
        if is_value(leaf)
    }
    given = {name: leaf for name, leaf in leaves if is_array(leaf)}
    keys = {name: leaf for name, leaf in given.items() if is_key(leaf)}
    data = jax.device_get(given | {name: jr.key_data(key) for name, key in keys.items()})
    arrays, entries = {}, {}
    for name, leaf in data.items():
        array = np.asarray(leaf, order="C")
        require_storable(name, array.dtype)
        arrays[name] = to_file(array)
        entries[name] = outline(array) | {"sha256": digest(array)}
    for name, key in keys.items():
        entries[name]["key"] = outline(key) | {"impl": str(jr.key_impl(key))}
    return arrays, entries, values


def outline(array: Any) -> dict:
    return {"dtype": str(array.dtype), "shape": list(array.shape)}


def in_json(value: Any) -> Any:
    # JSON has no infinity, NaN or complex number, but their text is read back exactly.
    exotic = isinstance(value, complex) or (isinstance(value, float) and not np.isfinite(value))
    return str(value) if exotic else value


def require_storable(name: str, dtype: np.dtype) -> None:
    known = dtype.kind not in "OSUMm" and dtype.names is None
    try:
        known = known and np.dtype(dtype.name) == dtype
    except TypeError:
        known = False
    if not known:
        raise ValueError(f"array {name!r} has dtype {dtype}, which a checkpoint cannot hold")


def to_file(array: np.ndarray) -> np.ndarray:
    # What the format does not know (bfloat16, int4, complex…) is laid down as bytes.
    return array if array.dtype.name in DTYPES else array[..., None].view(np.uint8)


def from_file(array: np.ndarray, entry: dict) -> np.ndarray:
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    as_bytes = dtype.name not in DTYPES
    stored_dtype = np.dtype(np.uint8) if as_bytes else dtype
    stored_shape = (*shape, dtype.itemsize) if as_bytes else shape
    if (array.dtype, array.shape) != (stored_dtype, stored_shape):
        expected = describe({"dtype": stored_dtype, "shape": stored_shape})
        raise Damage(f"expected {expected}, found {describe(outline(array))}")
    return array.view(dtype).reshape(shape)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.reshape(-1).view(np.uint8)).hexdigest()


def placed(name: str, leaf: Any, array: np.ndarray, entry: dict) -> Any:
    """The array as its template is: a typed key, NumPy's, or on the device."""
    if isinstance(leaf, np.ndarray):
        return array
    if isinstance(leaf, np.generic):
        return array[()]
    value = jnp.asarray(array)
    if value.dtype != array.dtype:
        raise CheckpointError(
            f"array {name!r} is {array.dtype}, which JAX would cut to {value.dtype}: "
            "set jax_enable_x64"
        )
    return jr.wrap_key_data(value, impl=entry["key"]["impl"]) if "key" in entry else value


def kind_of(leaf: Any) -> str:
    return describe(outline(leaf)) if is_array(leaf) else f"a Python {type(leaf).__name__}"


def describe(outline: dict) -> str:
    return f"{outline['dtype']}[{','.join(map(str, outline['shape']))}]"


def some_of(names: set[str]) -> str:
    first = ", ".join(map(repr, sorted(names)[:3]))
    return first if len(names) <= 3 else f"{first} and {len(names) - 3} more"
