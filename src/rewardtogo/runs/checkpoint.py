"""Save a pytree to disk and get the same bits back, whatever happens in between.

A checkpoint is a folder `step_000000001234/` with two files. `arrays.safetensors` holds the arrays,
named by their place in the tree. `manifest.json` holds the format, the step, the caller's `info`,
Python numbers and strings, and for every array its dtype, shape and SHA-256; its own SHA-256 stands
last. The folder is written beside its place, synced and renamed, so it is whole or not there.

Functions and other static leaves are not stored: they come from the template given to `restore`.
Weakly typed arrays come back strongly typed.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..files import sync


FORMAT = 1
_ARRAYS, _MANIFEST, _UNFINISHED = "arrays.safetensors", "manifest.json", ".unfinished-"
_NAME = re.compile(r"step_(\d{12,})(?:\.(\d+))?")
_DTYPES = {"bool", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_PYTHON: dict[str, Callable[[Any], Any]] = {t.__name__: t for t in (bool, int, float, complex, str)}


class CheckpointError(ValueError):
    """A checkpoint is damaged, or does not hold what was asked for."""


class _Damage(Exception):
    """What is on disk is not what was written there."""


def save(folder: Path, tree: Any, *, step: int, info: dict[str, Any], keep: int = 2) -> Path:
    """Write `tree` to a new folder under `folder` and return its path.

    A save that fails or is killed leaves every finished checkpoint as it was; what it left behind
    goes at the next one. Afterwards the newest `keep` finished ones stay. Checkpoints of the same
    or a later step go too: they belong to a run that was taken up again before them.

    **Arguments:** `tree`: any pytree of arrays, typed keys, Python numbers and strings. `step`: at
    least 0. `info`: what JSON can hold, without NaN or infinity.
    **Raises:** `ValueError` for a leaf or an `info` that cannot be stored; `OSError` if the disk
    refuses.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step must be at least 0 and keep at least 1, got {step=}, {keep=}")
    arrays, entries, values = _stored(tree)
    body = {"format": FORMAT, "step": step, "info": info, "arrays": entries, "values": values}
    manifest = _sealed(body)
    folder.mkdir(parents=True, exist_ok=True)
    _clear_unfinished(folder)
    unfinished = folder / f"{_UNFINISHED}{step}-{os.getpid()}"
    attempts = [attempt for saved, attempt, _ in _finished(folder) if saved == step]
    suffix = f".{max(attempts) + 1}" if attempts else ""
    target = folder / f"step_{step:012d}{suffix}"
    try:
        unfinished.mkdir()
        _write(unfinished, arrays, manifest)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync(folder)
    _keep_newest(folder, target, step, keep)
    return target


def restore(path: Path, template: Any) -> Any:
    """Read the checkpoint at `path` into the structure of `template`, every array verified.

    **Arguments:** `template`: a pytree whose array leaves are arrays or `jax.ShapeDtypeStruct`;
    NumPy leaves come back as NumPy, all others on the default device.
    **Raises:** `CheckpointError` naming the file, the array, what was expected and what was found;
    if the checkpoint is damaged, also the newest intact one before it.
    """
    try:
        return _restore(path, template)
    except _Damage as damage:
        raise CheckpointError(f"{damage}.{_offer(path)}") from damage


def finished(folder: Path) -> list[Path]:
    """Every finished checkpoint under `folder`, oldest first."""
    return [path for _, _, path in _finished(folder)]


def latest(folder: Path) -> Path | None:
    """The newest finished checkpoint under `folder`, if there is one."""
    return next(reversed(finished(folder)), None)


def read_info(path: Path) -> dict[str, Any]:
    """What the caller of `save` gave as `info`; raises `CheckpointError` as `restore` does."""
    return _manifest_or_offer(path)["info"]


def read_step(path: Path) -> int:
    """The step at which the checkpoint was saved; raises `CheckpointError` as `restore` does."""
    return _manifest_or_offer(path)["step"]


