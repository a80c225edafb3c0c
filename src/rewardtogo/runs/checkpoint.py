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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..files import sync
from .leaves import (
    PYTHON_TYPES,
    CheckpointError,
    Damage,
    describe,
    digest,
    from_file,
    is_array,
    is_value,
    kind_of,
    named_leaves,
    placed,
    some_of,
    stored_form,
)


FORMAT = 1
_ARRAYS, _MANIFEST, _UNFINISHED = "arrays.safetensors", "manifest.json", ".unfinished-"
_NAME = re.compile(r"step_(\d{12,})(?:\.(\d+))?")


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
    arrays, entries, values = stored_form(tree)
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
    except Damage as damage:
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
    except (Damage, CheckpointError):
        return False
    return True


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
        raise Damage(f"{file} cannot be read: {error}") from error
    seal = manifest.pop("sha256", None) if isinstance(manifest, dict) else None
    if seal is None or seal != _seal(manifest):
        raise Damage(f"{file} is damaged: its SHA-256 is not the one recorded in it")
    if manifest["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {manifest['format']}; this version of rewardtogo reads "
            f"up to {FORMAT}: it was written by a newer one"
        )
    return manifest


def _manifest_or_offer(path: Path) -> dict:
    try:
        return _read_manifest(path)
    except Damage as damage:
        raise CheckpointError(f"{damage}.{_offer(path)}") from damage


def _verified_arrays(path: Path, entries: dict) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of the manifest, its dtype, shape and bytes held against what was written."""
    file = path / _ARRAYS
    try:
        with safe_open(file, framework="np") as arrays:
            unknown = set(arrays.keys()) ^ set(entries)
            if unknown:
                raise Damage(f"its arrays are not those of {_MANIFEST}: {some_of(unknown)}")
            for name, entry in entries.items():
                yield name, _verified(name, arrays.get_tensor(name), entry)
    except Damage as damage:
        raise Damage(f"{file} is damaged: {damage}") from damage
    except (SafetensorError, OSError) as error:
        raise Damage(f"{file} cannot be read: {error}") from error


def _verified(name: str, stored: np.ndarray, entry: dict) -> np.ndarray:
    try:
        array = from_file(stored, entry)
    except Damage as damage:
        raise Damage(f"array {name!r}: {damage}") from damage
    if digest(array) != entry["sha256"]:
        found = digest(array)
        raise Damage(f"array {name!r}: expected SHA-256 {entry['sha256']}, found {found}")
    return array


def _restore(path: Path, template: Any) -> Any:
    manifest = _read_manifest(path)
    entries, values = manifest["arrays"], manifest["values"]
    leaves, structure = named_leaves(template)
    wanted = {name: leaf for name, leaf in leaves if is_array(leaf) or is_value(leaf)}
    stored = {name: describe(entry.get("key", entry)) for name, entry in entries.items()}
    stored |= {name: f"a Python {value['type']}" for name, value in values.items()}
    _require_same_leaves(path, {name: kind_of(leaf) for name, leaf in wanted.items()}, stored)
    found = {name: PYTHON_TYPES[value["type"]](value["value"]) for name, value in values.items()}
    for name, array in _verified_arrays(path, entries):
        found[name] = placed(name, wanted[name], array, entries[name])
    return jax.tree.unflatten(structure, [found.get(name, leaf) for name, leaf in leaves])


def _require_same_leaves(path: Path, wanted: dict[str, str], stored: dict[str, str]) -> None:
    """Hold what the template wants against what the manifest records, leaf by leaf."""
    missing, extra = wanted.keys() - stored.keys(), stored.keys() - wanted.keys()
    differing = {name for name in wanted.keys() & stored.keys() if wanted[name] != stored[name]}
    faults = [
        f"{name!r}: expected {wanted[name]}, found {stored[name]}" for name in sorted(differing)[:3]
    ]
    if missing:
        faults.append(f"{some_of(missing)} expected, not found")
    if extra:
        faults.append(f"{some_of(extra)} found, not expected")
    if faults:
        raise CheckpointError(f"{path} does not fit the template: {'; '.join(faults)}")


def _offer(path: Path) -> str:
    """Which checkpoint before `path` may be used in its place."""
    others = _finished(path.parent)
    position = next((i for i, (_, _, other) in enumerate(others) if other.name == path.name), None)
    older = others if position is None else others[:position]
    for _, _, other in reversed(older):
        if is_intact(other):
            return f" An older one is intact: {other}"
    return " No older checkpoint beside it is intact"
