"""`recipe.noise` and `recipe.ema` of a study file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from horovod_lb.study.section import Count, NonNegative, Section, UnitInterval


class Noise(Section):
    """`recipe.noise`: standard deviations of Gaussian noise, and the part of the labels drawn anew; 0: none.

    `gradients_decay` is γ of σ_t² = σ²/(1 + t)^γ.
    """

    activations: Annotated[float, Field(ge=0, le=1)] = 0
    weights: NonNegative = 0
    gradients: NonNegative = 0
    gradients_decay: NonNegative = 0
    labels: Annotated[float, Field(ge=0, le=1)] = 0


class Ema(Section):
    """`recipe.ema`: the exponential moving average of the weights; null: none."""

    decay: UnitInterval = 0.99
    overwrite_every: Count | None = None
    evaluate: Literal["averaged", "raw"] = "averaged"
