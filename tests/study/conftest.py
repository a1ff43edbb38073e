"""A small valid study to vary, written to a folder of its own with a job script beside it."""

from __future__ import annotations

import pytest

from horovod_lb.study import expand, load_study

STUDY = """\
name: tiny
job: train.py
model: {name: lenet5}
data: {name: custom, examples: 60000}
resources: {workers: 2}
recipe:
  epochs: 30
  batch_size: 256
  reference: {batch_size: 256, learning_rate: 0.1}
  scaling: linear
  warmup: {epochs: 5}
  schedule: {kind: step, epochs: [15, 25], factor: 0.1}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a study file, `replace` applied to the text above and `more` behind it; returns its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("def main(run):\n    pass\n")

    def write_study(more="", *, text=STUDY, replace=()):
        for old, new in replace:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "study.yaml").write_text(text + more, encoding="utf-8")
        return "study.yaml"

    return write_study


@pytest.fixture
def runs(write):
    """Write, load and expand a study; returns its runs."""

    def expand_study(more="", *, overrides=(), **changes):
        return expand(load_study(write(more, **changes), overrides))

    return expand_study
