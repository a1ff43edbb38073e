"""`noise`, `ema` and `loss_scale` of a recipe: ids, bounds, and what does not go together."""

from __future__ import annotations

import pytest

from horovod_lb.errors import RecipeError
from horovod_lb.recipe import resolve
from horovod_lb.study.model import Recipe

TINY = {"batch_size": 32, "groups": 4, "epochs": 1, "reference": {"learning_rate": 0.1}}


def resolved(**words):
    return resolve(Recipe.model_validate({**TINY, **words}).model_dump(), examples=320, workers=2)


@pytest.mark.parametrize(
    "words",
    [
        {"noise": {}},
        {"noise": {"activations": 0, "labels": 0.0, "gradients_decay": 0}},
        {"ema": None},
        {"loss_scale": "dynamic"},
    ],
)
def test_words_as_by_default_are_no_part_of_an_id(words):
    plain = Recipe.model_validate(TINY).model_dump(exclude_defaults=True)
    assert Recipe.model_validate({**TINY, **words}).model_dump(exclude_defaults=True) == plain


@pytest.mark.parametrize(
    "words", [{"noise": {"labels": 0.1}}, {"ema": {}}, {"precision": "float16", "loss_scale": 128}]
)
def test_other_words_are(words):
    plain = Recipe.model_validate(TINY).model_dump(exclude_defaults=True)
    assert Recipe.model_validate({**TINY, **words}).model_dump(exclude_defaults=True) != plain
    assert not resolved(**words).warnings


@pytest.mark.parametrize(
    "words",
    [
        {"noise": {"activations": 1.5}},
        {"noise": {"weights": -0.1}},
        {"noise": {"gradients": float("inf")}},
        {"noise": {"labels": 1.1}},
        {"noise": {"inputs": 0.1}},
        {"ema": {"decay": 1}},
        {"ema": {"overwrite_every": 0}},
        {"ema": {"evaluate": "both"}},
        {"loss_scale": 0},
        {"loss_scale": True},
        {"loss_scale": "static"},
    ],
)
def test_refused(words):
    ((section, value),) = words.items()
    key = f"{section}.{next(iter(value))}" if isinstance(value, dict) else section
    with pytest.raises(ValueError, match=rf"(?m)^{key}$"):
        Recipe.model_validate({**TINY, **words})


def test_noise_on_the_weights_and_sam_do_not_go_together():
    with pytest.raises(RecipeError, match=r"noise\.weights: sam takes its gradient at a point") as error:
        resolved(noise={"weights": 0.1}, sam={})
    assert error.value.key == "recipe.noise.weights"
    assert not resolved(noise={"activations": 0.1, "gradients": 0.1, "labels": 0.1}, sam={}).warnings


def test_a_decay_of_nothing_is_told():
    (warning,) = resolved(noise={"gradients_decay": 0.55}).warnings
    assert warning.startswith("recipe.noise.gradients_decay")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_loss_scale_belongs_to_float16(precision):
    with pytest.raises(RecipeError, match=f"{precision} needs none") as error:
        resolved(precision=precision, loss_scale=128)
    assert error.value.key == "recipe.loss_scale"


def test_the_study_names_the_line(write):
    from horovod_lb.errors import StudyError
    from horovod_lb.study import expand, load_study

    path = write(
        "axes:\n  recipe.noise.weights: [0, 0.01]\n",
        replace=[("  epochs: 30\n", "  epochs: 30\n  sam: {}\n")],
    )
    with pytest.raises(StudyError, match=r"study\.yaml:15: recipe\.noise\.weights"):
        expand(load_study(path))
