from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_lb.data.imagenet import example, index, records
from horovod_lb.errors import DataError

tf = pytest.importorskip("tensorflow")


def write(path: Path, contents: list[bytes]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as file:
        for content in contents:
            file.write(content)
    return path


def read_all(path: Path) -> list[bytes]:
    found = index.load([path], "train")
    with path.open("rb") as file:
        return [records.read(file.fileno(), *found.locate(number)[1:]) for number in range(len(found))]


def test_records_of_tensorflow_are_read(tmp_path: Path) -> None:
    contents = [b"", b"a", bytes(range(256)) * 300, b"last"]
    assert read_all(write(tmp_path / "train-00000-of-00001", contents)) == contents


def test_tensorflow_reads_ours(tmp_path: Path) -> None:
    contents = [os.urandom(size) for size in (0, 1, 70_000)]
    path = tmp_path / "ours"
    path.write_bytes(b"".join(map(records.framed, contents)))
    assert [bytes(one.numpy()) for one in tf.data.TFRecordDataset(str(path))] == contents


def test_the_checksum_of_the_standard() -> None:
    """CRC-32C of "123456789" is 0xe3069283; masked as TensorFlow stores it."""
    assert records.crc32c(b"123456789") == 0xE3069283
    assert records.masked(0xE3069283) == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) % 2**32


def test_every_cut_is_found(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", [b"first", b"second!"]).read_bytes()
    boundaries = {0, len(b"first") + records.FRAME, len(whole)}
    for size in range(len(whole)):
        path = tmp_path / "cut"
        path.write_bytes(whole[:size])
        if size in boundaries:
            assert len(records.scan(path)) == sorted(boundaries).index(size)
        else:
            with pytest.raises(DataError, match=f"cut: cut off: record {int(size > 21)} begins at byte"):
                records.scan(path)


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", [b"first"]).read_bytes()
    for place in range(len(whole)):
        path = tmp_path / "changed"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises((DataError, ValueError), match="checksum"), path.open("rb") as file:
            records.scan(path)
            records.read(file.fileno(), 0, len(b"first"))


values = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.one_of(st.binary(max_size=300), st.integers(-(2**63), 2**63 - 1)),
    max_size=6,
)


@given(values)
def test_examples_are_those_of_tensorflow(features: dict[str, bytes | int]) -> None:
    ours = example.encoded(features)
    theirs = tf.train.Example.FromString(ours)
    assert theirs.SerializeToString(deterministic=True) == ours
    for message in (ours, theirs.SerializeToString()):
        spans = example.spans(message)
        assert {name.decode() for name in spans} == set(features)
        for name, value in features.items():
            read = example.bytes_value if isinstance(value, bytes) else example.int_value
            assert read(message, spans[name.encode()]) == value


def test_what_is_no_example_is_refused() -> None:
    whole = example.encoded({"image/encoded": b"x" * 200, "image/class/label": 7})
    for size in range(1, len(whole)):
        with pytest.raises(ValueError, match=r"is not a tf\.train\.Example"):
            example.spans(whole[:size])
    empty = tf.train.Example(features=tf.train.Features(feature={"a": tf.train.Feature()}))
    message = empty.SerializeToString()
    with pytest.raises(ValueError, match="holds no whole number"):
        example.int_value(message, example.spans(message)[b"a"])
    with pytest.raises(ValueError, match="holds no bytes"):
        example.bytes_value(message, example.spans(message)[b"a"])


def test_the_index_is_kept_and_sees_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"train-{n:05}-of-00002", [b"x" * (n + k) for k in range(3)]) for n in range(2)]
    first = index.load(paths, "train")
    scanned: list[Path] = []
    scan = records.scan
    monkeypatch.setattr(records, "scan", lambda path: scanned.append(path) or scan(path))
    again = index.load(paths, "train")
    assert scanned == []
    assert again.offsets.tolist() == first.offsets.tolist() and again.first.tolist() == [0, 3, 6]
    write(paths[1], [b"other", b"ones", b"now", b"four"])
    changed = index.load(paths, "train")
    assert scanned == [paths[1]]
    assert len(changed) == 7 and changed.locate(6)[2] == 4 and changed.locate(2)[2] == 2


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "train-00000-of-00001", [b"one", b"two"])
    index.load([path], "train")
    kept = tmp_path / ".hlb-index-train.npz"
    for damage in (kept.read_bytes()[:100], b"", b"PK\x03\x04 nonsense"):
        kept.write_bytes(damage)
        assert len(index.load([path], "train")) == 2


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is kept in the user's cache folder; where that is not to be had either, in memory."""
    path = write(tmp_path / "train-00000-of-00001", [b"one", b"two"])
    beside, elsewhere = index._places(tmp_path, "train")
    beside.mkdir()  # a folder of that name: nobody can put a file there, root neither
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    elsewhere = index._places(tmp_path, "train")[1]
    assert len(index.load([path], "train")) == 2 and elsewhere.is_file()
    elsewhere.unlink()
    elsewhere.mkdir()
    assert len(index.load([path], "train")) == 2
    assert not list(tmp_path.glob(".*.tmp"))
