"""What was sent to a scheduler: one folder a submission, and which job has which run."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from horovod_lb.errors import SubmissionError
from horovod_lb.runs.atomic import append_line, read_json, read_lines, write_json
from horovod_lb.schedulers.types import JobRef

SCHEMA = 1
FOLDER = "submissions"
FILE = "submission.json"
SENT = "sent.jsonl"  # a line a job that the scheduler took: {job, link, job_id, after}


@dataclass(frozen=True)
class Link:
    """One job of a chain: `job_id` once the scheduler gave it, `after` the id of the link before it."""

    job_id: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Job:
    """A script that was or will be sent, once or as the links of a chain.

    name: the job's name, unique: it begins with the study's name and the submission's token. script, listing:
    files in the submission's folder. runs: the run ids of the listing, in order. pack: how many of them one
    job, or one element of its array, works through. array: first and last index, or None. minutes, nodes:
    what each link asks for.
    """

    name: str
    script: str
    listing: str
    runs: tuple[str, ...]
    pack: int
    array: tuple[int, int] | None
    nodes: int
    minutes: int
    links: tuple[Link, ...]
    ranks: int = 0

    @property
    def elements(self) -> int:
        """Jobs that a link counts as in the queue: elements of its array, or 1."""
        return 1 if self.array is None else self.array[1] - self.array[0] + 1

    def index_of(self, position: int) -> int | None:
        """The array index that works on the run at `position` of the listing; None without an array."""
        return None if self.array is None else self.array[0] + position // self.pack

    def refs(self) -> Iterator[tuple[str, list[JobRef]]]:
        """Each run id with its jobs, a link each, those that have been sent."""
        ids = [link.job_id for link in self.links if link.job_id is not None]
        for position, run_id in enumerate(self.runs):
            yield run_id, [JobRef(job_id, self.index_of(position)) for job_id in ids]


@dataclass(frozen=True)
class Submission:
    """A call of `hlb submit`: `token` is unique, `profile` the machine profile as it was in force.

    pilot: its runs were sent to learn how fast they are. source: see `runs.provenance.source_state`.
    """

    folder: Path
    token: str
    time: float
    user: str
    host: str
    scheduler: str
    profile: Mapping[str, Any]
    command: str
    retry: bool
    max_failures: int | None
    source: Mapping[str, Any] | None
    jobs: tuple[Job, ...]
    pilot: bool = False

    @property
    def machine(self) -> str:
        """The name of its machine profile."""
        return str(self.profile["name"])

    @property
    def unsent(self) -> list[tuple[int, int]]:
        """Numbers of job and link where no id was written down, in the order of sending."""
        return [
            (job, link)
            for job, about in enumerate(self.jobs)
            for link, one in enumerate(about.links)
            if one.job_id is None
        ]

    def write(self) -> None:
        """Replaces `submission.json`."""
        record = {key: value for key, value in asdict(self).items() if key != "folder"}
        write_json(self.folder / FILE, {"schema": SCHEMA, **record})

    def with_link(self, job: int, link: int, sent: Link) -> Submission:
        """Itself with a link of one of its jobs replaced, written to disk as a line of `sent.jsonl`."""
        line = {"job": job, "link": link, **asdict(sent)}
        append_line(self.folder / SENT, json.dumps(line))
        return self._replaced(job, link, sent)

    def without_unsent(self) -> Submission:
        """Itself without the links that were never sent, written to disk."""
        jobs = (
            replace(job, links=tuple(link for link in job.links if link.job_id is not None))
            for job in self.jobs
        )
        changed = replace(self, jobs=tuple(jobs))
        changed.write()
        return changed

    def _replaced(self, job: int, link: int, sent: Link) -> Submission:
        links = list(self.jobs[job].links)
        links[link] = sent
        jobs = list(self.jobs)
        jobs[job] = replace(jobs[job], links=tuple(links))
        return replace(self, jobs=tuple(jobs))


def user_name() -> str:
    """Who runs this process; its number where it has no name here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def name_folder(study: Path) -> tuple[Path, str]:
    """The folder of a new submission in a study's folder, which is not made yet, and its token."""
    token = secrets.token_hex(3)
    return study / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{token}", token


def new_folder(study: Path) -> tuple[Path, str]:
    """Makes the folder of a new submission in a study's folder; returns it and its token."""
    while True:
        folder, token = name_folder(study)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder, token


def read(folder: Path) -> Submission | None:
    """The submission in `folder`; None where nothing was sent: its record is written before the first job.

    SubmissionError: the record is there and damaged, or of another version of horovod_lb.
    """
    record = read_json(folder / FILE)
    if record is None and not (folder / FILE).exists():
        return None
    try:
        return _read(folder, record)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise SubmissionError(
            f"{folder}: {FILE} or {SENT} is damaged, or of another version of horovod_lb: what was sent is "
            "not known; when none of its jobs waits or runs any more (their names hold "
            f"{folder.name.rpartition('-')[2]}), move the folder away"
        ) from None


def _read(folder: Path, record: dict[str, Any] | None) -> Submission:
    if record is None or record.pop("schema") != SCHEMA:
        raise ValueError
    jobs = tuple(
        Job(
            **{
                **job,
                "runs": tuple(job["runs"]),
                "array": tuple(job["array"]) if job["array"] else None,
                "links": tuple(Link(**link) for link in job["links"]),
            }
        )
        for job in record.pop("jobs")
    )
    return _with_sent(Submission(folder=folder, jobs=jobs, **record))


def _with_sent(submission: Submission) -> Submission:
    """The submission with the ids of `sent.jsonl`."""
    jobs = list(submission.jobs)
    for line in read_lines(submission.folder / SENT):
        sent = json.loads(line)
        job, link = sent.pop("job"), sent.pop("link")
        links = list(jobs[job].links)
        links[link] = Link(**sent)
        jobs[job] = replace(jobs[job], links=tuple(links))
    return replace(submission, jobs=tuple(jobs))


def submissions(study: Path, damaged: Callable[[SubmissionError], None] | None = None) -> list[Submission]:
    """All submissions of a study's folder, oldest first.

    SubmissionError: one is damaged; with `damaged`, that hears of it and the others are returned.
    """
    try:
        with os.scandir(study / FOLDER) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for name in names:
        try:
            found.append(read(study / FOLDER / name))
        except SubmissionError as error:
            if damaged is None:
                raise
            damaged(error)
    return sorted((one for one in found if one is not None), key=lambda one: one.time)


def note_failure(folder: Path, run_id: str) -> None:
    """Counts a run that failed against the submission's `max_failures`."""
    (folder / "failed").mkdir(exist_ok=True)
    (folder / "failed" / run_id).touch()


def failures(folder: Path) -> set[str]:
    """The runs that failed in a submission."""
    try:
        return {path.name for path in (folder / "failed").iterdir()}
    except FileNotFoundError:
        return set()
