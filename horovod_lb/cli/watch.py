"""`hlb status --watch`: the same again and again, until nothing runs or waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

from horovod_lb.cli.status_table import counted, table, why
from horovod_lb.cli.summaries import active, following, read
from horovod_lb.runs.summary import Summary, label

# However often the files are read, a scheduler is asked no more than every so many seconds.
ASK_SECONDS = 30.0
# A sweep on this machine takes a moment from one run to the next.
QUIET_SECONDS = 15.0
INTERRUPTED = 130


Look = tuple[list[Summary], str | None]


def watch_study(folder: Path, where: str | None, every: float) -> Look:
    """Shows the runs in `folder` every `every` seconds while some run or wait; returns the last look.

    Ctrl-C exits with 130.
    """
    try:
        found = looks(folder, where, every)
        return _draw(found) if sys.stdout.isatty() else _tell(found)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def looks(folder: Path, where: str | None, every: float) -> Iterator[Look]:
    """The runs and the schedulers' problem, until nothing has run or waited for a while, or all is done."""
    jobs, asked, busy = following(folder), time.monotonic(), None
    while True:
        began = time.monotonic()
        if jobs is None or began - asked >= ASK_SECONDS:
            jobs, asked = following(folder), time.monotonic()
        else:
            jobs = following(folder, jobs.answers)
        summaries = read(folder, where, jobs)
        if any(map(active, summaries)):
            busy = time.monotonic()
        unfinished = any(not summary.state.final for summary in summaries)
        last = busy is None or (time.monotonic() - busy > (QUIET_SECONDS if unfinished else 0))
        yield summaries, jobs.problem if jobs else None
        if last:
            return
        # Looking must not become the machine's main work.
        time.sleep(max(every, 3 * (time.monotonic() - began)))


def _draw(found: Iterator[Look]) -> Look:
    """A table in place, as much of it as the terminal holds."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    summaries: list[Summary] = []
    problem = None
    with Live(auto_refresh=False, transient=True) as live, suppress(OSError):
        for summaries, problem in found:
            room = max(1, live.console.height - 7)
            foot = [counted(summaries), time.strftime("%H:%M:%S") + ", Ctrl-C leaves the runs alone"]
            if len(summaries) > room:
                foot.insert(0, f"{len(summaries) - room} more not shown")
            warning = [Text(problem, style="yellow")] if problem else []
            live.update(
                Group(table(summaries, live.console.width, room), Text("; ".join(foot)), *warning),
                refresh=True,
            )
    return summaries, problem


def _tell(found: Iterator[Look]) -> Look:
    """A line a change of state."""
    before: dict[str, str] = {}
    said: str | None = None
    summaries: list[Summary] = []
    for summaries, problem in found:
        changed = [one for one in summaries if before.get(one.run_id) != str(one.state)]
        if not before:
            print(f"{_now()}  {counted(summaries)}", flush=True)
        else:
            for one in changed:
                words = [one.run_id[:8], label(one.point, one.seed), _change(before.get(one.run_id), one)]
                print("  ".join(filter(None, [_now(), *words, why(one)])), flush=True)
            if changed:
                print(f"{_now()}  {counted(summaries)}", flush=True)
        if problem and problem != said:
            print(f"hlb: {problem}", file=sys.stderr, flush=True)
        said, before = problem, {one.run_id: str(one.state) for one in summaries}
    return summaries, said


def _change(before: str | None, now: Summary) -> str:
    words = f"{before} -> {now.state}" if before else str(now.state)
    return f"{words} in job {now.job}" if now.job and active(now) else words


def _now() -> str:
    return time.strftime("%H:%M:%S")
