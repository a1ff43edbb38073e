from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs import atomic

WRITER = """
import sys
from pathlib import Path
from horovod_lb.runs.atomic import append_line, write_text
folder = Path(sys.argv[1])
number = 0
while True:
    number += 1
    write_text(folder / "whole", f"{number} " * 5000)
    append_line(folder / "lines", f"{number} " * 50 + "end")
"""


def test_a_writer_killed_at_any_moment_leaves_whole_content(tmp_path: Path) -> None:
    moments = random.Random(1)
    before = 0
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path])
        while len(atomic.read_lines(tmp_path / "lines")) <= before:  # a busy machine takes its time
            time.sleep(0.01)
        time.sleep(moments.random() * 0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        words = (tmp_path / "whole").read_text().split()
        assert len(words) == 5000
        assert len(set(words)) == 1
        lines = atomic.read_lines(tmp_path / "lines")
        assert all(line.endswith("end") and len(line.split()) == 51 for line in lines)
        assert len(lines) >= before
        before = len(lines)
    assert before > 12


def test_appending_drops_the_partial_line_of_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"first\nsecond\nthi")
    assert atomic.read_lines(path) == ["first", "second"]
    atomic.append_line(path, "third")
    assert path.read_bytes() == b"first\nsecond\nthird\n"


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, 9000])
def test_the_end_of_the_whole_lines_is_found_however_long_the_partial_one_is(
    tmp_path: Path, length: int
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"a\n" + b"x" * length)
    with path.open("rb") as file:
        assert atomic.whole_lines_end(file.fileno()) == 2
    path.write_bytes(b"x" * length)
    with path.open("rb") as file:
        assert atomic.whole_lines_end(file.fileno()) == 0


def test_a_line_break_in_a_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line break"):
        atomic.append_line(tmp_path / "lines", "a\nb")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes ten bytes of each write, and is full at the second."""
    written: list[int] = []
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(1)
        return write(descriptor, bytes(data[:10]))

    monkeypatch.setattr(os, "write", full)


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems say so only when the data go to the disk."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "exit.json"
    path.write_bytes(b"old")
    with pytest.raises(
        RunDirectoryError, match=r"exit\.json: No space left on device; it is left as it was; free"
    ):
        atomic.write_text(path, "new and longer than ten bytes")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["exit.json"]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_the_lines_there_were(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"epoch\n1\n")
    with pytest.raises(RunDirectoryError, match="free some space"):
        atomic.append_line(path, "2 and longer than ten bytes")
    assert path.read_bytes() == b"epoch\n1\n"


LIMITED = """
import resource, sys
from pathlib import Path
from horovod_lb.errors import RunDirectoryError
from horovod_lb.runs.atomic import append_line, write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for write, name in ((write_text, "whole"), (append_line, "lines")):
    try:
        write(Path(sys.argv[1]) / name, "x" * 200)
    except RunDirectoryError as error:
        print(error)
"""


def test_a_write_that_the_kernel_cuts_short_leaves_the_old_content(tmp_path: Path) -> None:
    for name in ("whole", "lines"):
        (tmp_path / name).write_bytes(b"old\n")
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True
    )
    assert said.stdout.count("File too large") == 2
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {
        "whole": b"old\n",
        "lines": b"old\n",
    }


def test_json_holds_numpy_numbers_paths_and_no_nan(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    value = {
        "a": numpy.float32(0.5),
        "b": float("nan"),
        "c": [numpy.int64(3), -float("inf")],
        "d": Path("x/y"),
    }
    atomic.write_json(tmp_path / "a.json", value)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert found == {"a": 0.5, "b": None, "c": [3, None], "d": "x/y"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"[1]", b"\xff\xfe"])
def test_what_is_no_whole_json_object_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    assert atomic.read_json(path) is None
    path.write_bytes(content)
    assert atomic.read_json(path) is None


def test_a_file_written_for_another_life_does_not_land(tmp_path: Path) -> None:
    """The fence is asked when all of the file is on the disk, right before it gets its name."""
    path = tmp_path / "whole"
    path.write_bytes(b"old")
    seen: list[bytes] = []

    def fence() -> None:
        seen.extend(entry.read_bytes() for entry in tmp_path.iterdir() if entry != path)
        raise RunDirectoryError("life 2 owns the run now")

    with pytest.raises(RunDirectoryError, match="life 2"), atomic.replacing(path, fence) as file:
        file.write(b"new")
    assert seen == [b"new"]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
