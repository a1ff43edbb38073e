"""The id of a run: a hash of what determines its result, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ID_LENGTH = 12


def canonical(value: Any) -> Any:
    """`value` with one spelling for each number: 1.0 and 1e0 are 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    return value


def run_id(identity: Mapping[str, Any]) -> str:
    """12 hexadecimal digits of the BLAKE2b hash of the canonical JSON: keys sorted, no spaces."""
    text = json.dumps(canonical(identity), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=ID_LENGTH // 2).hexdigest()
