"""A study with its run folders, made up: what collecting and reporting are measured on (docs/benchmarks.md).

    python benchmarks/made_study.py FOLDER [--runs 2000] [--epochs 90] [--seed 0]

FOLDER gets `study.yaml` (batch size × warmup × rate, five seeds), the job script that it names, and
`runs/made/<run id>/` as finished runs leave them: run.json, metrics.csv with a row an epoch and one
measurement, events, heartbeat, exit record, one life with log and provenance. The numbers follow a simple law
with noise from a seeded generator; where the rate is too high for the warmup a run diverges. The same
arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from horovod_lb.study import expand, load_study

STUDY = """\
# {runs} runs: batch size × warmup × rate, five seeds. Made by benchmarks/made_study.py.
name: made
job: train.py
model: {{name: resnet50}}
data: {{name: synthetic, examples: 50000, val_examples: 10000, classes: 1000, shape: [8, 8, 3]}}
resources: {{workers: 8}}
recipe:
  epochs: {epochs}
  batch_size: 256
  reference: {{batch_size: 256, learning_rate: 0.1}}
  scaling: linear
  warmup: {{kind: gradual, epochs: 0, start: reference}}
  schedule: {{kind: polynomial, power: 2}}
  optimizer: {{kind: momentum, momentum: 0.9}}
baseline: {{recipe.batch_size: 256, recipe.warmup.epochs: 0}}
axes:
  recipe.batch_size: [256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
  recipe.warmup.epochs: [0, 1, 2, 5, 10]
  recipe.reference.learning_rate: {rates}
seeds: [0, 1, 2, 3, 4]
"""
_POINTS = 8 * 5 * 5  # runs a rate
_HEADER = (
    "epoch,step,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,images_per_second,seconds,"
    "val_top5,noise_scale"
)


def make(folder: Path, runs: int = 2000, epochs: int = 90, seed: int = 0) -> Path:
    """Writes the study and its run folders into `folder`; returns the study file."""
    folder.mkdir(parents=True, exist_ok=True)
    rates = [round(0.02 * 1.5**number, 6) for number in range(math.ceil(runs / _POINTS))]
    study = folder / "study.yaml"
    study.write_text(STUDY.format(runs=runs, epochs=epochs, rates=rates))
    (folder / "train.py").write_text("def main(run): ...\n")
    for number, spec in enumerate(expand(load_study(study))[:runs]):
        _run(folder / "runs" / "made" / spec.run_id, spec.spec, epochs, np.random.default_rng([seed, number]))
    return study


def _run(folder: Path, spec: dict[str, Any], epochs: int, random: np.random.Generator) -> None:
    life = folder / "segments" / "1"
    life.mkdir(parents=True)
    rows, diverged = _curve(spec, epochs, random)
    began = 1.7e9 + 1000 * float(random.random())
    wall = 20.0 * len(rows)
    about = {"life": 1, "time": began, "owner": "hlb run", "host": "node1", "place": "x", "pid": 1}
    ends: dict[str, Any] = {"state": "completed", "outcome": "ok", "reason": None}
    if diverged:
        ends = {"state": "diverged", "outcome": "nan", "reason": f"loss is nan in epoch {len(rows)}"}
    speed = {"images_per_second": 2500.0, "compute_seconds": 0.9 * wall, "allreduce_seconds": 0.1 * wall}
    end = {**ends, "life": 1, "time": began + wall, "wall_seconds": wall, **speed, "input_wait": 0.01}
    events = [{"time": began, "life": 1, "kind": "begin"}, {"time": began + wall, "life": 1, "kind": "end"}]
    _json(folder / "run.json", spec)
    (folder / "metrics.csv").write_text("\n".join([_HEADER, *rows]) + "\n")
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    _json(folder / "heartbeat.json", {"life": 1, "time": began + wall, "epoch": len(rows)})
    _json(folder / "exit.json", end)
    _json(life / "life.json", about)
    _json(life / "provenance.json", _provenance(began))
    (life / "log").write_text("".join(f"Epoch {epoch} of {epochs}\n" for epoch in range(1, len(rows) + 1)))


def _curve(spec: dict[str, Any], epochs: int, random: np.random.Generator) -> tuple[list[str], bool]:
    """The lines of metrics.csv, and whether the run diverged."""
    derived = spec["derived"]
    batch, warmup, peak = derived["batch_size"], derived["warmup_epochs"], derived["learning_rate_peak"]
    # Stable up to some rate, which a warmup raises; best at a rate that grows with the batch size.
    diverges = peak > 12 * (1 + warmup) * math.exp(0.3 * random.standard_normal())
    best = 0.4 * (batch / 256) ** 0.7
    final = 0.76 - 0.03 * abs(math.log10(peak / best)) - 0.02 * max(0.0, math.log2(batch / 8192))
    noise = 0.004 * random.standard_normal((epochs, 4))
    rows = []
    for epoch in range(1, epochs + 1):
        done = epoch / epochs
        accuracy = float(np.clip(final * (1 - math.exp(-5 * done)) + noise[epoch - 1, 0], 0.001, 1))
        loss = float(abs(7 * math.exp(-3 * done) + 0.8 + noise[epoch - 1, 1]))
        rate = peak * min(1.0, epoch / max(warmup, 1)) * (1 - done) ** 2
        gone = diverges and epoch > max(2, warmup)
        cells = [
            epoch, math.ceil(epoch * 50000 / batch), rate, math.nan if gone else loss,
            float(np.clip(accuracy + 0.05 + noise[epoch - 1, 2], 0, 1)), math.nan if gone else 1.1 * loss,
            round(0.001 if gone else accuracy, 4), 2500 * (1 + float(noise[epoch - 1, 3])), 20.0,
            round(0.005 if gone else min(1.0, accuracy + 0.17), 4), 1000 * done + batch / 10,
        ]  # fmt: skip
        rows.append(",".join(map(repr, cells)))
        if gone:
            return rows, True
    return rows, False


def _provenance(began: float) -> dict[str, Any]:
    versions = {"horovod_lb": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1", "horovod": "0.28.1"}
    return {
        "time": began,
        "command": "hlb run study.yaml",
        "host": "node1",
        "python": "3.11.7",
        "versions": versions,
        "mpi": "Open MPI v5.0.11",
        "ranks": 8,
        "ranks_on_host": 4,
        "threads": 1,
        "gpu": [f"/physical_device:GPU:{number}" for number in range(4)],
        "allreduce": {"asked": "ring", "in_force": "ring", "nccl": True},
        "source": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "environment": {"HLB_ALLREDUCE": "ring", "OMP_NUM_THREADS": "1", "HOROVOD_DISABLE_GROUP_FUSION": "1"},
        "nodes": 2,
        "hosts": ["node1", "node2"],
    }


def _json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(make(options.folder, options.runs, options.epochs, options.seed))
