from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from horovod_lb.errors import BuildError
from horovod_lb.wheel.cache import WheelCache, default_root

FACTS = {"tensorflow": "tensorflow 2.21.0", "mpi": "Open MPI 5.0.11", "compiler": "g++ 12"}


def store(cache: WheelCache, key: str, content: bytes, facts: dict[str, str] = FACTS) -> Path:
    wheel = cache.wheels.parent / "horovod-0.28.1-cp311-cp311-linux_x86_64.whl"
    log = cache.wheels.parent / "log"
    wheel.write_bytes(content)
    log.write_text("built", encoding="utf-8")
    return cache.store(key, wheel, facts, log)


def test_folder_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_root({"XDG_CACHE_HOME": "/scratch/cache"}) == Path("/scratch/cache/horovod_lb")
    assert default_root({}) == Path("/home/someone/.cache/horovod_lb")
    assert default_root({"XDG_CACHE_HOME": "relative"}) == Path("/home/someone/.cache/horovod_lb")


def test_what_is_stored_is_found_and_nothing_else(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path)
    place = store(cache, "a" * 16, b"wheel")
    assert cache.lookup("a" * 16) == place
    assert place.read_bytes() == b"wheel"
    assert (place.parent / "build.log").read_text(encoding="utf-8") == "built"
    assert cache.lookup("b" * 16) is None
    assert [path.name for path in cache.wheels.iterdir()] == ["a" * 16]  # no temporary folder is left


def test_storing_again_replaces(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path)
    store(cache, "a" * 16, b"first")
    assert store(cache, "a" * 16, b"second").read_bytes() == b"second"


@pytest.mark.parametrize("damage", ["truncated wheel", "no wheel", "broken entry", "no entry"])
def test_damaged_entry_counts_as_missing(tmp_path: Path, damage: str) -> None:
    cache = WheelCache(tmp_path)
    wheel = store(cache, "a" * 16, b"x" * 1000)
    entry = wheel.with_name("entry.json")
    if damage == "truncated wheel":
        wheel.write_bytes(b"x" * 999)
    elif damage == "no wheel":
        wheel.unlink()
    elif damage == "broken entry":
        entry.write_text(entry.read_text(encoding="utf-8")[:20], encoding="utf-8")
    else:
        entry.unlink()
    assert cache.lookup("a" * 16) is None
    assert not wheel.parent.exists()
    assert store(cache, "a" * 16, b"new").read_bytes() == b"new"


def test_a_build_that_dies_leaves_no_entry(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path)
    with pytest.raises(FileNotFoundError):
        cache.store("a" * 16, tmp_path / "never-built.whl", FACTS, tmp_path / "log")
    assert list(cache.wheels.iterdir()) == []


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(BuildError, match=r"cannot be written: .*XDG_CACHE_HOME"):
        WheelCache(tmp_path / "file")


def _build_once(root: Path) -> None:
    cache = WheelCache(root)
    with cache.lock("a" * 16):
        if cache.lookup("a" * 16) is None:
            (root / f"built-{time.monotonic_ns()}").touch()
            time.sleep(0.3)
            store(cache, "a" * 16, b"wheel")


def test_two_set_ups_at_once_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    builders = [context.Process(target=_build_once, args=(tmp_path,)) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0, 0, 0]
    assert len(list(tmp_path.glob("built-*"))) == 1


def test_nearest_names_the_differences(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path)
    assert cache.nearest(FACTS) == []
    store(cache, "a" * 16, b"", {**FACTS, "mpi": "Open MPI 4.1.5", "compiler": "g++ 11"})
    store(cache, "b" * 16, b"", {**FACTS, "mpi": "MPICH 4.2"})
    assert cache.nearest(FACTS) == ["mpi: here Open MPI 5.0.11, cached MPICH 4.2"]
