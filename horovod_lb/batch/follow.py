"""Where the runs of a study stand: their files, and one batched question to each scheduler in use."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from horovod_lb.batch.asking import Answers
from horovod_lb.batch.submission import FILE, SENT, Job, Submission, failures, submissions
from horovod_lb.batch.verdict import Files, Followed, Known, Silence, verdict
from horovod_lb.errors import SubmissionError
from horovod_lb.runs import RunDirectory, State
from horovod_lb.runs.life import describe_this_process
from horovod_lb.schedulers.types import JobRef, JobStatus

__all__ = ["Followed", "Following", "Sent", "follow"]

# A scheduler may take so long to list a job that it has accepted.
LISTED_SECONDS = 60.0


def follow(
    study_folder: Path, *, ask: bool = True, answers: Answers | None = None, every_job: bool = False
) -> Following:
    """Reads what was sent for the study in `study_folder` and where its runs stand.

    `ask` the schedulers, once, for the jobs of runs that have no final exit record (`every_job`: for all
    jobs), or take earlier `answers` for it. A scheduler that does not answer is no error: see
    `Following.problem`.
    """
    damaged: list[SubmissionError] = []
    following = Following(study_folder, submissions(study_folder, damaged.append), answers, damaged)
    if ask and answers is None:
        following.ask(every_job=every_job)
    return following


@dataclass(frozen=True)
class Sent:
    """A run in a link of a job: the run at `position` of the job's listing."""

    submission: Submission
    job: Job
    link: int
    position: int

    @property
    def index(self) -> int | None:
        """The element of the array that works on the run."""
        return self.job.index_of(self.position)

    @property
    def packed(self) -> bool:
        """The job, or the element, works on other runs as well."""
        return min(self.job.pack, len(self.job.runs)) > 1


