"""Gaussian noise on the outputs of a model's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras


class ActivationNoise:
    """While it is entered, hidden layers of `model` put out h + n, n ~ N(0, σ²), in training mode.

        with ActivationNoise(model, 0.1):
            model.fit(x, y)

    Hidden layers are those with trained weights, normalization included, but for the last of them, which
    makes the logits. Layers are seen as the model lists them: nested models are looked into, a layer that is
    made of others (an LSTM, an attention) has one output. An activation function that belongs to the layer
    comes before the noise. Every call has noise of its own.

    The layers' `call` is wrapped for the time being, so that it works in any model, subclassed ones too, and
    the model itself, its variables, paths and configuration stay as they are; a clone with noise layers
    would be another model than the one that callbacks, optimizers and checkpoints hold. A function that was
    compiled meanwhile keeps the noise.

    Args:
        model: built.
        stddev: σ in [0, 1], the range of `keras.layers.GaussianNoise`, which makes the noise.
        seed: of the layers' generators; default: drawn from Keras' global seed.
        last: the layer that makes the logits, where it is not the last one with weights.

    Attributes:
        layers: those that get noise.
        states: the variables that hold the generators' states, which decide the noise of the next call.
    """

    def __init__(self, model: keras.Model, stddev: float, seed: int | None = None, last: Any = None) -> None:
        weighted = list(dict.fromkeys(_weighted(model)))
        last = last or (weighted[-1] if weighted else None)
        self.layers = [layer for layer in weighted if layer is not last]
        self._noises = [
            keras.layers.GaussianNoise(
                stddev, seed=None if seed is None else seed + number, dtype=layer.compute_dtype
            )
            for number, layer in enumerate(self.layers)
        ]
        self.states = [noise.seed_generator.state for noise in self._noises] if stddev else []
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> ActivationNoise:
        for layer, noise in zip(self.layers, self._noises, strict=True):
            self._before.append({"call": vars(layer)["call"]} if "call" in vars(layer) else {})
            # Past `__setattr__`, which would take it for a part of the layer.
            vars(layer)["call"] = _noisy(layer.call, noise)
        return self

    def __exit__(self, *error: Any) -> None:
        for layer in self.layers:
            del vars(layer)["call"]
        for layer, before in zip(self.layers, self._before, strict=True):
            vars(layer).update(before)
        self._before = []


def _noisy(call: Callable[..., Any], noise: keras.layers.Layer) -> Callable[..., Any]:
    def noisy(*inputs: Any, **options: Any) -> Any:
        # Whether this is training, the noise layer learns from the call that it is in.
        return keras.tree.map_structure(
            lambda output: noise(output) if keras.backend.is_float_dtype(output.dtype) else output,
            call(*inputs, **options),
        )

    return noisy


def _weighted(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _weighted(layer)
        elif layer.trainable_variables:
            yield layer
