"""Launcher steps inside allocations: which share of the nodes each takes, and who waits for what.

A step first waits until its share of its job's nodes is free (`nodes`), then until this machine has cores for
its ranks (`cores`). A step is a JSON file in `steps/<job>.<index>/`, gone with its process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from horovod_lb.rehearsal.processes import started
from horovod_lb.rehearsal.table import Job

POLL_SECONDS = 0.1
NODES, CORES, RUNNING = "nodes", "cores", "running"


@dataclass(frozen=True)
class Share:
    """What a step asks for: `sets` of `cores` and `gpus` each, at most `per_host` of them on a node."""

    sets: int
    cores: int
    gpus: int
    per_host: int

    def place(self, free: Mapping[str, tuple[int, int]]) -> dict[str, int] | None:
        """Sets by node, the first nodes first; None where they do not all fit into (cores, GPUs) `free`."""
        left, placed = self.sets, {}
        for host, (cores, gpus) in free.items():
            fit = min(left, self.per_host, cores // self.cores if self.cores else left)
            fit = min(fit, gpus // self.gpus) if self.gpus else fit
            if fit > 0:
                placed[host] = fit
                left -= fit
            if not left:
                return placed
        return None


@dataclass(frozen=True)
class Step:
    """A step as others see it. `order` is when it came, `ranks` how many processes it really starts."""

    pid: int
    order: float
    state: str
    ranks: int
    share: Share
    placed: dict[str, int]


class Steps:
    """The steps of one allocation, and of all others as far as they use this machine's cores."""

    def __init__(self, folder: Path, allocation: str, hosts: Sequence[str], *, cores: int, gpus: int) -> None:
        self._folder = folder
        self._own = folder / "steps" / allocation
        self._own.mkdir(parents=True, exist_ok=True)
        self._whole = dict.fromkeys(hosts, (cores, gpus))

    def fits(self, share: Share) -> bool:
        """Whether the empty allocation could hold it."""
        return share.place(self._whole) is not None

    def wait(self, share: Share, ranks: int, slots: int) -> Step:
        """Takes a share of the nodes, then `ranks` of this machine's `slots`, first come, first served."""
        step = Step(os.getpid(), time.time(), NODES, ranks, share, {})
        while step.state != RUNNING:
            with _locked(self._folder):
                step = self._try(step, slots)
                self._write(step)
            if step.state != RUNNING:
                time.sleep(POLL_SECONDS)
        return step

    def leave(self) -> None:
        """This process's step is over."""
        self._path(os.getpid()).unlink(missing_ok=True)

    def _try(self, step: Step, slots: int) -> Step:
        if step.state == NODES:
            others = [one for one in _living(self._own) if one.pid != step.pid]
            if any(one.state == NODES and one.order < step.order for one in others):
                return step
            placed = step.share.place(self._free(others))
            return step if placed is None else replace(step, state=CORES, placed=placed)
        others = [
            one
            for allocation in (self._folder / "steps").iterdir()
            for one in _living(allocation)
            if one.pid != step.pid
        ]
        if any(one.state == CORES and one.order < step.order for one in others):
            return step
        used = sum(one.ranks for one in others if one.state == RUNNING)
        return replace(step, state=RUNNING) if not used or used + step.ranks <= slots else step

    def _free(self, others: Sequence[Step]) -> dict[str, tuple[int, int]]:
        free = dict(self._whole)
        for one in others:
            for host, sets in one.placed.items():
                cores, gpus = free[host]
                free[host] = (cores - sets * one.share.cores, gpus - sets * one.share.gpus)
        return free

    def _write(self, step: Step) -> None:
        temporary = self._own / f".{step.pid}"
        temporary.write_text(json.dumps(asdict(step)))
        temporary.replace(self._path(step.pid))

    def _path(self, pid: int) -> Path:
        return self._own / f"{pid}.json"


def all_wait_for_cores(folder: Path, job: Job, index: int) -> bool:
    """Whether a life's steps all wait for this machine, and none runs."""
    states = {step.state for step in _living(folder / "steps" / name(job, index))}
    return CORES in states and RUNNING not in states


def forget(folder: Path, job: Job, index: int) -> None:
    """Removes what steps that were killed have left."""
    shutil.rmtree(folder / "steps" / name(job, index), ignore_errors=True)


def name(job: Job, index: int) -> str:
    """The folder of an allocation's steps."""
    return f"{job.id}.{index}"


def _living(folder: Path) -> list[Step]:
    found = []
    for path in folder.glob("[0-9]*.json") if folder.is_dir() else ():
        try:
            record = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            continue
        if started(record["pid"]):
            found.append(Step(**{**record, "share": Share(**record["share"])}))
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "steps.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
