"""`tf.train.Example` messages, read and written without TensorFlow.

The wire format of protocol buffers: Example{1: Features{1: map entry{1: name, 2: Feature}}}, where a Feature
holds {1: BytesList}, {2: FloatList} or {3: Int64List}, each with its values in field 1. Numbers are packed or
not.
"""

from __future__ import annotations

from collections.abc import Mapping

Spans = dict[bytes, tuple[int, int]]

_BYTES, _VARINT = 0x0A, 0x08  # field 1 as bytes, as a number
_VALUE = 0x12
_INT64_LIST = 0x1A


def spans(message: bytes) -> Spans:
    """Where each feature's Feature message lies in `message`, by name. ValueError: it is no Example."""
    found: Spans = {}
    try:
        start, stop = _field(message, 0, len(message), _BYTES)
        while start < stop:
            entry, end = _field(message, start, stop, _BYTES)
            name, name_end = _field(message, entry, end, _BYTES)
            found[message[name:name_end]] = _field(message, name_end, end, _VALUE)
            start = end
    except IndexError:
        raise ValueError("is not a tf.train.Example") from None
    return found


def bytes_value(message: bytes, span: tuple[int, int]) -> bytes:
    """The first value of a feature of bytes. ValueError: it has none."""
    try:
        start, stop = _field(message, *_field(message, *span, _BYTES), _BYTES)
    except IndexError:
        raise ValueError("holds no bytes") from None
    return message[start:stop]


def int_value(message: bytes, span: tuple[int, int]) -> int:
    """The first value of a feature of whole numbers. ValueError: it has none."""
    try:
        start, stop = _field(message, *span, _INT64_LIST)
        if start == stop:
            raise IndexError
        if message[start] == _BYTES:
            start, stop = _field(message, start, stop, _BYTES)
        elif message[start] == _VARINT:
            start += 1
        else:
            raise IndexError
        value, _ = _varint(message, start)
    except IndexError:
        raise ValueError("holds no whole number") from None
    return value - 2**64 if value >= 2**63 else value


def encoded(features: Mapping[str, bytes | int]) -> bytes:
    """The Example with these features, one value each, in the order of their names."""
    entries = b"".join(
        _with_length(
            _BYTES, _with_length(_BYTES, name.encode()) + _with_length(_VALUE, _feature(features[name]))
        )
        for name in sorted(features)
    )
    return _with_length(_BYTES, entries)


def _feature(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return _with_length(_BYTES, _with_length(_BYTES, value))
    return _with_length(_INT64_LIST, _with_length(_BYTES, _as_varint(value % 2**64)))


def _with_length(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _as_varint(len(content)) + content


def _as_varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _field(message: bytes, start: int, stop: int, tag: int) -> tuple[int, int]:
    """The content of the field with `tag` that begins at `start`; IndexError if there is another or none."""
    if start >= stop or message[start] != tag:
        raise IndexError
    length, begin = _varint(message, start + 1)
    if begin + length > stop:
        raise IndexError
    return begin, begin + length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends."""
    octet = message[position]
    if octet < 0x80:
        return octet, position + 1
    value, shift = octet & 0x7F, 7
    while octet >= 0x80:
        position += 1
        octet = message[position]
        value |= (octet & 0x7F) << shift
        shift += 7
    return value, position + 1
