"""What follows from the facts of a host: space, quotas, and traps of schedulers and launchers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from horovod_lb.checks.finding import Finding, ok, problem, warning

GIB = 1 << 30
# Below it: a problem, a warning. A checkpoint of ResNet-50 with momentum is 0.2 GiB.
ENOUGH = {"runs": (GIB, 20 * GIB), "home": (0, GIB), "tmp": (64 << 20, GIB), "node-local": (0, GIB)}
_VANISHING = ("tmpfs", "ramfs", "overlay")
_WRITABLE_BY_OTHERS = 0o022


def host_findings(facts: Mapping[str, Any], *, scheduler: str, launcher: str) -> Iterator[Finding]:
    """Findings from `machines.host.facts` of one host; `scheduler` and `launcher` as a profile names them."""
    for name, found in facts["folders"].items():
        yield folder_finding(name, found)
    yield tmpdir_finding(facts["tmpdir"], launcher)
    yield ssh_finding(facts["ssh_config"], scheduler)


def folder_finding(name: str, folder: Mapping[str, Any]) -> Finding:
    """Whether a folder (of `machines.host.folder`) can be written and has room."""
    check = f"folder {name}"
    seen = folder["path"]
    if folder["error"]:
        quota = "quota" in folder["error"].lower()
        remedy = "remove what is not needed there (`quota -s`)" if quota else _OTHER[name]
        return problem(check, f"{seen}: {folder['error']}", remedy)
    low, short = ENOUGH[name]
    seen += f", {size(folder['free'])} free, {folder['file_system'] or 'unknown file system'}"
    if folder["free"] < low:
        return problem(check, seen, "make room: less than " + size(low) + " is left")
    if folder["free"] < short:
        return warning(check, seen, "make room: less than " + size(short) + " is left")
    if name == "runs" and folder["file_system"] in _VANISHING:
        return warning(check, seen, "this is gone with the machine: choose another with --runs or $HLB_RUNS")
    return ok(check, seen)


_OTHER = {
    "runs": "choose a folder that every node can write: --runs, $HLB_RUNS, or storage.scratch in the profile",
    "home": "have the home folder repaired: TensorFlow and MPI keep small files there",
    "tmp": "set TMPDIR to a folder of the node that can be written, or have /tmp repaired",
    "node-local": "correct storage.node_local in the profile, or ask the scheduler for it in directives",
}


def tmpdir_finding(tmpdir: str | None, launcher: str) -> Finding:
    """TMPDIR: jsrun fails where it is set, and jobs take it along from where they were submitted."""
    if not tmpdir:
        return ok("TMPDIR", "not set")
    if launcher == "jsrun":
        return problem("TMPDIR", tmpdir, "`unset TMPDIR` before submitting: jsrun fails where it is set")
    return ok("TMPDIR", tmpdir)


def ssh_finding(mode: int | None, scheduler: str) -> Finding:
    """`~/.ssh/config`: ssh refuses it where others may write; LSF then suspends jobs (PSUSP)."""
    if mode is None:
        return ok("ssh config", "none")
    if mode & _WRITABLE_BY_OTHERS:
        what = "LSF suspends jobs (PSUSP)" if scheduler == "lsf" else "ssh refuses it"
        make = problem if scheduler == "lsf" else warning
        return make("ssh config", f"mode {mode:04o}", f"`chmod 600 ~/.ssh/config`: {what} as it is")
    return ok("ssh config", f"mode {mode:04o}")


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
