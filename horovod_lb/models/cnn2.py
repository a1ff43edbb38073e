"""Two convolutions and one dense layer: a network small enough to study its minima."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def cnn2(classes: int = 10, *, shape: Sequence[int] = (28, 28, 1), dropout: float = 0.5) -> keras.Model:
    """Convolutions of 32 and 64 filters, each with ReLU and max pooling, dropout, one dense layer.

    That much the study of sharpness-aware minimization at large batches says of its network ("two
    convolutional layers with 32 and 64 filters, ReLU activations and intermediate maxpooling and drop-out
    layers and a single dense layer at the end"). Kernels of 3 x 3 without padding, and dropout of 0.5 before
    the dense layer, are those of Keras' small MNIST example, which fits the words: 34,826 parameters for
    images [N, 28, 28, 1] and 10 classes. Float32 images [N, *shape]; float32 logits [N, classes].
    """
    return keras.Sequential(
        [
            keras.Input(tuple(shape), name="image"),
            layers.Conv2D(32, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(64, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dropout(dropout, name="dropout"),
            layers.Dense(classes, dtype="float32", name="logits"),
        ],
        name="cnn2",
    )
