"""`hlb submit`: what of a study is to be sent now, as jobs, under the study's lock."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from horovod_lb.batch import folders, limits
from horovod_lb.batch.arrange import Options, Planned, plan_jobs
from horovod_lb.batch.choice import ACTIVE, TO_SEND, Choice, choose
from horovod_lb.batch.follow import Following, follow
from horovod_lb.batch.lock import StudyLock
from horovod_lb.batch.pace import Paces
from horovod_lb.batch.send import resolve, send, settle
from horovod_lb.batch.shape import Spec, shapes
from horovod_lb.batch.submission import Submission, name_folder, submissions, user_name
from horovod_lb.errors import SchedulerError, SubmissionError
from horovod_lb.machines import Machine
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.provenance import source_state


@dataclass(frozen=True)
class Plan:
    """What would be sent now. folder: of the submission; left: runs for which the queue has no room."""

    study: Path
    machine: Machine
    folder: Path
    token: str
    options: Options
    choice: Choice
    paces: Paces
    pilot: bool
    jobs: tuple[Planned, ...] = ()
    left: tuple[str, ...] = ()

    def with_jobs(self, *, room: int | None) -> Plan:
        """Itself with the jobs of the chosen runs, as many as there is `room` for in the queue."""
        jobs = plan_jobs(
            self.choice.send,
            self.machine,
            folder=self.folder,
            options=self.options,
            token=self.token,
            paces=self.paces,
            room=room,
        )
        planned = {run_id for job in jobs for run_id in job.run_ids}
        left = (spec["run_id"] for spec in self.choice.send if spec["run_id"] not in planned)
        return replace(self, jobs=tuple(jobs), left=tuple(left))

    @property
    def node_hours(self) -> float:
        """The most that it can cost."""
        return sum(job.node_hours for job in self.jobs)

    @property
    def expected(self) -> float:
        """What it should cost, in node-hours."""
        return sum(job.expected for job in self.jobs)


class Voice(Protocol):
    """Who speaks to people for `submit`."""

    def say(self, sentence: str) -> None:
        """Something to know, when it happens."""

    def show(self, plan: Plan) -> None:
        """The plan, before anything is sent."""

    def progress(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Progress of something that may take long; the function gets how much is done."""


def submit(
    study: Path,
    specs: Sequence[Spec],
    machine: Machine,
    *,
    options: Options,
    voice: Voice,
    wanted: Sequence[State] = TO_SEND,
    pilot: bool = False,
    dry_run: bool = False,
) -> tuple[Plan, Submission | None]:
    """Sends those runs of a study that are in one of the `wanted` states and in no job; can be repeated.

    Args:
        study: folder of the study's runs, absolute.
        specs: contents of `run.json`.
        machine: where they are to run.
        options: see `Options`.
        voice: hears of it.
        wanted: states of runs that are sent.
        pilot: only one run of each shape whose speed is not known, the cheapest.
        dry_run: plans, and neither writes nor sends.

    Returns:
        the plan, and what was sent of it; None where that was nothing.

    Raises:
        RequestError: the site or the budget does not allow the plan; nothing was written.
        SchedulerError: the scheduler does not say what became of earlier jobs, so nothing was sent; or it
            refused a job: those before it stay.
        SubmissionError: what was sent earlier is not known; nothing was sent.
        LockedError: another process is submitting this study.
    """
    limits.check_machine(machine)
    with nullcontext() if dry_run else StudyLock(study, say=voice.say) as lock:
        following = _know(study, voice, lock)
        plan = _plan(study, specs, machine, following, options, wanted, pilot)
        if plan.jobs:
            plan = _as_the_queue_takes(plan, _room(machine, voice, lock))
        limits.check_budget(plan.jobs, options.budget)
        voice.show(plan)
        if lock is None or not plan.jobs:
            return plan, None
        submission = _prepare(plan, {spec["run_id"]: spec for spec in specs}, voice)
        total = sum(job.links for job in plan.jobs)
        try:
            with voice.progress("Sending jobs", total) as progress:
                return plan, send(submission, refresh=lock.refresh, progress=progress, say=voice.say)
        except SchedulerError:
            _take_back(study)
            raise


def _take_back(study: Path) -> None:
    """After a refusal: what the scheduler does not know by name either was not sent; the record says so."""
    settle(submissions(study, lambda damaged: None))
    following = follow(study)
    if not following.unsure:
        resolve(following)


