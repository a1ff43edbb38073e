"""The proof of a wheel: two real ranks under mpirun whose sums, averages and broadcasts must be exact."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import progress, ranks
from horovod_lb.wheel.plan import Plan

RANKS = 2
TIMEOUT = 300.0


def mpirun_command(plan: Plan) -> list[str]:
    """The launcher's words for two ranks on this host, whatever it thinks of its slots."""
    command = [str(plan.mpi.mpirun), "-n", str(RANKS)]
    if plan.mpi.is_open_mpi:
        command += ["--oversubscribe", "--bind-to", "none"]
    return command


def rank_environment(plan: Plan, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the ranks: few threads, no GPU, Open MPI's leave to run as root where needed."""
    chosen = {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    if plan.mpi.is_open_mpi and os.geteuid() == 0:
        chosen |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {**env, **chosen}


def self_test(plan: Plan, env: Mapping[str, str], log: Path) -> None:
    """Run `ranks` on two ranks and check what they report. Raises BuildError with the first difference."""
    with tempfile.TemporaryDirectory(prefix="hlb-selftest-") as folder:
        command = [*mpirun_command(plan), sys.executable, str(Path(ranks.__file__).resolve()), folder]
        finished = progress.run(
            command,
            label=f"Horovod: self-test on {RANKS} ranks",
            log=log,
            env=rank_environment(plan, env),
            cwd=Path(folder),
            timeout=TIMEOUT,
        )
        reports = [
            json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("rank-*.json"))
        ]
    problem = _problem(plan, reports, finished)
    if problem:
        raise BuildError(
            f"Horovod failed its self-test: {problem} The whole output is in {log}. "
            "Run it again with `python -m horovod_lb.wheel --self-test`; docs/horovod.md lists the usual "
            "causes."
        )


def _problem(plan: Plan, reports: list[dict[str, object]], finished: progress.Finished) -> str | None:
    for report in reports:
        if report["failure"]:
            return f"rank {report['rank']}: {report['failure']}."
    if len(reports) != RANKS or finished.code:
        if finished.seconds >= TIMEOUT:
            return (
                f"the ranks did not finish within {TIMEOUT:.0f} s: do the firewall and MPI's settings "
                "let them meet?"
            )
        last = next((line for line in reversed(finished.tail) if line.strip("-=* ")), "no output")
        return (
            f"mpirun ended with status {finished.code} and {len(reports)} of {RANKS} ranks reported: {last}"
        )
    sizes = {report["size"] for report in reports}
    if sizes != {RANKS}:
        return (
            f"the ranks did not find each other (sizes {sorted(map(str, sizes))}, expected {RANKS}): "
            "the launcher and the library are of different MPIs."
        )
    return _wrong_library(plan, reports) or _wrong_parts(plan, reports)


def _wrong_library(plan: Plan, reports: list[dict[str, object]]) -> str | None:
    expected = str(plan.mpi.library_folder.resolve())
    for report in reports:
        loaded = report["libmpi"]
        assert isinstance(loaded, list)
        if [str(Path(path).resolve().parent) for path in loaded] != [expected]:
            return (
                f"the ranks loaded libmpi from {', '.join(loaded) or 'nowhere'}, built against {expected}. "
                "Unload the other MPI's module (LD_LIBRARY_PATH), or build against it with HLB_MPICC."
            )
    return None


def _wrong_parts(plan: Plan, reports: list[dict[str, object]]) -> str | None:
    for part, asked in (("mpi", True), ("gloo", plan.settings.gloo), ("nccl", plan.settings.nccl)):
        for report in reports:
            if bool(report[part]) != asked:
                found = "is missing from" if asked else "is in"
                return f"{part.upper()} {found} the build, other than the HOROVOD_* variables ask."
    return None
