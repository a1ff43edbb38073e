"""Figures of final results, read back from the artists: accuracy along an axis, heat maps, ladders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from made_studies import falling, results, run, study
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from horovod_lb.analysis.figures import KINDS, Choices, Drawn, draw
from horovod_lb.analysis.figures.by_point import final_accuracy_by, final_error_by
from horovod_lb.analysis.figures.heat_map import axes_of, heat_map
from horovod_lb.analysis.figures.ladder import ladder
from horovod_lb.analysis.figures.sharpness import sharpness_by_batch_size
from horovod_lb.analysis.figures.style import inline_svg
from horovod_lb.analysis.figures.ticks import scale, size_names
from horovod_lb.analysis.record import Record
from horovod_lb.runs import State

B, W, R, OPTIMIZER = (
    "recipe.batch_size", "recipe.warmup.epochs", "recipe.reference.learning_rate", "recipe.optimizer"
)  # fmt: skip


def runs_at(point: dict[str, Any], values: Sequence[float | None], **about: Any) -> list[Record]:
    """A run a value: its final accuracy, None for one that diverged."""
    return [
        run(point, seed, [0.5], State.DIVERGED) if value is None else run(point, seed, [0.5, value], **about)
        for seed, value in enumerate(values)
    ]


def legend(drawn: Drawn) -> list[str]:
    return [text.get_text() for box in drawn.figure.legends for text in box.get_texts()]


def series(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """The places and the means of each line with error bars."""
    lines = [container.lines[0] for container in axes.containers]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def test_error_is_100_less_accuracy_and_diverged_runs_are_at_the_head() -> None:
    records = [*runs_at({B: 256}, [0.9, 0.92, 0.94]), *runs_at({B: 8192}, [0.8, None])]
    made = results(records, baseline={B: 256}, target={"val_accuracy": 0.95})
    drawn = final_error_by(made, B)
    assert drawn is not None and drawn.name == "final_error_by_batch_size"
    (axes,) = drawn.figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["256", "8k"]
    ((x, y),) = series(axes)
    assert x == [8, 13] and y == pytest.approx([8, 20])
    levels = {line.get_ydata()[0] for line in axes.get_lines() if list(line.get_xdata()) == [0, 1]}
    assert sorted(levels) == pytest.approx([5, 8])
    assert {"target", "baseline", "some diverged"} <= set(legend(drawn))
    (cross,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert cross.get_ydata()[0] > 0.9
    dots = [line for line in axes.get_lines() if line.get_marker() == "."]
    assert sorted(dots[0].get_ydata()) == pytest.approx([6, 8, 10])
    assert "n = 1 to 3" in drawn.caption and "95 % t interval" in drawn.caption


def test_a_line_breaks_where_all_runs_diverged_or_none_has_finished() -> None:
    records = [
        *runs_at({B: 256}, [0.9]),
        *runs_at({B: 512}, [None, None]),
        *runs_at({B: 1024}, [0.8]),
        run({B: 2048}, state=State.PLANNED),
    ]
    drawn = final_accuracy_by(results(records), B)
    assert drawn is not None
    ((x, y),) = series(drawn.figure.axes[0])
    assert x == [8, 9, 10, 11]
    assert y == pytest.approx([90, float("nan"), 80, float("nan")], nan_ok=True)
    assert "all diverged" in legend(drawn) and "some diverged" not in legend(drawn)


def test_runs_at_chance_level_do_not_squeeze_the_others() -> None:
    good = [*runs_at({B: 256}, [0.98]), *runs_at({B: 512}, [0.97])]
    (bad,) = runs_at({B: 1024}, [0.1])
    drawn = final_accuracy_by(results([*good, Record(**{**vars(bad), "outcome": "chance"})]), B)
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert axes.get_ylim()[0] > 90
    assert "at chance level" in legend(drawn)
    ((_, y),) = series(axes)
    assert y == pytest.approx([98, 97, 10])  # its line leaves the panel


def test_of_tuned_points_the_best_is_shown() -> None:
    records = [
        record
        for batch in (256, 512)
        for rate in (0.1, 0.2, 0.4)
        for record in runs_at({B: batch, R: rate}, [None if rate > 0.3 else 0.9 - rate + batch / 1e4])
    ]
    drawn = final_accuracy_by(results(records, tuned=(R,)), B)
    assert drawn is not None
    (axes,) = drawn.figure.axes
    ((x, y),) = series(axes)
    assert x == [8, 9] and y == pytest.approx([82.56, 85.12])  # at the rate of 0.1
    assert legend(drawn) == [] and "the best of its points over reference learning rate" in drawn.caption
    by_rate = final_accuracy_by(results(records, tuned=(R,)), R)
    assert by_rate is not None and len(series(by_rate.figure.axes[0])) == 2


def test_training_longer_stands_at_the_epochs_of_a_budget() -> None:
    records = [
        record
        for batch, epochs in ((8192, 30), (8192, 960), (16384, 60), (16384, 1920))
        for record in runs_at(
            {B: batch, "recipe.budget": f"like_batch={256 if epochs > 100 else 8192}, epochs=30"},
            [0.9 + epochs / 1e5],
            derived={"batch_size": batch, "epochs": epochs},
        )
    ]
    (drawn,) = (one for one in draw(results(records), ["final_accuracy_by_epochs"]))
    (axes,) = drawn.figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["30", "60", "960", "1920"]
    first, second = series(axes)
    assert first[1] == pytest.approx([90.03, 90.96])
    assert second[1] == pytest.approx([90.06, 91.92])
    assert second[0][1] - second[0][0] == pytest.approx(5)  # 1920/60 is two to the five


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([64, 1024, 65536], ["64", "1k", "64k"]),
        ([7680, 15360], ["7680", "15360"]),
        ([256, 60000], ["256", "60000"]),
        ([None, 256], ["none", "256"]),
    ],
)
def test_batch_sizes_are_written_with_k_where_all_are_powers_of_two(
    values: list[Any], names: list[str]
) -> None:
    assert size_names(values) == names


def test_numbers_over_a_wide_range_stand_by_their_logarithm() -> None:
    assert list(scale([0.001, 0.002, 0.064]).at.values()) == pytest.approx([-9.965784, -8.965784, -3.965784])
    assert list(scale([5, 10, 20]).at.values()) == [5, 10, 20]
    assert list(scale([0, 5, 200]).at.values()) == [0, 5, 200]


def cells(axes: Axes) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in axes.texts}


def frames(axes: Axes) -> list[tuple[int, int]]:
    """The middles of the frames that mark best cells."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
    return [
        (round(one.get_x() + one.get_width() / 2), round(one.get_y() + one.get_height() / 2)) for one in found
    ]


