"""Facts of a host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from horovod_lb.machines import host
from horovod_lb.machines.rank import launched_as, ranges

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
proc /proc proc rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/x /home/a\\040b nfs4 rw 0 0
tmpfs /home/a\\040b/scratch lustre rw 0 0
overlay / overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/x", "tmpfs"),
        ("/tmpfoo", "overlay"),  # not below /tmp; of two mounts at one place the later is on top
        ("/home/a b/y", "nfs4"),
        ("/home/a b/scratch/z", "lustre"),
        ("/", "overlay"),
    ],
)
def test_file_system(tmp_path, path, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert host.file_system(path, mounts) == kind


def test_no_mounts_no_answer(tmp_path):
    assert host.file_system("/", tmp_path / "none") == ""


def test_folder_is_tried_and_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", str(tmp_path))
    found = host.folder("$PLACE/runs/later")
    assert found.path == str(tmp_path / "runs" / "later")
    assert found.error is None
    assert abs(found.free - shutil.disk_usage(tmp_path).free) < 1 << 30
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written():
    assert host.folder("/proc/1/none").error  # even root makes no files there
    assert "environment variable" in host.folder("$HLB_NO_SUCH_VARIABLE/x").error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_rights(tmp_path):
    tmp_path.chmod(0o500)
    assert host.folder(tmp_path).error == "Permission denied"


def test_ssh_config_mode(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert host.ssh_config_mode() is None
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").touch()
    (tmp_path / ".ssh" / "config").chmod(0o664)
    assert host.ssh_config_mode() == 0o664
    assert host.facts({"home": "~"})["folders"]["home"]["path"] == str(Path(tmp_path))


@pytest.mark.parametrize(
    ("environ", "rank", "local"),
    [
        ({}, None, None),
        # Under mpirun in a Slurm allocation Slurm's variables are those of the daemon.
        ({"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_LOCAL_RANK": "2", "SLURM_PROCID": "1",
          "SLURM_LOCALID": "0", "PMIX_RANK": "5"}, 5, 2),
        ({"SLURM_PROCID": "7", "SLURM_LOCALID": "1", "PMIX_RANK": "7"}, 7, 1),
        ({"JSM_NAMESPACE_RANK": "11", "JSM_NAMESPACE_LOCAL_RANK": "5"}, 11, 5),
        ({"SLURM_PROCID": ""}, None, None),
    ],
)  # fmt: skip
def test_place_that_the_launcher_gave(environ, rank, local):
    found = launched_as(environ)
    assert (found.rank, found.local_rank) == (rank, local)


@pytest.mark.parametrize("numbers", [[], [3], [0, 1, 2], [0, 2, 4], [7, 0, 1, 6, 8, 20]])
def test_ranges_name_every_number_once(numbers):
    parts = [part.split("-") for part in ranges(numbers).split(",") if part]
    assert [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)] == sorted(numbers)
