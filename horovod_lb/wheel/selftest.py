"""The proof of a wheel: two real ranks under mpirun whose sums, averages and broadcasts must be exact."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.errors import BuildError
from horovod_lb.wheel import progress, proof, ranks
from horovod_lb.wheel.plan import Plan

RANKS = 2
Report = dict[str, Any]
TIMEOUT = 300.0
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Trial:
    """How the ranks are started, and what they must report.

    launcher: its words up to the program. libmpi: the folder of the one libmpi that must be loaded; None: any
    one. parts: whether `mpi`, `gloo` and `nccl` must be in the build; a part that is not named may be.
    folder: where ranks meet; None: the temporary folder of this host.
    """

    launcher: tuple[str, ...]
    libmpi: Path | None
    parts: Mapping[str, bool]
    folder: Path | None = None


def trial(plan: Plan) -> Trial:
    """The trial of a wheel that was built as `plan` says."""
    settings = plan.settings
    parts = {"mpi": True, "gloo": settings.gloo, "nccl": settings.nccl}
    return Trial(mpirun_words(plan.mpi.mpirun, plan.mpi.is_open_mpi), plan.mpi.library_folder, parts)


def mpirun_words(mpirun: Path, open_mpi: bool) -> tuple[str, ...]:
    """The words for two ranks on this host, whatever the launcher thinks of its slots."""
    words = (str(mpirun), "-n", str(RANKS))
    return (*words, "--oversubscribe", "--bind-to", "none") if open_mpi else words


def rank_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the ranks: few threads, no GPU, Open MPI's leave to run as root where needed."""
    chosen = {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    if os.geteuid() == 0:
        chosen |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    # The ranks start in an empty folder, and find this package wherever it was imported from.
    chosen["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PACKAGE_PARENT), env.get("PYTHONPATH")]))
    return {**env, **chosen}


def self_test(trial: Trial, env: Mapping[str, str], log: Path) -> None:
    """Run `ranks` on two ranks, check what they report, and note the proof in the environment.

    Raises BuildError with the first difference.
    """
    problem = find_problem(trial, *run_ranks(trial, env, log))
    if problem:
        raise BuildError(
            f"Horovod failed its self-test: {problem} The whole output is in {log}. Run it again with "
            "`python -m horovod_lb.wheel --self-test`; docs/horovod.md lists the usual causes."
        )
    proof.write()


def run_ranks(trial: Trial, env: Mapping[str, str], log: Path) -> tuple[list[Report], progress.Finished]:
    """The reports of the ranks that came to report, in rank order, and how the launcher ended."""
    with tempfile.TemporaryDirectory(prefix="hlb-selftest-", dir=trial.folder) as folder:
        finished = progress.run(
            [*trial.launcher, sys.executable, "-m", ranks.__name__, folder],
            label=f"Horovod: self-test on {RANKS} ranks",
            log=log,
            env=rank_environment(env),
            cwd=Path(folder),
            timeout=TIMEOUT,
        )
        texts = [path.read_text(encoding="utf-8") for path in Path(folder).glob("rank-*.json")]
    return sorted(map(json.loads, texts), key=lambda report: int(report["rank"])), finished


def find_problem(trial: Trial, reports: list[Report], finished: progress.Finished) -> str | None:
    """The first thing that is wrong with a run of the ranks, as a sentence; None if all is well."""
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
        launcher = Path(trial.launcher[0]).name
        reported = f"{len(reports)} of {RANKS} ranks reported"
        return f"{launcher} ended with status {finished.code} and {reported}: {last}"
    sizes = {report["size"] for report in reports}
    if sizes != {RANKS}:
        return (
            f"the ranks did not find each other (sizes {sorted(sizes)}, expected {RANKS}): "
            "the launcher and the library are of different MPIs."
        )
    return _wrong_library(trial, reports) or _wrong_parts(trial, reports)


def _wrong_library(trial: Trial, reports: list[Report]) -> str | None:
    if trial.libmpi is None:
        return _several_libraries(reports)
    expected = str(trial.libmpi.resolve())
    for report in reports:
        loaded = report["libmpi"]
        if [str(Path(path).resolve().parent) for path in loaded] != [expected]:
            return (
                f"the ranks loaded libmpi from {', '.join(loaded) or 'nowhere'}, built against {expected}. "
                "Unload the other MPI's module (LD_LIBRARY_PATH), or build against it with HLB_MPICC."
            )
    return None


def _several_libraries(reports: list[Report]) -> str | None:
    for report in reports:
        if len(loaded := {Path(path).resolve() for path in report["libmpi"]}) > 1:
            return f"the ranks loaded more than one libmpi: {', '.join(sorted(map(str, loaded)))}."
    return None


def _wrong_parts(trial: Trial, reports: list[Report]) -> str | None:
    for part, asked in trial.parts.items():
        for report in reports:
            if bool(report[part]) != asked:
                found = "is missing from" if asked else "is in"
                return f"{part.upper()} {found} the build, other than the HOROVOD_* variables ask."
    return None
