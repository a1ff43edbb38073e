"""Folders, quotas, TMPDIR, the ssh configuration, modules."""

from __future__ import annotations

import pytest

from horovod_lb.checks import doctor, hosts
from horovod_lb.checks.ask import ask
from horovod_lb.checks.finding import State, ok, problem, warning, worst
from horovod_lb.machines import load_machine

OK, WARNING, PROBLEM = State.OK, State.WARNING, State.PROBLEM


def folder(free=1 << 40, file_system="lustre", error=None):
    return {"path": "/p", "free": free, "file_system": file_system, "error": error}


@pytest.mark.parametrize(
    ("name", "changes", "state", "words"),
    [
        ("runs", {}, OK, ""),
        ("runs", {"free": 5 << 30}, WARNING, "make room"),
        ("runs", {"free": 5 << 20}, PROBLEM, "make room"),
        ("runs", {"file_system": "tmpfs"}, WARNING, "gone with the machine"),
        ("tmp", {"file_system": "tmpfs"}, OK, ""),
        ("runs", {"error": "Read-only file system"}, PROBLEM, "every node can write"),
        ("home", {"error": "Disk quota exceeded"}, PROBLEM, "quota"),
        ("node-local", {"error": "No such file or directory"}, PROBLEM, "storage.node_local"),
    ],
)
def test_folders(name, changes, state, words):
    finding = hosts.folder_finding(name, folder(**changes))
    assert finding.state == state
    assert words in finding.remedy


@pytest.mark.parametrize(
    ("mode", "scheduler", "state"),
    [(None, "lsf", OK), (0o600, "lsf", OK), (0o644, "lsf", OK), (0o664, "lsf", PROBLEM),
     (0o602, "lsf", PROBLEM), (0o664, "slurm", WARNING)],
)  # fmt: skip
def test_ssh_config(mode, scheduler, state):
    finding = hosts.ssh_finding(mode, scheduler)
    assert finding.state == state
    assert ("chmod 600" in finding.remedy) == (state != OK)


@pytest.mark.parametrize(
    ("tmpdir", "launcher", "state"),
    [(None, "jsrun", OK), ("", "jsrun", OK), ("/tmp", "jsrun", PROBLEM), ("/tmp", "srun", OK)],
)
def test_tmpdir(tmpdir, launcher, state):
    assert hosts.tmpdir_finding(tmpdir, launcher).state == state


def test_sizes():
    assert [hosts.size(n) for n in (0, 1023, 1024, 10 << 20, 3 << 40, 5 << 50)] == [
        "0 B", "1023 B", "1.0 KiB", "10 MiB", "3.0 TiB", "5120 TiB",
    ]  # fmt: skip


QUOTA = """Disk quotas for user me (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
   nas:/home 52428801* 52428800 57671680   6days   10000       0       0
   nas:/proj   100       0       200               10       0       0
   /dev/x        5       0       0                 10       0       0
"""


def test_quota():
    assert doctor.parse_quota(QUOTA) == [
        ("nas:/home", 52428801, 52428800), ("nas:/proj", 100, 200), ("/dev/x", 5, 0),
    ]  # fmt: skip


def test_quota_findings(program):
    program("quota", f"cat <<'END'\n{QUOTA}END")
    assert [finding.state for finding in doctor.quota_findings()] == [PROBLEM, OK]
    program("quota", "exit 1")
    assert list(doctor.quota_findings()) == []


def test_modules_are_arguments_never_code(program, tmp_path, monkeypatch):
    """A login shell with a `module` that notes what it was given, and knows only `cuda`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".bash_profile").write_text(
        f"""module() {{
            printf '%s\\n' "$@" >> {tmp_path}/asked
            [ "$1" = list ] || [ "$2" = cuda ] || echo "Lmod has detected the following error: unknown $2"
        }}\n"""
    )
    machine = load_machine("slurm-6gpu", overrides={"modules": ["cuda"]})
    assert doctor.modules_finding(machine).state == OK
    assert (tmp_path / "asked").read_text().split() == ["load", "cuda", "list"]
    wrong = load_machine("slurm-6gpu", overrides={"modules": ["cudda"]})
    assert doctor.modules_finding(wrong).state == PROBLEM
    (tmp_path / ".bash_profile").write_text("unset -f module\n")
    assert doctor.modules_finding(machine).state == PROBLEM


def test_worst():
    assert worst([]) == OK
    assert worst([ok("a", "")]) == OK
    assert worst([ok("a", ""), warning("b", "", ""), ok("c", "")]) == WARNING
    assert worst([problem("a", "", ""), warning("b", "", "")]) == PROBLEM


def test_asking(program):
    assert ask([str(program("says", "echo out; echo err >&2; exit 3"))]).complaint == "err"
    slow = ask([str(program("slow", "sleep 30"))], timeout=0.2)
    assert (slow.code, slow.complaint) == (None, "no answer within 0 s")
    assert ask(["/none/such"]).complaint == "/none/such: No such file or directory"
