"""One submission of a study at a time: a lock file that outlives neither its holder nor its host."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from horovod_lb.batch.submission import FOLDER, user_name
from horovod_lb.errors import HlbError, RunDirectoryError
from horovod_lb.runs import life
from horovod_lb.runs.atomic import read_json, write_json

FILE = "lock"
WAIT = 30.0  # seconds that a second sender waits for the first
# A record that is not there yet may just be in the writing.
UNWRITTEN_SECONDS = 10.0
_POLL = 0.2


class LockedError(HlbError):
    """Another process holds the lock of the study."""


class StudyLock:
    """The right to send jobs of a study; a context manager.

    The file `submissions/lock` is made by one process only and names it. Whoever finds it asks whether that
    process is still there: on its own host it looks, and takes the lock of a dead holder at once; on another
    one the file must have been refreshed in the last `life.STALE_SECONDS`.

    Args:
        study: the study's folder.
        wait: seconds to wait for another holder.
        say: gets a sentence for people once when there is one.

    Raises:
        LockedError: (on entry) somebody else holds it and keeps it; (by `refresh`) it has been taken away.
        RunDirectoryError: the file cannot be written.
    """

    def __init__(self, study: Path, *, wait: float = WAIT, say: Callable[[str], None] | None = None) -> None:
        self.path = study / FOLDER / FILE
        self._wait = wait
        self._say = say
        self._record: dict[str, Any] = {}

    def __enter__(self) -> StudyLock:
        try:
            return self._enter()
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write {error.filename or self.path}: {error.strerror}; nothing was sent; free some "
                "space there, or take another folder with --runs"
            ) from error

    def _enter(self) -> StudyLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        now = {"token": secrets.token_hex(6), "time": time.time(), "user": user_name()}
        self._record = {**now, **life.describe_this_process()}
        deadline = time.monotonic() + self._wait
        said = False
        while (holder := _take(self.path, self._record)) is not None:
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{self.path.parent.parent}: {_who(holder)} is submitting runs of this study, and still "
                    "after a while; nothing was sent; try again when that is done"
                )
            if self._say is not None and not said:
                self._say(f"{_who(holder)} is submitting runs of this study; waiting for the end of that")
                said = True
            time.sleep(_POLL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine():
            self.path.unlink(missing_ok=True)

    def refresh(self) -> None:
        """A sign of life, for other hosts; call it at least every few minutes."""
        if not self._mine():
            raise LockedError(f"{self.path} was taken away; nothing more is sent")
        os.utime(self.path)

    def _mine(self) -> bool:
        return bool((read_json(self.path) or {}).get("token") == self._record["token"])


def _take(path: Path, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Takes the lock file `path` for the process of `record`. None: done; else what its holder wrote."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        pass
    else:
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(record, file)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        # Who stalled above for long has been held to be dead: then the file is another's now.
        return None if read_json(path) == record else {}
    holder = read_json(path) or {}
    if _alive(path, holder):
        return holder
    # Of all that see the dead holder one goes on: who holds the lock of taking over from just this one.
    guard = path.with_name(f"{path.name}.{holder.get('token', 'unwritten')}")
    other = _take(guard, record)
    if other is not None:
        return other
    try:
        if (read_json(path) or {}) != holder:
            return holder  # somebody else has taken over meanwhile: look again
        write_json(path, record)
        return None
    finally:
        guard.unlink(missing_ok=True)


def _alive(path: Path, holder: Mapping[str, Any]) -> bool:
    try:
        age = _now_there(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return True  # released just now: the next look takes it
    if not holder:
        return age < UNWRITTEN_SECONDS
    return life.is_alive(holder, time.time() - age)


def _now_there(folder: Path) -> float:
    """The time by the clock that stamps files in `folder`, a file server's perhaps."""
    probe = folder / f".now.{os.getpid()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        with suppress(FileNotFoundError):
            probe.unlink()


def _who(holder: Mapping[str, Any]) -> str:
    if not holder:
        return "somebody"
    return f"{holder.get('user')} (process {holder.get('pid')} on {holder.get('host')})"
