"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cores(root: Path = Path("/")) -> int:
    """The smaller of CPU affinity and control group limit, at least 1; /proc and /sys are under `root`."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        available = os.cpu_count() or 1
    return max(1, min([available, *map(math.ceil, _limits(root))]))


def _limits(root: Path) -> list[float]:
    """CPU limits in cores of this process's control group and those above it (cgroup v2, then v1)."""
    found = []
    top = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        version_2 = not controllers
        if not version_2 and "cpu" not in controllers.split(","):
            continue
        base = top if version_2 else top / "cpu"
        group = base / path.lstrip("/")
        for folder in [group, *(parent for parent in group.parents if parent.is_relative_to(base))]:
            found.append(_limit_v2(folder) if version_2 else _limit_v1(folder))
    return [limit for limit in found if limit is not None]


def _limit_v2(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _limit_v1(folder: Path) -> float | None:
    quota = _read(folder / "cpu.cfs_quota_us").strip()
    period = _read(folder / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