def test_heat_map_has_means_counts_diverged_and_missing_cells_and_the_best() -> None:
    records = [
        *runs_at({R: 0.1, W: 0}, [0.90, 0.92]),
        *runs_at({R: 0.1, W: 5}, [0.95, 0.97, None]),
        *runs_at({R: 0.4, W: 0}, [None, None]),
        run({R: 0.4, W: 5}, state=State.PLANNED),
        *runs_at({R: 0.8, W: 5}, [0.5]),
    ]
    drawn = heat_map(results(records))
    assert drawn is not None and drawn.name == "heat_map_reference_learning_rate_warmup_epochs"
    axes = drawn.figure.axes[0]
    assert cells(axes) == {
        (0, 0): "91.00\n(2)",
        (1, 0): "96.00\n(2; 1×)",
        (0, 1): "(2×)",
        (1, 1): "–",
        (1, 2): "50.00\n(1)",
    }  # nothing at (0, 2): the study has no such point
    assert frames(axes) == [(1, 0)]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.1", "0.4", "0.8"]
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert [(patch.get_x(), patch.get_y()) for patch in hatched] == [(-0.5, 0.5)]
    assert legend(drawn) == ["3×: three runs diverged", "no result yet"]


def test_cells_are_coloured_by_their_mean_and_can_be_read() -> None:
    made = study({B: [256, 1024, 4096, 16384], W: [0, 5, 20]}, falling)
    drawn = heat_map(made)
    assert drawn is not None
    axes = drawn.figure.axes[0]
    faces = {
        (patch.get_x() + 0.5, patch.get_y() + 0.5): luminance(patch.get_facecolor())
        for patch in axes.patches
        if patch.get_fill()
    }
    means = {place: float(text.split("\n")[0]) for place, text in cells(axes).items()}
    by_mean = [faces[place] for place in sorted(means, key=means.__getitem__)]
    assert by_mean == sorted(by_mean) and by_mean[0] < 0.1 < 0.6 < by_mean[-1]
    for text in axes.texts:
        dark, light = sorted((faces[text.get_position()], luminance(to_rgb(text.get_color()))))
        assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2.2, contrast of small letters


