"""Numbers and texts as a page can carry them: compressed, in Base64, unpacked in the browser when they are
looked at.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Of a float32's 23 bits of mantissa these are kept: five significant digits, in fewer bytes.
_MANTISSA_BITS = 17


def squeeze(data: bytes) -> str:
    """`data` in zlib's format, as Base64: what a browser's `DecompressionStream("deflate")` reads."""
    return base64.b64encode(zlib.compress(data, 6)).decode()


def document(value: Any) -> str:
    """`value` as compressed JSON; see `to_json`."""
    return squeeze(to_json(value).encode())


def to_json(value: Any) -> str:
    """`value` as JSON in one line; NaN and infinity are texts (`nan`, `inf`), unknown types as they print."""
    try:
        return _dumps(value)
    except (TypeError, ValueError):
        return _dumps(_plain(value))


def in_script(value: Any) -> str:
    """`value` as JSON that can stand in a `<script>` element: nothing in it ends or opens an element."""
    return to_json(value).replace("<", "\\u003c")


def floats(values: Sequence[float | None]) -> str:
    """Values as float32 with five significant digits; None and NaN are NaN."""
    import numpy as np

    found = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    with np.errstate(over="ignore"):
        bits = found.astype("<f4").view("<u4")
    dropped = 23 - _MANTISSA_BITS
    finite = np.isfinite(found)
    # Half of what the last bit kept counts for is added before the others are dropped; a carry is right, too.
    rounded = (bits + np.uint32(1 << (dropped - 1))) & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
    return _shuffled(np.where(finite, rounded, bits).astype("<u4"))


def integers(values: Iterable[int]) -> str:
    """Whole numbers as int32."""
    import numpy as np

    return _shuffled(np.array(list(values), dtype="<i4"))


def _shuffled(words: Any) -> str:
    """Words of four bytes with all first bytes first, then all second ones, ...: that compresses better."""
    return squeeze(words.view("u1").reshape(-1, 4).T.tobytes())


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
