"""A complete recipe to vary."""

from __future__ import annotations

import pytest

from horovod_lb.recipe import resolve

RECIPE = {
    "batch_size": 8192,
    "groups": None,
    "epochs": 30,
    "budget": None,
    "remainder": "continuous",
    "reference": {"learning_rate": 0.1, "batch_size": 256, "warmup_epochs": None},
    "scaling": "linear",
    "warmup": {"kind": "gradual", "epochs": 5, "steps": None, "start": "reference"},
    "schedule": {"kind": "constant", "anchor": None},
}


@pytest.fixture(scope="session")
def resolved():
    """Resolve the recipe above with some keys changed; sections are merged."""

    def change(examples=60_000, workers=1, **changes):
        recipe = dict(RECIPE)
        for key, value in changes.items():
            recipe[key] = {**recipe[key], **value} if isinstance(recipe[key], dict) else value
        return resolve(recipe, examples=examples, workers=workers)

    return change
