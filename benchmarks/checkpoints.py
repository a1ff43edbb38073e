"""What a checkpoint of ResNet-50 with momentum costs: the training thread's time, the file, reading it back.

    python benchmarks/checkpoints.py [--repeats 7] [--folder DIRECTORY]

One rank. `save` is what the training thread spends (by the clock, and of that on a core), with no checkpoint
being written already; `on the disk` is from there until the file has its name; `restore` reads, checks and
assigns it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import horovod_lb as hlb
from horovod_lb import models
from horovod_lb.optimizers import MomentumSGD
from horovod_lb.runs import RunDirectory
from horovod_lb.training import checkpoint
from horovod_lb.training.checkpoint import Position
from horovod_lb.training.record import Record
from horovod_lb.training.saver import Saver


def told(name: str, seconds: list[float]) -> None:
    """Median and range."""
    median, low, high = statistics.median(seconds), min(seconds), max(seconds)
    print(f"{name:15} {median:.3f} s ({low:.3f}-{high:.3f})")


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    hlb.init()
    model = models.build("resnet50")
    optimizer = hlb.DistributedOptimizer(MomentumSGD(0.1, momentum=0.9))
    optimizer.build(model.trainable_variables)
    state = checkpoint.state_variables(model, optimizer)
    print(f"{len(state)} variables, {sum(np.asarray(v).nbytes for v in state) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        life = RunDirectory(folder).create({"run_id": "benchmark"}).begin_life()
        record = Record(life, writes=True)
        saves, cores, writes, restores = [], [], [], []
        with Saver(life, record, state, {"keep": 2}) as saver:
            saver.restore()
            for step in range(options.repeats):
                began, core = time.perf_counter(), time.thread_time()
                saver.save(Position(step, 0))
                saved = time.perf_counter()
                cores.append(time.thread_time() - core)
                saver.settle()
                saves.append(saved - began)
                writes.append(time.perf_counter() - saved)
            size = max(path.stat().st_size for path in saver.folder.iterdir())
            for _ in range(3):
                began = time.perf_counter()
                saver.restore()
                restores.append(time.perf_counter() - began)
    told("save", saves)
    told("save, on a core", cores)
    told("on the disk", writes)
    told("restore", restores)
    print(f"file            {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
