"""Starts the ranks of a step for real: fewer of them, with this machine's own `mpirun`.

How many: the largest divisor of the run's groups that the site starts at most, so that the recipe, and with
it the trajectory, stays what it is. Blocks of groups that share their batch norm are not cut.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from horovod_lb.rehearsal.processes import ends_with_parent
from horovod_lb.rehearsal.site import Site
from horovod_lb.rehearsal.steps import Share, Steps

# What the real mpirun must not see: it would take this for a cluster's node and look for its daemons.
HIDDEN = ("SLURM_", "SLURMD_", "LSB_", "LS_")
_DROPPED = ("OMPI_COMM_WORLD_", "PMIX_", "PRTE_", "OMPI_UNIVERSE_")
_KEPT = "HLB_KEPT_"
# Open MPI's sessions go by process id; a folder of its own keeps those of killed ones out of the way.
_SESSIONS = "PRTE_MCA_prte_local_tmpdir_base"
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def count(command: Sequence[str], asked: int, most: int) -> int:
    """How many of the `asked` ranks start, at most `most`.

    The run's folder follows `--run` in `command`; a command without one gets as many as there may be.
    """
    limit = max(1, min(asked, most))
    found = _groups(command)
    if found is None:
        return limit
    groups, block = found
    divisors = [number for number in range(1, limit + 1) if groups % number == 0]
    own = {number: groups // number for number in divisors}
    return max(number for number in divisors if own[number] % block == 0 or block % own[number] == 0)


def start(
    command: Sequence[str],
    *,
    asked: int,
    kind: str,
    site: Site,
    steps: Steps,
    share: Share,
    per_host: int,
    visible: Sequence[str],
) -> int:
    """Waits for a share of the allocation and of this machine, runs `command` and returns its exit status.

    Args:
        command: program and arguments of a rank.
        asked: ranks of the real machine; how many start is for `count` to say.
        kind: `jsm`, `slurm` or `mpi`: whose variables tell a rank what it is.
        site: the machine that is played.
        steps: the allocation.
        share: what the step takes of it.
        per_host: ranks on a node of it.
        visible: CUDA_VISIBLE_DEVICES of each local rank, repeated where there are fewer.
    """
    ranks = count(command, asked, site.ranks)
    wrapper = [sys.executable, "-E", "-S", str(Path(__file__).with_name("rank.py"))]
    about = json.dumps({"kind": kind, "per_host": per_host, "visible": list(visible)})
    argv = [find_mpirun(), "-n", str(ranks), "--bind-to", "none", "--map-by", "slot:OVERSUBSCRIBE"]
    if os.geteuid() == 0:
        argv.append("--allow-run-as-root")
    process: subprocess.Popen[bytes] | None = None

    def end(number: int, _: object) -> None:
        if process is None:
            sys.exit(128 + number)
        process.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    # The scheduler's warning reaches the launcher, too; whether ranks would see it is not documented.
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGURG):
        signal.signal(number, lambda *_: None)
    try:
        steps.wait(share, ranks, site.slots)
        with tempfile.TemporaryDirectory(prefix="hlb-mpi-") as sessions:
            process = subprocess.Popen(
                [*argv, *wrapper, about, *command],
                env={**environment(os.environ, ranks, site.slots), _SESSIONS: sessions},
                preexec_fn=_own_group(),
            )
            status = process.wait()
    finally:
        steps.leave()
    return status if status >= 0 else 128 - status


def environment(environ: Mapping[str, str], ranks: int, cores: int) -> dict[str, str]:
    """The environment for the real `mpirun`: the scheduler's variables are put aside for `rank.py`."""
    kept: dict[str, str] = {}
    for name, value in environ.items():
        if name.startswith(_DROPPED):
            continue
        kept[_KEPT + name if name.startswith(HIDDEN) else name] = value
    share = max(1, cores // ranks)
    for name in _THREADS:
        if kept.get(name, "").isdecimal():
            kept[name] = str(min(share, int(kept[name])))
    kept["OMPI_MCA_mpi_yield_when_idle"] = "1"
    return kept


def find_mpirun() -> str:
    """The real `mpirun`: beside this Python, else the first on PATH that is no stand-in."""
    beside = Path(sys.executable).with_name("mpirun")
    if os.access(beside, os.X_OK):
        return str(beside)
    folder = os.environ.get("HLB_REHEARSAL", "")
    places = [place for place in os.environ.get("PATH", "").split(os.pathsep) if not place.startswith(folder)]
    found = shutil.which("mpirun", path=os.pathsep.join(places))
    if found is None:
        raise SystemExit(f"rehearsal: no mpirun beside {sys.executable} nor on PATH to start the ranks with")
    return found


def devices(local: Sequence[int], own: int | None = None) -> list[str]:
    """GPU numbers as CUDA_VISIBLE_DEVICES, hidden where this machine has GPUs but not so many."""
    real = len(list(Path("/dev").glob("nvidia[0-9]*"))) if own is None else own
    if real and max(local, default=0) >= real:
        return ["-1"]
    return [",".join(map(str, local))]


def _groups(command: Sequence[str]) -> tuple[int, int] | None:
    """The run's groups, and how many of them share their batch norm in blocks."""
    for position, word in enumerate(command):
        folder = command[position + 1] if word == "--run" and position + 1 < len(command) else None
        if word.startswith("--run="):
            folder = word.partition("=")[2]
        if folder is not None:
            try:
                run = json.loads((Path(folder) / "run.json").read_text())
                return int(run["derived"]["groups"]), int(run.get("model", {}).get("bn_groups") or 1)
            except (OSError, ValueError, KeyError):
                return None
    return None


def _own_group() -> Callable[[], None]:
    """The ranks are on other nodes: a signal to the job's process group does not reach them."""
    follow = ends_with_parent()

    def prepare() -> None:
        os.setpgid(0, 0)
        if follow is not None:
            follow()

    return prepare
