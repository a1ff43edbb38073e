"""`target` in a study file: one column, a value that it can have."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from horovod_lb.study.target import Target

VALID = TypeAdapter(Target)


@pytest.mark.parametrize("target", [{}, {"val_accuracy": 0.753}, {"val_loss": 2.5}, {"train_accuracy": 1}])
def test_what_a_target_may_be(target: dict[str, float]) -> None:
    assert VALID.validate_python(target) == target


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"val_acuracy": 0.9}, "did you mean val_accuracy?"),
        ({"seconds": 10}, "columns that have a target: val_accuracy, val_top5, val_loss"),
        ({"val_accuracy": 75.3}, "75.3 % is 0.753"),
        ({"val_accuracy": 0}, "a fraction in"),
        ({"val_loss": 0}, "a loss > 0"),
        ({"val_loss": float("nan")}, "a loss > 0"),
        ({"val_accuracy": float("nan")}, "a fraction in"),
        ({"val_accuracy": 0.9, "val_loss": 0.1}, "one column is needed"),
        ({"val_accuracy": "high"}, "number"),
    ],
)
def test_what_it_may_not_be(target: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("?", r"\?")):
        VALID.validate_python(target)
