"""Curves over training, read back from the artists: against numbers put into the runs, closed forms and the
recipe itself.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_checks import made_study
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.figures import KINDS, Choices, Drawn, draw, figure
from horovod_lb.analysis.figures.distance import straight
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.source import Source
from horovod_lb.errors import RequestError
from horovod_lb.recipe import resolve
from horovod_lb.runs import State

BATCH = "recipe.batch_size"
WARMUP = "recipe.warmup.epochs"


def grid(*axes: tuple[str, list[Any]], **options: Any) -> Results:
    """A made-up study over the product of axes."""
    points: list[dict[str, Any]] = [{}]
    for axis, values in axes:
        points = [{**point, axis: value} for point in points for value in values]
    return made_study(points, **options)


def only(kind: str, results: Results, **choices: Any) -> Drawn:
    (drawn,) = draw(results, [kind], Choices(**choices))
    return drawn


def titles(drawn: Drawn) -> list[str]:
    return [axes.get_title() for axes in drawn.figure.axes]


def legend(drawn: Drawn) -> list[str]:
    (found,) = drawn.figure.legends
    texts = [found.get_title(), *found.get_texts()]
    return [text.get_text() for text in texts if text.get_text().strip()]


def test_the_axis_with_more_values_is_told_by_colour_and_the_other_by_panels() -> None:
    warmups = grid((BATCH, [256, 1024]), (WARMUP, [0, 1, 2, 3]), epochs=4)
    drawn = only("accuracy_by_epoch", warmups)
    assert titles(drawn) == ["batch size = 256", "batch size = 1024"]
    assert legend(drawn) == ["warmup epochs", "0", "1", "2", "3"]
    batches = grid((BATCH, [256, 512, 1024, 2048]), (WARMUP, [0, 1]), epochs=4)
    assert titles(only("accuracy_by_epoch", batches)) == ["warmup epochs = 0", "warmup epochs = 1"]
    chosen = only("accuracy_by_epoch", batches, color=WARMUP)
    assert legend(chosen) == ["warmup epochs", "0", "1"]
    styled = only("accuracy_by_epoch", batches, color=BATCH, style=WARMUP)
    assert titles(styled) == [""]
    assert legend(styled) == ["batch size", "256", "512", "1024", "2048", "warmup epochs", "0", "1"]


def test_few_curves_share_a_panel_and_are_told_by_colour_and_line_style() -> None:
    drawn = only("val_loss_by_epoch", grid((BATCH, [256, 1024]), ("recipe.scaling", ["linear", "none"])))
    (axes,) = drawn.figure.axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}) == 4
    assert legend(drawn) == ["batch size", "256", "1024", "scaling", "linear", "none"]


def test_an_unknown_axis_is_named_with_the_nearest() -> None:
    with pytest.raises(
        RequestError, match=r"recipe\.warmup\.epoch is no axis .* did you mean recipe\.warmup\.epochs"
    ):
        only("accuracy_by_epoch", grid((WARMUP, [0, 1])), color="recipe.warmup.epoch")


def test_error_is_one_minus_accuracy(batch_by_warmup: Folder) -> None:
    drawn = only("error_by_epoch", collect(batch_by_warmup.path))
    first = drawn.figure.axes[0].get_lines()[0]
    assert list(first.get_ydata()) == pytest.approx([50, 8])


def test_a_line_is_broken_where_epochs_are_missing() -> None:
    (axes,) = only("val_loss_by_epoch", grid((BATCH, [256]), gaps=(0,), epochs=20)).figure.axes
    x = np.asarray(axes.get_lines()[0].get_xdata())
    y = np.asarray(axes.get_lines()[0].get_ydata())
    assert x[~np.isnan(x)].tolist() == [*range(1, 7), *range(11, 21)]
    assert np.flatnonzero(np.isnan(y)).tolist() == [6]


def test_values_that_come_every_fifth_epoch_are_no_gaps(folder: Folder) -> None:
    folder.run("a", {}, 0, [0.1 * epoch if epoch % 5 == 0 else None for epoch in range(1, 11)])
    (axes,) = only("accuracy_by_epoch", collect(folder.path)).figure.axes[:1]
    assert list(axes.get_lines()[0].get_xdata()) == [5, 10]


def test_a_loss_that_explodes_does_not_squeeze_the_others(folder: Folder) -> None:
    folder.run("a", {BATCH: 64}, 0, [0.5] * 3, losses=[2.0, 1.0, 0.5])
    folder.run("b", {BATCH: 128}, 0, [0.1] * 3, losses=[2.0, 1e9, "nan"], state="diverged")
    (axes,) = only("val_loss_by_epoch", collect(folder.path)).figure.axes
    low, high = axes.get_ylim()
    assert low == 0 and high < 3
    (cross,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [2]
    assert list(cross.get_ydata()) == [high]


def test_the_enlarged_panel_leaves_curves_that_failed_out_of_its_limits(folder: Folder) -> None:
    folder.run("a", {BATCH: 64}, 0, [0.90] * 4 + [0.97, 0.98, 0.985, 0.99])
    folder.run("b", {BATCH: 128}, 0, [0.1] * 8)
    whole, enlarged = only("accuracy_by_epoch", collect(folder.path)).figure.axes
    assert whole.get_ylim()[0] < 10
    assert enlarged.get_xlim() == (4.5, 8.5)
    low, high = enlarged.get_ylim()
    assert 96 < low < 97 and 99 < high < 100


def test_small_against_large_batch_shows_both_ends() -> None:
    drawn = only("train_and_val_accuracy_by_epoch", grid((BATCH, [64, 128, 256, 512, 1024]), seeds=1))
    assert legend(drawn) == ["batch size", "64", "1024", "measured on", "training set", "validation set"]
    (axes,) = drawn.figure.axes
    assert len(axes.get_lines()) == 4
    assert "smallest and the largest" in drawn.caption


def test_loss_stands_above_error_on_the_same_epochs() -> None:
    drawn = only("train_loss_and_error_by_epoch", grid((BATCH, [64, 128])))
    above, below = drawn.figure.axes
    assert above.get_ylabel() == "training loss" and below.get_ylabel() == "validation error (%)"
    assert above.get_xlabel() == "" and below.get_xlabel() == "epoch"
    assert above.get_position().y0 > below.get_position().y0


def test_updates_are_those_that_the_rows_say() -> None:
    drawn = only("train_loss_by_step", grid((BATCH, [600, 60000]), epochs=3))
    (axes,) = drawn.figure.axes
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[100, 200, 300], [1, 2, 3]]
    assert axes.get_xscale() == "log"


def test_a_study_of_many_points_says_which_panels_it_shows() -> None:
    results = grid(
        (BATCH, [2**power for power in range(6)]),
        ("recipe.seed_of", list("abcdefghijklmnopq")),
        seeds=1,
        epochs=2,
    )
    found = draw(results, ["val_loss_by_epoch"])
    assert [len(drawn.figure.axes) for drawn in found] == [12, 5]
    assert [drawn.name for drawn in found] == ["val_loss_by_epoch", "val_loss_by_epoch_2"]
    assert "Panels 13 to 17 of 17" in found[1].caption
    (usual,) = [drawn for drawn in draw(results) if drawn.name.startswith("accuracy_by_epoch")]
    assert len(usual.figure.axes) == 9
    assert "Panels 1 to 9 of 17" in usual.caption


def test_captions_count_runs() -> None:
    results = grid((BATCH, [64, 128]), seeds=3, diverged=(1,), running=(0,))
    caption = only("val_loss_by_epoch", results).caption
    assert "n = 2 to 3" in caption and "diverged" in caption and "as far as their runs are" in caption
    assert "n = 1" in only("val_loss_by_epoch", grid((BATCH, [64]), seeds=1)).caption


# Rates


def test_planned_rates_need_no_run(tmp_path: Path) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(
        "name: s\njob: job.py\nmodel: {name: lenet5}\ndata: {name: mnist}\nresources: {workers: 1}\n"
        "recipe: {epochs: 3, batch_size: 8192, reference: {batch_size: 256, learning_rate: 0.1},\n"
        "  optimizer: {kind: momentum}, warmup: {kind: gradual, epochs: 1}, scaling: linear}\n"
        "axes: {recipe.warmup.epochs: [0, 1], recipe.optimizer.momentum: [0.8, 0.9]}\n"
    )
    (tmp_path / "job.py").write_text("def main(run): ...\n")
    results = collect(study, [tmp_path / "runs"])
    assert all(record.state is State.PLANNED for record in results.records)
    drawn = only("learning_rate_by_step", results)
    assert legend(drawn) == ["warmup epochs", "0", "1", "end of warmup"]  # the momentum changes no rate
    (axes,) = drawn.figure.axes
    ramp = next(line for line in axes.get_lines() if line.get_ydata()[0] < 3)
    assert list(ramp.get_xdata()) == list(range(22))
    # 60,000 examples: S = 7.32421875; from 0.1 to 3.2 over S steps
    expected = [0.1 + 3.1 * t / 7.32421875 if t < 7.32421875 else 3.2 for t in range(22)]
    assert list(ramp.get_ydata()) == pytest.approx(expected)
    boundary = next(line for line in axes.get_lines() if line.get_color() == "#191a1b")
    assert boundary.get_xdata()[0] == pytest.approx(7.32421875)


def test_rates_of_several_batch_sizes_stand_over_epochs() -> None:
    results = grid((BATCH, [600, 60000]), epochs=10)
    (axes,) = only("learning_rate_by_step", results).figure.axes
    assert axes.get_xlabel() == "epoch"
    for batch, line in zip((600, 60000), axes.get_lines()[::2], strict=False):
        record = next(record for record in results.records if record.value(BATCH) == batch)
        rate = resolve(record.spec["recipe"], examples=60000, workers=1).rate
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
            assert y == pytest.approx(rate(round(x * 60000 / batch)))


def test_long_schedules_keep_their_peaks_and_jumps() -> None:
    results = grid((BATCH, [16]), epochs=30)
    (axes,) = only("learning_rate_by_step", results).figure.axes
    line = axes.get_lines()[0]
    rate = resolve(results.records[0].spec["recipe"], examples=60000, workers=1).rate.table()
    assert len(line.get_xdata()) <= 3001 < len(rate)
    assert max(line.get_ydata()) == rate.max() and min(line.get_ydata()) == rate.min()


# Distance and trust ratios


def with_steps(rows: list[dict[str, Any]], point: dict[str, Any] | None = None, run_id: str = "a") -> Record:
    spec = {"study": "made", "point": point or {}, "seed": 0}
    return Record(run_id, spec, State.COMPLETED, steps=tuple(rows), epochs=({"epoch": 1, "step": 5},))


def of(*records: Record) -> Results:
    axes = tuple(dict.fromkeys(axis for record in records for axis in record.spec["point"]))
    return Results(Source("made", records, ()), axes, records)


def test_a_distance_along_a_law_is_a_straight_line() -> None:
    log = with_steps(
        [{"step": t, "distance": 2 + 0.5 * math.log(t)} for t in range(1, 2001)], {BATCH: 1}, "a"
    )
    root = with_steps(
        [{"step": t, "distance": 1 + 0.1 * math.sqrt(t)} for t in range(1, 2001)], {BATCH: 2}, "b"
    )
    drawn = only("distance_by_step", of(log, root))
    assert legend(drawn)[1].startswith("1 (R² 1.000; 0.") and legend(drawn)[2].endswith("; 1.000)")
    by_log, by_root = drawn.figure.axes
    fits = [line for line in by_log.get_lines() if line.get_linewidth() < 1]
    along = np.asarray(fits[0].get_xdata())
    assert list(fits[0].get_ydata()) == pytest.approx(list(2 + 0.5 * np.log(along)))
    fits = [line for line in by_root.get_lines() if line.get_linewidth() < 1]
    along = np.asarray(fits[1].get_xdata())
    assert list(fits[1].get_ydata()) == pytest.approx(list(1 + 0.1 * np.sqrt(along)))
    # where it is straight: equal distances on the paper for equal ratios, and for equal differences of roots
    places = by_log.transData.transform([(1, 0), (10, 0), (100, 0)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    places = by_root.transData.transform([(0, 0), (100, 0), (400, 0)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_least_squares_by_hand() -> None:
    # x = 0, 1, 2 and y = 0, 1, 1: slope 1/2, intercept 1/6, residuals -1/6, 1/3, -1/6 of a total 2/3
    line = straight(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]))
    assert line is not None
    assert line == pytest.approx((1 / 6, 0.5, 1 - (1 / 6) / (2 / 3)))
    assert straight(np.array([1.0, 1.0, 1.0]), np.arange(3.0)) is None
    assert straight(np.arange(2.0), np.arange(2.0)) is None


def test_without_single_steps_the_distance_is_that_of_epochs() -> None:
    (by_log, _) = only("distance_by_step", grid((BATCH, [6000]), epochs=5, seeds=1)).figure.axes
    line = by_log.get_lines()[0]
    assert list(line.get_xdata()) == [10, 20, 30, 40, 50]
    assert list(line.get_ydata()) == pytest.approx([math.log(t) for t in (10, 20, 30, 40, 50)])


def test_trust_ratios_by_layer_and_point() -> None:
    rows = [
        {"step": t, "trust_ratio[net/a/kernel]": 0.1 * t, "trust_ratio[net/b/kernel]": 2.0} for t in (1, 2, 3)
    ]
    drawn = only("trust_ratios", of(with_steps(rows, {BATCH: 1}, "a"), with_steps(rows[:2], {BATCH: 2}, "b")))
    assert legend(drawn) == ["layer", "a/kernel", "b/kernel"]
    assert titles(drawn) == ["batch size = 1", "batch size = 2"]
    first, second = drawn.figure.axes
    assert [list(line.get_ydata()) for line in first.get_lines()] == [
        pytest.approx([0.1, 0.2, 0.3]),
        [2.0] * 3,
    ]
    assert [list(line.get_xdata()) for line in second.get_lines()] == [[1, 2], [1, 2]]


# From Python


def test_a_figure_from_data_frames() -> None:
    results = grid((BATCH, [64, 128]), (WARMUP, [0, 1]), seeds=2, epochs=3)
    runs, epochs = (results.tables[name].to_frame() for name in ("runs", "epochs"))
    made = figure("val_loss_by_epoch", runs, epochs, width="column", color=WARMUP)
    assert made.get_figwidth() == pytest.approx(3.4)
    (line, *_) = made.axes[0].get_lines()
    mean = epochs[epochs.run_id.isin(["run0-0", "run0-1"])].groupby("epoch").val_loss.mean()
    assert list(line.get_ydata()) == pytest.approx(list(mean))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("val_los_by_epoch", "did you mean val_loss_by_epoch"),
        ("signal_to_noise_by_epoch", r"no run has signal_to_noise; it needs measure: \[signal_to_noise\]"),
    ],
)
def test_what_cannot_be_drawn_is_said(kind: str, message: str, batch_by_warmup: Folder) -> None:
    results = collect(batch_by_warmup.path)
    with pytest.raises(RequestError, match=message):
        figure(kind, results.tables["runs"].to_frame(), results.tables["epochs"].to_frame())


def test_a_width_that_there_is_not() -> None:
    with pytest.raises(RequestError, match="column or page"):
        Choices("poster")


def test_the_manual_names_every_kind() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "figures.md").read_text()
    rows = [line.split("|")[1] for line in manual.splitlines() if line.startswith("| `")]
    named = {word.strip("`") for row in rows for word in re.findall(r"`[a-z_]+`", row)}
    assert set(KINDS) <= named
    assert {name for name in KINDS if f"`{name}` †" in manual} == {
        name for name, kind in KINDS.items() if kind.usual
    }
