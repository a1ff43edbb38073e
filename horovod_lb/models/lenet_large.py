"""The wide network that Google's MNIST examples for TensorFlow and TPUs trained."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def lenet_large(
    classes: int = 10, *, shape: Sequence[int] = (28, 28, 1), dropout: float = 0.4
) -> keras.Model:
    """The layers of LeNet-5, wider: 5 x 5 convolutions of 32 and 64 filters, a dense layer of 1024, dropout.

    What You et al. 2020 call "LeNet", "implementation of LeNet by Google": 3,274,634 parameters for images
    [N, 28, 28, 1] and 10 classes, 53 times those of LeNet-5. Float32 images [N, *shape]; float32 logits
    [N, classes].
    """
    return keras.Sequential(
        [
            keras.Input(tuple(shape), name="image"),
            layers.Conv2D(32, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(64, 5, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(1024, activation="relu", name="dense"),
            layers.Dropout(dropout, name="dropout"),
            layers.Dense(classes, dtype="float32", name="logits"),
        ],
        name="lenet_large",
    )
