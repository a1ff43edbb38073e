"""`hlb report`: tables and figures as one HTML file."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from horovod_lb.cli.collect import Out, Runs, Set, Target, Where, write_tables


def report(target: Target, runs: Runs = None, out: Out = None, set_: Set = None, where: Where = None) -> None:
    """Collect the runs, draw the figures, and write everything into one HTML file that works offline."""
    from horovod_lb.analysis.report import write_report

    results, folder = write_tables(target, runs, out, set_, where)
    with _waiting():
        path = write_report(results, folder)
    for note in results.notes():
        print(note)
    print(f"Report: {path}")


def _waiting() -> AbstractContextManager[object]:
    """Says on a terminal that figures are being drawn, which takes seconds."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status("Drawing figures")
