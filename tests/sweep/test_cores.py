from __future__ import annotations

import os
from pathlib import Path

import pytest

from horovod_lb.sweep.machine import cores

FREE = len(os.sched_getaffinity(0))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert cores(tmp_path) == FREE


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", FREE), ("100000 100000", 1), ("50000 100000", 1), ("999900000 100000", FREE), ("", FREE)],
)
def test_a_limit_of_the_group_or_of_one_above_it_counts(tmp_path: Path, limit: str, expected: int) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/outer/inner\n")
    write(tmp_path / "sys/fs/cgroup/outer/cpu.max", f"{limit}\n")
    write(tmp_path / "sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n")
    assert cores(tmp_path) == expected


def test_the_older_control_groups_are_read(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "12:memory:/x\n4:cpu,cpuacct:/job\n0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "100000\n")
    write(tmp_path / "sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert cores(tmp_path) == 1


def test_the_affinity_of_a_process_is_respected() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
