"""Figures: what is drawn, read back from the artists, and the files."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.figures import KINDS, Drawn, draw
from horovod_lb.analysis.figures.by_point import final_accuracy_by
from horovod_lb.analysis.figures.lines import band, places
from horovod_lb.analysis.figures.style import INK, inline_svg, palette, save


def only(kind: str, folder: Folder) -> Drawn:
    """The one figure of a kind."""
    (drawn,) = KINDS[kind].draw(collect(folder.path))
    return drawn


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2 (relative luminance of sRGB)."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_lines_are_means_and_bands_reach_from_lowest_to_highest(folder: Folder) -> None:
    for seed, values in enumerate(([0.2, 0.6], [0.4, 0.9], [0.3, 0.9])):
        folder.run(f"a{seed}", {"recipe.batch_size": 64}, seed, values)
    folder.run("b", {"recipe.batch_size": 128}, 0, [0.1, 0.5])
    drawn = only("accuracy_by_epoch", folder)
    (axes,) = drawn.figure.axes
    first, second = axes.get_lines()
    assert list(first.get_xdata()) == [1, 2]
    assert list(first.get_ydata()) == pytest.approx([30, 80])
    assert list(second.get_ydata()) == pytest.approx([10, 50])
    (filled,) = axes.collections
    corners = filled.get_paths()[0].vertices
    assert [
        corners[corners[:, 0] == 2][:, 1].min(),
        corners[corners[:, 0] == 2][:, 1].max(),
    ] == pytest.approx([60, 90])


def test_a_mean_is_over_the_same_runs_at_every_epoch(folder: Folder) -> None:
    folder.run("a", {}, 0, [0.2, 0.6, 0.7], state=None)
    folder.run("b", {}, 1, [0.4], state="failed")
    (point,) = collect(folder.path).points
    found = band(point, "val_accuracy")
    assert found is not None
    assert (found.epochs, found.runs) == ((1,), 2)
    assert found.mean == pytest.approx((0.3,))


def test_diverged_runs_end_with_a_cross_and_are_in_no_mean(batch_by_warmup: Folder) -> None:
    drawn = only("accuracy_by_epoch", batch_by_warmup)
    crosses = [line for line in drawn.figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in crosses] == [([1], [40.0])] * 2
    means = [list(line.get_ydata()) for line in drawn.figure.axes[0].get_lines() if line.get_linewidth() > 1]
    assert pytest.approx([60, 99]) in means
    assert "cross" in drawn.caption


def test_final_accuracy_stands_at_the_logarithm_of_the_batch_size(batch_by_warmup: Folder) -> None:
    drawn = final_accuracy_by(collect(batch_by_warmup.path), "recipe.batch_size")
    assert drawn is not None
    (axes,) = drawn.figure.axes
    assert list(axes.get_xticks()) == [8.0, 10.0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["256", "1k"]
    series = [container.lines[0] for container in axes.containers]
    assert list(series[0].get_ydata()) == pytest.approx([92, 99])
    assert list(series[1].get_ydata()) == pytest.approx([96, 85])
    assert list(series[0].get_xdata()) == pytest.approx([8, 10], abs=0.1)
    bars = axes.containers[0].lines[2][0].get_segments()
    # Student's t at 97.5 % with two degrees of freedom, 4.302653, times 2/√3
    assert bars[0][:, 1].tolist() == pytest.approx([92 - 4.968275, 92 + 4.968275])
    (cross,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert cross.get_xdata()[0] == pytest.approx(10, abs=0.1)
    low, high = axes.get_ylim()
    # Runs reach from 80 to 99; of wider intervals half of that is shown, then air, and marks at the foot.
    assert (low, high) == pytest.approx((80 - 9.5 - 2.5 * 0.06 * 38, 100 + 0.06 * 38))


def test_the_legend_lies_beside_the_panels(batch_by_warmup: Folder) -> None:
    for drawn in draw(collect(batch_by_warmup.path)):
        drawn.figure.draw_without_rendering()
        (legend,) = drawn.figure.legends
        box = legend.get_window_extent()
        assert all(not box.overlaps(axes.get_window_extent()) for axes in drawn.figure.axes)
        whole = drawn.figure.bbox
        assert box.x1 <= whole.x1 + 1 and box.y0 >= whole.y0 - 1


@pytest.mark.parametrize("batches", [1, 3, 12, 30])
def test_every_line_has_its_entry_and_nothing_is_cut(folder: Folder, batches: int) -> None:
    for index in range(batches):
        for warmup in (0, 5):
            point = {"recipe.batch_size": 2**index, "recipe.warmup.epochs": warmup}
            folder.run(f"{index}-{warmup}", point, 0, [0.5, 0.9])
    for drawn in draw(collect(folder.path)):
        drawn.figure.draw_without_rendering()
        assert all(
            legend.get_window_extent().y0 >= drawn.figure.bbox.y0 - 1 for legend in drawn.figure.legends
        )
        entries = [
            text.get_text()
            for legend in drawn.figure.legends
            for text in (legend.get_title(), *legend.get_texts())
            if text.get_text()
        ]
        if drawn.name == "accuracy_by_epoch" and batches > 1:
            assert entries[: batches + 1] == ["batch size", *(str(2**index) for index in range(batches))]
        for axes in drawn.figure.axes:
            labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
            if not any(label.get_rotation() for label in axes.get_xticklabels()):
                assert all(left.x1 < right.x0 for left, right in pairwise(labels)), drawn.name


@pytest.mark.parametrize("runs", [0, 1])
def test_one_run_of_one_epoch_and_none(folder: Folder, runs: int) -> None:
    folder.run("a", {}, 0, [0.5][:runs], state="completed" if runs else None)
    names = [drawn.name for drawn in draw(collect(folder.path))]
    everything = ["accuracy_by_epoch", "final_accuracy_by_batch_size", "learning_rate_by_epoch"]
    assert names == (everything if runs else [])


def test_a_study_names_its_figures(batch_by_warmup: Folder) -> None:
    names = [drawn.name for drawn in draw(collect(batch_by_warmup.path), ["final_accuracy_by_warmup"])]
    assert names == ["final_accuracy_by_warmup_epochs"]


def test_learning_rate_is_what_the_epochs_say(folder: Folder) -> None:
    rows = ["1,1,0.1,1,0.5,1,0.5,1,1", "2,2,0.4,1,0.5,1,0.6,1,1", "3,3,0.04,1,0.5,1,0.7,1,1"]
    folder.run("a", {}, 0, rows=rows)
    drawn = only("learning_rate_by_epoch", folder)
    assert list(drawn.figure.axes[0].get_lines()[0].get_ydata()) == [0.1, 0.4, 0.04]


@pytest.mark.parametrize(
    ("values", "logarithmic", "expected"),
    [
        ([256, 1024], True, [8, 10]),
        ([0, 5, 20], False, [0, 5, 20]),
        ([0, 8], True, [0, 8]),
        (["linear", "sqrt"], True, [0, 1]),
        ([None, 5], False, [0, 1]),
        ([True, False], False, [0, 1]),
    ],
)
def test_places(values: list[Any], logarithmic: bool, expected: list[float]) -> None:
    assert places(values, logarithmic=logarithmic) == expected


def test_files_are_the_same_every_time_and_what_they_say_to_be(
    batch_by_warmup: Folder, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for drawn in draw(collect(batch_by_warmup.path)):
            save(drawn.figure, tmp_path / name / drawn.name)
    files = sorted((tmp_path / "one").iterdir())
    assert [file.suffix for file in files] == [".pdf", ".png", ".svg"] * 4
    for file in files:
        content = file.read_bytes()
        assert content == (tmp_path / "two" / file.name).read_bytes(), file.name
        assert content.startswith({".pdf": b"%PDF", ".png": b"\x89PNG", ".svg": b"<?xml"}[file.suffix])


def test_inline_svg_follows_the_page_and_keeps_its_ids_to_itself(batch_by_warmup: Folder) -> None:
    drawn = only("accuracy_by_epoch", batch_by_warmup)
    html = inline_svg(drawn.figure, drawn.name, drawn.colors)
    style, svg = html.split("</style>", 1)
    for color in palette(drawn.colors):
        assert color in style and color not in svg
    assert INK not in svg and "currentColor" in svg
    tree = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all(str(one).startswith(drawn.name) for one in ids)
    links = [element.get("href") for element in tree.iter() if element.get("href")]
    assert links and all(str(link)[1:] in ids for link in links)
    assert "validation accuracy (%)" in "".join(tree.itertext())


@pytest.mark.parametrize("count", [1, 2, 6, 7, 8, 12, 30])
def test_colours_differ_and_can_be_seen_on_the_page(count: int) -> None:
    for dark, page in ((False, "#ffffff"), (True, "#16181b")):
        colors = palette(count, dark=dark)
        assert len(set(colors)) == count
        seen = [color for color in colors if color != INK]  # ink follows the page
        assert all(contrast(color, page) > 1.5 for color in seen)
        assert math.isclose(contrast("#000000", "#ffffff"), 21)
