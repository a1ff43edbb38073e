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


class Cifar10(Section):
    """CIFAR-10, from the binary or the Python version."""

    name: Literal["cifar10"]
    root: str | None = None
    holdout: Whole = 0
    augment: Literal["none", "standard"] = "none"


class Imagenet(Section):
    """ImageNet or a subset of it. Sizes not stated are those in the manifest, else the published ones."""

    name: Literal["imagenet"]
    root: str | None = None
    holdout: Whole = 0
    augment: Literal["none", "standard"] = "standard"
    image_size: Count = 224
    classes: Count = 1000
    examples: Count | None = None
    val_examples: Count | None = None
    first_label: Literal[0, 1] = 1


class Idx(_Set):
    """Four IDX files. `set` says which they are, for `root` does not enter a run's id; sizes that are not
    stated are those in the files.
    """

    name: Literal["idx"]
    set: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    train_images: str | None = None
    train_labels: str | None = None
    test_images: str | None = None
    test_labels: str | None = None
    examples: Count | None = None
    test_examples: Count | None = None
    classes: Count | None = None
    shape: list[Count] | None = None
    scale: Positive | None = None
    mean: list[float] | None = None
    std: list[Positive] | None = None


class Synthetic(_Set):
    """Images that are computed, at any shape and in any number."""

    name: Literal["synthetic"]
    shape: Annotated[list[Count], Field(min_length=1)]
    classes: Count
    examples: Count
    val_examples: Whole = 1000
    test_examples: Whole = 0
    learnable: bool = True
    seed: Whole = 0


class Custom(_Set):
    """A set that the job script loads; the study says how large it is."""

    name: Literal["custom"]
    examples: Count | None = None
    val_examples: Whole | None = None
    test_examples: Whole | None = None
    classes: Count | None = None
    shape: list[Count] | None = None
    scale: Positive | None = None


Data = Annotated[Digits | Mnist | Cifar10 | Imagenet | Idx | Synthetic | Custom, Field(discriminator="name")]
