"""What all sections of a study file share: the base model, bounded numbers, refusals."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _whole(value: Any) -> Any:
    """256.0 and 1e3 are whole numbers too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def refuse(message: str) -> PydanticCustomError:
    """A validation error whose text is `message`."""
    return PydanticCustomError("refused", "{message}", {"message": message})


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]
Axis = Annotated[list[Any], Field(min_length=1)]


class Section(BaseModel):
    """A mapping of the study file: no key but its own, no text for a number, no infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())
