"""Average gradients over the ranks, in fixed buckets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from horovod_lb.distributed.buckets import DEFAULT_BUCKET_BYTES, plan_buckets
from horovod_lb.errors import DistributedError
from horovod_lb.parameters import flag, one_of, whole

COMPRESSIONS = {"none": hvd.Compression.none, "fp16": hvd.Compression.fp16}
_serial = itertools.count()


class GradientReducer:
    """Σ_r share_r · g_r over the ranks r for every gradient g, by one grouped all-reduce a bucket.

    Args:
        bucket_bytes: size of a bucket, in bytes of the gradients' own dtype.
        compression: `none`, or `fp16`: gradients travel as float16 and come back in their own dtype.
        sparse_as_dense: reduce `tf.IndexedSlices` (embeddings) as dense tensors. By default the slices of
            all ranks are gathered. Slices of one row are added, on a single rank too: Keras' adaptive
            optimizers would square them one by one.

    Reducers must be made in the same order on every rank: the names of their operations are numbered.
    """

    def __init__(
        self,
        bucket_bytes: int = DEFAULT_BUCKET_BYTES,
        compression: str = "none",
        sparse_as_dense: bool = False,
    ) -> None:
        self.bucket_bytes = whole("bucket_bytes", bucket_bytes, 1)
        self.compression = one_of("compression", compression, COMPRESSIONS)
        self.sparse_as_dense = flag("sparse_as_dense", sparse_as_dense)
        # Called with a step's own dense gradients and the reduced ones, in the graph: to measure the time.
        self.stopwatch: Any = None
        self._name = f"hlb.{next(_serial)}"

    def reduce(self, gradients: Sequence[Any], share: Any = None) -> list[Any]:
        """The reduced gradients, in the order given; None stays None (a variable without a gradient).

        `share` is this rank's part of the global batch, a scalar; the shares of all ranks add up to 1.
        Default: 1 / size, equal parts.
        """
        if hvd.size() == 1:
            return [self._local(gradient) for gradient in gradients]
        _refuse_xla()
        result = list(gradients)
        dense: list[int] = []
        for index, gradient in enumerate(gradients):
            if isinstance(gradient, tf.IndexedSlices) and not self.sparse_as_dense:
                result[index] = self._gather_slices(gradient, share, index)
            elif gradient is not None:
                result[index] = tf.convert_to_tensor(gradient)
                dense.append(index)
        own = [result[index] for index in dense]
        sizes = [_bytes(gradient) for gradient in own]
        for number, bucket in enumerate(plan_buckets(sizes, self.bucket_bytes)):
            members = [dense[position] for position in bucket]
            reduced = self._reduce_bucket([result[index] for index in members], share, f"bucket{number}")
            for index, gradient in zip(members, reduced, strict=True):
                result[index] = gradient
        if self.stopwatch is not None and own:
            self.stopwatch(own, [result[index] for index in dense])
        return result

    def sum(self, values: Any) -> Any:
        """Element-wise sum over the ranks of one small dense tensor (losses and counts), uncompressed."""
        if hvd.size() == 1:
            return values
        return hvd.allreduce(values, op=hvd.Sum, name=f"{self._name}.sum")

    def _reduce_bucket(self, gradients: list[Any], share: Any, name: str) -> list[Any]:
        # Scaled before the sum, so that half-precision gradients of many ranks do not overflow.
        factor = 1.0 / hvd.size() if share is None else 1.0
        if share is not None:
            gradients = [gradient * tf.cast(share, gradient.dtype) for gradient in gradients]
        return hvd.grouped_allreduce(
            gradients,
            op=hvd.Sum,
            prescale_factor=factor,
            compression=COMPRESSIONS[self.compression],
            name=f"{self._name}.{name}",
        )

    def _gather_slices(self, slices: tf.IndexedSlices, share: Any, index: int) -> tf.IndexedSlices:
        share = 1.0 / hvd.size() if share is None else share
        values = slices.values * tf.cast(share, slices.values.dtype)
        values = hvd.allgather(values, name=f"{self._name}.values{index}")
        indices = hvd.allgather(slices.indices, name=f"{self._name}.indices{index}")
        return _add_rows(tf.IndexedSlices(values, indices, dense_shape=slices.dense_shape))

    def _local(self, gradient: Any) -> Any:
        if not isinstance(gradient, tf.IndexedSlices):
            return gradient
        return tf.convert_to_tensor(gradient) if self.sparse_as_dense else _add_rows(gradient)


def _add_rows(slices: tf.IndexedSlices) -> tf.IndexedSlices:
    rows, position = tf.unique(slices.indices)
    summed = tf.math.unsorted_segment_sum(slices.values, position, tf.size(rows))
    return tf.IndexedSlices(summed, rows, dense_shape=slices.dense_shape)


def _refuse_xla() -> None:
    """Say it here, before XLA fails on an operation that it has no kernel for."""
    if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        raise DistributedError(
            "XLA cannot compile Horovod's collectives: compile the model with jit_compile=False (Keras' "
            "default on GPUs is True), or leave jit_compile off the tf.function around the optimizer"
        )


def _bytes(tensor: Any) -> int:
    count = tensor.shape.num_elements()
    if count is None:
        raise ValueError("a gradient of unknown shape cannot be put into a fixed bucket")
    return int(count) * int(tensor.dtype.size)
