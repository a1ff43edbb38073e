"""Reading the Python version of CIFAR-10, which is pickled, without executing what is in it.

A pickle is a program that may call anything importable. Here it can name four things, which pickled NumPy
arrays name, and gets inert stand-ins for them that only keep what they are given; anything else is refused.
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any

from horovod_lb.data.files import DamagedError

_BROKEN = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class StoredArray:
    """What a pickled array says of itself, as NumPy stores it: (version, shape, type, by column, bytes)."""

    __slots__ = ("state",)

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def values(self, shape: tuple[int, int]) -> bytes:
        """The values of an array of unsigned bytes [n, m], row by row; DamagedError if it is no such."""
        state = getattr(self, "state", None)  # a pickle can make it without __init__
        if not isinstance(state, tuple) or len(state) != 5:
            raise DamagedError("holds an array without content")
        _, found, kind, by_column, content = state
        bytes_by_row = isinstance(kind, StoredType) and getattr(kind, "name", "") == "u1" and not by_column
        if found != shape or not bytes_by_row:
            raise DamagedError(f"holds an array that is not of {shape} unsigned bytes in row-major order")
        if not isinstance(content, bytes) or len(content) != shape[0] * shape[1]:
            raise DamagedError(f"holds an array of {shape} whose content has another size")
        return content


class StoredType:
    """What a pickled NumPy type says of itself."""

    __slots__ = ("name",)

    def __init__(self, name: Any = "", *_: Any) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment, which mean nothing for single bytes."""


def _encode(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes so under the old protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return str(text).encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): StoredArray,
    ("numpy._core.multiarray", "_reconstruct"): StoredArray,
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): StoredType,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle._Unpickler):
    """The one in Python: that in C makes room for as many objects as a pickle says it will remember."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DamagedError(
                f"asks for {module}.{name}, which no batch of CIFAR-10 does: it is not the published file, "
                "and what it would have done was not done"
            )
        return _ALLOWED[module, name]


def mapping(content: bytes) -> dict[bytes, Any]:
    """The pickled dictionary, keys as bytes; arrays are `StoredArray`. DamagedError: it is something else."""
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _BROKEN as error:
        raise DamagedError(f"is not a pickled batch, or it is cut ({error})") from error
    if not isinstance(found, dict):
        raise DamagedError(f"holds a {type(found).__name__} instead of a dictionary")
    return {
        key.encode(errors="replace") if isinstance(key, str) else key: value for key, value in found.items()
    }
