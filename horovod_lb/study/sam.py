"""`recipe.sam` of a study file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import PlainValidator

from horovod_lb.recipe.sam import GROUPS
from horovod_lb.study.section import NonNegative, Section, refuse


def _group(value: Any) -> str | int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    number = isinstance(value, int) and not isinstance(value, bool)
    if value not in GROUPS and not (number and value >= 1):
        raise refuse(f"{', '.join(GROUPS)} or a whole number >= 1 is needed")
    return cast("str | int", value)


class Sam(Section):
    """`recipe.sam`: sharpness-aware minimization around the optimizer; null: without it."""

    rho: NonNegative = 0.05
    group: Annotated[str | int, PlainValidator(_group)] = "worker"
    adaptive: bool = False
    decay_at: Literal["none", "w", "w_eps"] = "w"
