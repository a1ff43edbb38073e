"""Exact numbers: steps and epochs are compared as fractions, so round-off never adds or loses a step."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache


@lru_cache(maxsize=4096)
def exact(number: float) -> Fraction:
    """The number as it is written: 0.1 is one tenth, not the binary fraction next to it."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(float(number)))


def ceil(number: Fraction) -> int:
    """The smallest whole number that is not below `number`."""
    return -(-number.numerator // number.denominator)


def plain(number: Fraction | float) -> int | float:
    """The number for a table: whole numbers as int, others as float."""
    value = float(number)
    return int(value) if value.is_integer() else value
