"""A convolutional network small enough to train in a second, for scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def digits_cnn(classes: int = 10, *, shape: Sequence[int] = (8, 8, 1)) -> keras.Model:
    """Two convolutions and a hidden layer for float32 images [N, *shape]; float32 logits [N, classes].

    21,546 parameters for 10 classes. No dropout and no batch norm, so a step is a function of its global
    batch alone.
    """
    return keras.Sequential(
        [
            keras.Input(tuple(shape), name="image"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dense(classes, dtype="float32", name="logits"),
        ],
        name="digits_cnn",
    )
