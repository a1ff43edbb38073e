"""Checks of what optimizers and layers are given: a refusal names the option, its range, and what it got."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any, TypeVar

T = TypeVar("T")


def number(name: str, value: Any, allowed: Callable[[float], bool], words: str) -> float:
    """`value` as a float. ValueError: it is no number, or not one that is `allowed`, in `words`."""
    if not isinstance(value, Real) or isinstance(value, bool) or not allowed(float(value)):
        raise ValueError(f"{name} must be {words}, not {value!r}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """`value` as a float. ValueError: it is not a finite number >= 0."""
    return number(name, value, lambda x: 0 <= x < math.inf, "a number >= 0")


def positive(name: str, value: Any) -> float:
    """`value` as a float. ValueError: it is not a finite number > 0."""
    return number(name, value, lambda x: 0 < x < math.inf, "a number > 0")


def below_one(name: str, value: Any) -> float:
    """`value` as a float. ValueError: it is not in [0, 1)."""
    return number(name, value, lambda x: 0 <= x < 1, "in [0, 1)")


def up_to_one(name: str, value: Any) -> float:
    """`value` as a float. ValueError: it is not in [0, 1]."""
    return number(name, value, lambda x: 0 <= x <= 1, "in [0, 1]")


def whole(name: str, value: Any, least: int | None = None) -> int:
    """`value` as an int. ValueError: it is not a whole number, or below `least`."""
    words = "a whole number" + ("" if least is None else f" >= {least}")
    return int(
        number(name, value, lambda x: x.is_integer() and x >= (-math.inf if least is None else least), words)
    )


def flag(name: str, value: Any) -> bool:
    """`value`. ValueError: it is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value`. ValueError: it is none of `choices`."""
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
    return value


def optional(check: Callable[[str, Any], T], name: str, value: Any) -> T | None:
    """None, or what `check` makes of `value`."""
    return None if value is None else check(name, value)


def in_order(low_name: str, low: float, high_name: str, high: float | None) -> None:
    """ValueError: `high` is below `low`; None is no bound."""
    if high is not None and high < low:
        raise ValueError(f"{high_name} {high} is below {low_name} {low}")
