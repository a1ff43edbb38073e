"""The job table: a JSON file a job, replaced whole, under one lock.

What a job is to Slurm and to LSF alike. How it is stopped and requeued stands in it as data (`Policy`), put
there by the command that took it, so that the dispatcher knows neither scheduler.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PENDING, HELD, RUNNING, DONE, FAILED = "pending", "held", "running", "done", "failed"
OVER = (DONE, FAILED)


@dataclass
class Element:
    """A job, or one of an array. `index` is 0 without an array.

    life: how often it was started. cause: why it ended or waits: `limit owner node lost requeue`, or nothing.
    wish: what a command asks of the dispatcher: `["kill"]`, `["requeue"]`, `["fail"]`, `["hurry"]`,
    `["signal", "USR2"]`.
    earlier: how earlier lives ended, (cause, start, end). pid: its process session.
    paused: seconds in which its clock stood still. not_before: as a time.
    """

    index: int
    state: str = PENDING
    life: int = 0
    start: float | None = None
    finish: float | None = None
    eligible: float = 0.0
    hosts: list[str] = field(default_factory=list)
    exit_code: int | None = None
    cause: str = ""
    wish: list[str] = field(default_factory=list)
    earlier: list[list[Any]] = field(default_factory=list)
    pid: int | None = None
    paused: float = 0.0
    not_before: float = 0.0


@dataclass(frozen=True)
class Policy:
    """What happens to a job's processes, and when; times in minutes of the site's clock.

    warning: signal and how long before the limit. warn_group: all of the job's process group, else the shell
    alone. at_limit, on_kill, on_requeue: (signal, minutes after the occasion) each, in order.
    requeue_codes: exit statuses after which it starts over. rerunnable: it starts over after a node failure.
    direct: its output goes straight to the file; else it comes at the end, under a header. append: it is kept
    from one life to the next. delay: minutes before a requeued job may start.
    """

    warning: tuple[str, float] | None
    at_limit: tuple[tuple[str, float], ...]
    on_kill: tuple[tuple[str, float], ...]
    on_requeue: tuple[tuple[str, float], ...]
    warn_group: bool = True
    requeue_codes: tuple[int, ...] = ()
    rerunnable: bool = False
    direct: bool = False
    append: bool = True
    delay: float = 0.0


@dataclass
class Job:
    """A submitted job. minutes: its wall-time limit; minute: seconds that one lasts.

    slots: of a node in lists of hosts. after: a dependency as nested lists, see `dependency`.
    told: options as they were given.
    """

    id: int
    name: str
    user: str
    queue: str
    account: str
    nodes: int
    minutes: float | None
    minute: float
    command: list[str]
    directory: str
    output: str | None
    error: str | None
    submitted: float
    policy: Policy
    elements: list[Element]
    array: str | None = None
    throttle: int | None = None
    after: Any = None
    slots: int = 1
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """All of it is done or failed."""
        return all(element.state in OVER for element in self.elements)

    def seconds_run(self, element: Element) -> float:
        """How long this life runs or ran, by the site's clock."""
        if element.start is None:
            return 0.0
        run = (element.finish or time.time()) - element.start - element.paused
        return max(0.0, run) * 60 / self.minute

    def element(self, index: int) -> Element | None:
        """The element with this index."""
        return next((element for element in self.elements if element.index == index), None)

    def label(self, element: Element) -> str:
        """`12` or `12[3]`."""
        return f"{self.id}[{element.index}]" if self.array else str(self.id)


def job_of(record: dict[str, Any]) -> Job:
    """A job from its JSON."""
    policy = record.pop("policy")
    for key in ("at_limit", "on_kill", "on_requeue"):
        policy[key] = tuple((name, minutes) for name, minutes in policy[key])
    policy["warning"] = tuple(policy["warning"]) if policy["warning"] else None
    policy["requeue_codes"] = tuple(policy["requeue_codes"])
    elements = [Element(**element) for element in record.pop("elements")]
    return Job(**record, policy=Policy(**policy), elements=elements)


class Table:
    """The jobs in `<folder>/jobs/`. Whoever changes one holds the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs_folder = folder / "jobs"
        self._known: dict[str, tuple[tuple[int, int, int], Job]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the table."""
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def new_id(self) -> int:
        """The next job id."""
        counter = self.folder / "last_id"
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        _replace(counter, str(number))
        return number

    def write(self, job: Job) -> None:
        """Puts the job down."""
        _replace(self.jobs_folder / f"{job.id}.json", json.dumps(asdict(job)))

    def jobs(self) -> list[Job]:
        """All jobs, in the order of their ids; those whose files are unchanged are the same objects."""
        known = {}
        with os.scandir(self.jobs_folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(".json"):
                    continue
                stat = entry.stat()
                stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                found = self._known.get(entry.name)
                if found is None or found[0] != stamp:
                    found = (stamp, job_of(json.loads(Path(entry.path).read_bytes())))
                known[entry.name] = found
        self._known = known
        return sorted((job for _, job in known.values()), key=lambda job: job.id)

    def job(self, job_id: int) -> Job | None:
        """One job."""
        try:
            return job_of(json.loads((self.jobs_folder / f"{job_id}.json").read_bytes()))
        except FileNotFoundError:
            return None

    def spool(self, job_id: int) -> Path:
        """Where the script, environment and output of a job lie."""
        return self.jobs_folder / str(job_id)


def remembered(jobs: Sequence[Job], clean_minutes: float) -> list[Job]:
    """Those that a scheduler still knows: it forgets a job some time after it ended."""
    now = time.time()
    return [
        job
        for job in jobs
        if not job.over
        or now - max(element.finish or 0.0 for element in job.elements) < clean_minutes * job.minute
    ]


def _replace(path: Path, text: str) -> None:
    temporary = path.parent / f".{path.name}.{os.getpid()}"
    temporary.write_text(text)
    temporary.replace(path)
