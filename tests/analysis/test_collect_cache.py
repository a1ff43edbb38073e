"""A collect that remembers gives what one gives that does not, whatever happened to the folders between."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import METRICS, Folder

from horovod_lb.analysis import Results, cache, collect
from horovod_lb.analysis.cache import Cache

HEADER = f"{METRICS},noise_scale"


def texts(results: Results) -> dict[str, str]:
    return {name: table.to_csv() for name, table in results.tables.items()} | {
        "notes": "\n".join(results.notes())
    }


def remembering(folder: Path, path: Path) -> Results:
    """Collects with the cache in `path`, and keeps it there, as the command does."""
    kept = Cache.load(path)
    results = collect(folder, parser=lambda name: kept.parse)
    kept.save(path, results.tables["epochs"].columns[1:])
    return results


def row(epoch: int, value: float | str) -> str:
    return f"{epoch},{10 * epoch},0.1,0.5,0.75,0.5,{value},1000.0,2.0,{value}"


class Changes:
    """What may happen to a folder of runs between two collects."""

    def __init__(self, folder: Folder, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.count = 0
        for _ in range(3):
            self.add()

    def some(self) -> Path:
        return self.chance.choice(sorted(self.folder.path.iterdir()))

    def value(self) -> float:
        return self.chance.randrange(1000, 9999) / 10000  # always as many characters

    def add(self) -> None:
        self.count += 1
        rows = [row(epoch, self.value()) for epoch in range(1, self.chance.randrange(2, 5))]
        point = {"recipe.batch_size": self.chance.choice([64, 128])}
        self.folder.run(f"r{self.count}", point, self.count, rows=rows, header=HEADER)

    def rewrite_in_the_same_tick(self) -> None:
        """Another value of as many characters, with all times of the file as they were."""
        path = self.some() / "metrics.csv"
        times = path.stat()
        lines = path.read_text().split("\n")
        if len(lines[1].split(",")) == len(lines[0].split(",")):
            lines[1] = ",".join([*lines[1].split(",")[:6], str(self.value()), *lines[1].split(",")[7:]])
        path.write_text("\n".join(lines))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def append(self) -> None:
        with (self.some() / "metrics.csv").open("a") as file:
            file.write(
                row(self.chance.randrange(1, 9), self.value()) + self.chance.choice(["\n", "", "\r\n"])
            )

    def swap(self) -> None:
        one, two = self.some() / "metrics.csv", self.some() / "metrics.csv"
        content = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(content)

    def measure(self) -> None:
        path = self.some() / "metrics.csv"
        lines = path.read_text().split("\n")
        path.write_text("\n".join([f"{lines[0]},more", *(f"{line},1" for line in lines[1:] if line), ""]))

    def spoil(self) -> None:
        path = self.some() / self.chance.choice(["run.json", "exit.json", "metrics.csv"])
        path.write_text(path.read_text()[: self.chance.randrange(40)])

    def end(self) -> None:
        state = self.chance.choice(["failed", "diverged", "completed"])
        (self.some() / "exit.json").write_text(f'{{"state": "{state}", "life": 1}}')

    def remove(self) -> None:
        if len(list(self.folder.path.iterdir())) > 1:
            shutil.rmtree(self.some())

    def rename(self) -> None:
        self.count += 1
        self.some().rename(self.folder.path / f"r{self.count}")


NAMES = [name for name in vars(Changes) if not name.startswith("_") and name not in ("some", "value")]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), steps=st.lists(st.lists(st.sampled_from(NAMES), max_size=3), max_size=4))
def test_remembering_changes_nothing(
    seed: int, steps: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("cached")
    (root / "runs").mkdir()
    changes = Changes(Folder(root / "runs"), random.Random(seed))
    for step in [[], *steps]:
        for name in step:
            getattr(changes, name)()
        assert texts(remembering(root / "runs", root / "cache")) == texts(collect(root / "runs"))
    shutil.rmtree(root)


def test_a_file_of_the_same_size_and_times_is_read_again(folder: Folder, tmp_path: Path) -> None:
    path = folder.run("a", {}, 0, [0.5, 0.9]) / "metrics.csv"
    remembering(folder.path, tmp_path / "cache")
    times = path.stat()
    path.write_text(path.read_text().replace("0.9,1000", "0.8,1000"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert remembering(folder.path, tmp_path / "cache").records[0].last("val_accuracy") == 0.8


@pytest.fixture
def kept(batch_by_warmup: Folder, tmp_path: Path) -> Path:
    remembering(batch_by_warmup.path, tmp_path / "cache")
    return tmp_path / "cache"


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes, key: str) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(cache.reading, "parse", read)


def test_what_has_not_changed_is_not_read_again(
    kept: Path, batch_by_warmup: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_reading(monkeypatch)
    assert len(remembering(batch_by_warmup.path, kept).records) == 12
    (batch_by_warmup.path / "a0" / "metrics.csv").write_text(f"{METRICS}\n")
    with pytest.raises(AssertionError, match="read again"):
        remembering(batch_by_warmup.path, kept)


@pytest.mark.parametrize("place", [0, 10, 25, 60, 500, -300, -1])
def test_a_damaged_cache_is_ignored(kept: Path, batch_by_warmup: Folder, place: int) -> None:
    data = bytearray(kept.read_bytes())
    data[place] ^= 0xFF
    for damaged in (bytes(data), kept.read_bytes()[:place], b"", b"\0" * 100):
        kept.write_bytes(damaged)
        assert texts(remembering(batch_by_warmup.path, kept)) == texts(collect(batch_by_warmup.path))


def test_another_reader_does_not_trust_it(
    kept: Path, batch_by_warmup: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_reader", lambda: "another version")
    forbid_reading(monkeypatch)
    with pytest.raises(AssertionError, match="read again"):
        remembering(batch_by_warmup.path, kept)


def test_files_that_are_gone_leave_the_cache(kept: Path, batch_by_warmup: Folder) -> None:
    before = kept.stat().st_size
    for name in ("a0", "a1", "a2", "b0", "b1", "b2"):
        shutil.rmtree(batch_by_warmup.path / name)
    remembering(batch_by_warmup.path, kept)
    assert kept.stat().st_size < before


def test_a_folder_that_cannot_be_written_stays_without(batch_by_warmup: Folder, tmp_path: Path) -> None:
    assert remembering(batch_by_warmup.path, tmp_path / "missing" / "cache").records
    assert not (tmp_path / "missing").exists()
