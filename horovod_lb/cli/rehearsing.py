"""A rehearsal: the study in miniature, the machine's stand-ins, and the jobs sent to them."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from horovod_lb.batch.shape import Options
from horovod_lb.batch.submit import Plan, Voice
from horovod_lb.batch.submit import submit as send
from horovod_lb.cli import jobs
from horovod_lb.errors import RequestError, StudyError
from horovod_lb.machines import Machine
from horovod_lb.rehearsal import faults
from horovod_lb.rehearsal.install import environment, install, site_of
from horovod_lb.rehearsal.site import Site
from horovod_lb.rehearsal.table import Table
from horovod_lb.study import RunSpec, expand, load_study, select

# Lines that mean something at the site only, and folders that are there only.
_LEFT_OUT = ("modules", "setup", "container", "python", "storage")
# `module` in a job script, as bash takes a function over from the environment.
_MODULE = {"BASH_FUNC_module%%": '() { echo "rehearsal: module $*"; }'}


@dataclass(frozen=True)
class Miniature:
    """A study made small: `changes` are what was set, `left_out` of them what the user has to know."""

    name: str
    runs: list[RunSpec]
    changes: tuple[str, ...]
    whole: list[RunSpec]
    notes: tuple[str, ...]


def miniature(path: Path, changes: Sequence[str], where: str | None, epochs: int | None) -> Miniature:
    """The study with few epochs: one, or as many as its longest warmup takes.

    RequestError: `where` chooses no run; the study's schedule does not allow so few epochs.
    """
    study = load_study(path, changes)
    every = expand(study)
    whole = select(every, where)
    if not whole:
        raise RequestError(f"--where {where}: no run of {path} is chosen; `hlb plan` shows them all")
    longest = max(run.resolved.rate.warmup_epochs for run in every)
    wanted = epochs or max(1, math.ceil(longest))
    small = [f"recipe.epochs={wanted}"]
    if study.settings.recipe.budget is not None:
        small.insert(0, "recipe.budget=null")
    try:
        runs = select(expand(load_study(path, [*changes, *small])), where)
    except StudyError as error:
        raise RequestError(
            f"{error}\nA rehearsal of {wanted} epochs is not possible; say --epochs N"
        ) from None
    notes = [f"{wanted} epoch{'s' if wanted > 1 else ''} instead of the study's (--epochs)"]
    if not epochs and longest > 1:
        notes = [f"{wanted} epochs instead of the study's, for the longest warmup's sake (--epochs)"]
    return Miniature(study.name, runs, (*changes, *small), whole, tuple(notes))


def portable(machine: Machine) -> tuple[Machine, tuple[str, ...]]:
    """The profile without what only the site has, and the names of what was left out.

    RequestError: a launcher that no stand-in plays.
    """
    if machine.launcher == "horovodrun":
        raise RequestError(
            f"{machine.name} starts ranks with horovodrun, which goes to the nodes by ssh: that cannot be "
            "played here; srun, jsrun and mpirun can"
        )
    fields = type(machine).model_fields
    kept = {key: fields[key].get_default(call_default_factory=True) for key in _LEFT_OUT}
    left = tuple(key for key in _LEFT_OUT if getattr(machine, key) != kept[key])
    return machine.model_copy(update=kept), left


class Rehearsal:
    """The stand-ins for `machine` in `root`, and the jobs that are sent to them."""

    def __init__(self, root: Path, study: str, machine: Machine, site: Site) -> None:
        self.root = root.absolute()
        self.study = self.root / study
        self.site = site
        self.folder = self.root / ".stand-ins" / study
        self.machine = machine
        if machine.launcher == "mpirun":
            python = str(self.folder / "bin" / "python")
            self.machine = machine.model_copy(update={"python": python})

    @contextmanager
    def open(self) -> Iterator[None]:
        """Installs the stand-ins and puts them first on PATH; in the end nothing of them runs any more.

        RequestError: this study is being rehearsed here already.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "rehearsal.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RequestError(f"{self.study} is being rehearsed already; take another --out") from None
            faults.stop(self.folder)
            install(self.folder, self.site)
            os.environ.update({**environment(self.folder), **_MODULE})
            os.environ.pop("TMPDIR", None)
            try:
                yield
            finally:
                faults.stop(self.folder)

    def send(self, runs: Sequence[RunSpec], options: Options, voice: Voice) -> Plan:
        """Submits what is not done yet."""
        plan, _ = send(self.study, [run.spec for run in runs], self.machine, options=options, voice=voice)
        return plan

    def plan(self, runs: Sequence[RunSpec], options: Options, voice: Voice) -> Plan:
        """What sending these runs to an empty queue would be."""
        nothing_yet = self.folder / "no-runs"
        specs = [run.spec for run in runs]
        plan, _ = send(nothing_yet, specs, self.machine, options=options, voice=voice, dry_run=True)
        return plan

    def history(self) -> list[str]:
        """What became of the jobs, a line each kind."""
        found = Table(self.folder).jobs()
        lives = [element.life for job in found for element in job.elements]
        again = sum(life - 1 for life in lives if life > 1)
        limits = sum(element.cause == "limit" for job in found for element in job.elements)
        sent = f"{jobs.count(len(lives), 'job')} in {jobs.count(len(found), 'submission')}"
        lines = [f"of {sent} {sum(map(bool, lives))} ran"]
        if again:
            lines.append(f"{again} times one went back into the queue and on from its checkpoint")
        if limits:
            lines.append(f"{limits} were killed at their wall-time limit")
        return lines

    def remove(self) -> None:
        """Deletes the stand-ins and their job table; runs and tables stay."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()


def site_for(machine: Machine, *, ranks: int, cores: int, minute: float) -> Site:
    """The machine as the stand-ins play it: as many jobs at a time as its steps find cores for."""
    try:
        site = site_of(machine)
    except ValueError:
        raise RequestError(
            f"{machine.name} has no scheduler, so there is nothing to rehearse: `hlb run` trains here"
        ) from None
    ranks = min(ranks, cores)
    return replace(site, ranks=ranks, slots=cores, jobs=max(1, cores // ranks), minute=minute)
