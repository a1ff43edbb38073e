"""`recipe.optimizer` of a study file: the options of each kind, and the trust ratio around it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from horovod_lb.study.section import NonNegative, Positive, Section, UnitInterval, refuse

Exclude = list[Literal["bias", "normalization", "vectors"]]


class LayerWise(Section):
    """`layerwise`: the optimizer's step times a trust ratio a variable, of its `gradient` or its `update`."""

    on: Literal["gradient", "update"] = "update"
    min: NonNegative = 0
    max: Positive | None = None
    exclude: Exclude = []

    @model_validator(mode="after")
    def _bounds_in_order(self) -> LayerWise:
        _in_order(min=self.min, max=self.max)
        return self


Around = LayerWise | None


class Momentum(Section):
    """The project's SGD with momentum, the rate inside the buffer (v-form), and momentum correction."""

    kind: Literal["momentum"]
    momentum: UnitInterval = 0.9
    nesterov: bool = False
    correction: bool = True
    layerwise: Around = None


class Sgd(Section):
    """Keras' SGD."""

    kind: Literal["sgd"]
    momentum: UnitInterval = 0.0
    nesterov: bool = False
    layerwise: Around = None


class Adam(Section):
    """Keras' Adam and, with decoupled weight decay, AdamW."""

    kind: Literal["adam", "adamw"]
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-7
    layerwise: Around = None


class RMSprop(Section):
    """Keras' RMSprop."""

    kind: Literal["rmsprop"]
    rho: UnitInterval = 0.9
    momentum: UnitInterval = 0.0
    epsilon: Positive = 1e-7
    layerwise: Around = None


class Adagrad(Section):
    """Keras' Adagrad."""

    kind: Literal["adagrad"]
    epsilon: Positive = 1e-7
    layerwise: Around = None


class Lars(Section):
    """SGD with momentum and a trust ratio; weight decay, kind `l2`, stands inside the ratio."""

    kind: Literal["lars"]
    momentum: UnitInterval = 0.9
    nesterov: bool = False
    correction: bool = False
    coefficient: Positive = 1.0
    norm: Literal["sum", "joint"] = "sum"
    epsilon: NonNegative = 0
    min_ratio: NonNegative = 0
    max_ratio: Positive | None = None
    exclude: Exclude = []

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Lars:
        _in_order(min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        return self


class Lamb(Section):
    """Adam with a trust ratio; weight decay, kind `decoupled`, stands inside the ratio."""

    kind: Literal["lamb"]
    beta_1: UnitInterval = 0.9
    beta_2: UnitInterval = 0.999
    epsilon: Positive = 1e-6
    bias_correction: bool = True
    min_norm: NonNegative = 0
    max_norm: Positive | None = None
    min_ratio: NonNegative = 0
    max_ratio: Positive | None = None
    exclude: Exclude = []

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Lamb:
        _in_order(min_norm=self.min_norm, max_norm=self.max_norm)
        _in_order(min_ratio=self.min_ratio, max_ratio=self.max_ratio)
        return self


def _in_order(**bounds: float | None) -> None:
    (low, low_value), (high, high_value) = bounds.items()
    if low_value is not None and high_value is not None and high_value < low_value:
        raise refuse(f"{high} must not be below {low}")


Optimizer = Annotated[Momentum | Sgd | Adam | RMSprop | Adagrad | Lars | Lamb, Field(discriminator="kind")]


class WeightDecay(Section):
    """`recipe.weight_decay`: `l2` adds (value/2)*|w|^2 to the loss, `decoupled` shrinks the weights."""

    value: NonNegative = 0
    kind: Literal["l2", "decoupled"] = "l2"
    exclude: Exclude = []
