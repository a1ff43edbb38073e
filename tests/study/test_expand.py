"""Points, seeds, exclusion; and the content of run.json."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest

from horovod_lb.errors import StudyError
from horovod_lb.recipe import resolve
from horovod_lb.study import baseline_runs, expand, load_study, select


def points(runs):
    return [tuple(run.point.values()) for run in runs]


def test_without_axes_there_is_one_run(runs):
    (run,) = runs()
    assert (run.point, run.seed) == ({}, 0)


def test_axes_multiply_in_their_order_and_seeds_are_innermost(runs):
    found = runs("axes: {recipe.batch_size: [256, 512], recipe.warmup.epochs: [0, 5, 10]}\nseeds: [3, 1]\n")
    expected = itertools.product([256, 512], [0, 5, 10], [3, 1])
    assert [(*run.point.values(), run.seed) for run in found] == list(expected)
    assert [run.resolved.batch.batch_size for run in found] == [256] * 6 + [512] * 6
    assert [run.spec["recipe"]["warmup"]["epochs"] for run in found] == [0, 0, 5, 5, 10, 10] * 2


def test_zip_goes_along_and_multiplies_with_axes(runs):
    found = runs(
        "axes: {recipe.warmup.epochs: [0, 5]}\n"
        "zip: {recipe.batch_size: [256, 512], recipe.reference.learning_rate: [0.1, 0.2]}\n"
    )
    assert points(found) == [(0, 256, 0.1), (0, 512, 0.2), (5, 256, 0.1), (5, 512, 0.2)]


def test_points_come_beside_the_product(runs):
    found = runs(
        "axes: {recipe.batch_size: [512, 1024]}\n"
        "points: [{recipe.batch_size: 256, recipe.warmup.epochs: 0}]\n"
    )
    assert [run.point for run in found] == [
        {"recipe.batch_size": 512, "recipe.warmup.epochs": 5},
        {"recipe.batch_size": 1024, "recipe.warmup.epochs": 5},
        {"recipe.batch_size": 256, "recipe.warmup.epochs": 0},
    ]


def test_points_alone(runs):
    found = runs("points: [{recipe.batch_size: 256}, {recipe.epochs: 6}]\n")
    assert points(found) == [(256, 30), (256, 6)]


def test_exclude(runs):
    found = runs(
        "axes: {recipe.batch_size: [256, 30720], recipe.warmup.epochs: [0, 5, 20]}\n"
        'exclude: ["recipe.batch_size < 10000 and recipe.warmup.epochs > 10"]\nseeds: [0, 1]\n'
    )
    assert (256, 20) not in points(found)
    assert len(found) == 10


def test_exclude_by_seed(runs):
    found = runs(
        "axes: {recipe.batch_size: [256, 512]}\nseeds: [0, 1]\n"
        'exclude: ["seed > 0 and recipe.batch_size > 256"]\n'
    )
    assert [(run.point["recipe.batch_size"], run.seed) for run in found] == [(256, 0), (256, 1), (512, 0)]


def test_excluded_points_need_not_make_sense(runs):
    """A batch that does not divide would be an error, were it not excluded."""
    found = runs('axes: {recipe.batch_size: [256, 257]}\nexclude: ["recipe.batch_size % 2 == 1"]\n')
    assert points(found) == [(256,)]


def test_an_axis_of_whole_sections(runs):
    """Points show what the study writes; the recipe is complete."""
    bounded = "{kind: adagrad, layerwise: {max: 2}}"
    found = runs(f"axes:\n  recipe.optimizer: [{{kind: sgd, momentum: 0.5}}, {{kind: adam}}, {bounded}]\n")
    assert points(found) == [
        ("kind=sgd, momentum=0.5",),
        ("kind=adam",),
        ("kind=adagrad, layerwise=(max=2)",),
    ]
    complete = {"kind": "sgd", "momentum": 0.5, "nesterov": False, "layerwise": None}
    assert found[0].spec["recipe"]["optimizer"] == complete


def test_a_key_that_only_an_axis_gives(runs):
    found = runs("axes: {recipe.batch_size: [256, 512]}\n", replace=[("  batch_size: 256\n", "")])
    assert points(found) == [(256,), (512,)]


def test_select(runs):
    found = runs("axes: {recipe.batch_size: [256, 512]}\nseeds: [0, 1]\n")
    assert select(found, None) == found
    assert select(found, "recipe.batch_size == 512 and seed == 1") == found[3:]
    assert select(found, "batch_size == 512 and learning_rate_peak == 0.2") == found[2:]
    assert select(found, f"run_id == '{found[1].run_id}'") == [found[1]]
    with pytest.raises(StudyError, match=r"did you mean recipe\.batch_size"):
        select(found, "recipe.bach_size == 512")


def test_baseline_runs(write):
    study = load_study(
        write("baseline: {recipe.batch_size: 2.56e2}\naxes: {recipe.batch_size: [256, 512]}\nseeds: [0, 1]\n")
    )
    assert [run.point["recipe.batch_size"] for run in baseline_runs(study, expand(study))] == [256, 256]


def test_run_json_is_complete(runs, tmp_path):
    (run,) = runs("seeds: [7]\naxes: {recipe.batch_size: [8192]}\n")
    spec = json.loads(json.dumps(run.spec))
    assert spec == run.spec
    assert list(spec) == [
        *("schema", "run_id", "study", "point", "job", "model", "data", "resources", "recipe", "measure"),
        *("checkpoint", "seed", "derived"),
    ]
    assert (spec["schema"], spec["run_id"], spec["study"], spec["seed"]) == (1, run.run_id, "tiny", 7)
    assert spec["job"] == {
        "path": str(tmp_path / "train.py"),
        "name": "train.py",
        "sha256": hashlib.sha256((tmp_path / "train.py").read_bytes()).hexdigest(),
    }
    assert spec["recipe"]["groups"] == 2
    assert spec["derived"] == run.resolved.columns()
    # What is trained from the file later is what was planned.
    again = resolve(spec["recipe"], examples=60_000, workers=2)
    assert again.rate.table().tolist() == run.resolved.rate.table().tolist()


def test_groups_stay_when_fewer_ranks_run_it(runs):
    (run,) = runs()
    alone = resolve(run.spec["recipe"], examples=60_000, workers=1)
    assert (alone.batch.groups, alone.batch.groups_per_worker) == (2, 2)
