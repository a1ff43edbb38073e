"""TensorBoard's events and Horovod's timeline of a life, where the environment asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import horovod.tensorflow as hvd
import keras
import tensorflow as tf

from horovod_lb.runs import Life
from horovod_lb.runs.traces import TENSORBOARD, TIMELINE, asked

# What TensorBoard's own `tf.summary.scalar` writes, which needs the package `tensorboard`.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)


class TensorBoard(keras.callbacks.Callback):
    """Writes the numbers of each epoch's row to event files in `folder`, with the epoch as the step.

    Made on rank 0 alone. A life adds a file of its own; TensorBoard shows them as one curve.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """A scalar for each column of `metrics.csv`."""
        with self._writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                if name != "epoch":
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """No more rows."""
        self._writer.close()


def callbacks(life: Life, rank: int) -> list[keras.callbacks.Callback]:
    """The callbacks that were asked for: TensorBoard's on rank 0, or none."""
    wanted = rank == 0 and asked(TENSORBOARD, os.environ)
    return [TensorBoard(life.run.tensorboard)] if wanted else []


@contextmanager
def timeline(life: Life) -> Iterator[None]:
    """For its time, where it was asked for, rank 0 writes Horovod's timeline of all ranks to the life's
    folder; collective.
    """
    if not asked(TIMELINE, os.environ):
        yield
        return
    hvd.start_timeline(str(life.directory / "timeline.json"))
    try:
        yield
    finally:
        hvd.stop_timeline()
