"""`recipe.schedule` of a study file: the options of each kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from horovod_lb.study.section import Count, NonNegative, Positive, Section, refuse

Anchor = Literal["zero", "after_warmup"] | None


class ConstantSchedule(Section):
    """`schedule: {kind: constant}`: the peak rate to the end."""

    kind: Literal["constant"]
    anchor: Anchor = None


class StepSchedule(Section):
    """`schedule: {kind: step}`: times `factor` at each of `epochs`."""

    kind: Literal["step"]
    epochs: Annotated[list[NonNegative], Field(min_length=1)]
    factor: Positive = 0.1
    anchor: Anchor = None


class PolynomialSchedule(Section):
    """`schedule: {kind: polynomial}`: to the rate `end` with a power of what is left of the run."""

    kind: Literal["polynomial"]
    power: Positive = 2
    end: NonNegative = 0
    anchor: Anchor = None


class CosineSchedule(Section):
    """`schedule: {kind: cosine}`: half a cosine to the rate `end`."""

    kind: Literal["cosine"]
    end: NonNegative = 0
    anchor: Anchor = None


class CosineRestartsSchedule(Section):
    """`schedule: {kind: cosine_restarts}`: `cycles` half cosines, each `mult` times as long as the last."""

    kind: Literal["cosine_restarts"]
    cycles: Count
    mult: Annotated[float, Field(ge=1)] = 1
    end: NonNegative = 0
    anchor: Anchor = None


class CyclicalSchedule(Section):
    """`schedule: {kind: cyclical}`: triangles between the rates `low` and `high` (null: the peak)."""

    kind: Literal["cyclical"]
    low: NonNegative
    high: Positive | None = None
    cycle_epochs: Positive
    anchor: Anchor = None

    @model_validator(mode="after")
    def _rises(self) -> CyclicalSchedule:
        if self.high is not None and self.low >= self.high:
            raise refuse("low must be below high")
        return self


class ExponentialSchedule(Section):
    """`schedule: {kind: exponential}`: times `factor` every `every_epochs`, `staircase`: at once."""

    kind: Literal["exponential"]
    factor: Positive
    every_epochs: Positive
    staircase: bool = False
    anchor: Anchor = None


Schedule = Annotated[
    ConstantSchedule
    | StepSchedule
    | PolynomialSchedule
    | CosineSchedule
    | CosineRestartsSchedule
    | CyclicalSchedule
    | ExponentialSchedule,
    Field(discriminator="kind"),
]
