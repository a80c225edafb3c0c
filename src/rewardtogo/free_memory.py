"""Is there room for it? Asked before anything is allocated or compiled."""

import math
from pathlib import Path

import jax
from jaxtyping import PyTree


CONTROL_GROUP = Path("/sys/fs/cgroup")


def require_room(needed: int, *, what: str, detail: str, lower: str) -> None:
    """Raise `ValueError` if `needed` bytes would be more than half of the free memory.

    `what` needs them, by the name and value of an argument, `detail` says what for, and `lower`
    which arguments to lower. A whole number of Python does not wrap round, as an array's would.
    """
    free = free_memory()
    if free is not None and 2 * needed > free:
        raise ValueError(
            f"{what} needs {_size(needed)} ({detail}), more than half of the {_size(free)} of "
            f"memory that is free: lower {lower}."
        )


def bytes_of(shapes: PyTree) -> int:
    """Of arrays, or of what `jax.eval_shape` says they would be."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def _size(number: int) -> str:
    if number >= 2**60:
        return "more than an EiB"  # larger ones may be no float
    unit, name = (2**30, "GiB") if number >= 2**30 else (2**20, "MiB")
    return f"{number / unit:,.1f} {name}"


def free_memory() -> int | None:
    """Bytes that the default device has left; None where that cannot be told."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats["bytes_in_use"] if "bytes_limit" in stats else None
    found = [bytes_left for bytes_left in (_free_in_machine(), _free_in_container()) if bytes_left]
    return min(found, default=None)


def _free_in_machine() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _free_in_container() -> int | None:
    """What a control group allows, where it does not allow everything."""
    try:
        texts = [
            (CONTROL_GROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat")
        ]
    except OSError:
        return None
    limit, used, statistics = texts
    if not limit.strip().isdecimal():
        return None
    fields = dict(line.split() for line in statistics.splitlines())
    cached = int(fields["inactive_file"]) + int(fields["active_file"])  # given back when needed
    return max(1, int(limit) - int(used) + cached)
