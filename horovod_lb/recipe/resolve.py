"""From a recipe's mapping to its batch, time line and learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import horovod_lb.recipe.decays  # noqa: F401  registers its kinds
from horovod_lb.errors import RecipeError
from horovod_lb.recipe.batch import Batch
from horovod_lb.recipe.exact import exact, plain
from horovod_lb.recipe.noise import check_noise
from horovod_lb.recipe.rate import STARTS, WARMUPS, LearningRate, Warmup
from horovod_lb.recipe.sam import check_sam
from horovod_lb.recipe.scaling import batch_growth, peak_rate
from horovod_lb.recipe.schedules import build
from horovod_lb.recipe.timeline import Timeline, lay_out


@dataclass(frozen=True)
class Resolved:
    """A recipe in numbers, and what about it looks like a mistake."""

    batch: Batch
    timeline: Timeline
    rate: LearningRate
    scaling: str
    schedule: str
    warnings: tuple[str, ...]

    def columns(self) -> dict[str, Any]:
        """The derived columns of the tables."""
        return {
            "batch_size": self.batch.batch_size,
            "groups": self.batch.groups,
            "workers": self.batch.workers,
            "batch_per_group": self.batch.group_size,
            "scaling": self.scaling,
            "warmup_kind": self.rate.kind,
            "warmup_epochs": plain(self.rate.warmup_epochs),
            "warmup_steps": plain(self.rate.warmup_steps),
            "learning_rate_start": self.rate.start,
            "learning_rate_peak": self.rate.peak,
            "schedule": self.schedule,
            "epochs": self.timeline.epochs,
            "steps": self.timeline.total_steps,
        }


def resolve(recipe: Mapping[str, Any], *, examples: int, workers: int) -> Resolved:
    """What a recipe (complete, as `study.model.Recipe` gives it) means for N = `examples` and k = `workers`.

    Nothing but the split of the batch depends on k. RecipeError, with the key at fault: a batch that does not
    divide, a warmup longer than the run, an unknown kind, a rule without its reference.
    """
    batch = Batch(recipe["batch_size"], recipe["groups"] or workers, workers)
    timeline = lay_out(recipe, examples)
    peak = peak_rate(recipe["scaling"], recipe["reference"], batch)
    warnings: list[str] = []
    if recipe["scaling"] == "per_worker":
        warnings.append(
            f"recipe.scaling: per_worker multiplies by the {batch.groups} workers whatever the batch size; "
            "it is there to repeat published runs, most often linear is meant"
        )
    if recipe.get("sam"):  # not in recipes of earlier versions
        warnings += check_sam(recipe, batch.groups)
    if recipe.get("noise"):
        warnings += check_noise(recipe)
    if recipe.get("loss_scale", "dynamic") != "dynamic" and recipe["precision"] != "float16":
        raise RecipeError(
            f"recipe.loss_scale: {recipe['precision']} needs none; precision float16 does",
            key="recipe.loss_scale",
        )
    warmup = _warmup(recipe, batch, timeline, peak, warnings)
    warnings += _decay_warnings(recipe)
    schedule = build(recipe["schedule"], peak, timeline, warmup.steps)
    warnings += schedule.warnings()
    rate = LearningRate(peak, timeline.total_steps, warmup, schedule)
    return Resolved(batch, timeline, rate, recipe["scaling"], recipe["schedule"]["kind"], tuple(warnings))


def _decay_warnings(recipe: Mapping[str, Any]) -> list[str]:
    """A decay that is not the paper's. RecipeError: LARS with the decay outside of its trust ratio."""
    kind = (recipe.get("optimizer") or {}).get("kind")
    decay = recipe.get("weight_decay") or {"value": 0}
    if kind == "lars" and decay["value"] and decay["kind"] != "l2":
        raise RecipeError(
            f"recipe.weight_decay.kind: {decay['kind']!r} is not for lars, whose decay stands inside its "
            "trust ratio; l2 is",
            key="recipe.weight_decay.kind",
        )
    if kind == "lamb" and decay["value"] and decay["kind"] == "l2":
        return [
            "recipe.weight_decay.kind: l2 puts the decay of lamb into its moments; decoupled, inside the "
            "trust ratio, is the paper's"
        ]
    return []


