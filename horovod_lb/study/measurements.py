"""`measure` of a study file: what is measured beside the loss and accuracy, and the options of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from horovod_lb.errors import RecipeError
from horovod_lb.study.section import Count, Positive, Section, UnitInterval, refuse


class NoiseScale(Section):
    """Gradient noise scale, from the gradients of the groups of every step; `decay` of its averages."""

    kind: Literal["noise_scale"]
    decay: UnitInterval = 0.99


class Distance(Section):
    """Distance from the initial weights, and how it grows; every so many steps, which `by_step` keeps."""

    kind: Literal["distance"]
    every_steps: Count = 1
    by_step: bool = False


class _Probe(Section):
    """At the end of every so many epochs and of the last, on a fixed part of the training set."""

    every_epochs: Count = 1
    examples: Count = 1024
    mode: Literal["inference", "training"] = "inference"


class Sharpness(_Probe):
    """Keskar's sharpness, in a random subspace of so many dimensions where one is given, and SAM's."""

    kind: Literal["sharpness"]
    epsilon: Positive = 1e-3
    subspace: Count | None = None
    iterations: Count = 10
    rho: Positive = 0.05
    rho_steps: Count = 1


class Hessian(_Probe):
    """Eigenvalues of the Hessian at the ends of its spectrum, and its trace."""

    kind: Literal["hessian"]
    method: Literal["lanczos", "power"] = "lanczos"
    iterations: Count = 20
    tolerance: Positive = 1e-3
    probes: Count = 10


class SignalToNoise(Section):
    """Parts of batch gradients along and across the gradient over `examples`, or over all there are."""

    kind: Literal["signal_to_noise"]
    every_epochs: Count = 1
    examples: Count | None = None
    batches: Count = 8


class TrustRatios(Section):
    """Trust ratios of LARS, LAMB and layer-wise optimizers; every so many steps, which `by_step` keeps."""

    kind: Literal["trust_ratios"]
    every_steps: Count = 1
    by_step: bool = False


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


AnyMeasurement = NoiseScale | Distance | Sharpness | Hessian | SignalToNoise | TrustRatios
Measurement = Annotated[
    Annotated[AnyMeasurement, Field(discriminator="kind")],
    BeforeValidator(_by_name),
]


def each_once(measurements: list[AnyMeasurement]) -> list[AnyMeasurement]:
    """The list, if no measurement is in it twice: both would write the same columns."""
    kinds = [measurement.kind for measurement in measurements]
    if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
        raise refuse(f"{twice[0]} is in it {kinds.count(twice[0])} times; once is needed")
    return measurements


def identity(measurements: Iterable[AnyMeasurement]) -> list[dict[str, Any]]:
    """What enters a run's id: in a fixed order, and without what is as by default."""
    found = [{"kind": one.kind, **one.model_dump(exclude_defaults=True)} for one in measurements]
    return sorted(found, key=lambda one: str(one["kind"]))


def require(measurements: Iterable[AnyMeasurement], recipe: Mapping[str, Any], groups: int) -> None:
    """RecipeError: something is to be measured that a run of this recipe does not have."""
    kinds = {one.kind for one in measurements}
    if "noise_scale" in kinds and groups < 2:
        raise RecipeError(
            "measure: noise_scale compares the gradients of at least 2 groups of a batch, and the recipe has "
            "1; set recipe.groups, or leave noise_scale out",
            "measure",
        )
    optimizer = recipe["optimizer"]
    if "trust_ratios" in kinds and optimizer["kind"] not in ("lars", "lamb") and not optimizer["layerwise"]:
        raise RecipeError(
            f"measure: trust_ratios: {optimizer['kind']} has none; use lars, lamb or `layerwise`, or "
            "leave it out",
            "measure",
        )
