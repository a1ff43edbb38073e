"""The baseline of the speed figures: LeNet-5 on MNIST in plain Keras, one process, no Horovod.

A well-written script of its kind: the images stay uint8 in a `tf.data` pipeline that shuffles all of them
every epoch, makes batches, converts a batch at a time and prefetches; `model.fit` trains with momentum SGD.
The model and the reading of the files are the project's, so that only the training loop differs.

    python benchmarks/plain_keras.py --root DIRECTORY --batch-size 256 --epochs 5 --threads 2

Prints one JSON object: images per second of every epoch (the first includes the tracing of the graph), their
median without the first, the peak resident memory in MiB, and what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from horovod_lb.data import load
from horovod_lb.models import lenet5


class EpochTimes(keras.callbacks.Callback):
    """The seconds of each epoch's training."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stops it."""
        self.seconds.append(time.perf_counter() - self._start)


def main() -> None:
    """Train and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="the folder with MNIST (default: $HLB_DATA)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(options.seed)
    data = load({"name": "mnist", "root": options.root})
    batches = pipeline(data.train.x, data.train.y, data.info.scale, options)

    model = lenet5()
    model.compile(
        optimizer=keras.optimizers.SGD(options.learning_rate, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    times = EpochTimes()
    history = model.fit(batches, epochs=options.epochs, callbacks=[times], verbose=0)
    rates = [len(data.train) / seconds for seconds in times.seconds]
    figures = {
        "program": "plain_keras",
        "batch_size": options.batch_size,
        "threads": options.threads,
        "images_per_second": [round(rate, 1) for rate in rates],
        "median_images_per_second": round(statistics.median(rates[1:] or rates), 1),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "train_accuracy": round(history.history["accuracy"][-1], 4),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    print(json.dumps(figures))


def pipeline(x, y, scale: float, options: argparse.Namespace) -> tf.data.Dataset:
    """Batches of float32 images and labels; every epoch all examples in a new order."""
    batches = (
        tf.data.Dataset.from_tensor_slices((x, y))
        .shuffle(len(x), seed=options.seed)
        .batch(options.batch_size)
        .map(lambda images, labels: (tf.cast(images, tf.float32) * scale, labels), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    if options.threads == 1:
        # Else the pipeline has a thread pool of its own, one thread a core.
        settings = tf.data.Options()
        settings.threading.private_threadpool_size = options.threads
        settings.threading.max_intra_op_parallelism = 1
        batches = batches.with_options(settings)
    return batches


if __name__ == "__main__":
    main()
