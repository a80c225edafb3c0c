"""What there is to compute with: devices, the cores behind them, and XLA's settings."""

import contextlib
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import jax.lax as lax
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec


Device = Literal["auto", "cpu", "gpu"]


def prepare(device: Device, num_seeds: int) -> None:
    """Choose the device, and on a CPU give each of its cores a share of the seeds.

    Every XLA flag that the user has set wins. The flags change the last bits of results, so they
    are written to `settings.json`.
    **Raises:** `ValueError` if there is no such device.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    flags = os.environ.get("XLA_FLAGS", "")
    for name, value in _cpu_flags(num_seeds).items():
        if name not in flags:
            flags += f" {name}={value}"
    os.environ["XLA_FLAGS"] = flags.strip()
    _cache_programs()
    try:
        backend = jax.default_backend()
    except RuntimeError as error:
        raise ValueError(f"`device` {device} is not there: {error}") from error
    if device == "gpu" and backend != "gpu":
        raise ValueError(f"`device` gpu: JAX sees none here, only {backend}.")


def _cpu_flags(num_seeds: int) -> dict[str, str]:
    flags = {}
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    devices = max(d for d in range(1, cores + 1) if num_seeds % d == 0)
    if devices > 1:
        flags["--xla_force_host_platform_device_count"] = str(devices)
    if _has_avx512():
        flags["--xla_cpu_prefer_vector_width"] = "512"
    return flags


def _has_avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _cache_programs() -> None:
    """Compile once for all later runs: 3.4 s becomes a fraction of a second."""
    if jax.config.jax_compilation_cache_dir is not None:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rewardtogo" / "xla"
    with contextlib.suppress(OSError):  # a cache that cannot be is no reason not to train
        cache.mkdir(parents=True, exist_ok=True)
    if os.access(cache, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        # A run killed while JAX wrote an entry leaves half of one: it is compiled again, and that
        # is no news to the user.
        half_written = "Error (reading|writing) persistent compilation cache entry"
        warnings.filterwarnings("ignore", message=half_written)


def spread(function: Callable, num_seeds: int, *, shared: int) -> Callable:
    """Map `function` over the first axis of all but its last `shared` arguments, on all devices.

    On a CPU the seeds of one device run one after another: to batch their small matrix products
    was slower (see `docs/design.md`). On an accelerator they are batched.
    """
    batched_axes = lambda args: [0] * (len(args) - shared) + [None] * shared

    def mapped(*args):
        if jax.default_backend() != "cpu":
            return jax.vmap(function, batched_axes(args))(*args)
        mine, ours = args[: len(args) - shared], args[len(args) - shared :]
        return lax.map(lambda mine: function(*mine, *ours), mine)

    num_devices = _devices_for(num_seeds)
    if num_devices == 1:
        return mapped
    devices = np.array(jax.local_devices()[:num_devices])
    mesh = Mesh(devices, ("seed",), axis_types=(AxisType.Auto,))
    seeds, all_seeds = PartitionSpec("seed"), PartitionSpec()

    def sharded(*args):
        specs = tuple(all_seeds if axis is None else seeds for axis in batched_axes(args))
        return jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=seeds, check_vma=False)(
            *args
        )

    return sharded


def side_by_side(num_seeds: int) -> int:
    """How many of them `spread` runs at the same time in one memory."""
    devices = _devices_for(num_seeds)
    return devices if jax.default_backend() == "cpu" else num_seeds // devices


def _devices_for(num_seeds: int) -> int:
    return math.gcd(num_seeds, jax.local_device_count())
