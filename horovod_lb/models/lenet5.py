"""LeNet-5 as large-batch studies use it: with ReLU and max pooling."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def lenet5(classes: int = 10, *, shape: Sequence[int] = (28, 28, 1)) -> keras.Model:
    """LeNet-5 for float32 images [N, *shape]; float32 logits [N, classes].

    Layers and sizes of LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition" (1998), with ReLU for the sigmoids, max pooling for the trained averages, the second
    convolution fully connected to the first, and a softmax output: 61,706 parameters for 10 classes.
    The original's padding of the image to 32 x 32 is the `same` padding of the first 5 x 5 convolution.
    """
    return keras.Sequential(
        [
            keras.Input(tuple(shape), name="image"),
            layers.Conv2D(6, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(16, 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, activation="relu", name="dense1"),
            layers.Dense(84, activation="relu", name="dense2"),
            layers.Dense(classes, dtype="float32", name="logits"),
        ],
        name="lenet5",
    )
