"""All kinds of figures: no label is cut off or touches another, on a page and in a column, for few curves and
for many.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest
from figure_checks import complaints, made_study
from matplotlib.figure import Figure

from horovod_lb.analysis.figures import KINDS, Choices, draw
from horovod_lb.analysis.figures.panels import tidy_log
from horovod_lb.analysis.figures.style import inline_svg, save
from horovod_lb.analysis.results import Results

_LONG = "a layer-wise adaptive optimizer with a bounded trust ratio and decoupled weight decay, variant"

STUDIES: dict[str, Callable[[], Results]] = {
    "one run": lambda: made_study([{}], seeds=1, epochs=1),
    "one curve": lambda: made_study([{"recipe.batch_size": 256}], seeds=1),
    "batch by warmup, diverged, gaps": lambda: made_study(
        [
            {"recipe.batch_size": batch, "recipe.warmup.epochs": warmup}
            for batch in (7680, 15360, 30720)
            for warmup in (0, 5, 10, 20)
        ],
        diverged=(8, 9),
        gaps=(1,),
        running=(3,),
        by_step=True,
    ),
    "forty curves": lambda: made_study(
        [{"recipe.batch_size": 640 * (i + 1)} for i in range(40)], diverged=(39,)
    ),
    "long names": lambda: made_study(
        [
            {"recipe.batch_size": batch, "recipe.optimizer": f"{_LONG} {name}"}
            for batch in (256, 8192)
            for name in "abcdefghi"
        ],
        diverged=(0, 17),
    ),
    "rates": lambda: made_study(
        [
            {"recipe.batch_size": batch, "recipe.reference.learning_rate": 0.0005 * 2**power}
            for batch in (256, 8192)
            for power in range(11)
        ],
        diverged=(21,),
    ),
}


@functools.cache
def study(name: str) -> Results:
    return STUDIES[name]()


CASES = list(product(STUDIES, ("page", "column")))
# Each kind on one or two of the twelve cases, in turn: together they are quick, and every case is there.
SOME = [
    (kind, *CASES[(5 * index + shift) % len(CASES)])
    for index, kind in enumerate(KINDS)
    for shift in (0, 7)[: 1 + index % 2]
]


@pytest.mark.parametrize(("kind", "name", "width"), SOME)
def test_labels_lie_apart_and_inside(kind: str, name: str, width: str) -> None:
    for drawn in draw(study(name), [kind], Choices(width)):
        assert not complaints(drawn.figure), drawn.name
        assert drawn.figure.get_figwidth() <= {"page": 7.0, "column": 3.4}[width]
        assert drawn.figure.get_figheight() <= 22, drawn.name


@pytest.mark.parametrize(
    "odd",
    ["$\\frac{1$", "$x^2$ and $y$", "<script>alert(1)</script>", "\x1b[31mred\x07\x00", "a\nb --> &amp;"],
)
def test_names_of_any_kind_are_text(odd: str, tmp_path: Path) -> None:
    """Neither formulas nor terminal escapes nor markup; SVG files are well-formed."""
    made = made_study([{"recipe.batch_size": 256, "recipe.optimizer": name} for name in (odd, "sgd")])
    (drawn,) = draw(made, ["accuracy_by_epoch"])
    assert not complaints(drawn.figure)
    shown = "".join(one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in odd)
    assert any(text.get_text() == shown for text in drawn.figure.legends[0].get_texts())
    save(drawn.figure, tmp_path / "odd", ["svg", "png"])
    ElementTree.parse(tmp_path / "odd.svg")
    inside = inline_svg(drawn.figure, "odd", drawn.colors).split("</style>", 1)[1]
    whole = "".join(ElementTree.fromstring(inside).itertext())
    assert shown.strip() in whole


def test_a_name_without_end_leaves_room_for_the_panel() -> None:
    made = made_study([{"recipe.batch_size": 256, "recipe.optimizer": name} for name in ("a" * 400, "sgd")])
    (drawn,) = draw(made, ["final_accuracy_by_optimizer"])
    assert not complaints(drawn.figure)
    assert drawn.figure.get_figheight() < 8


@pytest.mark.parametrize(("values", "labels"), [((1e-9, 1), ["10⁻⁹", "10⁰"]), ((1, 1e12), ["10⁰", "10¹²"])])
def test_many_powers_of_ten_are_raised_digits(values: tuple[float, float], labels: list[str]) -> None:
    axes = Figure().subplots()
    axes.set_yscale("log")
    axes.set_ylim(*values)
    tidy_log(axes)
    show = axes.yaxis.get_major_formatter()
    assert [show(value, 0) for value in values] == labels
    assert show(2 * values[1], 0) == ""


def test_the_checks_find_what_is_wrong() -> None:
    figure = Figure(figsize=(3, 2))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.text(0.5, 0.5, "one label")
    axes.text(0.55, 0.5, "another", fontsize=5)
    axes.text(0.95, 0.1, "cut off")
    found = complaints(figure)
    assert any("'one label' and 'another' overlap" in line for line in found)
    assert any("'cut off' is cut off" in line for line in found)
    assert any("'another' is small" in line for line in found)
    assert len(found) == 3
