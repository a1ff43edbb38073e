"""The residual networks of the papers, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from horovod_lb.layers import Collective
from horovod_lb.models.resnet import Architecture, resnet
from horovod_lb.study.networks import NETWORKS

BOTTLENECKS = (3, 4, 6, 3)
ARCHITECTURES = {
    "resnet20": Architecture((3, 3, 3), 16, padded=True),
    "resnet32": Architecture((5, 5, 5), 16, padded=True),
    "resnet56": Architecture((9, 9, 9), 16, padded=True),
    "cifar_resnet18": Architecture((2, 2, 2, 2), 64),
    "cifar_resnet50": Architecture(BOTTLENECKS, 64, bottleneck=True),
    "resnet50": Architecture(BOTTLENECKS, 64, bottleneck=True, large_images=True, head="normal"),
}


def builder(name: str) -> Callable[..., keras.Model]:
    """The function that builds the residual network `name`."""
    usual = NETWORKS[name]

    def build(
        classes: int = 1000 if ARCHITECTURES[name].large_images else 10,
        *,
        shape: Sequence[int] = usual.shape,
        batch_norm: str = "plain",
        group_size: int | None = None,
        collective: Collective | None = None,
        zero_gamma: bool = bool(usual.zero_gamma),
    ) -> keras.Model:
        return resnet(
            name,
            ARCHITECTURES[name],
            classes=classes,
            shape=shape,
            batch_norm=batch_norm,
            group_size=group_size,
            collective=collective,
            zero_gamma=zero_gamma,
        )

    build.__name__ = build.__qualname__ = name
    return build
