"""The networks that a study's `model:` section can name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import keras

from horovod_lb.errors import RequestError
from horovod_lb.models.cnn2 import cnn2
from horovod_lb.models.digits_cnn import digits_cnn
from horovod_lb.models.lenet5 import lenet5
from horovod_lb.models.lenet_large import lenet_large
from horovod_lb.models.resnets import ARCHITECTURES, builder

BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "digits_cnn": digits_cnn,
    "lenet5": lenet5,
    "lenet_large": lenet_large,
    "cnn2": cnn2,
    **{name: builder(name) for name in ARCHITECTURES},
}


def build(name: str, **options: Any) -> keras.Model:
    """The network `name`, new, with the keyword arguments of its builder.

    All take `classes` and `shape`, that of an example; those with batch normalization `batch_norm`,
    `group_size`, `collective` (see `normalization.normalization`) and `zero_gamma`; those with dropout its
    rate `dropout`.

    RequestError: an unknown name or option, with those there are; a shape that the network cannot take.
    """
    if name not in BUILDERS:
        raise RequestError(f"model.name: {name!r} is not a network{_nearest(name, BUILDERS)}")
    builder = BUILDERS[name]
    allowed = inspect.signature(builder).parameters
    for option in options:
        if option not in allowed:
            raise RequestError(f"model.{option}: {name} has no such option{_nearest(option, allowed)}")
    shape = options.get("shape", allowed["shape"].default)
    if len(shape) != 3:
        raise RequestError(f"model.name: {name} is for images [height, width, channels], not {list(shape)}")
    try:
        return builder(**options)
    except ValueError as error:
        if "shape" not in options:
            raise
        usual = list(allowed["shape"].default)
        raise RequestError(
            f"model.name: {name}, made for images of {usual}, cannot take {list(shape)}: {error}"
        ) from error


def _nearest(found: str, known: Any) -> str:
    near = get_close_matches(found, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{hint}; there are {', '.join(known)}"