def luminance(color: Sequence[float]) -> float:
    """Relative luminance of sRGB, WCAG 2.2."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_heat_maps_have_a_panel_a_value_of_further_axes_and_their_own_best() -> None:
    records = [
        record
        for name, best in (("lars", 0.1), ("momentum", 0.2))
        for rate in (0.1, 0.2)
        for warmup in (0, 5)
        for record in runs_at({OPTIMIZER: f"kind={name}", R: rate, W: warmup}, [0.9 + 0.05 * (rate == best)])
    ]
    drawn = heat_map(results(records))
    assert drawn is not None
    first, second = drawn.figure.axes[:2]
    titles = [" ".join(axes.get_title().split()) for axes in (first, second)]
    assert titles == ["optimizer = lars", "optimizer = momentum"]
    assert {row for _, row in frames(first)} == {0} and {row for _, row in frames(second)} == {1}


@pytest.mark.parametrize(
    ("axes", "pair"),
    [
        ({B: [1, 2], R: [1, 2], W: [1, 2]}, (R, W, (B,))),
        ({B: [1, 2], W: [1, 2]}, (B, W, ())),
        ({B: [1, 2], R: [1, 2]}, (R, B, ())),
        ({OPTIMIZER: ["a", "b"], R: [1, 2]}, (OPTIMIZER, R, ())),
        ({B: [1], R: [1, 2]}, None),
        ({B: [1, 2]}, None),
    ],
)
def test_which_axes_a_heat_map_has(axes: dict[str, list[Any]], pair: tuple[Any, ...] | None) -> None:
    found = axes_of(study(axes, lambda point: 0.9, seeds=[0]))
    assert (found if found is None else tuple(found)) == pair


STEPS = ["0 momentum SGD", "1 + warmup", "2 + LARS", "3 nothing yet"]


def ladder_records(batch: int = 819200) -> list[Record]:
    return [
        *runs_at({"label": STEPS[0], B: batch, R: 0.1}, [None, None]),
        *runs_at({"label": STEPS[1], B: batch, R: 0.1}, [0.02, 0.04], val_top5=0.1),
        *runs_at({"label": STEPS[2], B: batch, R: 0.1}, [0.10], val_top5=0.2),
        *runs_at({"label": STEPS[2], B: batch, R: 0.2}, [0.18, 0.20], val_top5=0.4),
        run({"label": STEPS[3], B: batch, R: 0.1}, state=State.PLANNED),
    ]


def test_a_ladder_has_a_bar_a_step_the_best_of_its_tuned_points() -> None:
    drawn = ladder(results(ladder_records(), tuned=(R,), published="you2020-ladder"))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == pytest.approx([3, 19])
    assert [bar.get_y() + bar.get_height() / 2 for bar in bars] == pytest.approx([1, 2])
    assert axes.get_xlim()[0] == 0 and axes.yaxis_inverted()
    assert [text.get_text() for text in axes.get_yticklabels()] == STEPS
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["diverged (2×)", "3.00 (2)", "19.00 (2)", "no result yet"]
    # The paper's: 0.0977 % and 2.712 % for the first two names, which are the same here.
    published = {
        line.get_ydata()[0]: line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "D"
    }
    assert published == pytest.approx({0: 0.0977, 1: 2.712})


def test_the_ladder_of_top_5_and_panels_by_batch_size() -> None:
    made = results([*ladder_records(), *ladder_records(1281280)], tuned=(R,))
    top1, top5 = draw(made, ["ladder"])
    assert [top1.name, top5.name] == ["ladder", "ladder_top5"]
    assert [axes.get_title() for axes in top5.figure.axes] == ["batch size = 819200", "batch size = 1281280"]
    widths = [bar.get_width() for bar in top5.figure.axes[1].patches]
    assert widths == pytest.approx([10, 40])


def test_steps_are_in_the_order_of_the_study_file() -> None:
    order = ["plain", "and warmup", "and LARS"]
    records = [
        record for index, name in enumerate(order) for record in runs_at({"label": name}, [0.5 + index / 9])
    ]
    for file, expected in ((Path("study.yaml"), order), (None, sorted(order))):
        drawn = ladder(results(records, study_file=file))
        assert drawn is not None
        assert [text.get_text() for text in drawn.figure.axes[0].get_yticklabels()] == expected


def test_steps_that_begin_with_numbers_are_in_their_order() -> None:
    """In a product of axes, the first run of step 10 may come before that of step 2."""
    names = ["10 + LARS", "0 momentum SGD", "2 + smoothing"]
    records = [record for name in names for record in runs_at({"label": name}, [0.1])]
    drawn = ladder(results(records, study_file=Path("study.yaml")))
    assert drawn is not None
    shown = [text.get_text() for text in drawn.figure.axes[0].get_yticklabels()]
    assert shown == ["0 momentum SGD", "2 + smoothing", "10 + LARS"]


def test_close_accuracies_are_dots_on_an_axis_that_does_not_begin_at_0() -> None:
    records = [*runs_at({OPTIMIZER: "a"}, [0.97]), *runs_at({OPTIMIZER: "b"}, [0.98])]
    drawn = ladder(results(records))
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert not axes.patches and axes.get_xlim()[0] > 90
    assert max(axes.get_xticks()) <= 100


def test_sharpness_by_batch_size_with_and_without_sam() -> None:
    records = [
        run({B: batch, "recipe.sam": sam}, seed, [0.9, 0.9], sharpness=[99.0, value * (1 + seed)])
        for batch, sam, value in (
            (64, None, 2),
            (64, "rho=0.05", 1),
            (4096, None, 40),
            (4096, "rho=0.05", 30),
        )
        for seed in (0, 1)
    ]
    drawn = sharpness_by_batch_size(results(records), "sharpness")
    assert drawn is not None and drawn.name == "sharpness_by_batch_size"
    (axes,) = drawn.figure.axes
    assert axes.get_yscale() == "log"
    first, second = series(axes)
    assert first[1] == pytest.approx([3, 60]) and second[1] == pytest.approx([1.5, 45])
    assert legend(drawn) == ["none", "rho 0.05"]
    assert sharpness_by_batch_size(results(records), "sharpness_sam") is None


def test_nothing_is_drawn_where_there_is_nothing_to_draw() -> None:
    planned = results([run({B: 256, W: warmup}, state=State.PLANNED) for warmup in (0, 5)])
    for kind in ("final_accuracy_by", "final_error_by", "heat_map", "ladder", "sharpness"):
        assert list(KINDS[kind].draw(planned)) == []


def test_a_heat_map_keeps_its_letters_in_the_report() -> None:
    """Letters on coloured cells do not follow the page's dark scheme, as those beside them do."""
    drawn = heat_map(study({B: [256, 16384], W: [0, 5]}, falling))
    assert drawn is not None
    svg = inline_svg(drawn.figure, drawn.name, drawn.colors)
    styles = dict(re.findall(r'<text style="([^"]*)"[^>]*>([^<]*)<', svg))
    colors = {text: re.search("fill: ([^;]*)", style) for style, text in styles.items()}
    assert colors
    for text, color in colors.items():
        in_a_cell = any(text in cell.split("\n") for cell in cells(drawn.figure.axes[0]).values())
        assert in_a_cell == (color is None or color[1] != "currentColor"), text


def test_in_a_column_small_cells_have_no_numbers_and_the_caption_says_how_many_runs() -> None:
    made = study({OPTIMIZER: ["a", "b"], R: [0.001 * 2**power for power in range(11)]}, lambda point: 0.9)
    (page,) = draw(made, ["heat_map"])
    (column,) = draw(made, ["heat_map"], Choices("column"))
    assert cells(page.figure.axes[0])[0, 0].endswith("(3)")
    assert set(cells(column.figure.axes[0]).values()) == {""}
    assert "n = 3" in column.caption
