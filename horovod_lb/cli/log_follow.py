"""`hlb logs --follow`: on and on, also into the next life of a run that was requeued."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from horovod_lb.cli.log_source import Look, Source
from horovod_lb.cli.summaries import following
from horovod_lb.runs import RunDirectory, State

_POLL_SECONDS = 0.5
# A scheduler is asked no more often whether a run that has stopped goes on.
_ASK_SECONDS = 30.0


def print_log(path: Path, tail: int | None) -> int:
    """Prints a log, or its last `tail` lines; returns its length in bytes."""
    with path.open("rb") as file:
        data = file.read()
    lines = data.decode(errors="replace").splitlines(keepends=True)
    sys.stdout.writelines(lines if tail is None else lines[max(0, len(lines) - tail) :])
    sys.stdout.flush()
    return len(data)


def follow_run(run: RunDirectory, look: Look, shown: Source | None, length: int, *, once: bool) -> None:
    """Prints what is added to the log that `look` finds until the run ends for good, or with `once` its life.

    `shown` has been printed up to byte `length`. What happens between two lives goes to standard error.
    """
    number = run.life_number()
    ending = _Ending(run)
    while True:
        over = (once and run.life_number() != number) or ending.reached()
        source = look()
        if source is not None and source.path.is_file():
            if shown is not None and source.path != shown.path:
                _copy(shown.path, length)
            if shown is None or source.path != shown.path:
                _say(f"==> {source.name}")
                shown, length = source, 0
        if shown is not None:
            length = _copy(shown.path, length)
        if over:
            return
        time.sleep(_POLL_SECONDS)


def _copy(path: Path, length: int) -> int:
    """Prints what a log has beyond `length` bytes; returns how many it has now."""
    with path.open("rb") as file:
        file.seek(length)
        data = file.read()
    sys.stdout.write(data.decode(errors="replace"))
    sys.stdout.flush()
    return length + len(data)


class _Ending:
    """Finds out whether a run has ended for good, and says why it has to be waited for."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._asked: float | None = None
        self._waits = False
        self._said = ""

    def reached(self) -> bool:
        state = self._run.state()
        if state is State.RUNNING:
            self._asked = None
            return False
        if state.has_result:
            return True
        if self._asked is None or time.monotonic() - self._asked > _ASK_SECONDS:
            self._waits = self._goes_on()
            self._asked = time.monotonic()
        return not self._waits

    def _goes_on(self) -> bool:
        """Whether a batch job will go on with it, by the scheduler's word."""
        jobs = following(self._run.path.parent)
        if jobs is None or not jobs.sent(self._run.path.name):
            return False
        found = jobs.state(self._run.path.name)
        waits = found.state in (State.QUEUED, State.SUBMITTED, State.RUNNING)
        words = f"{found.state} in job {found.job}" if found.job and waits else str(found.state)
        reason = found.reason or jobs.problem
        said = f"{words} ({reason})" if reason else words
        if said != self._said:
            _say(f"==> {said}" + ("; waiting" if waits else ""))
            self._said = said
        return waits


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
