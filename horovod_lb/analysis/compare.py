"""Two sets of runs beside each other: two studies, or the runs of one parted by something."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from horovod_lb.analysis import present
from horovod_lb.analysis.contrast import Difference, settings, versions
from horovod_lb.analysis.differences import DIFFERENCE, pairs
from horovod_lb.analysis.matching import Match, Matching, describe, match
from horovod_lb.analysis.points import Point
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.rows import is_finite
from horovod_lb.analysis.statistics import CONFIDENCE, welch
from horovod_lb.analysis.table import Table, markdown
from horovod_lb.analysis.written import make_folder
from horovod_lb.runs.atomic import plain, write_text

SIDE = ("n", "mean", "std", "n_diverged", "n_missing", "n_chance", "n_unstable", "images_per_second")
_SHOWN = 5


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs, point by point. Every difference is b − a; `said` are notes of its own."""

    names: tuple[str, str]
    results: tuple[Results, Results]
    matching: Matching
    unpaired: bool = False
    said: tuple[str, ...] = ()

    @cached_property
    def table(self) -> Table:
        """`compare.csv`: a row for each two points that are compared, or that have no counterpart."""
        apart = [axis for axis in _axes(self.results) if axis not in self.matching.axes]
        columns = (
            *self.matching.axes,
            *(f"{axis}_{side}" for axis in apart for side in ("a", "b")),
            *(f"{name}_{side}" for side in ("a", "b") for name in SIDE),
            "method",
            *DIFFERENCE,
            "throughput_ratio",
        )
        return Table(columns, [self._row(found, apart) for found in self.matching.matches])

    def _row(self, found: Match, apart: Sequence[str]) -> dict[str, Any]:
        row: dict[str, Any] = dict(found.values)
        for side, point, results in zip(("a", "b"), (found.a, found.b), self.results, strict=True):
            if point is None:
                continue
            named = point.named(results.axes)
            row |= {f"{axis}_{side}": named.get(axis) for axis in apart}
            about = {**point.accuracy.columns(), **point.counts(), "images_per_second": _pace(point)}
            row |= {f"{name}_{side}": about[name] for name in SIDE}
        if found.a and found.b:
            row |= difference(found.a, found.b, unpaired=self.unpaired)
            ours, theirs = row["images_per_second_a"], row["images_per_second_b"]
            row["throughput_ratio"] = theirs / ours if ours and theirs is not None else None
        return row

    @cached_property
    def settings(self) -> list[Difference]:
        """The settings that differ, other than the axes that points are matched by."""
        return settings(self.matching.matches, self.matching.axes)

    @cached_property
    def versions(self) -> list[Difference]:
        """Software and machines that differ."""
        return versions(self.matching.matches)

    def presented(self) -> list[present.Presented]:
        """The tables for people: the points, and what else differs where anything does."""
        shown = [present.comparison(self.table, self.matching.axes, self.names)]
        for name, caption, differing in (
            ("setting", "Settings that differ.", self.settings),
            ("version", "Software and machines that differ.", self.versions),
        ):
            if differing:
                shown.append(present.contrast(name, caption, differing, self.names))
        return shown

    def notes(self) -> list[str]:
        """What a reader must know: how axes were dealt with, and what has no counterpart or no result."""
        notes = [f"{remark}." for remark in (*self.said, *self.matching.remarks)]
        for side, (name, other) in enumerate((self.names, self.names[::-1])):
            alone = self._alone(side)
            if alone:
                points = "; ".join(alone[:_SHOWN]) + ("; ..." if len(alone) > _SHOWN else "")
                has = "has" if len(alone) == 1 else "have"
                notes.append(f"{_count(len(alone))} of {name} {has} no counterpart in {other}: {points}.")
        notes.append(self._verdict())
        for name, results in zip(self.names, self.results, strict=True):
            notes += [f"{name}: {note}" for note in results.notes()]
        return notes

    def _verdict(self) -> str:
        """All points together: better, worse, and how many intervals leave out zero."""
        differences = [row["mean_difference"] for row in self.table.rows if row.get("method")]
        intervals = [
            (row["ci95_low"], row["ci95_high"]) for row in self.table.rows if row.get("ci95_low") is not None
        ]
        if not differences:
            return "No point has results on both sides yet."
        better, worse = (sum(sign * value > 0 for value in differences) for sign in (1, -1))
        text = f"{self.names[1]} is better in {better} and worse in {worse} of {_count(len(differences))}"
        if not intervals:
            return f"{text}; none has an interval, which takes two seeds."
        apart = sum(low > 0 or high < 0 for low, high in intervals)
        chance = f"{(1 - CONFIDENCE) * len(intervals):.2g}"
        return f"{text}; {apart} of {len(intervals)} intervals leave out 0 ({chance} by chance alone)."

    def _alone(self, side: int) -> list[str]:
        """The points of one side (0 or 1) that have no counterpart, in words."""
        axes = [axis for axis in self.matching.axes if axis in self.results[side].axes]
        return [
            describe({axis: found.values[axis] for axis in axes})
            for found in self.matching.matches
            if (found.b, found.a)[side] is None
        ]

    def write(self, out: Path) -> None:
        """Writes `compare.csv`, and the tables for people as `compare.md` and `compare.tex`. `RequestError`
        where `out` cannot be a folder.
        """
        make_folder(out)
        write_text(out / "compare.csv", self.table.to_csv())
        shown = self.presented()
        parts = [table.to_markdown(caption) for _, caption, table in shown]
        notes = "".join(f"- {markdown(note)}\n" for note in self.notes())
        write_text(out / "compare.md", "\n".join([*parts, notes]))
        latex = [table.to_latex(caption, f"tab:compare-{name}") for name, caption, table in shown]
        write_text(out / "compare.tex", "\n".join(latex))

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; what is not finite is None."""
        rows = [{name: row.get(name) for name in self.table.columns} for row in self.table.rows]
        said: dict[str, Any] = plain(
            {
                "a": self.names[0],
                "b": self.names[1],
                "points": rows,
                "settings": {found.key: {"a": found.a, "b": found.b} for found in self.settings},
                "versions": {found.key: {"a": found.a, "b": found.b} for found in self.versions},
                "notes": self.notes(),
            }
        )
        return said


def _count(points: int) -> str:
    return f"{points:,} point{'' if points == 1 else 's'}"


def compare(
    a: Results,
    b: Results,
    names: tuple[str, str] | None = None,
    *,
    ignore: Sequence[str] = (),
    unpaired: bool = False,
    said: Sequence[str] = (),
) -> Comparison:
    """Compare `b` with `a`, point by point: final validation accuracy and throughput.

    Points are matched by `matching.match`. Runs are paired by seed where two or more seeds have a result on
    both sides, or one has and a side has no other; otherwise, or with `unpaired`, the interval is Welch's.
    `RequestError` where nothing matches.
    """
    names = names or (a.source.name, b.source.name)
    return Comparison(names, (a, b), match(a, b, names, ignore), unpaired, tuple(said))


def difference(a: Point, b: Point, *, unpaired: bool = False) -> dict[str, Any]:
    """The cells on the difference of accuracies b − a: `method` is `paired`, `welch`, or empty where one side
    has no result.
    """
    found = pairs(b, a)
    few = len(found.differences) < 2
    both_spread = a.accuracy.n > 1 and b.accuracy.n > 1
    if not unpaired and found.differences and not (few and both_spread):
        cells = found.columns()
        return {"method": "paired", **{name: cells[name] for name in DIFFERENCE}}
    if a.accuracy.mean is None or b.accuracy.mean is None:
        return {}
    student, boot = welch(b.accuracies, a.accuracies)
    return {
        "method": "welch",
        "mean_difference": b.accuracy.mean - a.accuracy.mean,
        **dict(zip(("ci95_low", "ci95_high", "boot95_low", "boot95_high"), (*student, *boot), strict=True)),
    }


def _axes(results: tuple[Results, Results]) -> list[str]:
    return list(dict.fromkeys((*results[0].axes, *results[1].axes)))


def _pace(point: Point) -> float | None:
    """The median over runs of their training throughput, examples a second."""
    found = [
        run.exit.get("images_per_second")
        or _median([pace for pace in run.measured("images_per_second") if is_finite(pace)])
        for run in point.runs
    ]
    return _median([pace for pace in found if is_finite(pace)])


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
