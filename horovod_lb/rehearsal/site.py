"""The machine that the stand-ins pretend to be, as one JSON file in their folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "site.json"
FOLDER_VARIABLE = "HLB_REHEARSAL"


@dataclass(frozen=True)
class Queue:
    """A queue or partition. `walltimes`: (fewest nodes, most nodes, minutes) each; none means no limit."""

    name: str
    walltimes: tuple[tuple[int, int, int], ...] = ()

    def limit(self, nodes: int) -> int | None:
        """The longest wall time in minutes of a job on `nodes` nodes."""
        return next((most for low, high, most in self.walltimes if low <= nodes <= high), None)


@dataclass(frozen=True)
class Site:
    """A cluster: its nodes and limits, and how much of it this machine really does.

    easy_mode: whole nodes by `-nnodes`, and a launch node in the host lists, as LSF with CSM has it.
    submit: whether `bsub FILE` reads directives (`file`) or `bsub < FILE` (`stdin`).
    clean_minutes: how long a finished job is remembered. queued: jobs of a user in any state but finished.
    minute: seconds that a minute of wall time lasts here. ranks: processes that really start for a step at
    most. slots: ranks of all steps together at a time. jobs: jobs that run at a time, whatever the nodes say.
    backend: `local`, or `slurm` where the jobs of the LSF stand-ins go to a real Slurm.
    """

    system: str
    name: str
    nodes: int
    cores: int
    gpus: int
    queues: Mapping[str, Queue]
    prefix: str = "node"
    launch: str | None = None
    easy_mode: bool = False
    account_required: bool = False
    submit: str = "file"
    array_size: int = 1000
    queued: int | None = None
    clean_minutes: float = 60.0
    minute: float = 60.0
    ranks: int = 2
    slots: int = 2
    jobs: int | None = None
    backend: str = "local"
    banner: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_queue(self) -> str:
        """Where jobs go that name none."""
        return next(iter(self.queues))

    def node_names(self) -> list[str]:
        """All node names, in order."""
        width = len(str(self.nodes))
        return [f"{self.prefix}{number:0{width}}" for number in range(1, self.nodes + 1)]

    def write(self, folder: Path) -> None:
        """Puts it into the folder of the stand-ins."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_site(folder: Path, environ: Mapping[str, str] = os.environ) -> Site:
    """The site in `folder`, with the changes that `HLB_REHEARSAL_MINUTE, _RANKS, _BACKEND` ask for."""
    record: dict[str, Any] = json.loads((folder / FILE).read_text())
    record["queues"] = {
        name: Queue(name, tuple(tuple(row) for row in queue["walltimes"]))
        for name, queue in record["queues"].items()
    }
    for key, kind in (("minute", float), ("ranks", int), ("backend", str)):
        if (text := environ.get(f"{FOLDER_VARIABLE}_{key.upper()}")) is not None:
            record[key] = kind(text)
    return Site(**record)


def here(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the stand-ins, which `$HLB_REHEARSAL` names."""
    return Path(environ[FOLDER_VARIABLE])
