"""Each mistake is found, and a sound study is left in peace."""

from __future__ import annotations

from pathlib import Path

import pytest

from horovod_lb.study import expand, load_study
from horovod_lb.study.audit import audit

STUDY = """
name: audited
job: job.py
model: {name: lenet5}
data: {name: custom, examples: 60000, val_examples: 10000, classes: 10}
resources: {workers: 2}
recipe:
  epochs: 90
  batch_size: 256
  reference: {batch_size: 256, learning_rate: 0.1}
  scaling: linear
  schedule: {kind: step, epochs: [30, 60], factor: 0.1}
"""


@pytest.fixture
def findings(tmp_path: Path):
    def of(text: str, *changes: str) -> dict[str, str]:
        (tmp_path / "job.py").touch()
        (tmp_path / "s.yaml").write_text(STUDY + text)
        runs = expand(load_study(tmp_path / "s.yaml", changes))
        found = audit(runs)
        assert all(set(finding.runs) <= {run.run_id for run in runs} and finding.runs for finding in found)
        return {finding.kind: finding.message for finding in found}

    return of


GROUPS = "zip: {recipe.batch_size: [256, 2048], recipe.groups: [2, 16]}"


def test_a_sound_study_has_no_findings(findings) -> None:
    assert findings("") == {}
    assert findings(GROUPS) == {}
    legw = (
        "recipe.scaling=legw",
        "recipe.reference={batch_size: 256, learning_rate: 0.1, warmup_epochs: 0.5}",
    )
    assert findings(GROUPS, *legw, "recipe.warmup.start=zero") == {}


def test_a_decay_that_never_acts(findings) -> None:
    found = findings("", "recipe.schedule.epochs=[30, 60, 90]")
    assert "the decay at epoch 90 never acts" in found["recipe.schedule.epochs"]


def test_rates_scaled_by_workers(findings) -> None:
    assert "whatever the batch size" in findings("", "recipe.scaling=per_worker")["recipe.scaling"]


def test_a_jump_at_the_hand_over(findings) -> None:
    smooth = ("recipe.schedule={kind: cosine, anchor: zero}", "recipe.warmup.epochs=10")
    assert "jumps from" in findings("", *smooth, "recipe.batch_size=1024")["recipe.schedule"]


@pytest.mark.parametrize(("power", "word"), [(1, "linearly"), (0.5, "as the square root")])
def test_double_scaling(findings, power: float, word: str) -> None:
    rates = [0.1 * (size / 256) ** power for size in (256, 1024, 4096)]
    sizes = "recipe.batch_size: [256, 1024, 4096], recipe.groups: [2, 8, 32]"
    text = f"zip: {{{sizes}, recipe.reference.learning_rate: {rates}}}"
    assert f"grows {word}" in findings(text)["double scaling"]
    assert "double scaling" not in findings(text, "recipe.scaling=none")
    tuned = text.replace(str(rates), str([0.1, 0.05, 0.2]))
    assert "double scaling" not in findings(tuned)


def test_warmup_steps_far_from_the_constant_of_legw(findings) -> None:
    found = findings(GROUPS, "recipe.warmup.epochs=5")
    # 5 epochs are 5 * 60000/256 steps at 256 and an eighth of that at 2048.
    assert "batch size 2048 warms up for 146.484 steps, batch size 256 has 1171.88" in found["warmup steps"]
    near = GROUPS.replace("2048", "512").replace("16", "4")
    assert "warmup steps" not in findings(near, "recipe.warmup.epochs=5")
    reference = "recipe.reference={batch_size: 256, learning_rate: 0.1, warmup_epochs: 0.5}"
    large = ("recipe.batch_size=2048", "recipe.groups=16", "recipe.warmup.epochs=20")
    assert "reference.warmup_epochs gives 117.188" in findings("", reference, *large)["warmup steps"]
    assert "warmup steps" not in findings("", reference, *large[:2], "recipe.warmup.epochs=4")


def test_groups_that_change_along_an_axis(findings) -> None:
    batches = "axes: {recipe.batch_size: [256, 512]}"
    for words, sizes in (
        ("{name: own}", "128 to 256"),
        ("{name: resnet20}", "128 to 256"),
        ("{name: resnet20, batch_norm: sync}", "256 to 512"),
        ("{name: resnet20, batch_norm: group, bn_groups: 2}", "256 to 512"),
        ("{name: resnet20, batch_norm: ghost, ghost_size: 32}", None),
        ("{name: lenet5}", None),
    ):
        found = findings(batches, f"model={words}").get("group size", "")
        assert (f"batch norm takes its moments over {sizes} examples" in found) == (sizes is not None), words
    ghosts = "axes: {model.ghost_size: [16, 32]}"
    found = findings(ghosts, "model={name: resnet20, batch_norm: ghost}")
    assert "over 16 to 32 examples" in found["group size"]
    assert "let recipe.groups grow" in found["group size"]
    sync = findings(batches, "model={name: resnet20, batch_norm: sync}")["group size"]
    assert "sync takes the whole batch, plain or ghost" in sync and "let recipe.groups grow" not in sync


def test_perturbations_that_change_along_an_axis(findings) -> None:
    batches = "axes: {recipe.batch_size: [256, 512]}"
    assert "SAM takes its perturbation over 128 to 256" in findings(batches, "recipe.sam={}")["group size"]
    assert "over 256 to 512" in findings(batches, "recipe.sam={group: 2}")["group size"]
    assert "group size" not in findings(batches, "recipe.sam={group: global}")


def test_label_smoothing_that_differs(findings) -> None:
    found = findings("axes: {recipe.label_smoothing: [0.0, 0.1]}")
    assert "label_smoothing is 0 to 0.1" in found["label smoothing"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lenet6", "lenet5"), ("Resnet50", "resnet50"), ("resnet50", ""), ("lenet", ""), ("my_own", "")],
)
def test_a_network_that_is_nearly_a_shipped_one(findings, name: str, meant: str) -> None:
    message = findings("", f"model.name={name}").get("model.name", "")
    assert f"did you mean {meant}?" in message if meant else not message
