"""The speed figures of docs/benchmarks.md: pairs measured in turn, A B A B ..., and the ratio pair by pair.

    python benchmarks/speed.py --root DIRECTORY loop ranks threads buckets start

Sections (default: all): `loop` one rank against plain Keras; `ranks` two one-thread ranks against two
one-thread processes that do not communicate; `threads` two ranks with their share of the cores against two
that each take all; `buckets` sizes of the all-reduce's buckets; `start` how long the planning commands take.
Machines are noisy: look at the ratios. DIRECTORY holds MNIST; `buckets` and `start` do without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from horovod_lb.schedulers.launchers import find_mpirun, mpirun
from horovod_lb.study import expand, load_study

HERE = Path(__file__).resolve().parent
Figures = dict[str, Any]
Measure = Callable[[], Figures]


class Bench:
    """The options, and the programs under measurement."""

    def __init__(self, root: str | None, repeats: int, epochs: int) -> None:
        self.root, self.repeats, self.epochs = root, repeats, epochs

    def plain(self, batch_size: int, threads: int) -> Figures:
        """Plain Keras in one process."""
        return figures(self.start([sys.executable, str(HERE / "plain_keras.py")], {}, batch_size, threads))

    def ours(self, ranks: int, batch_size: int, threads: int) -> Figures:
        """The project's loop."""
        return figures(self.launch(ranks, batch_size, threads))

    def apart(self, processes: int, batch_size: int, threads: int) -> Figures:
        """Processes side by side that do not communicate, of `batch_size` each; their rates added up."""
        started = [self.launch(1, batch_size, threads) for _ in range(processes)]
        each = [figures(process) for process in started]
        return {
            "median_images_per_second": sum(one["median_images_per_second"] for one in each),
            "peak_rss_mib": max(one["peak_rss_mib"] for one in each),
        }

    def launch(self, ranks: int, batch_size: int, threads: int) -> subprocess.Popen[str]:
        """Start the project's loop."""
        command = [sys.executable, str(HERE / "our_loop.py")]
        root = os.geteuid() == 0
        launch = mpirun(ranks, command, threads=threads, program=find_mpirun(), as_root=root)
        return self.start(list(launch.argv), dict(launch.environment), batch_size, threads)

    def start(
        self, argv: list[str], environment: dict[str, str], batch_size: int, threads: int
    ) -> subprocess.Popen[str]:
        """Start a program with the options that both share."""
        if self.root is None:
            sys.exit("this section needs MNIST: --root DIRECTORY, or the environment variable HLB_DATA")
        options = ["--root", self.root, "--batch-size", str(batch_size), "--epochs", str(self.epochs)]
        return subprocess.Popen(
            [*argv, *options, "--threads", str(threads)],
            env={**os.environ, **environment, "PYTHONPATH": str(HERE.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def pair(self, title: str, first: Measure, second: Measure) -> None:
        """Measure two in turn and print medians and ratios."""
        a, b = [], []
        for number in range(self.repeats):
            a.append(first())
            b.append(second())
            rates = [one[-1]["median_images_per_second"] for one in (a, b)]
            print(f"  {title}, pair {number + 1}: {rates[0]:.0f} / {rates[1]:.0f} images/s", file=sys.stderr)
        row(title, "images/s", column(a, "median_images_per_second"), column(b, "median_images_per_second"))
        row(title, "peak MiB", column(a, "peak_rss_mib"), column(b, "peak_rss_mib"))


def figures(process: subprocess.Popen[str]) -> Figures:
    """The JSON line that a program prints."""
    output, _ = process.communicate(timeout=1800)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        sys.exit(f"{process.args} failed with exit code {process.returncode}; run it by hand to see why")
    return dict(json.loads(lines[-1]))


def column(measured: list[Figures], name: str) -> list[float]:
    """One figure of every measurement."""
    return [float(one[name]) for one in measured]


def row(title: str, unit: str, a: list[float], b: list[float]) -> None:
    """A row of the table: median, range and ratio."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    cells = [f"{statistics.median(v):.0f} ({min(v):.0f}–{max(v):.0f})" for v in (a, b)]
    ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
    print(f"| {title} | {unit} | {cells[0]} | {cells[1]} | {ratio} |", flush=True)


def loop(bench: Bench) -> None:
    """One rank against plain Keras."""
    cores = len(os.sched_getaffinity(0))
    for batch_size in (256, 2048):
        bench.pair(
            f"one rank / plain Keras, B = {batch_size}, {cores} threads",
            lambda size=batch_size: bench.ours(1, size, cores),
            lambda size=batch_size: bench.plain(size, cores),
        )


def ranks(bench: Bench) -> None:
    """Two ranks against two processes apart."""
    bench.pair(
        "two one-thread ranks, B = 2048 / two processes apart, B = 1024 each",
        lambda: bench.ours(2, 2048, 1),
        lambda: bench.apart(2, 1024, 1),
    )


def threads(bench: Bench) -> None:
    """Cores divided among the ranks against every rank with all of them."""
    cores = len(os.sched_getaffinity(0))
    bench.pair(
        f"two ranks, B = 256: {max(1, cores // 2)} / {cores} threads each",
        lambda: bench.ours(2, 256, max(1, cores // 2)),
        lambda: bench.ours(2, 256, cores),
    )


def buckets(bench: Bench) -> None:
    """Bucket sizes; the program prints its own table."""
    root = os.geteuid() == 0
    launch = mpirun(
        2, [sys.executable, str(HERE / "buckets.py")], threads=1, program=find_mpirun(), as_root=root
    )
    environment = {**os.environ, **launch.environment, "PYTHONPATH": str(HERE.parent)}
    subprocess.run(launch.argv, env=environment, stderr=subprocess.DEVNULL, check=True)


def start(bench: Bench) -> None:
    """Seconds that the planning commands take, for studies of 20 and of 10,000 runs."""
    program = "from horovod_lb.cli.main import main; main()"
    with tempfile.TemporaryDirectory() as folder:
        small, large = write_study(Path(folder), "small", 20), write_study(Path(folder), "large", 10_000)
        for words in (["--help"], ["plan", small], ["status", small], ["plan", large], ["status", large]):
            seconds = []
            for _ in range(bench.repeats):
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-c", program, *words],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(HERE.parent)},
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                seconds.append(time.perf_counter() - began)
            shown = " ".join(Path(word).name for word in words)
            spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
            print(f"| `hlb {shown}` | seconds | {statistics.median(seconds):.2f} ({spread}) |", flush=True)


def write_study(folder: Path, name: str, runs: int) -> str:
    """A study of so many runs with their folders, as before the first of them starts; returns its path."""
    (folder / "job.py").write_text("def main(run):\n    pass\n")
    study = folder / f"{name}.yaml"
    study.write_text(
        f"""name: {name}
job: job.py
model: {{name: any}}
data: {{name: digits}}
recipe:
  epochs: 2
  batch_size: 64
  reference: {{batch_size: 64, learning_rate: 0.1}}
  scaling: linear
axes:
  recipe.batch_size: [16, 32, 64, 128]
seeds: [{", ".join(str(seed) for seed in range(runs // 4))}]
"""
    )
    for run in expand(load_study(study)):
        path = folder / "runs" / name / run.run_id
        path.mkdir(parents=True)
        (path / "run.json").write_text(json.dumps(run.spec))
    return str(study)


SECTIONS = {"loop": loop, "ranks": ranks, "threads": threads, "buckets": buckets, "start": start}


def main() -> None:
    """Measure the sections asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all"
    )
    parser.add_argument("--root", default=os.environ.get("HLB_DATA"), help="the folder with MNIST")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    bench = Bench(options.root, options.repeats, options.epochs)
    print("| measured | unit | A: median (range) | B | A / B |\n| --- | --- | --- | --- | --- |")
    for name in options.sections or SECTIONS:
        SECTIONS[name](bench)


if __name__ == "__main__":
    main()
