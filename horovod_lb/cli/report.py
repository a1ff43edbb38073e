"""`hlb report`: tables, curves and figures as one HTML file, once or while runs go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from horovod_lb.cli.collect import AllowDirty, Out, Runs, Set, Target, Where, write_tables
from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    from horovod_lb.analysis import Results
    from horovod_lb.analysis.report import Page

NoFigures = Annotated[
    bool, typer.Option("--no-figures", help="Leave out the static figures, which take most of the time.")
]
Refresh = Annotated[
    bool, typer.Option("--live", help="Write it again while runs go on, until all have ended.")
]
Every = Annotated[
    int | None, typer.Option(min=1, metavar="SECONDS", help="With --live: how often to look. Default: 30.")
]
Gather: TypeAlias = "Callable[[], tuple[Results, Path]]"

INTERRUPTED = 130


def report(
    target: Target,
    runs: Runs = None,
    out: Out = None,
    set_: Set = None,
    where: Where = None,
    allow_dirty: AllowDirty = False,
    no_figures: NoFigures = False,
    live: Refresh = False,
    every: Every = None,
) -> None:
    """Collect the runs, draw the figures, and write everything into one HTML file that works offline.

    A folder with tables that `hlb collect` has written does, too, with what tables hold. With --live an open
    page follows by itself; Ctrl-C ends that, the runs go on.
    """
    from horovod_lb.analysis.written import holds_tables

    if every is not None and not live:
        raise RequestError("--every says how often --live looks; without --live the report is written once")
    folder = Path(target)
    if holds_tables(folder):
        if runs or set_ or where or live:
            raise RequestError(
                f"{target} holds tables, no runs: --runs, --set, --where and --live go with runs"
            )
        _write_once(lambda: _read_tables(folder, out), no_figures)
        return

    def gather() -> tuple[Results, Path]:
        return write_tables(target, runs, out, set_, where, allow_dirty=allow_dirty)

    if live:
        _follow(gather, no_figures, every or 30)
    else:
        _write_once(gather, no_figures)


def _write_once(gather: Gather, no_figures: bool) -> None:
    results, folder = gather()
    path = _prepare(results, folder, no_figures).write()
    for note in results.notes():
        print(note)
    print(f"Report: {path}")


def _follow(gather: Gather, no_figures: bool, every: int) -> None:
    """Writes the report whenever the runs have got further, a line a look, until all have ended.

    What is left at the end is a report that no longer looks for a newer one.
    """
    from horovod_lb.analysis.report import Live

    page: Page | None = None
    before = None
    try:
        while True:
            began = time.monotonic()
            results, folder = gather()
            now = [(run.run_id, run.state, len(run.epochs), len(run.lives)) for run in results.records]
            changed = now != before
            if changed or page is None:
                page, before = _prepare(results, folder, no_figures), now
                page.write(Live(every, time.strftime("%Y-%m-%d %H:%M:%S")))
            what = f"Report: {folder / 'report.html'}" if changed else "nothing new"
            print(f"{time.strftime('%H:%M:%S')}  {results.notes()[0]} {what}", flush=True)
            if all(run.state.final for run in results.records):
                page.write()
                return
            # Looking must not become the machine's main work.
            time.sleep(max(every, 3 * (time.monotonic() - began)))
    except KeyboardInterrupt:
        if page is not None:
            page.write()
        raise typer.Exit(INTERRUPTED) from None


def _prepare(results: Results, folder: Path, no_figures: bool) -> Page:
    from horovod_lb.analysis.report import prepare

    with nullcontext() if no_figures else _waiting():
        return prepare(results, folder, with_figures=not no_figures)


def _read_tables(folder: Path, out: Path | None) -> tuple[Results, Path]:
    from horovod_lb.analysis import results_from_tables

    results = results_from_tables(folder)
    if out:
        results.write(out)
    return results, out or folder


@contextmanager
def _waiting() -> Iterator[None]:
    """Says on a terminal that figures are being drawn, which takes seconds.

    No spinner: figures are written by forked processes, and a fork copies no thread.
    """
    if not sys.stderr.isatty():
        yield
        return
    print("Drawing figures ...", end="", file=sys.stderr, flush=True)
    yield
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
