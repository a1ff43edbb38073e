"""Scaling: throughput and its efficiency by number of workers, and what the time of a step goes into."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from textwrap import fill
from typing import TYPE_CHECKING, Any

from horovod_lb.analysis.figures import lines
from horovod_lb.analysis.figures.along import COLUMN, PANEL
from horovod_lb.analysis.figures.by_batch import GUIDE, group_name
from horovod_lb.analysis.figures.choices import chosen
from horovod_lb.analysis.figures.drawn import Drawn, Kind
from horovod_lb.analysis.figures.finals import INTERVAL, counts
from horovod_lb.analysis.figures.panels import Section, add_legend, legend_size, panels
from horovod_lb.analysis.figures.style import MARKERS, palette, styled
from horovod_lb.analysis.figures.ticks import scale, set_even, set_log, set_x
from horovod_lb.analysis.points import BATCH_AXES
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.statistics import summarize
from horovod_lb.analysis.table import sort_key
from horovod_lb.analysis.wide import label
from horovod_lb.runs import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPLIT_AXES = ("recipe.groups", "groups", "workers", "gpus", "nodes", *BATCH_AXES)
_MUCH = 0.6
_PARTS = ("computation", "all-reduce", "waiting for input")


@dataclass(frozen=True)
class Trained:
    """A converged run: its number of ranks, whether each had a GPU, its global batch size, its row of
    `runs.csv`, and its values on the axes that have nothing to do with scaling.
    """

    ranks: int
    gpus: bool
    batch_size: int
    row: Mapping[str, Any]
    group: Mapping[str, Any]


def throughput(results: Results, *, weak: bool) -> Drawn | None:
    """Images a second by number of workers with the ideal line, and the efficiency: throughput a worker over
    that of the fewest workers.

    Strong scaling: series of one global batch size. `weak`: of one batch size a worker. None where no series
    has two numbers of workers, or where those of the other kind are much longer: a study of strong scaling
    has some pairs with one batch size a worker by chance.
    """
    trained = _trained(results)
    series, other = _series(trained, weak), _series(trained, not weak)
    if _longest(series) < max(2, _MUCH * _longest(other)):
        return None
    word = (
        "GPU"
        if all(run.gpus for one in series.values() for runs in one.values() for run in runs)
        else "worker"
    )
    names = [_name(key, weak, word, len({sort_key(group) for _, group in series}) > 1) for key in series]
    colors = palette(len(series))
    entries = [
        (name, {"color": color, "marker": marker})
        for name, color, marker in zip(names, colors, cycle(MARKERS), strict=False)
    ]
    title = f"batch size a {word}" if weak else "global batch size"
    sections = [Section(title, entries)]
    further = [("ideal", {**GUIDE, "linestyle": (0, (5, 2))})]
    across = scale(sorted({ranks for one in series.values() for ranks in one}), batch=True)
    beside, tall = legend_size(sections, further)
    width = min(PANEL, (chosen().inches - beside) / 2) if chosen().width == "page" else COLUMN
    with styled():
        figure, (speed, efficiency) = panels(
            ["", ""], width=width, height=max(2.4, tall), beside=beside, columns=2 if width < COLUMN else 1
        )
        set_log(speed, "y")
        for one, color, marker in zip(series.values(), colors, cycle(MARKERS), strict=False):
            _lines(speed, efficiency, one, across.at, color, marker)
        efficiency.axhline(100, linestyle=(0, (5, 2)), **GUIDE)
        efficiency.set_ylim(0, max(110.0, 1.05 * efficiency.get_ylim()[1]))
        set_even(efficiency)
        for axes, text in ((speed, "throughput (images/s)"), (efficiency, "efficiency (%)")):
            set_x(axes, across, width - 0.6)
            axes.set_xlabel(f"{word}s")
            axes.set_ylabel(text)
        add_legend(figure, sections, further)
    kind = "weak" if weak else "strong"
    n = counts([len(runs) for one in series.values() for runs in one.values()])
    caption = (
        f"{kind.capitalize()} scaling: training throughput by number of {word}s, means over runs ({n}), "
        f"{INTERVAL}; efficiency is throughput a {word} over that of the fewest {word}s."
    )
    return Drawn(f"throughput_{kind}", caption, figure, len(series))


def time_shares(results: Results) -> Drawn | None:
    """What share of the training time is computation, waiting for gradients of other ranks, and waiting for
    input (docs/tables.md), a bar a number of workers and batch size. None where no run has measured it.
    """
    bars: dict[Any, list[Trained]] = {}
    for run in _trained(results):
        if _shares(run.row):
            key = (sort_key(run.group.values()), run.ranks, run.batch_size)
            bars.setdefault(key, []).append(run)
    if not bars:
        return None
    rows = [bars[key] for key in sorted(bars)]
    several = len({key[0] for key in bars}) > 1
    labels = [fill(_bar_name(runs[0], several), 36 if chosen().width == "page" else 22) for runs in rows]
    most_lines = max(name.count("\n") + 1 for name in labels)
    colors = palette(len(_PARTS))
    entries: list[tuple[str, dict[str, Any]]] = [
        (part, {"color": color, "marker": "s", "markersize": 7, "linestyle": "none"})
        for part, color in zip(_PARTS, colors, strict=True)
    ]
    with styled():
        figure, (axes,) = panels(
            [""],
            width=1.6 + 0.062 * max(len(line) for name in labels for line in name.split("\n")),
            height=max(1.3, 0.55 + (0.08 + 0.14 * most_lines) * len(rows)),
            beside=legend_size([], entries).width,
        )
        for row, runs in enumerate(rows):
            found = [share for share in (_shares(run.row) for run in runs) if share]
            start = 0.0
            for index, color in enumerate(colors):
                share = 100 * math.fsum(one[index] for one in found) / len(found)
                axes.barh(row, share, left=start, height=0.65, color=color)
                start += share
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of training time (%)")
        axes.grid(visible=False, axis="y")
        add_legend(figure, [], entries)
    n = counts([len(runs) for runs in rows])
    caption = (
        f"What the training time goes into, by number of workers and batch size B: means over runs ({n})."
    )
    return Drawn("time_shares", caption, figure, len(_PARTS))


def _trained(results: Results) -> list[Trained]:
    axes = [axis for axis in results.axes if axis not in _SPLIT_AXES and not axis.startswith("resources.")]
    rows = results.tables["runs"].rows
    found = []
    for record, row in zip(results.records, rows, strict=True):
        ranks = record.provenance.get("ranks") or row.get("gpus") or row.get("workers")
        batch = next((record.value(axis) for axis in BATCH_AXES if record.value(axis)), None)
        if record.state is State.COMPLETED and isinstance(ranks, int) and isinstance(batch, int):
            found.append(Trained(ranks, bool(row.get("gpus")), batch, row, _group(record, axes)))
    return found


def _group(record: Record, axes: Sequence[str]) -> dict[str, Any]:
    return {axis: record.value(axis) for axis in axes}


def _series(
    runs: Sequence[Trained], weak: bool
) -> dict[tuple[float, tuple[Any, ...]], dict[int, list[Trained]]]:
    """Runs by number of ranks, for each batch size (a worker, if `weak`) and group that has two numbers."""
    found: dict[tuple[float, tuple[Any, ...]], dict[int, list[Trained]]] = {}
    for run in runs:
        if run.row.get("images_per_second"):
            size = run.batch_size / run.ranks if weak else run.batch_size
            key = (size, tuple(run.group.items()))
            found.setdefault(key, {}).setdefault(run.ranks, []).append(run)
    ordered = sorted(found, key=lambda key: (sort_key(value for _, value in key[1]), key[0]))
    return {key: found[key] for key in ordered if len(found[key]) > 1}


def _longest(series: Mapping[Any, Mapping[int, Any]]) -> int:
    """The most numbers of ranks of a series."""
    return max(map(len, series.values()), default=0)


def _name(key: tuple[float, tuple[Any, ...]], weak: bool, word: str, several: bool) -> str:
    size, group = key
    text = f"{size:,.10g}"
    return f"{text}, {group_name(dict(group))}" if several else text


def _lines(
    speed: Axes,
    efficiency: Axes,
    series: Mapping[int, Sequence[Trained]],
    at: Mapping[str, float],
    color: str,
    marker: str,
) -> None:
    ranks = sorted(series)
    x = [at[str(number)] for number in ranks]
    found = [summarize([run.row["images_per_second"] for run in series[number]]) for number in ranks]
    means = [one.mean or 0.0 for one in found]
    half = [0.0 if one.high is None else one.high - mean for one, mean in zip(found, means, strict=True)]
    below = [min(one, 0.999 * mean) for one, mean in zip(half, means, strict=True)]
    speed.errorbar(x, means, yerr=[below, half], color=color, marker=marker, capsize=2, elinewidth=0.9)
    ideal = [means[0] * number / ranks[0] for number in ranks]
    speed.plot(x, ideal, zorder=1, linestyle=(0, (5, 2)), **GUIDE)
    shares = [100 * mean / best for mean, best in zip(means, ideal, strict=True)]
    efficiency.plot(x, shares, color=color, marker=marker)


def _bar_name(run: Trained, several: bool) -> str:
    word = "GPU" if run.gpus else "worker"
    text = f"{run.ranks} {word}{'' if run.ranks == 1 else 's'}, B = {run.batch_size:,}"
    return ", ".join([text, *map(_value_name, run.group, run.group.values())]) if several else text


def _value_name(axis: str, value: Any) -> str:
    """`warmup epochs 5`; of names, which say what they are, the name alone."""
    return f"{label(axis)} {lines.name(value)}" if lines.is_number(value) else lines.name(value)


def _shares(row: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Computation, all-reduce and waiting for input as fractions of the training time, whose first two are
    in seconds and whose third is a fraction already.
    """
    compute, allreduce, wait = (
        row.get(name) for name in ("compute_seconds", "allreduce_seconds", "input_wait")
    )
    if compute is None or allreduce is None or wait is None or not compute + allreduce or wait >= 1:
        return None
    whole = (compute + allreduce) / (1 - wait)
    return compute / whole, allreduce / whole, wait


def _throughputs(results: Results) -> Iterator[Drawn]:
    made = (throughput(results, weak=weak) for weak in (False, True))
    return (drawn for drawn in made if drawn is not None)


def _time_shares(results: Results) -> list[Drawn]:
    drawn = time_shares(results)
    return [] if drawn is None else [drawn]


KINDS = {
    "throughput": Kind(_throughputs, "images/s and efficiency by number of workers, strong and weak scaling"),
    "time_shares": Kind(_time_shares, "shares of computation, all-reduce and waiting for input"),
}
