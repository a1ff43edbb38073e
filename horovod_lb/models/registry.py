"""The networks that a study's `model:` section can name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import keras

from horovod_lb.errors import RequestError
from horovod_lb.models.digits_cnn import digits_cnn
from horovod_lb.models.lenet5 import lenet5

BUILDERS: dict[str, Callable[..., keras.Model]] = {"digits_cnn": digits_cnn, "lenet5": lenet5}


def build(name: str, **options: Any) -> keras.Model:
    """The network `name`, new, with the keyword arguments of its builder.

    RequestError: an unknown name or option; the message lists those there are.
    """
    if name not in BUILDERS:
        raise RequestError(f"model.name: {name!r} is not a network{_nearest(name, BUILDERS)}")
    builder = BUILDERS[name]
    allowed = inspect.signature(builder).parameters
    for option in options:
        if option not in allowed:
            raise RequestError(f"model.{option}: {name} has no such option{_nearest(option, allowed)}")
    return builder(**options)


def _nearest(found: str, known: Any) -> str:
    near = get_close_matches(found, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{hint}; there are {', '.join(known)}"
