"""Residual networks for images: He et al. 2015 and what later papers made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from horovod_lb.layers import Collective
from horovod_lb.models.normalization import Normalization, normalization
from horovod_lb.models.shortcut import PaddedShortcut


@dataclass(frozen=True)
class Architecture:
    """What sets one residual network apart from another.

    Attributes:
        blocks: of each stage.
        width: channels of the first stage's 3 x 3 convolutions; each stage has twice those of the last.
        bottleneck: blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions, the last four times as wide; else two of
            3 x 3. The stride of a stage is in its first 3 x 3 convolution (for bottlenecks: "v1.5").
        large_images: a stem of 7 x 7, stride 2, and 3 x 3 maximum, stride 2; else of 3 x 3, stride 1.
        padded: shortcuts across stages pad channels with zeros (option A); else they are projections where
            the shape changes (option B).
        head: initializer of the last layer.
    """

    blocks: tuple[int, ...]
    width: int
    bottleneck: bool = False
    large_images: bool = False
    padded: bool = False
    head: str = "he_normal"


def resnet(
    name: str,
    architecture: Architecture,
    *,
    classes: int,
    shape: Sequence[int],
    batch_norm: str,
    group_size: int | None,
    collective: Collective | None,
    zero_gamma: bool,
) -> keras.Model:
    """The network, for float32 images [N, *shape]; float32 logits [N, classes].

    Convolutions have no biases and He et al.'s normal weights. Batch norm: see `normalization.normalization`;
    its last scale of every residual branch begins at 0 with `zero_gamma`, all others at 1.
    """
    build = _Blocks(architecture, normalization(batch_norm, group_size, collective), zero_gamma)
    image = keras.Input(tuple(shape), name="image")
    x = build.stem(image)
    for stage, count in enumerate(architecture.blocks):
        for block in range(count):
            x = build.block(x, f"stage{stage + 1}_block{block + 1}", stage, first=block == 0)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    head = keras.initializers.RandomNormal(stddev=0.01) if architecture.head == "normal" else "he_normal"
    logits = layers.Dense(classes, kernel_initializer=head, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


class _Blocks:
    def __init__(self, architecture: Architecture, norm: Normalization, zero_gamma: bool) -> None:
        self._is, self._norm, self._zero_gamma = architecture, norm, zero_gamma

    def stem(self, image: Any) -> Any:
        if not self._is.large_images:
            return self._convolution(image, "stem", self._is.width, 3)
        x = self._convolution(image, "stem", self._is.width, 7, stride=2)
        # Zeros around what a ReLU left are never the maximum.
        return layers.MaxPooling2D(3, 2, name="stem_pool")(layers.ZeroPadding2D(1, name="stem_pool_pad")(x))

    def block(self, x: Any, name: str, stage: int, first: bool) -> Any:
        width = self._is.width * 2**stage
        stride = 2 if first and stage else 1
        sizes = [(width, 1), (width, 3), (4 * width, 1)] if self._is.bottleneck else [(width, 3)] * 2
        strided = 1 if self._is.bottleneck else 0
        branch = x
        for number, (filters, size) in enumerate(sizes):
            last = number == len(sizes) - 1
            branch = self._convolution(
                branch,
                f"{name}_conv{number + 1}",
                filters,
                size,
                stride=stride if number == strided else 1,
                relu=not last,
                gamma="zeros" if last and self._zero_gamma else "ones",
            )
        added = layers.Add(name=f"{name}_add")([branch, self._shortcut(x, name, sizes[-1][0], stride)])
        return layers.ReLU(name=f"{name}_relu")(added)

    def _shortcut(self, x: Any, name: str, filters: int, stride: int) -> Any:
        if stride == 1 and x.shape[-1] == filters:
            return x
        if self._is.padded:
            return PaddedShortcut(filters, stride, name=f"{name}_shortcut")(x)
        return self._convolution(x, f"{name}_shortcut", filters, 1, stride=stride, relu=False)

    def _convolution(
        self,
        x: Any,
        name: str,
        filters: int,
        size: int,
        *,
        stride: int = 1,
        relu: bool = True,
        gamma: str = "ones",
    ) -> Any:
        """Convolution, batch norm, ReLU; padded evenly, which `same` is not where the stride is 2."""
        even = stride > 1 and size > 1
        if even:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
        x = layers.Conv2D(
            filters,
            size,
            stride,
            padding="valid" if even else "same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )(x)
        x = self._norm(name=f"{name}_norm", gamma_initializer=gamma)(x)
        return layers.ReLU(name=f"{name}_relu")(x) if relu else x
