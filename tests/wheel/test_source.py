from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel import source
from horovod_lb.wheel.cache import default_root

Index = Callable[[dict[str, bytes]], dict[str, str]]


@pytest.fixture(scope="module")
def archive() -> Path:
    path = default_root(os.environ) / "sources" / source.ARCHIVE
    if not path.exists():
        pytest.skip(f"Horovod's source is not in the cache ({path}): run `make setup` with a network first")
    return source.check_archive(path)


def test_index_that_cannot_be_reached(tmp_path: Path, unreachable_index: dict[str, str]) -> None:
    with pytest.raises(BuildError) as caught:
        source.fetch(tmp_path, unreachable_index, tmp_path / "log")
    text = str(caught.value)
    assert "cannot be reached" in text
    assert "PIP_INDEX_URL" in text
    assert "--sdist FILE" in text
    assert not (tmp_path / source.ARCHIVE).exists()


def test_index_that_delivers_another_file(tmp_path: Path, local_index: Index) -> None:
    # A source distribution by that name whose setup.py would leave a trace if it were run.
    trace = tmp_path / "was-run"
    setup = (
        f"open({str(trace)!r}, 'w')\nfrom setuptools import setup\nsetup(name='horovod', version='0.28.1')\n"
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("setup.py", setup), ("PKG-INFO", "Name: horovod\nVersion: 0.28.1\n")):
            member = tarfile.TarInfo(f"horovod-0.28.1/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    env = local_index({source.ARCHIVE: buffer.getvalue()})
    with pytest.raises(BuildError, match=r"not the pinned one .*Nothing of it was run"):
        source.fetch(tmp_path, env, tmp_path / "log")
    assert not trace.exists()


def test_index_without_horovod(tmp_path: Path, local_index: Index) -> None:
    with pytest.raises(BuildError, match=r"found no source distribution horovod==0\.28\.1"):
        source.fetch(tmp_path, local_index({}), tmp_path / "log")


def test_fetched_from_an_index_and_kept(
    tmp_path: Path, archive: Path, local_index: Index, unreachable_index: dict[str, str]
) -> None:
    env = local_index({source.ARCHIVE: archive.read_bytes()})
    fetched = source.fetch(tmp_path / "cache", env, tmp_path / "log")
    assert fetched.read_bytes() == archive.read_bytes()
    assert (
        source.fetch(tmp_path / "cache", unreachable_index, tmp_path / "log") == fetched
    )  # no network needed
    fetched.write_bytes(fetched.read_bytes()[:1000])  # damaged in the cache: fetched again
    assert source.fetch(tmp_path / "cache", env, tmp_path / "log").read_bytes() == archive.read_bytes()


def test_truncated_archive(tmp_path: Path, archive: Path) -> None:
    short = tmp_path / source.ARCHIVE
    short.write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(BuildError, match=rf"100000 bytes.*expected {source.SHA256}.*truncated"):
        source.check_archive(short)
    with pytest.raises(BuildError, match="There is no file"):
        source.check_archive(tmp_path / "nothing.tar.gz")


def test_source_is_mended(tmp_path: Path, archive: Path) -> None:
    tree = source.unpack(archive, tmp_path)
    assert "xla_mpi_ops.cc" not in (tree / "horovod/tensorflow/CMakeLists.txt").read_text(encoding="utf-8")
    assert "HLB_RPATH" in (tree / "CMakeLists.txt").read_text(encoding="utf-8")
    text = (tree / "horovod/tensorflow/mpi_ops.cc").read_text(encoding="utf-8")
    # The function is defined after the header that declares Stream, and before its first call.
    places = [
        text.index(part) for part in ("stream.h", "inline GpuStreamHandle AsGpuStreamValue", "gpu::AsGpu")
    ]
    assert places == sorted(places)
    assert "GpuStreamHandle AsGpuStreamValue(Stream* stream);" not in text


@pytest.mark.parametrize("copies", [0, 2])
def test_source_that_is_not_as_expected(tmp_path: Path, copies: int) -> None:
    patch = source.PATCHES[0]
    file = tmp_path / patch.file
    file.parent.mkdir(parents=True)
    file.write_text(patch.old * copies, encoding="utf-8")
    with pytest.raises(BuildError, match=f"{patch.file} occurs {copies} times, not once"):
        source.apply(patch, tmp_path)
    assert file.read_text(encoding="utf-8") == patch.old * copies
