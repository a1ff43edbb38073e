"""`sam` of a recipe: who shares a perturbation, and decays that do not act where they are said to."""

from __future__ import annotations

import pytest

from horovod_lb.errors import RecipeError
from horovod_lb.recipe import resolve
from horovod_lb.recipe.sam import shared_groups
from horovod_lb.study.model import Recipe


def warnings(sam, decay, optimizer="momentum"):
    stated = {
        "batch_size": 32,
        "groups": 4,
        "epochs": 1,
        "reference": {"learning_rate": 0.1},
        "sam": sam,
        "weight_decay": decay,
        "optimizer": {"kind": optimizer},
    }
    return resolve(Recipe.model_validate(stated).model_dump(), examples=320, workers=2).warnings


@pytest.mark.parametrize(("group", "shared"), [("worker", 1), (1, 1), (2, 2), (12, 12), ("global", 12)])
def test_how_many_groups_share_a_perturbation(group, shared):
    assert shared_groups({"group": group}, 12) == shared


@pytest.mark.parametrize("group", [5, 8, 24])
def test_blocks_that_do_not_divide_the_groups(group):
    with pytest.raises(RecipeError, match=rf"sam.group: {group} groups .* do not divide the 12") as error:
        shared_groups({"group": group}, 12)
    assert error.value.key == "recipe.sam.group"


def test_a_decay_that_never_acts_is_told():
    (warning,) = warnings({"decay_at": "none"}, {"value": 0.01})
    assert warning == "recipe.sam.decay_at: none, so that the weight decay of 0.01 never acts"
    assert not warnings({"decay_at": "none"}, {})
    assert not warnings({"decay_at": "w_eps"}, {"value": 0.01})
    assert not warnings({}, {"value": 0.01, "kind": "decoupled"})
    assert not warnings(None, {"value": 0.01})


@pytest.mark.parametrize("where", ["none", "w_eps"])
@pytest.mark.parametrize(("kind", "optimizer"), [("decoupled", "adamw"), ("l2", "lars")])
def test_a_decay_of_the_optimizer_stays_at_w(where, kind, optimizer):
    with pytest.raises(RecipeError, match=f"decay_at: {where} is for a decay in the loss"):
        warnings({"decay_at": where}, {"value": 0.01, "kind": kind}, optimizer)
    assert not warnings({"decay_at": "w"}, {"value": 0.01, "kind": kind}, optimizer)
