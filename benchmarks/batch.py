"""1,000 trivial jobs planned, rendered and asked for: hlb beside other tools (docs/benchmarks.md).

    python benchmarks/batch.py [peers] [large] [--repeats 5] [--jobs 1000]

`peers`: hlb, submitit, signac-flow and maestrowf in turn, again and again, each with its own commands and the
same stand-in for Slurm's, which answers at once; the other tools are installed from the package index into
build/peers. `large`: 10,000 runs planned and rendered, seconds and peak memory. Seconds are elapsed time and
processor time: on a machine that is busy with other things, look at the second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import peers
from peers import Scheduler, Tool

PARTS = ("plan", "render", "status")


@dataclass(frozen=True)
class Cost:
    """Of commands one after the other: elapsed and processor seconds, the largest process in MiB."""

    elapsed: float = 0.0
    processor: float = 0.0
    memory: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        memory = max(self.memory, other.memory)
        return Cost(self.elapsed + other.elapsed, self.processor + other.processor, memory)


def run(commands: Sequence[Sequence[str]], folder: Path, scheduler: Scheduler, output: str) -> Cost:
    """Runs `commands` in `folder`; what they print goes to the file `output` there."""
    total = Cost()
    for command in commands:
        with (folder / output).open("wb") as out:
            began = time.perf_counter()
            child = subprocess.Popen(
                command, cwd=folder, env=scheduler.environment(), stdout=out, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(child.pid, 0)
            elapsed = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said = (folder / output).read_text(errors="replace")[-2000:]
            sys.exit(f"{' '.join(command)} failed:\n{said}")
        total += Cost(elapsed, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    return total


def measure(tool: Tool, root: Path, scheduler: Scheduler) -> dict[str, Cost]:
    """One pass of `tool` in a new folder: the cost of each part, and of sending."""
    folder = root / tool.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in tool.files.items():
        (folder / name).write_text(text)
    scheduler.empty()
    costs = {part: run(getattr(tool, part), folder, scheduler, f"{part}.out") for part in ("plan", "render")}
    costs["send"] = run(tool.send, folder, scheduler, "send.out")
    peers.queue(tool.name, folder, scheduler)
    before = len(scheduler.calls())
    costs["status"] = run(tool.status, folder, scheduler, "status.out")
    costs["queries"] = Cost(len(scheduler.calls()) - before)
    costs["total"] = costs["plan"] + costs["render"] + costs["status"]
    return costs


def side_by_side(repeats: int, jobs: int, root: Path, scheduler: Scheduler) -> None:
    """All tools in turn; a row each with medians, and the ratio of totals to hlb's, pass by pass."""
    python = peers.make_environment(peers.ROOT / "build" / "peers")
    tools = [peers.hlb(jobs)]
    tools += [make(python, jobs) for make in (peers.submitit, peers.signac_flow, peers.maestro)]
    passes: list[dict[str, dict[str, Cost]]] = []
    for tool in tools:  # a first time that does not count
        measure(tool, root, scheduler)
    for number in range(repeats):
        passes.append({tool.name: measure(tool, root, scheduler) for tool in tools})
        said = ", ".join(f"{name} {cost['total'].elapsed:.2f}" for name, cost in passes[-1].items())
        print(f"  pass {number + 1}: {said} s", file=sys.stderr)
    head = ["tool", *PARTS, "queries", "all three", "processor", "elapsed / hlb's", "processor / hlb's"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for tool in tools:
        mine = [one[tool.name] for one in passes]
        cells = [_median([cost[part].elapsed for cost in mine]) for part in PARTS]
        cells.append(f"{statistics.median(cost['queries'].elapsed for cost in mine):.0f}")
        cells.append(_range([cost["total"].elapsed for cost in mine]))
        cells.append(_range([cost["total"].processor for cost in mine]))
        for key in ("elapsed", "processor"):
            cells.append(
                _range([_ratio(one[tool.name]["total"], one["hlb"]["total"], key) for one in passes])
            )
        print(f"| {tool.name} | {' | '.join(cells)} |", flush=True)


def large(repeats: int, root: Path, scheduler: Scheduler) -> None:
    """10,000 runs: what planning, rendering, sending and asking take."""
    tool = peers.hlb(10_000)
    passes = [measure(tool, root, scheduler) for _ in range(repeats)]
    print("| 10,000 runs | seconds | processor seconds | peak MiB |\n| --- | --- | --- | --- |")
    for part in ("plan", "render", "send", "status"):
        costs = [one[part] for one in passes]
        cells = [_range([getattr(cost, key) for cost in costs]) for key in ("elapsed", "processor")]
        print(f"| {part} | {' | '.join(cells)} | {max(cost.memory for cost in costs):.0f} |", flush=True)


def _ratio(cost: Cost, to: Cost, key: str) -> float:
    return float(getattr(cost, key) / getattr(to, key))


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}" if any(values) else "–"


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main() -> None:
    """Measures the sections asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", help="of peers, large; default: both")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000, help="for `peers`")
    options = parser.parse_args()
    if unknown := set(options.sections) - {"peers", "large"}:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are peers and large")
    sections = options.sections or ["peers", "large"]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        scheduler = Scheduler(root / "scheduler")
        if "peers" in sections:
            side_by_side(options.repeats, options.jobs, root, scheduler)
        if "large" in sections:
            large(min(options.repeats, 3), root, scheduler)


if __name__ == "__main__":
    main()
