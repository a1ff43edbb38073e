"""What `hlb run` leaves besides results, and what it says of groups that outnumber the ranks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_lb.runs import run_directories
from horovod_lb.study import expand, load_study

ROOT = Path(__file__).parents[2]
STUDY = """
name: traced
job: jobs/digits_cnn.py
model: {name: digits_cnn}
data: {name: digits}
resources: {workers: 8}
recipe: {epochs: 2, batch_size: 96, reference: {learning_rate: 0.05}}
"""


def hlb(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_tensorboard_and_timeline_on_request(tmp_path: Path) -> None:
    pytest.importorskip("horovod.tensorflow")
    file = tmp_path / "traced.yaml"
    file.write_text(STUDY)
    done = hlb("run", file, "--runs", tmp_path, "--workers", "2", "--tensorboard", "--timeline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "8 groups of 12 on 2 ranks: 4 groups a rank one after the other, then one all-reduce a step; the "
        "weights are those of 8 ranks, up to round-off\n"
    ) in done.stdout
    (run,) = run_directories(tmp_path / "traced")
    assert run.path.name == expand(load_study(file))[0].run_id, "the same id as without"
    assert _events(run.tensorboard) == {
        (name, row["epoch"]): pytest.approx(value, rel=1e-6)
        for row in run.read_metrics()
        for name, value in row.items()
        if name != "epoch" and value is not None
    }
    (segment,) = run.segments.iterdir()
    steps = json.loads((segment / "timeline.json").read_text())
    assert sum(step.get("name") == "MPI_ALLREDUCE" for step in steps) > 30  # 30 steps
    provenance = json.loads((segment / "provenance.json").read_text())
    assert provenance["dealing"] == {
        "batch_size": 96, "groups": 8, "batch_per_group": 12, "ranks": 2, "groups_a_rank": 4
    }  # fmt: skip


def _events(folder: Path) -> dict[tuple[str, int], float]:
    """The scalars in TensorBoard's files, by name and step."""
    import tensorflow as tf

    found = {}
    for file in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found
