"""What a launcher tells a process of its place among the ranks, before MPI is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Marks the lines that a rank of `hlb preflight` writes for it.
MARK = "HLB-PREFLIGHT "
# By launcher; Open MPI's first: under its mpirun Slurm's variables are those of the daemon, not of the rank.
_RANK = ("OMPI_COMM_WORLD_RANK", "JSM_NAMESPACE_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
_LOCAL = ("OMPI_COMM_WORLD_LOCAL_RANK", "JSM_NAMESPACE_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")


@dataclass(frozen=True)
class Launched:
    """A process's number among all and on its host; None where the launcher does not tell."""

    rank: int | None
    local_rank: int | None


def launched_as(environ: Mapping[str, str]) -> Launched:
    """The place that the launcher's variables give."""
    return Launched(_first(environ, _RANK), _first(environ, _LOCAL))


def _first(environ: Mapping[str, str], names: Sequence[str]) -> int | None:
    return next((int(environ[name]) for name in names if environ.get(name, "").isdecimal()), None)


def ranges(numbers: Sequence[int]) -> str:
    """Numbers as ranges: `0-6,8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in parts)