def is_intact(path: Path) -> bool:
    """Whether every byte of the checkpoint is as it was written, in a format known here."""
    try:
        for _ in _verified_arrays(path, _read_manifest(path)["arrays"]):
            pass
    except (_Damage, CheckpointError):
        return False
    return True


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _is_value(leaf: Any) -> bool:
    return type(leaf) in _PYTHON.values()


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _named_leaves(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
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


def _stored(tree: Any) -> tuple[dict[str, np.ndarray], dict, dict]:
    """The arrays as the file holds them, and the manifest's entries for arrays and values."""
    leaves, _ = _named_leaves(tree)
    values = {
        name: {"type": type(leaf).__name__, "value": _in_json(leaf)}
        for name, leaf in leaves
        if _is_value(leaf)
    }
    given = {name: leaf for name, leaf in leaves if _is_array(leaf)}
    keys = {name: leaf for name, leaf in given.items() if _is_key(leaf)}
    data = jax.device_get(given | {name: jr.key_data(key) for name, key in keys.items()})
    arrays, entries = {}, {}
    for name, leaf in data.items():
        array = np.asarray(leaf, order="C")
        _require_storable(name, array.dtype)
        arrays[name] = _to_file(array)
        entries[name] = _outline(array) | {"sha256": _digest(array)}
    for name, key in keys.items():
        entries[name]["key"] = _outline(key) | {"impl": str(jr.key_impl(key))}
    return arrays, entries, values


def _outline(array: Any) -> dict:
    return {"dtype": str(array.dtype), "shape": list(array.shape)}


def _in_json(value: Any) -> Any:
    # JSON has no infinity, NaN or complex number, but their text is read back exactly.
    exotic = isinstance(value, complex) or (isinstance(value, float) and not np.isfinite(value))
    return str(value) if exotic else value


def _require_storable(name: str, dtype: np.dtype) -> None:
    known = dtype.kind not in "OSUMm" and dtype.names is None
    try:
        known = known and np.dtype(dtype.name) == dtype
    except TypeError:
        known = False
    if not known:
        raise ValueError(f"array {name!r} has dtype {dtype}, which a checkpoint cannot hold")


def _to_file(array: np.ndarray) -> np.ndarray:
    # What the format does not know (bfloat16, int4, complex…) is laid down as bytes.
    return array if array.dtype.name in _DTYPES else array[..., None].view(np.uint8)


def _from_file(array: np.ndarray, entry: dict) -> np.ndarray:
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    as_bytes = dtype.name not in _DTYPES
    stored_dtype = np.dtype(np.uint8) if as_bytes else dtype
    stored_shape = (*shape, dtype.itemsize) if as_bytes else shape
    if (array.dtype, array.shape) != (stored_dtype, stored_shape):
        expected = _describe({"dtype": stored_dtype, "shape": stored_shape})
        raise _Damage(f"expected {expected}, found {_describe(_outline(array))}")
    return array.view(dtype).reshape(shape)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.reshape(-1).view(np.uint8)).hexdigest()