def _warmup(
    recipe: Mapping[str, Any], batch: Batch, timeline: Timeline, peak: float, warnings: list[str]
) -> Warmup:
    kind = recipe["warmup"]["kind"]
    if kind not in WARMUPS:
        raise RecipeError(
            f"recipe.warmup.kind: {kind!r} is not one of {', '.join(WARMUPS)}", key="recipe.warmup.kind"
        )
    if recipe["scaling"] == "legw":
        steps = _legw_steps(recipe, batch, timeline, warnings)
    else:
        steps = _given_steps(recipe["warmup"], timeline)
    start = _start(recipe["warmup"]["start"], recipe["reference"], batch, peak)
    if kind == "none" or not steps:
        return Warmup("none", peak, Fraction(0), Fraction(0))
    if start >= peak:
        warnings.append(f"recipe.warmup: does not rise, from {start:g} to a peak of {peak:g}")
    return Warmup(kind, start, steps, steps / timeline.pace)


def _given_steps(warmup: Mapping[str, Any], timeline: Timeline) -> Fraction:
    """T_w as the recipe gives it, in steps or epochs. RecipeError if it does not fit into the run."""
    if warmup["kind"] == "none":
        return Fraction(0)
    by_steps = warmup["steps"] is not None
    steps = Fraction(warmup["steps"]) if by_steps else timeline.steps(warmup["epochs"])
    unit, length = ("steps", timeline.total_steps) if by_steps else ("epochs", timeline.epochs)
    if exact(warmup[unit]) > (timeline.total_steps if by_steps else timeline.length):
        raise RecipeError(
            f"recipe.warmup.{unit}: {warmup[unit]:g} {unit} of warmup are longer than the training of "
            f"{length:g} {unit}; give at most {length:g}",
            key=f"recipe.warmup.{unit}",
        )
    return steps


def _legw_steps(recipe: Mapping[str, Any], batch: Batch, timeline: Timeline, warnings: list[str]) -> Fraction:
    """LEGW (You et al. 2019): w_ref * B/B_ref epochs, the same number of steps for any B; at most the run."""
    reference = recipe["reference"]
    if reference["warmup_epochs"] is None:
        raise RecipeError(
            "recipe.reference.warmup_epochs: scaling legw needs the warmup epochs of the reference batch",
            key="recipe.reference.warmup_epochs",
        )
    if recipe["warmup"]["kind"] == "none":
        raise RecipeError(
            "recipe.warmup.kind: scaling legw brings its own warmup; gradual or constant, not none",
            key="recipe.warmup.kind",
        )
    if recipe["warmup"]["epochs"] or recipe["warmup"]["steps"]:
        warnings.append(
            "recipe.warmup: scaling legw takes its length from reference.warmup_epochs, not from here"
        )
    epochs = exact(reference["warmup_epochs"]) * batch_growth("legw", reference, batch)
    if epochs > timeline.length:
        warnings.append(
            f"recipe.scaling: legw asks for {float(epochs):g} epochs of warmup, cut to the run's "
            f"{timeline.epochs:g}: the peak rate is never reached"
        )
        epochs = timeline.length
    return epochs * timeline.pace


def _start(start: str | float, reference: Mapping[str, Any], batch: Batch, peak: float) -> float:
    """The rate that warmup begins with; a number is taken as it is."""
    if not isinstance(start, str):
        return float(start)
    if start == "reference":
        return float(reference["learning_rate"])
    if start == "zero":
        return 0.0
    if start == "per_worker":
        return peak / batch.groups
    raise RecipeError(
        f"recipe.warmup.start: {start!r} is not a number or one of {', '.join(STARTS)}",
        key="recipe.warmup.start",
    )
