"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """`PROBLEM`: training will not work, or not as it should. `WARNING`: it may not, or it is not known."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Finding:
    """One line of the table: what was checked, how it stands, what was seen, and what to do about it."""

    check: str
    state: State
    seen: str
    remedy: str = ""


def ok(check: str, seen: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, seen)


def warning(check: str, seen: str, remedy: str) -> Finding:
    """It may not work."""
    return Finding(check, State.WARNING, seen, remedy)


def problem(check: str, seen: str, remedy: str) -> Finding:
    """It will not work."""
    return Finding(check, State.PROBLEM, seen, remedy)


def worst(findings: Iterable[Finding]) -> State:
    """The worst state among them."""
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)
