"""Collecting 2,000 runs x 90 epochs, and the same tables by signac and pandas (docs/benchmarks.md).

    python benchmarks/collect.py [--folder DIRECTORY] [--runs 2000] [--epochs 90] [--repeats 5]

Each is a process of its own, in turn: `first` hlb collect without a cache, `again` after one run has changed,
`signac` the same runs as a signac project (state points, job documents, metrics.csv in each job's folder;
made once, not counted) gathered in the usual way: a loop over the jobs, `pd.read_csv` each, `concat`,
`groupby`, `to_csv`. Elapsed and processor seconds, peak memory: on a machine that is busy with other things
look at the processor's.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from made_study import make

from horovod_lb.study import expand, load_study

AXES = ("recipe.batch_size", "recipe.warmup.epochs", "recipe.reference.learning_rate")


class Cost(NamedTuple):
    """Elapsed and processor seconds of a process, and its peak memory in MiB."""

    elapsed: float
    processor: float
    memory: float


def measured(command: Sequence[str]) -> Cost:
    """Run `command` to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    program = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, *command], check=True, capture_output=True, text=True
    )
    elapsed = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(elapsed, processor, int(done.stdout) / 1024)


def change_one(folder: Path, turn: int) -> None:
    """Trains an epoch more, as it were."""
    path = sorted((folder / "runs" / "made").iterdir())[turn] / "metrics.csv"
    last = path.read_text().splitlines()[-1].split(",")
    with path.open("a") as file:
        file.write(",".join([str(int(last[0]) + 1), *last[1:]]) + "\n")


def make_signac(folder: Path) -> None:
    """The runs as a signac project: what a user of signac would have after training them."""
    import signac

    project = signac.init_project(str(folder / "signac"))
    for spec in expand(load_study(folder / "study.yaml")):
        run = folder / "runs" / "made" / spec.run_id
        if not run.exists():
            continue
        names = {axis.replace(".", "_"): value for axis, value in spec.point.items()}
        job = project.open_job({**names, "seed": spec.seed})
        job.init()
        job.document.update(json.loads((run / "exit.json").read_text()))
        Path(job.fn("metrics.csv")).write_bytes((run / "metrics.csv").read_bytes())


def collect_signac(folder: Path) -> None:
    """runs, epochs and accuracy tables from the signac project."""
    import numpy as np
    import pandas as pd
    import signac
    from scipy import stats

    project = signac.get_project(str(folder / "signac"))
    runs: list[dict[str, Any]] = []
    epochs = []
    for job in project:
        frame = pd.read_csv(job.fn("metrics.csv"))
        frame.insert(0, "run_id", job.id)
        epochs.append(frame)
        last = frame.iloc[-1]
        done = job.document["state"] == "completed"
        runs.append(
            {
                "run_id": job.id,
                **job.statepoint(),
                **job.document(),
                "final_val_accuracy": last["val_accuracy"] if done else np.nan,
                "final_train_loss": last["train_loss"] if done else np.nan,
                "best_val_accuracy": frame["val_accuracy"].max(),
            }
        )
    out = folder / "signac-tables"
    out.mkdir(exist_ok=True)
    table = pd.DataFrame(runs)
    table.to_csv(out / "runs.csv", index=False)
    pd.concat(epochs).to_csv(out / "epochs.csv", index=False)
    groups = table.groupby([axis.replace(".", "_") for axis in AXES])["final_val_accuracy"]
    accuracy = groups.agg(["count", "mean", "std"])
    half = stats.t.ppf(0.975, accuracy["count"] - 1) * accuracy["std"] / np.sqrt(accuracy["count"])
    accuracy["ci95_low"], accuracy["ci95_high"] = accuracy["mean"] - half, accuracy["mean"] + half
    accuracy.to_csv(out / "accuracy.csv")


def differences(folder: Path) -> float:
    """The largest difference between the means of the two sides."""
    import pandas as pd

    ours = pd.read_csv(folder / "out" / "accuracy.csv").set_index(list(AXES))["mean"].sort_index()
    theirs = pd.read_csv(folder / "signac-tables" / "accuracy.csv")
    theirs.columns = [*AXES, *theirs.columns[len(AXES) :]]
    return float((ours - theirs.set_index(list(AXES))["mean"].sort_index()).abs().max())


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Measure in turn, and print medians and ratios."""
    study = make(folder, options.runs, options.epochs)
    make_signac(folder)
    out = folder / "out"
    hlb = [sys.executable, "-m", "horovod_lb.cli.main", "collect", str(study), "--runs", str(folder / "runs")]
    ours = [*hlb, "--out", str(out)]
    theirs = [sys.executable, str(Path(__file__).resolve()), "--signac", str(folder)]
    costs: dict[str, list[Cost]] = {"first": [], "again": [], "signac": []}
    measured(ours)
    measured(theirs)
    print(f"largest difference of the means: {differences(folder):.1e}")
    for turn in range(options.repeats):
        (out / ".collect-cache").unlink(missing_ok=True)
        costs["first"].append(measured(ours))
        change_one(folder, turn)
        costs["again"].append(measured(ours))
        costs["signac"].append(measured(theirs))
    for name, found in costs.items():
        print(f"{name:7}", ", ".join(f"{part} {spread(found, part)}" for part in Cost._fields))
    for part in ("elapsed", "processor"):
        for name in ("first", "again"):
            ratios = [
                getattr(a, part) / getattr(b, part) for a, b in zip(costs["signac"], costs[name], strict=True)
            ]
            low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
            print(f"signac / {name}, {part}: {middle:.2f} ({low:.2f}-{high:.2f})")


def spread(costs: Sequence[Cost], part: str) -> str:
    """Median and range."""
    values = [getattr(cost, part) for cost in costs]
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, help="an empty folder to work in; default: a temporary one")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--signac", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.signac:
        collect_signac(options.signac)
    elif options.folder:
        compare(options.folder, options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), options)


if __name__ == "__main__":
    main()
