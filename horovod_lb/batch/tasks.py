"""The runs of one batch job: which of them need work, how many steps at a time, when to stop."""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.batch import client, submission
from horovod_lb.batch.steps import Place, Step
from horovod_lb.errors import RequestError, RunDirectoryError, SchedulerError, SubmissionError
from horovod_lb.machines import Machine
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.life import JOB_VARIABLE, STALE_SECONDS, TASK_VARIABLE, same_job_earlier_task
from horovod_lb.runs.summary import label
from horovod_lb.schedulers import hosts, scheduler
from horovod_lb.schedulers.hosts import Slot

RESUME = 85
# What the job's next life can go on with; a damaged run folder (`unknown`) it cannot.
_GOES_ON = (State.STOPPED, State.LOST, State.PLANNED)
TICK_SECONDS = 0.5
# How often a run that seems alive elsewhere is looked at, and how long at most.
LOOK_SECONDS = 10.0
WAIT_SECONDS = STALE_SECONDS + 30
ASK_SECONDS = 20.0


class Task:
    """Works through `runs`; every run that needs it becomes a `Step`."""

    def __init__(
        self,
        runs: Sequence[RunDirectory],
        launcher: Sequence[str],
        *,
        ranks: int,
        stop: Path,
        side_by_side: int = 1,
        since: float | None = None,
        retry: bool = False,
        max_failures: int | None = None,
    ) -> None:
        self._runs = runs
        self._stop_file = stop
        self._since = time.time() if since is None else since
        self._retry = retry
        self._max_failures = max_failures
        self._began = time.monotonic()
        self._stopping = False
        self._free: list[Slot | None] = list(_slots(launcher, ranks, side_by_side))
        self._steps: list[Step] = []
        self._ends: dict[str, State] = {}
        self._told: set[str] = set()
        job = os.environ.get(JOB_VARIABLE, "")
        os.environ[TASK_VARIABLE] = token = secrets.token_hex(8)
        owner = f"job {job.partition(':')[2]}" if job else "batch task"
        self._place = Place(tuple(launcher), token, owner, stop.absolute().parent)

    def stop(self) -> None:
        """From a signal handler: as if the stop file were there."""
        self._stopping = True

    def work(self) -> int:
        """Works until everything is done or stopped; returns the task's exit status."""
        waiting = deque(self._runs)
        later: deque[RunDirectory] = deque()
        looked = time.monotonic()
        try:
            while waiting or later or self._steps:
                self._look_for_stop()
                self._settle()
                while waiting and self._free and self._may_begin():
                    self._begin(waiting.popleft(), later)
                if not self._may_begin():
                    waiting.clear()
                    later.clear()
                elif later and time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    waiting, later = later, deque()
                elif self._steps or later:
                    time.sleep(TICK_SECONDS)
        except BaseException:
            for step in self._steps:
                step.kill()
            raise
        return self._conclude()

    def _begin(self, run: RunDirectory, later: deque[RunDirectory]) -> None:
        """Starts the step of a run, unless it needs none, or not yet."""
        try:
            spec, state, over = run.read_spec(), run.state(), None
        except RunDirectoryError as error:
            self._end(run, State.UNKNOWN, str(error))
            return
        if state is State.RUNNING:
            if not self._over(run.life_record()):
                self._wait_for(run, later)
                return
            over = run.life_number()
        elif not self._needed(run, state):
            self._end(run, state, f"is {state} already")
            return
        run.clear_stop()
        self._say(run, f"life {run.life_number() + 1} begins: {label(spec['point'], spec['seed'])}")
        self._steps.append(Step(run, spec, self._place, self._free.pop(0), over))

    def _wait_for(self, run: RunDirectory, later: deque[RunDirectory]) -> None:
        """A life elsewhere that seems alive: its owner's death shows when its last sign is too old."""
        if time.monotonic() - self._began > WAIT_SECONDS:
            self._end(run, State.RUNNING, "is trained elsewhere")
            return
        if run.path.name not in self._told:
            self._told.add(run.path.name)
            record = run.life_record()
            self._say(run, f"is alive ({record.get('owner')} on {record.get('host')}): looking again later")
        later.append(run)

    def _over(self, life: Mapping[str, Any]) -> bool:
        """Whether a life that seems alive is known to be over: its job was requeued, or has ended."""
        if same_job_earlier_task(life):
            return True
        name, _, job = str(life.get("job") or "").partition(":")
        try:
            sent = submission.read(self._place.logs)
        except SubmissionError:
            return False
        if not job or sent is None or sent.scheduler != name:
            return False
        asked = scheduler(sent.scheduler)
        try:
            answer = client.run(
                asked.query([job.partition("_")[0]]),
                Machine.model_validate(sent.profile),
                timeout=ASK_SECONDS,
            )
            known = asked.parse_query(answer.stdout, answer.stderr)
        except SchedulerError as error:
            print(f"task: {error}", flush=True)
            return False
        # A job that the scheduler has forgotten is over, too.
        return all(status.state.over for status in known if str(status.ref) == job)

    def _needed(self, run: RunDirectory, state: State) -> bool:
        if run.cancel_requested():
            return False
        if state in (State.FAILED, State.CANCELLED):
            # What ended so in this submission is not tried again by a requeued job.
            return self._retry and float((run.read_exit() or {}).get("time", 0)) < self._since
        return not state.final

    def _settle(self) -> None:
        for step in [step for step in self._steps if step.over(stopping=self._stopping)]:
            self._steps.remove(step)
            self._free.append(step.slot)
            state = step.judge(stopping=self._stopping)
            self._end(step.run, state, "was cut off" if state is State.LOST else str(state))
            if state is State.FAILED:
                submission.note_failure(self._place.logs, step.run.path.name)

    def _look_for_stop(self) -> None:
        if not self._stopping and self._stop_file.exists():
            self._stopping = True
        if self._stopping:
            for step in self._steps:
                step.ask_to_stop()

    def _may_begin(self) -> bool:
        if self._stopping:
            return False
        if self._max_failures is None:
            return True
        return len(submission.failures(self._place.logs)) < self._max_failures

    def _conclude(self) -> int:
        ends = list(self._ends.values())
        left = [run for run in self._runs if run.path.name not in self._ends]
        if left and not self._stopping:
            print(f"task: {len(left)} runs not begun: {self._max_failures} have failed", flush=True)
            return 1
        if left or any(state in _GOES_ON for state in ends):
            print("task: not all runs have ended; they go on in the job's next life", flush=True)
            return RESUME
        return 0 if all(state.has_result or state is State.CANCELLED for state in ends) else 1

    def _end(self, run: RunDirectory, state: State, what: str) -> None:
        self._ends[run.path.name] = state
        error = (run.read_exit() or {}).get("error") if state is State.FAILED else None
        self._say(run, f"{what}: {error}" if error else what)

    def _say(self, run: RunDirectory, what: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} run {run.path.name[:8]} {what}", flush=True)


def _slots(launcher: Sequence[str], ranks: int, side_by_side: int) -> Sequence[Slot | None]:
    """Where steps run at a time: hosts for launchers that want to be told, else so many nameless places."""
    if not any("{hosts}" in word for word in launcher):
        return [None] * max(1, side_by_side)
    found = hosts.from_environment(os.environ)
    if found is None:
        raise RequestError("the scheduler's variables name no hosts: a task runs inside a batch job")
    return hosts.pack(found, ranks)[: max(1, side_by_side)]
