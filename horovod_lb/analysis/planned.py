"""What a run's recipe plans, worked out again from the run's specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from horovod_lb.analysis.table import cell
from horovod_lb.errors import HlbError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from horovod_lb.recipe.resolve import Resolved


class Plan(NamedTuple):
    """A recipe worked out, and its rate before each update, float64[steps]."""

    resolved: Resolved
    rates: NDArray[np.float64]


def plan_key(spec: Mapping[str, Any]) -> str:
    """The same for specifications that plan the same."""
    return cell({name: spec.get(name) for name in ("recipe", "data", "resources")})


def plan_of(spec: Mapping[str, Any]) -> Plan | None:
    """The plan of a specification; None where it holds no recipe, or one that is not understood: of another
    version, or of a script that told only what it liked.
    """
    from horovod_lb.data import describe
    from horovod_lb.recipe import resolve

    try:
        resolved = resolve(
            spec["recipe"],
            examples=describe(spec["data"]).train_examples,
            workers=spec["resources"]["workers"],
        )
        return Plan(resolved, resolved.rate.table())
    except (HlbError, KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
        return None
