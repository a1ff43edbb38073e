"""Runs killed, stopped and begun again end as if nothing had been: to the bit on the same number of ranks."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from points import distance
from rank_checks import HERE
from rank_launch import environment, launch

from horovod_lb.runs import RunDirectory, State

TIMING = ("images_per_second", "seconds")
STEPS = 48
HARD = ("one", "all")
# In the middle of epochs too, as often as the disk allows.
OFTEN = {"every_minutes": 1e-6, "keep": 3}
SECONDS = 600


def draw(stream: random.Random, hows: list[str]) -> list[dict[str, Any]]:
    """A death each, at rising steps that leave time to die before the end."""
    steps = sorted(stream.randrange(2, STEPS - 12) for _ in hows)
    return [
        {"how": how, "step": step, "rank": stream.randrange(12), "delay": stream.uniform(0, 0.05)}
        for how, step in zip(hows, steps, strict=True)
    ]


def planned(name: str, deaths: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"name": name, "deaths": deaths, "lives": 99, "checkpoint": OFTEN if deaths else {}, **more}


def work(ranks: int, out: Path, plan: list[dict[str, Any]]) -> None:
    """Start sessions until one comes to the end of the plan; each hard death costs one."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "plan.json").write_text(json.dumps(plan))
    left = sum(death["how"] in HARD for run in plan for death in run["deaths"])
    while True:
        started = launch(ranks, [str(HERE / "killing.py"), str(out)])
        with (out / "log").open("a") as log:
            process = subprocess.Popen(
                started.argv, env=environment(started), stdout=log, stderr=log, start_new_session=True
            )
            if process.wait(SECONDS) == 0:
                assert left == 0, f"{left} deaths did not happen"
                return
        tail = "\n".join((out / "log").read_text(errors="replace").splitlines()[-30:])
        failed = [run["name"] for run in plan if RunDirectory(out / run["name"]).state() is State.FAILED]
        assert left and not failed, f"a session ended by itself, {failed} failed:\n{tail}"
        left -= 1
        # A killed process is there until the kernel has taken its memory back.
        deadline = time.monotonic() + 30
        while any(RunDirectory(out / run["name"]).state() is State.RUNNING for run in plan):
            assert time.monotonic() < deadline
            time.sleep(0.01)


class Outcome:
    """What a completed run left."""

    def __init__(self, path: Path) -> None:
        self.run = RunDirectory(path)
        assert self.run.state() is State.COMPLETED
        with np.load(self.run.checkpoints / f"step-{STEPS:09d}.npz") as file:
            meta = json.loads(file["meta.json"])
            arrays = [file[key] for key in file.files if key != "meta.json"]
        self.arrays = dict(zip(meta["paths"], arrays, strict=True))
        self.rows = untimed(self.run.read_metrics())
        assert untimed(meta["rows"]) == self.rows

    def order(self) -> dict[tuple[int, int], str]:
        """The digest of every group of every step; what was done twice was the same twice."""
        found: dict[tuple[int, int], str] = {}
        for path in self.run.path.glob("order.*"):
            for line in path.read_text().splitlines():
                step, group, digest = line.split()
                assert found.setdefault((int(step), int(group)), digest) == digest
        return found

    def beginnings(self) -> list[int]:
        """At which step each life began."""
        firsts = []
        for life in range(1, self.run.life_number() + 1):
            lines = (self.run.path / f"order.{life}.0").read_text().splitlines()
            firsts.append(int(lines[0].split()[0]) if lines else -1)
        return firsts


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMING} for row in rows]


def same(killed: Outcome, whole: Outcome, deaths: int) -> None:
    assert killed.run.life_number() == deaths + 1
    assert killed.arrays.keys() == whole.arrays.keys()
    for name, value in whole.arrays.items():
        assert np.array_equal(killed.arrays[name], value), f"{name} differs"
    assert killed.rows == whole.rows
    assert [row["epoch"] for row in killed.rows] == [1, 2, 3, 4, 5]
    order = whole.order()
    assert sorted(order) == [(step, group) for step in range(STEPS) for group in range(6)]
    assert killed.order() == order


def close(moved: Outcome, whole: Outcome) -> None:
    """On other numbers of ranks: to round-off, and the very same examples."""
    names = [name for name, value in whole.arrays.items() if value.dtype.kind == "f"]
    found = distance([moved.arrays[name] for name in names], [whole.arrays[name] for name in names])
    assert found < 1e-5, found
    for row, expected in zip(moved.rows, whole.rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    assert moved.order() == whole.order()


@pytest.fixture(scope="module")
def stream() -> random.Random:
    seed = int(os.environ.get("HLB_KILL_SEED") or random.randrange(10**6))
    print(f"deaths drawn with HLB_KILL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.mark.parametrize("ranks", [2, 3])
def test_killed_and_begun_again(ranks: int, folder: Path, stream: random.Random) -> None:
    """Two deaths that a session survives, and two that it does not; `moved` goes from rank to rank."""
    hows = stream.sample(["stop", "term", "one", "all"], 4)
    out, deaths = folder / str(ranks), draw(stream, hows)
    (folder / "moved").mkdir(exist_ok=True)
    moved = planned("../moved", draw(stream, ["stop", "term"]), lives=ranks - 1)
    work(ranks, out, [moved, planned("whole", []), planned("killed", deaths)])
    killed, whole = Outcome(out / "killed"), Outcome(out / "whole")
    print(f"{ranks} ranks: {deaths}; lives began at steps {killed.beginnings()}")
    same(killed, whole, 4)


def test_on_other_numbers_of_ranks(folder: Path) -> None:
    """Begun on two ranks, gone on with on three, finished on one."""
    work(1, folder / "1", [planned("../moved", [], lives=3)])
    moved = Outcome(folder / "moved")
    assert moved.run.life_number() == 3
    assert sorted(path.name for path in moved.run.path.glob("order.*")) == [
        "order.1.0", "order.1.1", "order.2.0", "order.2.1", "order.2.2", "order.3.0",
    ]  # fmt: skip
    for ranks in (2, 3):
        close(moved, Outcome(folder / str(ranks) / "whole"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ranks", [2, 3])
def test_killed_twenty_times(ranks: int, tmp_path: Path, stream: random.Random) -> None:
    """Ten times on two ranks, ten on three, in every way."""
    kinds = ["stop", "term", "one", "all"]
    plan = [planned(f"killed-{number}", draw(stream, [*kinds, stream.choice(kinds)])) for number in range(2)]
    work(ranks, tmp_path, [planned("whole", []), *plan])
    whole = Outcome(tmp_path / "whole")
    for run in plan:
        killed = Outcome(tmp_path / run["name"])
        print(f"{ranks} ranks: {run['deaths']}; lives began at steps {killed.beginnings()}")
        same(killed, whole, 5)
