"""Progress of a sweep: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from horovod_lb.runs.summary import Summary, duration, label

if TYPE_CHECKING:
    from rich.table import Table

# One run's epochs may be short: so many seconds at least between two of its lines.
LINE_SECONDS = 5.0


class Display(Protocol):
    """What the sweep tells its user. Entered for the time of the sweep."""

    def line(self, text: str) -> None:
        """Something happened that stays true: a run ended, a session was restarted."""

    def update(self, running: Sequence[Summary], footer: str) -> None:
        """What runs now, and the sweep as a whole in a few words."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display() -> Display:
    """The display that fits standard output."""
    return Live() if sys.stdout.isatty() else Plain(sys.stdout)


class Plain:
    """A line a finished run, and for each run a line an epoch, not more often than every `LINE_SECONDS`."""

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | None = out
        self._epochs: dict[str, int] = {}
        self._lines: dict[str, float] = {}

    def line(self, text: str) -> None:
        """See `Display`."""
        if self._out is None:
            return
        try:
            print(text, file=self._out, flush=True)
        except OSError:  # whoever read this is gone; the training is not
            _give_up(self._out)
            self._out = None

    def update(self, running: Sequence[Summary], footer: str) -> None:
        """See `Display`."""
        now = time.monotonic()
        for run in running:
            epoch = run.epoch or 0
            quiet = now - self._lines.setdefault(run.run_id, now)
            if epoch > self._epochs.get(run.run_id, 0) and quiet >= LINE_SECONDS:
                self._epochs[run.run_id], self._lines[run.run_id] = epoch, now
                words = [run.run_id[:8], label(run.point, run.seed), *progress(run), footer]
                self.line("  ".join(filter(None, words)))

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class Live:
    """A table of the runs that train now, drawn in place; what happened stays above it."""

    def __init__(self) -> None:
        from rich.live import Live as RichLive

        self._live = RichLive(auto_refresh=False, transient=True)

    def line(self, text: str) -> None:
        """See `Display`."""
        with _terminal_may_close():
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, running: Sequence[Summary], footer: str) -> None:
        """See `Display`."""
        with _terminal_may_close():
            self._live.update(_table(running, footer), refresh=True)

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _terminal_may_close():
            self._live.stop()


@contextmanager
def _terminal_may_close() -> Iterator[None]:
    """The runs still have to stop in order."""
    try:
        yield
    except OSError:
        _give_up(sys.stdout)


def _give_up(out: TextIO) -> None:
    """What is left in the buffer would fail again when Python ends, and make the exit status 120."""
    with suppress(OSError, ValueError):
        number, null = out.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def progress(run: Summary) -> tuple[str, str, str, str]:
    """Epoch, accuracy, speed and time left as texts, empty where they are not known."""
    of = f"/{run.epochs}" if run.epochs else ""
    return (
        f"epoch {run.epoch}{of}" if run.epoch is not None else "",
        f"accuracy {run.accuracy:.4f}" if run.accuracy is not None else "",
        f"{run.images_per_second:,.0f} images/s" if run.images_per_second is not None else "",
        f"{duration(run.seconds_left)} left" if run.seconds_left is not None else "",
    )


def _table(running: Sequence[Summary], footer: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, caption=Text(footer), caption_justify="left", pad_edge=False)
    for name in ("run", "point", "progress", "accuracy", "speed", "time"):
        table.add_column(name, justify="left" if name in ("run", "point") else "right")
    for run in running:
        cells = (run.run_id[:8], label(run.point, run.seed), *progress(run))
        table.add_row(*(Text(cell) for cell in cells))
    return table
