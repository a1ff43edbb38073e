"""Shapes: the annotated study file of the manual, and agreement with the rooms that act on the values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from horovod_lb.data import catalog
from horovod_lb.recipe import communication, schedules
from horovod_lb.recipe.rate import WARMUPS
from horovod_lb.recipe.scaling import SCALINGS
from horovod_lb.recipe.timeline import REMAINDERS
from horovod_lb.study import expand, load_study
from horovod_lb.study.data import Custom, Data
from horovod_lb.study.model import Communication, Recipe, Warmup
from horovod_lb.study.schedules import Schedule

ANNOTATED = """\
name: mccord2021-warmup
job: train.py
model: {name: resnet50, batch_norm: plain, zero_gamma: true}
data: {name: custom, root: ${IMAGENET_DIR}, holdout: 0, augment: none, examples: 1281167}
resources: {workers: 240, walltime: "2:00"}
recipe:
  epochs: 90
  batch_size: 7680
  groups: 240
  remainder: continuous
  reference: {batch_size: 32, learning_rate: 0.0125}
  scaling: linear
  warmup: {kind: gradual, epochs: 5, start: per_worker}
  schedule: {kind: step, epochs: [30, 60, 90], factor: 0.1}
  optimizer: {kind: momentum, momentum: 0.9, nesterov: false, correction: true}
  weight_decay: {value: 5.0e-5, kind: l2, exclude: []}
  label_smoothing: 0.0
  clip_global_norm: null
  precision: float32
  communication: {allreduce: ring}
measure: []
checkpoint: {every_epochs: 1, every_minutes: 10, keep: 2}
baseline: {recipe.batch_size: 3840}
target: {val_accuracy: 0.753}
axes:
  recipe.batch_size: [7680, 30720]
  recipe.warmup.epochs: [0, 5, 10, 20]
