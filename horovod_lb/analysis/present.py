"""The tables for people: percent, `mean ± std (n)`, short names; for papers (Markdown, LaTeX), terminal and
report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.points import Point
from horovod_lb.analysis.table import Table, cell
from horovod_lb.analysis.wide import Wide, cell_text, label, named, summary_text, value_label

if TYPE_CHECKING:
    from horovod_lb.analysis.contrast import Difference

SPREAD = "mean ± standard deviation (n runs)"
_ACCURACY, _TEST = "accuracy (%)", "test accuracy (%)"
_DIFFERENCE, _INTERVAL = "difference (percentage points)", "95 % interval"
_MOST_VALUES = 6
_NO_POINT = "no such point"
# More columns than this do not fit a page; a grid with fewer rows than columns is turned then.
_MOST_COLUMNS = 6


class Presented(NamedTuple):
    """A table with its file name (without suffix) and its caption."""

    name: str
    caption: str
    table: Table


def accuracy(grid: Wide) -> Presented:
    """Final validation accuracy, one axis down and one across."""
    caption = f"Final validation accuracy in percent, {SPREAD}.{_about(grid)}"
    return Presented("accuracy", caption, _upright(grid).table(percent=True, pretty=True))


def error(grid: Wide) -> Presented:
    """Final validation error, one axis down and one across."""
    caption = f"Final validation error in percent, {SPREAD}.{_about(grid)}"
    return Presented("error", caption, _upright(grid).table(error=True, percent=True, pretty=True))


def accuracy_by_point(points: Sequence[Point], axes: Sequence[str]) -> Presented:
    """Final validation accuracy with its interval, and test accuracy: a row a point."""
    rows = [
        {
            **_named(point.named(axes)),
            _ACCURACY: cell_text(point, percent=True),
            _INTERVAL: _interval(point.accuracy.columns()),
            _TEST: summary_text(point.test_accuracy.columns(), {}, percent=True)
            if point.test_accuracy.n
            else "",
        }
        for point in points
    ]
    columns = (*map(label, axes), *_filled(rows, _ACCURACY, _INTERVAL, _TEST))
    caption = f"Final validation accuracy in percent, {SPREAD}"
    if _INTERVAL in columns:
        caption += ", with the 95 % interval of the mean (Student's t)"
    if _TEST in columns:
        caption += ", and test accuracy"
    return Presented("accuracy_by_point", f"{caption}.{_left_out(points)}", Table(columns, rows))


def best(table: Table, axes: Sequence[str]) -> Presented:
    """`best.csv` for people."""
    shown = [axis for axis in table.columns if axis in axes]
    rows = [
        {
            **_named({axis: row[axis] for axis in shown if axis in row}),
            "validation accuracy (%)": summary_text(_part(row, "val_"), row, percent=True),
            _TEST: summary_text(_part(row, "test_"), {}, percent=True) if row["test_n"] else "",
            "chosen from": _chosen(row),
        }
        for row in table.rows
    ]
    columns = (*map(label, shown), *_filled(rows, "validation accuracy (%)", _TEST), "chosen from")
    caption = f"Best point by final validation accuracy, in percent, {SPREAD}."
    return Presented("best", caption, Table(columns, rows))


def differences(table: Table, axes: Sequence[str], baseline: Mapping[str, Any]) -> Presented:
    """`differences.csv` for people."""
    rows = [
        {
            **_named({axis: row[axis] for axis in axes}),
            _DIFFERENCE: signed(row["mean_difference"]),
            _INTERVAL: _interval(row, signed),
            "better in": f"{row['n_better']} of {row['n']}" if row["n"] else "",
            "pairs": pairs(row),
        }
        for row in table.rows
    ]
    against = ", ".join(f"{label(axis)} {value_label(value)}" for axis, value in baseline.items())
    caption = (
        f"Final validation accuracy minus the baseline's ({against}), in runs paired by seed, "
        "with the 95 % interval of the mean difference (Student's t)."
    )
    columns = (*map(label, axes), _DIFFERENCE, _INTERVAL, "better in", "pairs")
    return Presented("differences", caption, Table(columns, rows))


def pairs(row: Mapping[str, Any]) -> str:
    """The number of pairs, and why there are no more."""
    notes = [f"{row[f'n_{word}']} {word}" for word in ("diverged", "missing") if row[f"n_{word}"]]
    return f"{row['n']} ({'; '.join(notes)})" if notes else str(row["n"])


def comparison(table: Table, axes: Sequence[str], names: tuple[str, str]) -> Presented:
    """`compare.csv` for people: both accuracies, their difference, and the ratio of throughputs."""
    a, b = (f"{name} (%)" for name in names)
    apart = [
        name
        for name in table.columns[len(axes) : table.columns.index("n_a")]
        if len({cell(row[name]) for row in table.rows if name in row}) > 1
    ]
    heads = {name: f"{label(name[:-2])}, {names[name.endswith('_b')]}" for name in apart}
    rows = [
        {
            **_named({axis: row[axis] for axis in axes}),
            **{head: named(row[name]) if name in row else "" for name, head in heads.items()},
            a: _side(row, "_a"),
            b: _side(row, "_b"),
            _DIFFERENCE: signed(row.get("mean_difference")),
            _INTERVAL: _interval(row, signed),
            "compared by": _method(row),
            "throughput": f"{row['throughput_ratio']:.2f} ×" if row.get("throughput_ratio") else "",
        }
        for row in table.rows
    ]
    last = _filled(rows, "compared by", "throughput")
    caption = (
        f"Final validation accuracy in percent, {SPREAD}. Difference: {names[1]} minus {names[0]}, with the "
        "95 % interval of the mean, by Student's t over runs paired by seed, or by Welch's for unpaired runs."
    )
    if "throughput" in last:
        caption += f" Throughput: {names[1]} over {names[0]}."
    columns = (*map(label, axes), *heads.values(), a, b, _DIFFERENCE, _INTERVAL, *last)
    return Presented("compare", caption, Table(columns, rows))


def contrast(name: str, caption: str, found: Sequence[Difference], names: tuple[str, str]) -> Presented:
    """What differs between two sides, a row a key."""
    rows = [{name: one.key, names[0]: _values(one.a), names[1]: _values(one.b)} for one in found]
    return Presented(name, caption, Table((name, *names), rows))


def mark(value: str) -> str:
    """How a cell is to stand out: `bad` where runs diverged or ended at chance level, `none` where there is
    nothing yet.
    """
    if any(word in value for word in ("diverged", "at chance", "unstable")):
        return "bad"
    return "none" if value in ("missing", _NO_POINT) else ""


def signed(value: float | None) -> str:
    """A difference of fractions in percentage points, with its sign."""
    # Adding zero turns the -0.0 of a rounded small number into 0.0.
    return "" if value is None else f"{round(100 * value, 2) + 0.0:+.2f}".replace("-", "−")


def _side(row: Mapping[str, Any], side: str) -> str:
    if f"n{side}" not in row:
        return _NO_POINT
    about = {name.removesuffix(side): value for name, value in row.items() if name.endswith(side)}
    return summary_text(about, about, percent=True)


def _method(row: Mapping[str, Any]) -> str:
    if row.get("method") != "paired":
        return "unpaired runs" if row.get("method") else ""
    if row["n"] == 1:
        return "1 pair"
    equal = row["n_better"] == row["n_worse"] == 0
    better = f"better in {row['n_better']}"
    return f"{row['n']} pairs, {'all equal' if equal else better}"


def _values(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - _MOST_VALUES} more" if len(texts) > _MOST_VALUES else ""
    return ", ".join(texts[:_MOST_VALUES]) + more if texts else "none"


def _percent(value: float) -> str:
    return f"{round(100 * value, 2) + 0.0:.2f}".replace("-", "−")


def _interval(row: Mapping[str, Any], write: Any = _percent) -> str:
    low, high = row.get("ci95_low"), row.get("ci95_high")
    return "" if low is None or high is None else f"{write(low)} to {write(high)}"


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {label(axis): named(value) for axis, value in values.items()}


def _part(row: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {name: row[part + name] for name in ("n", "mean", "std")}


def _filled(rows: Sequence[Mapping[str, Any]], *columns: str) -> tuple[str, ...]:
    """The columns that any row has something in; the first always."""
    return tuple(name for name in columns if name == columns[0] or any(row[name] for row in rows))


def _chosen(row: Mapping[str, Any]) -> str:
    text = f"{row['points']} point{'' if row['points'] == 1 else 's'}"
    diverged = row["points_diverged"]
    return f"{text} ({diverged} mostly diverged)" if diverged else text


def _upright(grid: Wide) -> Wide:
    many = len(grid.columns) > _MOST_COLUMNS and len(grid.rows) < len(grid.columns)
    return grid.turned() if many else grid


def _about(grid: Wide) -> str:
    """What a caption says of a grid: the axes that it need not show, and diverged runs."""
    fixed = ", ".join(f"{label(axis)} {value_label(value)}" for axis, value in grid.fixed.items())
    sentence = f" {fixed[0].upper()}{fixed[1:]}." if fixed else ""
    return sentence + _left_out(point for row in grid.cells for point in row if point is not None)


def _left_out(points: Iterable[Point]) -> str:
    """What a caption says of diverged runs where a mean stands beside them."""
    said = any(point.n_diverged and point.accuracy.n for point in points)
    return " Diverged runs have no accuracy; the means are over the others." if said else ""
