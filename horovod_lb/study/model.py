"""The study file as pydantic models: every key, its type, bounds and default."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter, model_validator

from horovod_lb.recipe.rate import STARTS
from horovod_lb.study.data import Data
from horovod_lb.study.measurements import Measurement, each_once
from horovod_lb.study.noise import Ema, Noise
from horovod_lb.study.optimizers import Momentum, Optimizer, WeightDecay
from horovod_lb.study.sam import Sam
from horovod_lb.study.schedules import ConstantSchedule, Schedule
from horovod_lb.study.section import (
    Axis,
    Count,
    NonNegative,
    Positive,
    Section,
    UnitInterval,
    Whole,
    refuse,
)
from horovod_lb.study.target import Target


def _start(value: Any) -> str | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value not in STARTS and not (number and 0 <= value < float("inf")):
        raise refuse(f"{', '.join(STARTS)} or a number >= 0 is needed")
    return cast("str | float", value)


def _loss_scale(value: Any) -> str | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "dynamic" and not (number and 0 < value < float("inf")):
        raise refuse("dynamic or a number > 0 is needed")
    return float(value) if number else "dynamic"


def _walltime(value: str) -> str:
    parts = value.split(":")
    if len(parts) not in (2, 3) or not all(part.isdigit() for part in parts) or int(parts[1]) > 59:
        raise refuse('hours and minutes are needed, as in "2:00"')
    return value


class Model(Section):
    """`model`: the network. `name` is one of `models`, or whatever the job script understands."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    batch_norm: Literal["plain", "ghost", "sync", "group"] = "plain"
    ghost_size: Count | None = None
    bn_groups: Count | None = None
    zero_gamma: bool | None = None
    dropout: UnitInterval | None = None


class Resources(Section):
    """`resources`: where it runs, never what comes out."""

    workers: Count = 1
    walltime: Annotated[str, AfterValidator(_walltime)] | None = None


class Reference(Section):
    """`recipe.reference`: the setting that is known to work and that scaling starts from."""

    learning_rate: Positive
    batch_size: Count | None = None
    warmup_epochs: NonNegative | None = None


class Warmup(Section):
    """`recipe.warmup`: its length in `epochs` or `steps`, and the rate it starts from."""

    kind: Literal["none", "gradual", "constant", "cosine"] = "gradual"
    epochs: NonNegative = 0
    steps: Whole | None = None
    start: Annotated[str | float, PlainValidator(_start)] = "reference"

    @model_validator(mode="after")
    def _one_length(self) -> Warmup:
        if self.steps is not None and self.epochs:
            raise refuse("give the length in epochs or in steps, not both")
        return self


class Budget(Section):
    """`recipe.budget` instead of `epochs`: so many steps, or as many as another batch size takes."""

    steps: Count | None = None
    like_batch: Count | None = None
    epochs: Positive | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Budget:
        given = (self.steps is not None, self.like_batch is not None, self.epochs is not None)
        if given not in ((True, False, False), (False, True, True)):
            raise refuse("either {steps: n} or {like_batch: b, epochs: e} is needed")
        return self


class Communication(Section):
    """`recipe.communication`: how gradients are summed; the sum is the same but for round-off."""

    allreduce: Literal["ring", "recursive_doubling", "rabenseifner", "hierarchical", "mpi_default"] = "ring"
    bucket_mb: Positive | None = None
    compression: Literal["none", "fp16"] = "none"


class Recipe(Section):
    """`recipe`: everything that decides what training does to the weights."""

    batch_size: Count
    groups: Count | None = None
    epochs: Positive | None = None
    budget: Budget | None = None
    remainder: Literal["continuous", "drop", "weighted", "wrap"] = "continuous"
    reference: Reference
    scaling: Literal["none", "linear", "sqrt", "legw", "per_worker"] = "none"
    warmup: Warmup = Warmup()
    schedule: Schedule = ConstantSchedule(kind="constant")
    optimizer: Optimizer = Momentum(kind="momentum")
    sam: Sam | None = None
    weight_decay: WeightDecay = WeightDecay()
    noise: Noise = Noise()
    ema: Ema | None = None
    label_smoothing: UnitInterval = 0
    clip_global_norm: Positive | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    loss_scale: Annotated[str | float, PlainValidator(_loss_scale)] = "dynamic"
    communication: Communication = Communication()


class Checkpoint(Section):
    """`checkpoint`: at the end of which epochs the state is saved, how many are kept, and what stays."""

    every_epochs: Count = 1
    every_minutes: Positive | None = None
    keep: Count = 2
    keep_best: bool = True
    final_model: bool = False


class About(Section):
    """`about`: what a study is, for people: a title, the paper it repeats, and what it costs to run."""

    title: Annotated[str, Field(min_length=1)]
    paper: str | None = None
    cost: str | None = None


class Report(Section):
    """`report`: the figures that `hlb report` draws, and published results to show beside the study's."""

    figures: list[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]] = []
    published: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] | None = None


class Variation(Section):
    """How the runs of a study differ."""

    axes: dict[str, Axis] = {}
    zip: dict[str, Axis] = {}
    points: list[dict[str, Any]] = []
    exclude: list[str] = []
    seeds: Annotated[list[Whole], Field(min_length=1)] = [0]


class StudyFile(Variation):
    """A whole study file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    about: About | None = None
    job: Annotated[str, Field(min_length=1)]
    model: Model
    data: Data
    resources: Resources = Resources()
    recipe: Recipe
    measure: Annotated[list[Measurement], AfterValidator(each_once)] = []
    checkpoint: Checkpoint = Checkpoint()
    baseline: dict[str, Any] = {}
    tuned: list[str] | None = None
    target: Target = {}
    report: Report = Report()


LABEL = "label"
"""An axis beside the study's keys: what a point is called. It changes nothing in the point's runs."""

RUN_SECTIONS: dict[str, TypeAdapter[Any]] = {
    "model": TypeAdapter(Model),
    "data": TypeAdapter(Data),
    "resources": TypeAdapter(Resources),
    "recipe": TypeAdapter(Recipe),
}
"""The sections that may differ between the runs of a study, each with what validates it."""
