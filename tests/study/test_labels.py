"""Names of points: the axis `label`, which says what a point is called and changes nothing in its runs."""

from __future__ import annotations

import pytest

from horovod_lb.errors import StudyError
from horovod_lb.study import baseline_runs, expand, load_study, select

RUNGS = """\
zip:
  label: ["0 momentum", "1 + warmup", "2 + smoothing"]
  recipe.warmup.epochs: [0, 5, 5]
  recipe.label_smoothing: [0, 0, 0.1]
"""


def test_first_axis_and_no_part_of_a_run(runs, write):
    plain = runs(RUNGS.replace('  label: ["0 momentum", "1 + warmup", "2 + smoothing"]\n', ""))
    named = runs("axes: {recipe.epochs: [30]}\n" + RUNGS)
    assert list(named[1].point.items())[:2] == [("label", "1 + warmup"), ("recipe.epochs", 30)]
    assert [run.run_id for run in named] == [run.run_id for run in plain]
    assert all("label" not in section for run in named for section in (run.spec, run.spec["recipe"]))


def test_single_points_and_those_without_a_name(runs):
    found = runs("points:\n  - {label: small, recipe.batch_size: 64}\n  - {recipe.batch_size: 128}\n")
    assert [run.point["label"] for run in found] == ["small", None]


def test_expressions_and_the_baseline_know_it(write):
    exclude = "exclude: [\"label == '2 + smoothing' and seed == 0\"]\n"
    study = load_study(write(RUNGS + "baseline: {label: 1 + warmup}\nseeds: [0, 1]\n" + exclude))
    found = expand(study)
    named = [(run.point["label"], run.seed) for run in found]
    assert named == [
        ("0 momentum", 0),
        ("0 momentum", 1),
        ("1 + warmup", 0),
        ("1 + warmup", 1),
        ("2 + smoothing", 1),
    ]
    assert baseline_runs(study, found) == found[2:4]
    assert select(found, "label == '0 momentum'") == found[:2]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("axes: {label: [a, 3]}\n", "study.yaml:13: axes.label: a name is text; found 3"),
        ("baseline: {label: 0}\n", "study.yaml:13: baseline.label: a name is text; found 0"),
        (
            "points:\n  - {recipe.epochs: 1, label: ' '}\n",
            "study.yaml:14: points[0].label: a name is text; found ' '",
        ),
    ],
)
def test_what_is_no_name(write, more, place):
    with pytest.raises(StudyError) as error:
        load_study(write(more))
    assert place in str(error.value)


def test_two_names_for_one_run(write):
    with pytest.raises(StudyError, match=r"two runs have the id .*label=a, .*label=b"):
        expand(load_study(write("axes: {label: [a, b]}\n")))


def test_never_tuned():
    from horovod_lb.analysis.points import is_tuned

    assert not is_tuned("label")
    assert is_tuned("recipe.warmup.epochs")
