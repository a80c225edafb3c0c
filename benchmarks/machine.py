"""What the figures were measured on, and whether anything else was running meanwhile."""

import os
import platform
import re
from pathlib import Path
from typing import Any


TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> str:
    """Processor, cores, memory, system: enough to compare two pages by."""
    return f"{_processor()}, {_cores()} cores, {_memory()}, {platform.system()}"


def load() -> float:
    """How many processes wanted a core over the last minute."""
    return os.getloadavg()[0]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its ended children; NaN where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return float("nan")
    fields = text.rpartition(")")[2].split()  # the name may hold blanks
    return sum(int(field) for field in fields[11:15]) / TICKS


def busy_seconds() -> float:
    """Processor time of everything, time taken by other guests included; NaN if unknown."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return float("nan")
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / TICKS


def _processor() -> str:
    info = _read("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", info)
    name = model[1] if model else platform.processor() or platform.machine()
    return f"{name} with AVX-512" if "avx512f" in info else name


def _cores() -> int:
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory() -> str:
    total = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    return f"{int(total[1]) / 2**20:.0f} GiB" if total else "memory unknown"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
