"""LeNet-5 on MNIST in the project's own loop: what `plain_keras.py` is compared with.

    mpirun -n 2 python benchmarks/our_loop.py --root DIRECTORY --batch-size 2048 --epochs 5 --threads 1

Rank 0 prints one JSON object: images per second of every epoch over all ranks (the first includes the tracing
of the graph), their median without the first, the largest rank's peak resident memory in MiB, and what was
measured. Evaluation and checkpoints happen, but not within the time that is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import horovod.tensorflow as hvd
import keras
import tensorflow as tf

import horovod_lb as hlb
from horovod_lb.runs import RunDirectory
from horovod_lb.study import expand, load_study
from horovod_lb.training.worker import execute

STUDY = """
name: benchmark
job: {job}
model: {{name: lenet5}}
data: {{name: mnist, root: {root}}}
resources: {{workers: {ranks}}}
recipe:
  epochs: {epochs}
  batch_size: {batch_size}
  remainder: weighted
  reference: {{learning_rate: 0.02}}
  optimizer: {{kind: sgd, momentum: 0.9}}
  communication: {{bucket_mb: {bucket_mb}}}
"""


def main() -> None:
    """Train and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.environ.get("HLB_DATA"), help="the folder with MNIST")
    parser.add_argument("--batch-size", type=int, default=256, help="the global batch size")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of a rank (default: its share of the cores)")
    parser.add_argument("--bucket-mb", type=float, default=8)
    options = parser.parse_args()
    world = hlb.init(threads=options.threads)
    with tempfile.TemporaryDirectory() as folder:
        rates = train(options, world, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peak = float(hvd.allreduce(tf.constant(peak), op=hvd.Max, name="peak"))
    figures = {
        "program": "our_loop",
        "ranks": world.size,
        "batch_size": options.batch_size,
        "threads": world.threads,
        "images_per_second": [round(rate, 1) for rate in rates],
        "median_images_per_second": round(statistics.median(rates[1:] or rates), 1) if rates else None,
        "peak_rss_mib": round(peak, 1),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    if world.rank == 0:
        print(json.dumps(figures), flush=True)


def train(options: argparse.Namespace, world: hlb.distributed.World, folder: Path) -> list[float]:
    """One run; images per second by epoch, on rank 0."""
    study = folder / "study.yaml"
    job = Path(__file__).resolve().parent.parent / "jobs/digits_cnn.py"
    values = {**vars(options), "root": json.dumps(str(options.root)), "ranks": world.size}
    study.write_text(STUDY.format(job=json.dumps(str(job)), **values))
    (spec,) = expand(load_study(study))
    # Rank 0's folder is the run; the others learn its path.
    path = hvd.broadcast_object(str(folder / spec.run_id), root_rank=0)
    if world.rank == 0:
        RunDirectory(path).create(spec.spec)
    hvd.allreduce(tf.zeros(1), name="created")
    execute(path)
    return [row["images_per_second"] for row in RunDirectory(path).read_metrics()] if world.rank == 0 else []


if __name__ == "__main__":
    main()
