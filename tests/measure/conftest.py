"""A logistic regression whose loss, gradient and Hessian NumPy knows in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

from horovod_lb.data import Arrays
from horovod_lb.training.loss import cross_entropy

N, INPUTS, CLASSES = 37, 6, 3


@dataclass
class Softmax:
    """Mean cross-entropy of x·W + b, with the weights flat in Keras' order: W by rows, then b."""

    model: Any
    data: Arrays
    loss: Any

    def parts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = self.data.x.reshape(len(self.data), -1).astype("float64")
        x1 = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        logits = x1 @ weights.reshape(INPUTS + 1, CLASSES)
        p = np.exp(logits - logits.max(1, keepdims=True))
        return x1, p / p.sum(1, keepdims=True)

    def value(self, weights: np.ndarray) -> float:
        _, p = self.parts(weights)
        return float(-np.log(p[np.arange(len(p)), self.data.y]).mean())

    def gradients(self, weights: np.ndarray) -> np.ndarray:
        """Of every example: [N, P]."""
        x1, p = self.parts(weights)
        return np.einsum("ni,nc->nic", x1, p - np.eye(CLASSES)[self.data.y]).reshape(len(x1), -1)

    def hessian(self, weights: np.ndarray) -> np.ndarray:
        x1, p = self.parts(weights)
        middle = np.einsum("nc,cd->ncd", p, np.eye(CLASSES)) - np.einsum("nc,nd->ncd", p, p)
        size = weights.size
        return np.einsum("ni,ncd,nj->icjd", x1, middle, x1).reshape(size, size) / len(x1)


@pytest.fixture
def softmax() -> Softmax:
    stream = np.random.default_rng(3)
    data = Arrays(stream.normal(size=(N, INPUTS, 1, 1)).astype("float32"), stream.integers(0, CLASSES, N))
    model = keras.Sequential(
        [keras.Input((INPUTS, 1, 1)), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    )
    for variable in model.trainable_variables:
        variable.assign(stream.normal(size=variable.shape))
    return Softmax(model, data, cross_entropy)
