"""Rows of `hlb status`, on a terminal and in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from horovod_lb.runs import State
from horovod_lb.runs.summary import Summary, duration, label

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("run", "point", "state", "job", "epoch", "accuracy", "images/s", "left", "job left", "")
_OF_JOBS = ("job", "job left")
_RIGHT = COLUMNS[4:9]
_WHY_WIDTH = 90
_COLOURS = {
    State.RUNNING: "cyan",
    State.QUEUED: "blue",
    State.SUBMITTED: "blue",
    State.STOPPED: "magenta",
    State.COMPLETED: "green",
    State.DIVERGED: "yellow",
    State.FAILED: "red",
    State.LOST: "red",
    State.UNKNOWN: "bright_black",
    State.PLANNED: "bright_black",
    State.CANCELLED: "bright_black",
}
# What matters most comes first where not all fit.
_URGENCY = (
    State.RUNNING,
    State.UNKNOWN,
    State.LOST,
    State.FAILED,
    State.QUEUED,
    State.SUBMITTED,
    State.STOPPED,
    State.DIVERGED,
    State.PLANNED,
    State.CANCELLED,
    State.COMPLETED,
)


def counted(summaries: Sequence[Summary]) -> str:
    """`20 runs: 15 completed, 5 running`."""
    counts = Counter(str(summary.state) for summary in summaries)
    noun = "run" if len(summaries) == 1 else "runs"
    states = ", ".join(f"{number} {state}" for state, number in counts.most_common())
    return f"{len(summaries)} {noun}" + (f": {states}" if states else "")


def print_plain(summaries: Sequence[Summary]) -> None:
    """Aligned columns, a line a run."""
    columns = _columns(summaries)
    rows = [_cells(summary, columns) for summary in summaries]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = (
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def print_rich(summaries: Sequence[Summary]) -> None:
    """A table in colour."""
    from rich.console import Console

    Console().print(table(summaries))


def table(summaries: Sequence[Summary], most: int | None = None) -> Table:
    """A row a run; of more than `most` only those that matter most."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = _columns(summaries)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        if name == "":
            # One line a run: the whole text is in --json, and in the log.
            made.add_column(name, ratio=1, no_wrap=True, overflow="ellipsis", min_width=12)
        elif name == "point":
            made.add_column(name, overflow="fold", min_width=12)
        else:
            made.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
    for summary in _most_urgent(summaries, most):
        colour = _COLOURS.get(summary.state, "")
        styles = {"state": colour, "run": "bold", "": "bright_black" if colour != "red" else "red"}
        row = zip(columns, _cells(summary, columns), strict=True)
        made.add_row(*(Text(cell, style=styles.get(name, "")) for name, cell in row))
    return made


def why(summary: Summary) -> str:
    """Why a run stands where it does: the scheduler's reason, the last line of an error."""
    return ": ".join(filter(None, (summary.reason, summary.error)))


def _most_urgent(summaries: Sequence[Summary], most: int | None) -> Sequence[Summary]:
    if most is None or len(summaries) <= most:
        return summaries
    return sorted(summaries, key=lambda summary: _URGENCY.index(summary.state))[:most]


def _columns(summaries: Sequence[Summary]) -> tuple[str, ...]:
    """All, but those of jobs only where there are some."""
    sent = any(summary.job or summary.job_state or summary.reason for summary in summaries)
    return tuple(name for name in COLUMNS if sent or name not in _OF_JOBS)


def _cells(summary: Summary, columns: Sequence[str]) -> tuple[str, ...]:
    epoch = "" if summary.epoch is None else str(summary.epoch)
    if epoch and summary.epochs is not None:
        epoch += f"/{summary.epochs}"
    speed = summary.images_per_second
    cells = {
        "run": summary.run_id[:8],
        "point": label(summary.point, summary.seed),
        "state": str(summary.state),
        "job": summary.job or "",
        "epoch": epoch,
        "accuracy": "" if summary.accuracy is None else f"{summary.accuracy:.4f}",
        "images/s": "" if speed is None else f"{speed:,.0f}",
        "left": duration(summary.seconds_left),
        "job left": duration(summary.job_seconds_left),
        "": why(summary)[:_WHY_WIDTH],
    }
    return tuple(cells[name] for name in columns)
