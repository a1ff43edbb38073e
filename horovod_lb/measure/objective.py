"""A model's mean loss over fixed examples as a function of its weights, on any number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from horovod_lb.data import AS_STORED, Examples
from horovod_lb.distributed.broadcast import is_random_state
from horovod_lb.layers import Alone, SyncBatchNormalization

Vector = NDArray[np.float64]
MODES = ("inference", "training")


class Objective:
    """f(w), its gradient and Hessian-vector products, for the mean loss over `rows` of `examples`.

    Chunks of `chunk` examples are dealt to the ranks in turn and their sums added, so that the function is
    the same on any number of ranks up to round-off. Every method is collective.

    Args:
        model: a built Keras model. Only the data's loss counts, no penalty and no layer's own losses.
        loss: (labels, outputs) -> float32 [n].
        examples: the set.
        rows: int64 indices into it; default: all.
        normalize: makes the network's input of x.astype(float32); by default nothing changes.
        chunk: examples that go through the network at a time.
        mode: `inference`: batch norm by its moving statistics, no dropout, so f is the function that
            evaluation sees. `training`: batch norm by the statistics of each chunk, and dropout masks that
            are fixed by the number of the chunk. No state of the model changes in either. Synchronized
            layers, too, see the chunk alone: ranks may have different numbers of them.

    Weights are float64 [size], in the order of `model.trainable_variables`; the model computes in its own
    precision. They are put back to the bit by `restored`.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Any],
        examples: Examples,
        rows: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        normalize: Callable[[Any], Any] = AS_STORED,
        chunk: int = 256,
        mode: str = "inference",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, not {chunk}")
        self._model, self._loss, self._examples = model, loss, examples
        self._variables = list(model.trainable_variables)
        self._state = list(model.non_trainable_variables)
        self._normalize, self._chunk, self._training = normalize, chunk, mode == "training"
        many = hvd.is_initialized()
        self._ranks, self._rank = int(hvd.size()) if many else 1, int(hvd.rank()) if many else 0
        self.size = sum(int(np.prod(variable.shape)) for variable in self._variables)
        self.choose(np.arange(len(examples)) if rows is None else rows)
        self._loss_sum = tf.function(self._chunk_loss, reduce_retracing=True)
        self._gradient_sum = tf.function(self._chunk_gradient, reduce_retracing=True)
        self._product_sum = tf.function(self._chunk_product, reduce_retracing=True)

    def choose(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """Take other examples, without compiling anew."""
        self._rows = np.asarray(rows, np.int64)
        if not len(self._rows):
            raise ValueError("no examples to take the loss of")

    @property
    def weights(self) -> Vector:
        """The model's weights as they are now."""
        parts = [variable.numpy().astype(np.float64).reshape(-1) for variable in self._variables]
        return np.concatenate(parts)

    def at(self, weights: Vector) -> None:
        """Put `weights`, float64 [size], into the model."""
        start = 0
        for variable in self._variables:
            count = int(np.prod(variable.shape))
            value = weights[start : start + count].reshape(variable.shape)
            variable.assign(value.astype(variable.numpy().dtype))
            start += count

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Afterwards every variable of the model has the very value it had before."""
        before = [(variable, variable.numpy().copy()) for variable in (*self._variables, *self._state)]
        try:
            yield
        finally:
            for variable, value in before:
                variable.assign(value)

    def value(self) -> float:
        """f at the model's weights."""
        return float(self._sum(lambda x, y, number: self._loss_sum(x, y, number)[tf.newaxis], 1)[0])

    def value_and_gradient(self) -> tuple[float, Vector]:
        """f and its gradient float64 [size] at the model's weights."""
        sums = self._sum(self._gradient_sum, 1 + self.size)
        return float(sums[0]), sums[1:]

    def product(self, vector: Vector) -> Vector:
        """H·vector at the model's weights, by reverse mode twice: the gradient of ⟨∇f, vector⟩."""
        pieces, start = [], 0
        for variable in self._variables:
            count = int(np.prod(variable.shape))
            piece = vector[start : start + count].reshape(variable.shape)
            pieces.append(tf.constant(piece, dtype=variable.dtype))
            start += count
        return self._sum(lambda x, y, number: self._product_sum(x, y, number, pieces), self.size)

    def _sum(self, function: Callable[[Any, Any, Any], Any], width: int) -> Vector:
        """The sum of float32 [width] over all chunks of all ranks, divided by the number of examples."""
        total = np.zeros(width)
        numbers = range(self._rank, -(-len(self._rows) // self._chunk), self._ranks)
        with self._kept_state():
            for number in numbers:
                rows = self._rows[number * self._chunk : (number + 1) * self._chunk]
                x, y = self._examples.take(rows)
                total += function(x, y, tf.constant(number, tf.int64)).numpy()
        if self._ranks > 1:
            total = hvd.allreduce(total, op=hvd.Sum, name=f"hlb.objective.{width}").numpy()
        return total / len(self._rows)

    @contextmanager
    def _kept_state(self) -> Iterator[None]:
        before = [(variable, variable.numpy().copy()) for variable in self._state] if self._training else []
        try:
            yield
        finally:
            for variable, value in before:
                variable.assign(value)

    def _losses(self, x: Any, y: Any, number: Any) -> Any:
        if self._training:
            for index, variable in enumerate(filter(is_random_state, self._state)):
                words = tf.stack([tf.cast(number, variable.dtype), tf.cast(index, variable.dtype)])
                variable.assign(words)
        with _without_peers(self._model):
            outputs = self._model(self._normalize(tf.cast(x, tf.float32)), training=self._training)
        return tf.reduce_sum(tf.cast(self._loss(y, outputs), tf.float32))

    def _chunk_loss(self, x: Any, y: Any, number: Any) -> Any:
        return self._losses(x, y, number)

    def _chunk_gradient(self, x: Any, y: Any, number: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self._losses(x, y, number)
        return tf.concat([[loss], self._flat(tape.gradient(loss, self._variables))], 0)

    def _chunk_product(self, x: Any, y: Any, number: Any, pieces: list[Any]) -> Any:
        with _moments_of_any_order(), tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = self._losses(x, y, number)
            gradients = inner.gradient(loss, self._variables)
            dots = [
                tf.reduce_sum(tf.convert_to_tensor(gradient) * piece)
                for gradient, piece in zip(gradients, pieces, strict=True)
                if gradient is not None
            ]
            dot = tf.add_n(dots)
        return self._flat(outer.gradient(dot, self._variables))

    def _flat(self, gradients: list[Any]) -> Any:
        """One float32 vector; zeros for a variable that the result does not depend on."""
        parts = [
            tf.zeros(variable.shape)
            if gradient is None
            else tf.cast(tf.convert_to_tensor(gradient), tf.float32)
            for gradient, variable in zip(gradients, self._variables, strict=True)
        ]
        return tf.concat([tf.reshape(part, [-1]) for part in parts], 0)


@contextmanager
def _without_peers(model: Any) -> Iterator[None]:
    """What is traced meanwhile has batch-norm moments of the examples at hand, and waits for no rank."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, SyncBatchNormalization)]
    peers = [layer.collective for layer in layers]
    for layer in layers:
        layer.collective = Alone()
    try:
        yield
    finally:
        for layer, collective in zip(layers, peers, strict=True):
            layer.collective = collective


@contextmanager
def _moments_of_any_order() -> Iterator[None]:
    """For what is traced meanwhile, `tf.nn.moments` with right derivatives of second order too.

    TensorFlow's own takes the mean within the variance for a constant. The gradient is right all the same,
    for what is left out is 0, but the gradient of the gradient is not; Keras' normalization layers use it.
    """
    original = tf.nn.moments
    tf.nn.moments = _moments
    try:
        yield
    finally:
        tf.nn.moments = original


def _moments(x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: Any = None) -> Any:
    """`tf.nn.moments`, the mean and the biased variance; `shift` and `name` are unused."""
    wide = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
    mean = tf.reduce_mean(wide, axes, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(wide, mean), axes, keepdims=keepdims)
    mean = mean if keepdims else tf.squeeze(mean, axes)
    return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
