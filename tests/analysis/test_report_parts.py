"""Parts of the report: planned rates in few points, secrets, and how to repeat a run."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from horovod_lb.analysis.report.rate_trace import planned_rates, telling_steps
from horovod_lb.analysis.report.redact import redact, redacted
from horovod_lb.analysis.report.repeat import study_of_run
from horovod_lb.study import expand, load_study
from horovod_lb.study.shipped import SHIPPED_JOBS

STUDY = """\
name: traced
job: job.py
model: {name: lenet5}
data: {name: synthetic, examples: 60000, classes: 10, shape: [28, 28, 1]}
recipe:
  epochs: 90
  batch_size: 256
  reference: {batch_size: 256, learning_rate: 0.1}
  warmup: {kind: gradual, epochs: 5, start: zero}
  schedule: SCHEDULE
  optimizer: {kind: momentum, momentum: 0.9}
"""


def spec_of(folder: Path, text: str) -> dict[str, Any]:
    (folder / "job.py").write_text("def main(run): ...\n")
    (folder / "study.yaml").write_text(text)
    return expand(load_study(folder / "study.yaml"))[0].spec


@pytest.mark.parametrize(
    "schedule",
    [
        "{kind: constant}",
        "{kind: step, epochs: [30, 60, 80], factor: 0.1}",
        "{kind: polynomial, power: 2}",
        "{kind: cosine}",
        "{kind: cosine_restarts, cycles: 20}",
        "{kind: cyclical, low: 0.01, high: 0.2, cycle_epochs: 3}",
    ],
)
def test_a_line_through_the_trace_is_the_planned_rate_at_every_step(tmp_path: Path, schedule: str) -> None:
    study = tmp_path / "study.yaml"
    spec = spec_of(tmp_path, STUDY.replace("SCHEDULE", schedule))
    rates = expand(load_study(study))[0].resolved.rate.table()
    trace = planned_rates(spec)
    assert trace is not None and len(trace["step"]) < 1000 < len(rates)
    drawn = np.interp(np.arange(len(rates)), trace["step"], trace["rate"])
    assert np.abs(drawn - rates).max() < 0.00501 * rates.max()
    exact = [float(f"{rates[step]:.5g}") for step in trace["step"]]
    assert trace["rate"] == exact


def test_jumps_keep_both_their_sides() -> None:
    rates = np.repeat([0.1, 0.01, 0.001], 1000)
    assert {999, 1000, 1999, 2000} <= set(telling_steps(rates).tolist())
    assert telling_steps(rates[:400]).tolist() == list(range(400))


def test_what_is_no_recipe_has_no_trace() -> None:
    assert planned_rates({"recipe": {"batch_size": 256}}) is None
    assert planned_rates({}) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("WANDB_API_KEY=0123abcd rest", "WANDB_API_KEY=[hidden] rest"),
        ('{"password": "hunter2", "x": 1}', '{"password": "[hidden]", "x": 1}'),
        ("run --token abc123 --epochs 3", "run --token [hidden] --epochs 3"),
        ("Authorization: Bearer abcdefghijk", "Authorization: [hidden] [hidden]"),
        ("git clone https://me:pw@host/x.git", "git clone https://me:[hidden]@host/x.git"),
        ("key AKIAABCDEFGHIJKLMNOP used", "key [hidden] used"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123", "[hidden]"),
        ("epoch 3: train loss 0.5, 812 images/s", "epoch 3: train loss 0.5, 812 images/s"),
        ("tokens per second 5", "tokens per second 5"),
        ("basic block 3", "basic block 3"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, kept: str) -> None:
    assert redact(text) == kept


def test_what_stands_under_the_name_of_a_secret_is_hidden() -> None:
    found = redacted({"env": {"MY_TOKEN": "x", "HOME": "/home/me"}, "list": ["secret=1"], "api_key": None})
    assert found == {
        "env": {"MY_TOKEN": "[hidden]", "HOME": "/home/me"},
        "list": ["secret=[hidden]"],
        "api_key": None,
    }


@pytest.mark.parametrize("name", ["demo", "you2020-table3", "surlemont2022-sam"])
def test_the_study_file_of_a_run_gives_the_run_its_id(name: str, tmp_path: Path) -> None:
    runs = expand(load_study(SHIPPED_JOBS / "studies" / f"{name}.yaml"))
    for run in (runs[0], runs[len(runs) // 2], runs[-1]):
        text = study_of_run(run.spec)
        assert text is not None
        alone = tmp_path / f"{run.run_id}.yaml"
        alone.write_text(text)
        again = expand(load_study(alone))
        assert [one.run_id for one in again] == [run.run_id]
        assert again[0].seed == run.seed


def test_a_runs_study_file_is_yaml_whatever_stands_in_it() -> None:
    nasty = {
        "a": "on",
        "b": "x: y # z",
        "c": [1e-05, float("inf"), None, True],
        "d": {},
        "e": "1e3",
        "f": "é\n\"'",
    }
    spec = {
        "study": "s",
        "job": {"name": "j.py"},
        "seed": 2,
        "model": {"name": "m"},
        "data": {},
        "resources": {},
    }
    found = yaml.safe_load(study_of_run({**spec, "recipe": {"nasty": nasty, "lr": 1e-05}}) or "")
    assert found["recipe"]["lr"] == 1e-05
    assert {**found["recipe"]["nasty"], "c": None} == {**nasty, "c": None}
    assert found["seeds"] == [2]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", ["unpack", "grid", "plot", "curves", "run_view", "report"])
def test_the_scripts_are_javascript(name: str) -> None:
    script = str(files("horovod_lb.analysis.report").joinpath(f"{name}.js"))
    done = subprocess.run(["node", "--check", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