def _know(study: Path, voice: Voice, lock: StudyLock | None) -> Following:
    """Where all runs stand, with what earlier senders left half-done made whole."""
    if lock is not None:
        settle(submissions(study, lambda damaged: None))
    following = follow(study)
    if following.damaged:
        raise SubmissionError(f"{following.damaged[0]}; nothing was sent")
    if following.unsure:
        raise SchedulerError(
            f"{following.problem}\nWhether runs sent earlier still wait or run is not known, so nothing was "
            "sent; try again when the scheduler answers"
        )
    if lock is None:
        return following
    changed = resolve(following)
    for submission in changed:
        rest = len(submission.unsent)
        voice.say(f"{submission.folder.name} was cut off while it was sent; {_adopted(submission, rest)}")
        send(submission, refresh=lock.refresh, say=voice.say)
    return follow(study, answers=following.answers) if changed else following


def _adopted(submission: Submission, rest: int) -> str:
    had = sum(len(job.links) for job in submission.jobs) - rest
    found = f"{had} of its jobs had reached the scheduler"
    return f"{found}, {rest} more belong to their chains and are sent now" if rest else found


def _room(machine: Machine, voice: Voice, lock: StudyLock | None) -> int | None:
    try:
        return limits.room(machine)
    except SchedulerError as error:
        if lock is not None:
            raise
        voice.say(f"{error}\nHow many jobs the queue still takes is not known; this plan leaves that out.")
        return None


def _plan(
    study: Path,
    specs: Sequence[Spec],
    machine: Machine,
    following: Following,
    options: Options,
    wanted: Sequence[State],
    pilot: bool,
) -> Plan:
    def state(run_id: str) -> State:
        return following.state(run_id).state

    choice = choose(specs, state, study, wanted)
    paces = Paces.read(study, following.submissions, machine.name, {spec["run_id"]: spec for spec in specs})
    if pilot:
        active = {spec["run_id"] for spec in specs if state(spec["run_id"]) in ACTIVE}
        choice = replace(choice, send=_pilots(specs, choice, machine, options, paces, active))
    folder, token = name_folder(study)
    return Plan(study, machine, folder, token, options, choice, paces, pilot).with_jobs(room=None)


def _as_the_queue_takes(plan: Plan, room: int | None) -> Plan:
    """`plan`, cut to what there is room for in the queue."""
    wanted = sum(job.elements * job.links for job in plan.jobs)
    return plan if room is None or wanted <= room else plan.with_jobs(room=room)


def _pilots(
    specs: Sequence[Spec],
    choice: Choice,
    machine: Machine,
    options: Options,
    paces: Paces,
    active: set[str],
) -> tuple[Spec, ...]:
    """The cheapest run of each shape whose speed is neither known nor about to be."""
    free = {spec["run_id"] for spec in choice.send}
    found = []
    for shape, members in shapes(specs, machine, options).items():
        known = all(paces.estimate(spec, shape.ranks) for spec in members)
        candidates = [spec for spec in members if spec["run_id"] in free]
        if candidates and not known and not any(spec["run_id"] in active for spec in members):
            found.append(min(candidates, key=_images))
    return tuple(found)


def _images(spec: Spec) -> int:
    return int(spec["derived"]["steps"]) * int(spec["derived"]["batch_size"])


def _prepare(plan: Plan, by_id: dict[str, Spec], voice: Voice) -> Submission:
    """Writes everything that the jobs need, and last the record which says that they will be sent."""
    run_ids = [run_id for job in plan.jobs for run_id in job.run_ids]
    with voice.progress("Job scripts", len(plan.jobs)) as progress:
        texts = folders.scripts(plan.jobs, progress=progress)
    with voice.progress("Run folders", len(run_ids)) as progress:
        folders.create_runs(plan.study, [by_id[run_id] for run_id in run_ids], progress=progress)
    if plan.options.retry:
        for run_id in run_ids:
            RunDirectory(plan.study / run_id).clear_stop()
    submission = Submission(
        folder=plan.folder,
        token=plan.token,
        time=time.time(),
        user=user_name(),
        host=os.uname().nodename,
        scheduler=plan.machine.scheduler,
        profile=plan.machine.model_dump(mode="json"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        retry=plan.options.retry,
        max_failures=plan.options.max_failures,
        source=source_state(),
        jobs=tuple(job.job() for job in plan.jobs),
        pilot=plan.pilot,
    )
    try:
        folders.write_jobs(plan.folder, plan.study, plan.jobs, texts)
        folders.write_diff(plan.folder)
        submission.write()
    except BaseException:
        shutil.rmtree(plan.folder, ignore_errors=True)
        raise
    return submission
