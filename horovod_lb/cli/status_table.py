"""Rows of `hlb status`, on a terminal and in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from horovod_lb.runs import State
from horovod_lb.runs.summary import Summary, duration, label

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("run", "point", "state", "job", "epoch", "accuracy", "images/s", "left", "job left", "")
_OF_JOBS = ("job", "job left")
_RIGHT = COLUMNS[4:9]
_WHY_WIDTH = 90
# On a narrow terminal these go, in this order, before a reason or a point has less than so many characters.
_DISPENSABLE = ("images/s", "job left", "left", "job", "accuracy")
_LEAST_WHY = 24
_LEAST_POINT = 16
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

    console = Console()
    console.print(table(summaries, console.width))


def table(summaries: Sequence[Summary], width: int, most: int | None = None) -> Table:
    """A row a run, `width` characters wide; of more than `most` runs only those that matter most."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = _most_urgent(summaries, most)
    columns = _columns(summaries)
    widths = _fitting(shown, columns, width)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, wide in widths.items():
        align: Literal["left", "right"] = "right" if name in _RIGHT else "left"
        # A line a run, but for long points: the whole of a reason is in --json, and in the log.
        fold: Literal["fold", "ellipsis"] = "fold" if name == "point" else "ellipsis"
        made.add_column(name, justify=align, width=wide, no_wrap=name != "point", overflow=fold)
    for summary in shown:
        colour = _COLOURS.get(summary.state, "")
        styles = {"state": colour, "run": "bold", "": "red" if colour == "red" else "bright_black"}
        cells = dict(zip(columns, _cells(summary, columns), strict=True))
        made.add_row(*(Text(cells[name], style=styles.get(name, "")) for name in widths))
    return made


def _fitting(summaries: Sequence[Summary], columns: Sequence[str], width: int) -> dict[str, int]:
    """The columns that fit, with their widths; the reasons take what is left."""
    rows = [columns, *(_cells(summary, columns) for summary in summaries)]
    widths = {
        name: max(map(len, column)) for name, column in zip(columns, zip(*rows, strict=True), strict=True)
    }
    wanted = widths.pop("")
    gap = 3
    for name in (*_DISPENSABLE, None):
        left = width - sum(widths.values()) - gap * len(widths)
        if left >= min(wanted, _LEAST_WHY) or name is None:
            break
        widths.pop(name, None)
    if left < min(wanted, _LEAST_WHY):
        narrow = max(_LEAST_POINT, widths["point"] + left - min(wanted, _LEAST_WHY))
        left += widths["point"] - narrow
        widths["point"] = narrow
    return {**widths, "": min(wanted, left)} if wanted and left > 0 else widths


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
