"""Results: from the runs of a study to all its tables (docs/tables.md)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from horovod_lb.analysis import present
from horovod_lb.analysis.best import best_table
from horovod_lb.analysis.code import VARIABLE as ALLOW_DIRTY
from horovod_lb.analysis.code import marked, require_one_dirty, sentence
from horovod_lb.analysis.differences import baseline_points, differences_table
from horovod_lb.analysis.points import Point, accuracy_table, axes_of, points_of
from horovod_lb.analysis.record import Record, problems
from horovod_lb.analysis.regimes import tables as regimes
from horovod_lb.analysis.regimes.survey import Survey
from horovod_lb.analysis.runs import epochs_table, in_order, runs_table, steps_table
from horovod_lb.analysis.source import Parser, Source, Watch, gather
from horovod_lb.analysis.table import Table, cell
from horovod_lb.analysis.wide import Wide, wide
from horovod_lb.errors import RequestError
from horovod_lb.runs import State


@dataclass(frozen=True)
class Results:
    """The runs of a study and every table made of them."""

    source: Source
    axes: tuple[str, ...]
    records: tuple[Record, ...]

    @cached_property
    def points(self) -> list[Point]:
        """The study's points with their runs; runs whose `run.json` is damaged belong to none."""
        return points_of((record for record in self.records if record.spec), self.axes)

    @cached_property
    def grid(self) -> Wide:
        """The points laid out for the wide tables."""
        return wide(self.points, self.axes)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The CSV tables by file name without suffix."""
        steps = {"steps": steps_table(self.records)} if any(run.steps for run in self.records) else {}
        return {
            "runs": runs_table(self.records, self.axes),
            "epochs": epochs_table(self.records),
            **steps,
            "accuracy": accuracy_table(self.points, self.axes),
            "accuracy_wide": self.grid.table(),
            "error_wide": self.grid.table(error=True),
            "differences": differences_table(self.points, self.axes, self.source.baseline),
            "best": best_table(self.points, self.axes, self.source.tuned),
            **(regimes.tables(self.survey) if self.survey else {}),
        }

    @cached_property
    def survey(self) -> Survey | None:
        """What the runs tell of how far the batch size can be raised; None for a study of one batch size and
        without a target.
        """
        return regimes.survey_of(self)

    def presented(self) -> list[present.Presented]:
        """The tables for people; differences only where there are points to compare with the baseline."""
        shown = [
            present.accuracy(self.grid),
            present.error(self.grid),
            present.accuracy_by_point(self.points, self.axes),
            present.best(self.tables["best"], self.axes),
        ]
        if self.tables["differences"].rows:
            shown.append(present.differences(self.tables["differences"], self.axes, self.source.baseline))
        return [*shown, *(regimes.presented(self.survey) if self.survey else ())]

    def notes(self) -> list[str]:
        """What a reader of the tables must know: how many runs there are in which state, and what was left
        out.
        """
        states = Counter(record.state for record in self.records)
        counts = ", ".join(f"{states[state]:,} {state}" for state in State if states[state])
        total = len(self.records)
        notes = [f"{total:,} run{'' if total == 1 else 's'}: {counts}."]
        without = sum(count for state, count in states.items() if not state.has_result)
        if without:
            have = "has" if without == 1 else "have"
            notes.append(f"{without:,} {have} no result yet; the tables hold what there is.")
        percent = sum((record.best() or (0.0, 0))[0] > 1 for record in self.records)
        if percent:
            notes.append(
                f"{percent:,} of them logged accuracies above 1; accuracies are fractions, not percent."
            )
        baseline = self.source.baseline
        if baseline and not baseline_points(self.points, self.axes, baseline):
            values = ", ".join(f"{axis} {cell(value)}" for axis, value in baseline.items())
            notes.append(f"No point is the baseline ({values}): differences.csv is empty.")
        code = sentence(self.records, self.source.codes)
        notes += [*([code] if code else ()), *problems(self.records)]
        return [*notes, *(f"{note[0].upper()}{note[1:]}." for note in self.source.notes)]

    def only(self, where: str) -> Results:
        """Those of the runs for which an expression over study keys and columns of `runs.csv` holds. Raises
        `RequestError` where it holds for none.
        """
        kept = tuple(_select(self.records, self.axes, where))
        note = f"{len(kept):,} of {len(self.records):,} runs: those with {where}"
        source = replace(self.source, records=kept, notes=(*self.source.notes, note))
        return replace(self, source=source, records=kept)

    def write(self, out: Path, *, parquet: bool = False) -> None:
        """Writes all tables and `provenance.json` into `out`; see `written.write`."""
        from horovod_lb.analysis.written import write

        write(self, out, parquet=parquet)


def collect(
    target: str | Path,
    roots: Sequence[Path] = (),
    *,
    overrides: Sequence[str] = (),
    where: str | None = None,
    watch: Watch = iter,
    parser: Parser | None = None,
    allow_dirty: bool = False,
) -> Results:
    """The results of a study file, a folder of run folders, or a study's name; see `source.gather`.

    Runs in any state are taken as they are, and two calls on the same folders give the same bytes. `where`
    keeps the runs for which an expression over study keys and columns of `runs.csv` holds; `watch` wraps the
    list of run folders while they are read, `parser` gives what reads their rows. Raises `RequestError` where
    runs come from several states of the code, not all of them committed, unless `allow_dirty` or
    `$HLB_ALLOW_DIRTY` is set.
    """
    source = gather(target, roots, overrides, watch, *([parser] if parser else ()))
    records, codes = marked(source.records)
    axes = axes_of(records)
    records = in_order(records, axes)
    asked = {
        "target": str(target),
        "runs": [str(root) for root in roots],
        "set": list(overrides),
        "where": where,
    }
    source = replace(source, records=tuple(records), codes=codes, asked=asked)
    found = Results(source, axes, tuple(records))
    if where:
        found = found.only(where)
    if not (allow_dirty or os.environ.get(ALLOW_DIRTY)):
        require_one_dirty(found.records, codes)
    return found


def _select(records: Sequence[Record], axes: Sequence[str], where: str) -> list[Record]:
    from horovod_lb.study.expression import Expression

    holds = Expression(where)
    rows = runs_table(records, axes).rows
    kept = [record for record, row in zip(records, rows, strict=True) if holds({**row, **record.spec})]
    if not kept:
        raise RequestError(f"--where {where}: holds for none of {len(records):,} runs")
    return kept
