"""Pickles that are no batch of CIFAR-10: nothing of theirs is executed, and the message says so."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import python2_pickle
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_lb.data import cifar10, unpickle
from horovod_lb.data.files import DamagedError
from horovod_lb.errors import DataError

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Runs:
    """Calls something when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_a_hostile_pickle_does_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = pickle.dumps({"data": Runs(os.system, f"touch {marker}"), "labels": [0]})
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"data_batch_1: it asks for posix\.system, which no batch of CIFAR-10 does"
    ):
        cifar10.records(cifar10.Batch("data_batch_1", path, pickled=True))
    assert not marker.exists()
    pickle.loads(content)  # noqa: S301  the same file read in the usual way
    assert marker.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (eval, ("__import__('os').getcwd()",)),
        (open, ("/tmp/x", "w")),
        (getattr, (os, "getcwd")),
        (np.load, ("/tmp/x",)),
        (np.ndarray.tofile, (PIXELS, "/tmp/x")),
        (bytearray, (2**30,)),
        (__import__, ("os",)),
    ],
)
def test_nothing_but_arrays_can_be_named(function, arguments) -> None:
    try:
        content = pickle.dumps([Runs(function, *arguments)])
    except TypeError:
        content = (
            b"\x80\x02" + python2_pickle.name(function.__module__ or "builtins", function.__name__) + b"."
        )
    with pytest.raises(DamagedError, match=r"asks for .*was not done"):
        unpickle.mapping(content)


def test_a_dotted_name_leads_nowhere() -> None:
    content = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(DamagedError, match=r"asks for numpy\.ndarray\.tofile"):
        unpickle.mapping(content)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_numpy_pickles_is_what_is_read(protocol: int) -> None:
    content = pickle.dumps({"data": PIXELS, "labels": [1, 2, 3], "filenames": [b"a", b"b"]}, protocol)
    if protocol == 5:
        with pytest.raises(DamagedError, match="asks for numpy"):  # never used for these files
            unpickle.mapping(content)
        return
    found = unpickle.mapping(content)
    assert found[b"data"].values((3, 4)) == PIXELS.tobytes() and found[b"labels"] == [1, 2, 3]


def test_what_python_2_pickles_is_what_is_read() -> None:
    found = unpickle.mapping(python2_pickle.batch(PIXELS, [5, 6, 7]))
    assert found[b"data"].values((3, 4)) == PIXELS.tobytes()
    assert found[b"labels"] == [5, 6, 7] and found[b"batch_label"] == b"training batch 2 of 5"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (PIXELS.reshape(4, 3), "not of \\(3, 4\\) unsigned bytes"),
        (PIXELS.astype(np.int16), "not of \\(3, 4\\) unsigned bytes"),
        (np.asfortranarray(PIXELS), "not of \\(3, 4\\) unsigned bytes in row-major"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, message: str) -> None:
    found = unpickle.mapping(pickle.dumps({"data": array}, 2))
    with pytest.raises(DamagedError, match=message):
        found[b"data"].values((3, 4))


def test_an_array_that_lies_about_its_size() -> None:
    content = python2_pickle.batch(PIXELS, [0]).replace(
        python2_pickle.text(PIXELS.tobytes()), python2_pickle.text(b"short")
    )
    with pytest.raises(DamagedError, match="whose content has another size"):
        unpickle.mapping(content)[b"data"].values((3, 4))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"no pickle at all",
        b"\x80\x02}(",
        python2_pickle.batch(PIXELS, [0, 1, 2])[:-20],
        b"\x80\x02" + b"(" * 10 + b"R.",
        b"\x80\x02cnumpy\nndarray\n)R}b.",
        b"\x80\x02K\x01K\x02\x86b.",
        b"\x80\x02K\x01r\xff\xff\xff\x7fh\x00.",  # remembers one object at place 2,147,483,647
        b"\x80\x04\x8e" + b"\xff" * 8,  # 2^64 bytes follow
    ],
)
def test_broken_pickles(content: bytes) -> None:
    with pytest.raises(DamagedError, match=r"is not a pickled batch|holds a StoredArray"):
        unpickle.mapping(content)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_is_wrong_is_said(changes: list[tuple[int, int]]) -> None:
    content = bytearray(python2_pickle.batch(PIXELS, [0, 1, 2]))
    for place, value in changes:
        content[place % len(content)] = value
    with suppress(DamagedError):
        found = unpickle.mapping(bytes(content))
        if isinstance(found.get(b"data"), unpickle.StoredArray):
            assert len(found[b"data"].values((3, 4))) == 12


def test_an_array_made_in_another_way() -> None:
    """Without the calls that give it a type and a content."""
    empty = b"\x80\x02}U\x04data" + python2_pickle.name("numpy", "ndarray") + b")\x81s."
    with pytest.raises(DamagedError, match="array without content"):
        unpickle.mapping(empty)[b"data"].values((3, 4))
    kind = python2_pickle.name("numpy", "dtype") + b")\x81"
    array = python2_pickle.name("numpy", "ndarray") + b")\x81(K\x01K\x03K\x04\x86" + kind + b"I00\nU\x00tb"
    with pytest.raises(DamagedError, match="not of \\(3, 4\\) unsigned bytes"):
        unpickle.mapping(b"\x80\x02}U\x04data" + array + b"s.")[b"data"].values((3, 4))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1, 2], "holds a list instead of a dictionary"),
        ({"labels": [0]}, "has no `data` and `labels`"),
        ({"data": PIXELS, "fine_labels": [0]}, "has no `data` and `labels`"),
        ({"data": PIXELS, "labels": [0, 1, 2]}, "has 3 labels, 10,000 are needed"),
        ({"data": PIXELS, "labels": [3] * 9_999 + [10]}, "has 10,000 labels, 10 among them"),
        ({"data": PIXELS, "labels": [True] * 10_000}, "has 10,000 labels, True among them"),
        (
            {"data": PIXELS, "labels": [3] * 10_000},
            "holds an array that is not of \\(10000, 3072\\) unsigned bytes",
        ),
    ],
)
def test_other_contents(tmp_path: Path, found: object, message: str) -> None:
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(found, 2))
    with pytest.raises(DataError, match=f"test_batch: it {message}"):
        cifar10.records(cifar10.Batch("test_batch", path, pickled=True))
