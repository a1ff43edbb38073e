"""A batch of CIFAR-10 pickled as Python 2 and NumPy 1 did it, opcode by opcode."""

from __future__ import annotations

import struct

import numpy as np


def text(value: bytes) -> bytes:
    """A byte string, which Python 2 calls str: SHORT_BINSTRING or BINSTRING."""
    return (
        b"U" + bytes([len(value)]) + value
        if len(value) < 256
        else b"T" + struct.pack("<i", len(value)) + value
    )


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + struct.pack("<i", value)


def name(module: str, attribute: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def array(values: np.ndarray) -> bytes:
    """Unsigned bytes [n, m], by NumPy's `_reconstruct` and its state."""
    kind = name("numpy", "dtype") + b"(" + text(b"u1") + number(0) + number(1) + b"tR"
    kind += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    shape = b"(" + b"".join(number(n) for n in values.shape) + b"t"
    made = name("numpy.core.multiarray", "_reconstruct")
    made += b"(" + name("numpy", "ndarray") + b"(" + number(0) + b"t" + text(b"b") + b"tR"
    return made + b"(" + number(1) + shape + kind + b"I00\n" + text(values.tobytes()) + b"tb"


def batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """The dictionary of `data`, `labels` and `batch_label`, protocol 2."""
    items = text(b"data") + array(pixels)
    items += text(b"labels") + b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items += text(b"batch_label") + text(b"training batch 2 of 5")
    return b"\x80\x02}(" + items + b"u."