class Following:
    """What is known of a study's runs.

    `answers`: what schedulers said; None when nobody was asked. `damaged`: submissions that cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        sent: list[Submission],
        answers: Answers | None = None,
        damaged: Sequence[SubmissionError] = (),
    ) -> None:
        self.folder = folder
        self.submissions = sent
        self.answers = answers
        self.damaged = damaged
        self._files: dict[str, Files] = {}
        self._breakers: dict[str, str] = {}
        self._new: dict[str, bool] = {}
        self._place = describe_this_process()["place"]

    @property
    def problem(self) -> str | None:
        """What a scheduler that did not answer said, or is damaged, for people; None where all is well."""
        said = [*map(str, self.damaged), *(self.answers.problems if self.answers else ())]
        return "; ".join(said) or None

    @property
    def unsure(self) -> bool:
        """Whether there may be jobs of which nothing is known."""
        return bool(self.damaged or (self.answers and self.answers.silent))

    def state(self, run_id: str) -> Followed:
        """Where a run stands; of a run that was never sent its files alone tell."""
        return verdict(self.files(run_id), [self._known(sent) for sent in self.sent(run_id)])

    def sent(self, run_id: str) -> list[Sent]:
        """The jobs that a run was sent in: of its newest submission first, the links of a chain in order."""
        return self._sent.get(run_id, [])

    def ref(self, sent: Sent) -> JobRef | None:
        """The job, or the element of its array; None where its id is not known."""
        job_id = sent.job.links[sent.link].job_id or self._adopted.get(
            (sent.submission.scheduler, sent.job.name, sent.link)
        )
        return None if job_id is None else JobRef(job_id, sent.index)

    def status(self, sent: Sent) -> JobStatus | Silence:
        """What its scheduler says of a job, or why that is not known."""
        answers, name = self.answers, sent.submission.scheduler
        if answers is None:
            return Silence.NOT_ASKED
        if name in answers.silent:
            return Silence.NO_ANSWER
        ref = self.ref(sent)
        status = answers.status(name, ref) if ref else None
        if status is not None and _is_called(status.name, sent.job.name):
            return status
        if status is not None:
            return Silence.FORGOTTEN  # the id is another job's by now: LSF begins again after 999,999
        unasked = ref is not None and (name, ref.job_id) not in answers.asked
        return Silence.NOT_YET if unasked or self._is_new(sent.submission) else Silence.FORGOTTEN

    def job_logs(self, run_id: str) -> Iterator[Path]:
        """The logs of a run's jobs that are there, the newest job's first."""
        for sent in sorted(self.sent(run_id), key=lambda one: (-one.submission.time, -one.link)):
            ref = self.ref(sent)
            if ref is not None and (path := sent.submission.folder / f"{ref}.log").is_file():
                yield path

    def launcher_log(self, run_id: str) -> Path | None:
        """What the launcher of a run's ranks said last; None where it has not begun."""
        paths = (sent.submission.folder / f"{run_id}.log" for sent in self.sent(run_id))
        return next((path for path in paths if path.is_file()), None)

    def ask(self, *, every_job: bool = False) -> None:
        """Asks each scheduler once for the jobs that matter, and its records for those it has forgotten."""
        asked = {run_id: self._matters(run_id, every_job) for run_id in self._sent}
        ids: dict[str, set[str]] = defaultdict(set)
        names: dict[str, set[str]] = defaultdict(set)
        for jobs in asked.values():
            for sent in jobs:
                name, job_id = sent.submission.scheduler, sent.job.links[sent.link].job_id
                ids[name].update([job_id] if job_id else ())
                names[name].update([] if job_id else [sent.job.name])
        answers = Answers()
        for name in sorted(ids):
            # One question: by the names of all jobs, where the id of one is not known.
            every = {sent.job.name for sent in _of(name, asked)} if names[name] else ()
            answers.query(name, ids[name], every)
        self.answers = answers
        self.__dict__.pop("_adopted", None)
        for name, forgotten in self._forgotten(asked).items():
            answers.history(name, forgotten)
        # What was read before the answer may be older than it.
        self._files = {run_id: files for run_id, files in self._files.items() if files.state.has_result}

    def _matters(self, run_id: str, every_job: bool) -> list[Sent]:
        """The jobs that have a say in where a run stands."""
        files = self.files(run_id)
        if every_job:
            return self.sent(run_id)
        if files.state.has_result:
            return []
        if files.state.final and files.ended is not None:
            return [sent for sent in self.sent(run_id) if sent.submission.time > files.ended]
        return self.sent(run_id)

    def _forgotten(self, asked: Mapping[str, list[Sent]]) -> dict[str, set[str]]:
        """Jobs by scheduler of which the query knew nothing, and that decide over a run."""
        found: dict[str, set[str]] = defaultdict(set)
        for run_id, jobs in asked.items():
            heard = [self.status(sent) for sent in jobs]
            if any(isinstance(one, JobStatus) and not one.state.over for one in heard):
                continue
            own = self.files(run_id).job
            for sent, one in zip(jobs, heard, strict=True):
                ref = self.ref(sent)
                decides = sent.submission is jobs[0].submission or f"{sent.submission.scheduler}:{ref}" == own
                if one in (Silence.FORGOTTEN, Silence.NOT_YET) and ref is not None and decides:
                    found[sent.submission.scheduler].add(ref.job_id)
        return found

    @cached_property
    def _sent(self) -> dict[str, list[Sent]]:
        found: dict[str, list[Sent]] = defaultdict(list)
        for submission in reversed(self.submissions):
            for job in submission.jobs:
                for position, run_id in enumerate(job.runs):
                    found[run_id] += [Sent(submission, job, link, position) for link in range(len(job.links))]
        return dict(found)

    @cached_property
    def _adopted(self) -> dict[tuple[str, str, int], str]:
        """Ids, found by the job's name, of links whose id was never written down."""
        found: dict[tuple[str, str, int], str] = {}
        named = self.answers.named if self.answers else {}
        for submission in self.submissions if named else ():
            for job in submission.jobs:
                known = {link.job_id for link in job.links}
                listed = {one.ref.job_id for one in named.get((submission.scheduler, job.name), ())}
                free = sorted(listed - known, key=lambda job_id: (len(job_id), job_id))
                lacking = [number for number, link in enumerate(job.links) if link.job_id is None]
                for number, job_id in zip(lacking, free, strict=False):
                    found[submission.scheduler, job.name, number] = job_id
        return found

    def _known(self, sent: Sent) -> Known:
        return Known(
            scheduler=sent.submission.scheduler,
            ref=self.ref(sent),
            packed=sent.packed,
            sent=sent.submission.time,
            heard=self.status(sent),
            answered=self.answers.time if self.answers else 0.0,
            breaker=self._breaker(sent.submission),
        )

    def _is_new(self, submission: Submission) -> bool:
        """Whether something was sent just now, so that the scheduler need not list it yet."""
        if submission.token not in self._new:
            written = submission.time
            for name in (SENT, FILE):
                with suppress(OSError):
                    written = max(written, (submission.folder / name).stat().st_mtime)
            self._new[submission.token] = time.time() - written < LISTED_SECONDS
        return self._new[submission.token]

    def _breaker(self, submission: Submission) -> str:
        """Why no further run of a submission begins; empty while they do."""
        limit = submission.max_failures
        if limit is None:
            return ""
        if submission.token not in self._breakers:
            failed = len(failures(submission.folder))
            runs = "1 run" if failed == 1 else f"{failed} runs"
            said = f"not begun: {runs} failed (--max-failures {limit})"
            self._breakers[submission.token] = said if failed >= limit else ""
        return self._breakers[submission.token]

    def files(self, run_id: str) -> Files:
        """What the files of a run say, read once."""
        if run_id not in self._files:
            self._files[run_id] = self._read(RunDirectory(self.folder / run_id))
        return self._files[run_id]

    def _read(self, run: RunDirectory) -> Files:
        state = run.state()
        if state is State.PLANNED or not run.life_number():
            return Files(state)
        record = run.life_record()
        end = run.read_exit() or {}
        beat = run.read_heartbeat() or {} if not end else {}
        began = float(record.get("time", 0.0))
        sign = float(beat["time"]) if beat.get("life") == record.get("life") else began
        asked = ""
        if state is State.RUNNING and run.stop_requested():
            asked = "cancel" if run.cancel_requested() else "stop"
        return Files(
            state=state,
            began=began,
            job=record.get("job"),
            elsewhere=record.get("place") != self._place,
            quiet=max(0.0, time.time() - sign),
            ended=end.get("time"),
            asked=asked,
        )


def _is_called(listed: str, name: str) -> bool:
    """Whether a scheduler's word for a job's name, perhaps none or cut in front by LSF, is `name`."""
    return listed in ("", name) or (listed.startswith("*") and name.endswith(listed[1:]))


def _of(name: str, asked: Mapping[str, list[Sent]]) -> Iterator[Sent]:
    """The jobs of the scheduler `name`."""
    return (sent for jobs in asked.values() for sent in jobs if sent.submission.scheduler == name)
