"""`data` of a study file: which set, and its options; one model a set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from horovod_lb.study.section import Count, Positive, Section, Whole


class _Set(Section):
    """What every set has. `root` is where the files are and never enters a run's id."""

    root: str | None = None
    holdout: Whole = 0
    augment: Literal["none"] = "none"


class Digits(_Set):
    """The handwritten digits that come with scikit-learn."""

    name: Literal["digits"]


class Mnist(_Set):
    """MNIST, from its four published files."""

    name: Literal["mnist"]


class Custom(_Set):
    """A set that the job script loads; the study says how large it is."""

    name: Literal["custom"]
    examples: Count | None = None
    val_examples: Whole | None = None
    test_examples: Whole | None = None
    classes: Count | None = None
    shape: list[Count] | None = None
    scale: Positive | None = None


Data = Annotated[Digits | Mnist | Custom, Field(discriminator="name")]