exclude: ["recipe.batch_size < 10000 and recipe.warmup.epochs > 10"]
seeds: [0, 1, 2]
report: {figures: [accuracy_by_epoch, final_accuracy_by_warmup]}
"""


def test_the_annotated_file(write, monkeypatch):
    monkeypatch.setenv("IMAGENET_DIR", "/scratch/imagenet")
    study = load_study(write(text=ANNOTATED))
    runs = expand(study)
    assert len(runs) == (2 * 4 - 1) * 3
    spec = runs[0].spec
    assert spec["data"]["root"] == "/scratch/imagenet"
    assert spec["resources"] == {"workers": 240, "walltime": "2:00"}
    checkpoint = {"every_epochs": 1, "every_minutes": 10, "keep": 2, "keep_best": True, "final_model": False}
    assert spec["checkpoint"] == checkpoint
    assert spec["recipe"]["weight_decay"] == {"value": 5e-5, "kind": "l2", "exclude": []}
    assert study.baseline == {"recipe.batch_size": 3840}
    assert study.settings.target == {"val_accuracy": 0.753}
    assert study.report.figures == ["accuracy_by_epoch", "final_accuracy_by_warmup"]
    last = runs[-1].resolved
    assert (last.rate.peak, last.rate.warmup_epochs, last.batch.group_size) == (12, 20, 128)
    assert last.rate.start == pytest.approx(12 / 240)
    assert last.warnings == (
        "recipe.schedule.epochs: the decay at epoch 90 never acts, the run ends after 90 epochs",
    )


MOMENTUM = {"momentum": 0.9, "nesterov": False, "correction": True, "layerwise": None}
ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "layerwise": None}
BOUNDS = {"min_ratio": 0.0, "max_ratio": None, "exclude": []}
LARS = {
    "momentum": 0.9,
    "nesterov": False,
    "correction": False,
    "coefficient": 1.0,
    "norm": "sum",
    "epsilon": 0.0,
}
LAMB = {**ADAM, "epsilon": 1e-6, "bias_correction": True, "min_norm": 0.0, "max_norm": None}
del LAMB["layerwise"]
AROUND = {"on": "update", "min": 0.0, "max": None, "exclude": []}
OPTIMIZERS = [
    ("{kind: momentum}", {"kind": "momentum", **MOMENTUM}),
    (
        "{kind: sgd, nesterov: true}",
        {"kind": "sgd", "momentum": 0.0, "nesterov": True, "layerwise": None},
    ),
    ("{kind: adam, beta_1: 0.8}", {"kind": "adam", **ADAM, "beta_1": 0.8}),
    ("{kind: adamw, beta_2: 0.99}", {"kind": "adamw", **ADAM, "beta_2": 0.99}),
    (
        "{kind: rmsprop, rho: 0.95}",
        {"kind": "rmsprop", "rho": 0.95, "momentum": 0.0, "epsilon": 1e-7, "layerwise": None},
    ),
    ("{kind: adagrad, epsilon: 1e-8}", {"kind": "adagrad", "epsilon": 1e-8, "layerwise": None}),
    ("{kind: lars}", {"kind": "lars", **LARS, **BOUNDS}),
    (
        "{kind: lars, coefficient: 0.001, norm: joint, max_ratio: 50, exclude: [bias, normalization]}",
        {
            "kind": "lars",
            **LARS,
            "coefficient": 0.001,
            "norm": "joint",
            "min_ratio": 0.0,
            "max_ratio": 50.0,
            "exclude": ["bias", "normalization"],
        },
    ),
    (
        "{kind: lamb, bias_correction: false, max_norm: 10}",
        {"kind": "lamb", **LAMB, **BOUNDS, "bias_correction": False, "max_norm": 10.0},
    ),
    ("{kind: adam, layerwise: {}}", {"kind": "adam", **ADAM, "layerwise": AROUND}),
    (
        "{kind: momentum, layerwise: {on: gradient, min: 0.1, max: 10, exclude: [vectors]}}",
        {
            "kind": "momentum",
            **MOMENTUM,
            "layerwise": {"on": "gradient", "min": 0.1, "max": 10.0, "exclude": ["vectors"]},
        },
    ),
]


@pytest.mark.parametrize(("text", "complete"), OPTIMIZERS)
def test_optimizers(runs, text, complete):
    (run,) = runs(replace=[("  scaling: linear\n", f"  scaling: linear\n  optimizer: {text}\n")])
    assert run.spec["recipe"]["optimizer"] == complete


@pytest.mark.parametrize(
    ("old", "new", "section", "value"),
    [
        (
            "epochs: 30",
            "budget: {steps: 5000}",
            "budget",
            {"steps": 5000, "like_batch": None, "epochs": None},
        ),
        (
            "epochs: 30",
            "budget: {like_batch: 64, epochs: 30}",
            "budget",
            {"steps": None, "like_batch": 64, "epochs": 30},
        ),
        ("scaling: linear", "clip_global_norm: 1", "clip_global_norm", 1),
        ("batch_size: 256\n", "batch_size: 2.56e2\n", "batch_size", 256),
        (
            "{epochs: 5}",
            "{steps: 12, start: 0.02}",
            "warmup",
            {"kind": "gradual", "epochs": 0, "steps": 12, "start": 0.02},
        ),
        (
            "{epochs: 5}",
            "{kind: none}",
            "warmup",
            {"kind": "none", "epochs": 0, "steps": None, "start": "reference"},
        ),
    ],
)
def test_other_spellings(runs, old, new, section, value):
    (run,) = runs(replace=[(old, new)])
    assert run.spec["recipe"][section] == value


def test_values_agree_with_the_rooms_that_act_on_them():
    def allowed(model, key):
        return get_args(model.model_fields[key].annotation)

    sets = get_args(get_args(Data)[0])
    assert [name for model in sets for name in allowed(model, "name")] == list(catalog.NAMES)
    assert set(catalog.CUSTOM_KEYS) < set(Custom.model_fields)
    assert allowed(Recipe, "remainder") == REMAINDERS
    assert allowed(Recipe, "scaling") == SCALINGS
    assert allowed(Warmup, "kind") == WARMUPS
    assert allowed(Communication, "allreduce") == communication.ALLREDUCE_NAMES
    models = get_args(get_args(Schedule)[0])
    assert {kind for model in models for kind in allowed(model, "kind")} == set(schedules.kinds())


def test_the_manual_has_every_key():
    from horovod_lb.study.keys import known_keys

    manual = (Path(__file__).parents[2] / "docs" / "study.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z0-9_.]+)` \|", manual, flags=re.MULTILINE))
    assert documented == set(known_keys())


def blocks(manual, language):
    text = (Path(__file__).parents[2] / "docs" / manual).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_manual_s_study_is_valid(write):
    (study, *_) = blocks("study.md", "yaml")
    runs = expand(load_study(write(text=study.replace("jobs/mnist_lenet.py", "train.py"))))
    assert len(runs) == (3 * 2 - 1) * 3


def test_the_manual_s_program_says_what_it_does():
    (program,) = blocks("recipe.md", "python")
    names = {}
    exec(program, names)  # noqa: S102  the manual's own example
    resolved = names["resolved"]
    assert resolved.timeline.total_steps == 220
    assert resolved.rate(10) == pytest.approx(0.9465, abs=1e-4)
    assert len(resolved.rate.table()) == 220
