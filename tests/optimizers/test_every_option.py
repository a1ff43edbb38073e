"""Every option of every optimizer and layer refuses what it cannot be, by its name and range."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from everything import KINDS, NEEDED, OFF, OPTIONS, registered, signature

from horovod_lb.optimizers import LAMB, LARS, LayerWise
from horovod_lb.optimizers.checked import OPTIONS as KERAS_OPTIONS

CASES = [
    pytest.param(kind, option, value, KINDS[what][1], id=f"{kind.__name__}-{option}-{value!r}")
    for kind, options in OPTIONS.items()
    for option, what in options.items()
    for value in KINDS[what][0]
    if not (value is None and option in OFF)
]


def given(kind: type) -> dict[str, Any]:
    """What the constructor cannot do without."""
    return NEEDED.get(kind, dict)()


@pytest.mark.parametrize(("kind", "option", "value", "words"), CASES)
def test_a_value_out_of_range_is_refused(kind: type, option: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        kind(**{**given(kind), option: value})
    assert option in str(error.value)


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_none_turns_an_option_off_where_that_is_its_default(kind: type) -> None:
    for option, default in signature(kind).items():
        if default is None and OPTIONS[kind][option] not in ("keras", "rate"):
            assert option in OFF, option
            kind(**{**given(kind), option: None})


def test_no_class_and_no_option_is_forgotten() -> None:
    assert set(registered()) == set(OPTIONS)
    for kind in OPTIONS:
        assert set(signature(kind)) == set(OPTIONS[kind]), kind
        needed = {name for name, value in signature(kind).items() if value is inspect.Parameter.empty}
        assert needed <= {*given(kind), "learning_rate"}, kind
    theirs = {"learning_rate", "name", *KERAS_OPTIONS}
    base = next(c for c in LAMB.__mro__ if c.__name__ == "BaseOptimizer")
    known = inspect.signature(base.__init__).parameters
    assert theirs == {name for name in known if name not in ("self", "kwargs")}, "Keras has a new option"


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (LARS, "min_ratio", "max_ratio"),
        (LAMB, "min_ratio", "max_ratio"),
        (LAMB, "min_norm", "max_norm"),
        (LayerWise, "min_ratio", "max_ratio"),
    ],
)
def test_bounds_out_of_order_are_refused(kind: type, low: str, high: str) -> None:
    with pytest.raises(ValueError, match=f"{high} 1.0 is below {low} 2.0"):
        kind(**{**given(kind), low: 2.0, high: 1.0})
    kind(**{**given(kind), low: 2.0, high: 2.0})


@pytest.mark.parametrize("kind", [LARS, LAMB, LayerWise])
@pytest.mark.parametrize("entry", [5, None, object()])
def test_what_is_no_variable_is_refused(kind: type, entry: Any) -> None:
    for option in ("exclude_from_adaptation", "exclude_from_decay"):
        with pytest.raises(ValueError, match=f"{option}: .* is no variable"):
            kind(**{**given(kind), option: [entry]})