def _seal(body: dict) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sealed(body: dict) -> dict:
    try:
        # Read back first: a number that is a key becomes a string, and the seal must know.
        body = json.loads(json.dumps(body, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"info must be finite plain JSON data: {error}") from error
    return body | {"sha256": _seal(body)}


def _write(folder: Path, arrays: dict[str, np.ndarray], manifest: dict) -> None:
    arrays_file, manifest_file = folder / _ARRAYS, folder / _MANIFEST
    manifest_file.write_text(json.dumps(manifest, indent=1))
    try:
        save_file(arrays, arrays_file)
    except SafetensorError as error:
        raise OSError(f"{arrays_file} cannot be written: {error}") from error
    # The library makes the file readable by its owner only, whatever the umask says.
    arrays_file.chmod(stat.S_IMODE(manifest_file.stat().st_mode))
    for path in (arrays_file, manifest_file, folder):
        sync(path)


def _finished(folder: Path) -> list[tuple[int, int, Path]]:
    """Step, attempt and path of every finished checkpoint, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return sorted((int(m[1]), int(m[2] or 0), path) for m, path in matches if m)


def _clear_unfinished(folder: Path) -> None:
    for path in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _keep_newest(folder: Path, newest: Path, step: int, keep: int) -> None:
    older = [path for saved, _, path in _finished(folder) if saved < step]
    kept = {newest, *older[::-1][: keep - 1]}
    for path in set(finished(folder)) - kept:
        # Renamed first: a kill in the middle must not leave half a folder under a finished name.
        path.rename(folder / f"{_UNFINISHED}{path.name}")
    _clear_unfinished(folder)


def _read_manifest(path: Path) -> dict:
    file = path / _MANIFEST
    try:
        manifest = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise _Damage(f"{file} cannot be read: {error}") from error
    seal = manifest.pop("sha256", None) if isinstance(manifest, dict) else None
    if seal is None or seal != _seal(manifest):
        raise _Damage(f"{file} is damaged: its SHA-256 is not the one recorded in it")
    if manifest["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {manifest['format']}; this version of rewardtogo reads "
            f"up to {FORMAT}: it was written by a newer one"
        )
    return manifest


def _manifest_or_offer(path: Path) -> dict:
    try:
        return _read_manifest(path)
    except _Damage as damage:
        raise CheckpointError(f"{damage}.{_offer(path)}") from damage


def _verified_arrays(path: Path, entries: dict) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of the manifest, its dtype, shape and bytes held against what was written."""
    file = path / _ARRAYS
    try:
        with safe_open(file, framework="np") as arrays:
            unknown = set(arrays.keys()) ^ set(entries)
            if unknown:
                raise _Damage(f"its arrays are not those of {_MANIFEST}: {_some(unknown)}")
            for name, entry in entries.items():
                yield name, _verified(name, arrays.get_tensor(name), entry)
    except _Damage as damage:
        raise _Damage(f"{file} is damaged: {damage}") from damage
    except (SafetensorError, OSError) as error:
        raise _Damage(f"{file} cannot be read: {error}") from error


def _verified(name: str, stored: np.ndarray, entry: dict) -> np.ndarray:
    try:
        array = _from_file(stored, entry)
    except _Damage as damage:
        raise _Damage(f"array {name!r}: {damage}") from damage
    if _digest(array) != entry["sha256"]:
        found = _digest(array)
        raise _Damage(f"array {name!r}: expected SHA-256 {entry['sha256']}, found {found}")
    return array


def _restore(path: Path, template: Any) -> Any:
    manifest = _read_manifest(path)
    entries, values = manifest["arrays"], manifest["values"]
    leaves, structure = _named_leaves(template)
    wanted = {name: leaf for name, leaf in leaves if _is_array(leaf) or _is_value(leaf)}
    stored = {name: _describe(entry.get("key", entry)) for name, entry in entries.items()}
    stored |= {name: f"a Python {value['type']}" for name, value in values.items()}
    _require_same_leaves(path, {name: _kind(leaf) for name, leaf in wanted.items()}, stored)
    found = {name: _PYTHON[value["type"]](value["value"]) for name, value in values.items()}
    for name, array in _verified_arrays(path, entries):
        found[name] = _placed(name, wanted[name], array, entries[name])
    return jax.tree.unflatten(structure, [found.get(name, leaf) for name, leaf in leaves])


def _require_same_leaves(path: Path, wanted: dict[str, str], stored: dict[str, str]) -> None:
    """Hold what the template wants against what the manifest records, leaf by leaf."""
    missing, extra = wanted.keys() - stored.keys(), stored.keys() - wanted.keys()
    differing = {name for name in wanted.keys() & stored.keys() if wanted[name] != stored[name]}
    faults = [
        f"{name!r}: expected {wanted[name]}, found {stored[name]}" for name in sorted(differing)[:3]
    ]
    if missing:
        faults.append(f"{_some(missing)} expected, not found")
    if extra:
        faults.append(f"{_some(extra)} found, not expected")
    if faults:
        raise CheckpointError(f"{path} does not fit the template: {'; '.join(faults)}")


def _placed(name: str, leaf: Any, array: np.ndarray, entry: dict) -> Any:
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


def _kind(leaf: Any) -> str:
    return _describe(_outline(leaf)) if _is_array(leaf) else f"a Python {type(leaf).__name__}"


def _describe(outline: dict) -> str:
    return f"{outline['dtype']}[{','.join(map(str, outline['shape']))}]"


def _some(names: set[str]) -> str:
    first = ", ".join(map(repr, sorted(names)[:3]))
    return first if len(names) <= 3 else f"{first} and {len(names) - 3} more"


def _offer(path: Path) -> str:
    """Which checkpoint before `path` may be used in its place."""
    others = _finished(path.parent)
    position = next((i for i, (_, _, other) in enumerate(others) if other.name == path.name), None)
    older = others if position is None else others[:position]
    for _, _, other in reversed(older):
        if is_intact(other):
            return f" An older one is intact: {other}"
    return " No older checkpoint beside it is intact"
