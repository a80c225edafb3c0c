"""What decides, beside the settings, which bits a run computes; and the format of its folder."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax


FORMAT = 2


def versions() -> dict[str, Any]:
    """What decides, beside the settings, which bits a run computes."""
    packages = ("rewardtogo", "jax", "jaxlib", "numpy", "equinox", "optax", "gymnasium")
    devices = jax.devices()
    return {
        **{name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "platform": jax.default_backend(),
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "jax_enable_x64": bool(jax.config.read("jax_enable_x64")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def require_format(saved: Mapping[str, Any], folder: Path) -> None:
    """Raise `ValueError`, naming the version that wrote it, for a folder of another format."""
    if saved.get("format") != FORMAT:
        writer = saved.get("versions", {}).get("rewardtogo", "an unknown version")
        raise ValueError(
            f"run folder {folder} has format {saved.get('format')}, written by rewardtogo "
            f"{writer}; this version reads format {FORMAT}."
        )


def compare_settings(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], *, folder: Path
) -> list[str]:
    """Hold a folder's settings against those of the run that would go on in it.

    Both have `format`, `algorithm`, `environment`, `versions`, and `data`, a digest, where any is.
    **Returns:** a warning for every version fact that differs: the same bits are then not promised.
    **Raises:** `ValueError` for another algorithm, environment, data or format, naming both.
    """
    require_format(saved, folder)
    for key in ("algorithm", "environment", "data"):
        if saved.get(key) != wanted.get(key):
            before, now = saved.get(key), wanted.get(key)
            raise ValueError(f"run folder {folder} holds a run of {key} {before!r}, not {now!r}")
    before, now = saved.get("versions", {}), wanted["versions"]
    return [
        f"{fact} was {before.get(fact)!r} and is {now.get(fact)!r}: "
        "the run will not end with the same bits"
        for fact in dict.fromkeys([*before, *now])
        if before.get(fact) != now.get(fact)
    ]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")
