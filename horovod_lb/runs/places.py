"""Where run directories lie: `<runs>/<study>/<run_id>/`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from horovod_lb.runs.directory import RunDirectory

VARIABLE = "HLB_RUNS"


def runs_root(option: str | os.PathLike[str] | None = None) -> Path:
    """The folder of all studies' runs: `option`, else `$HLB_RUNS`, else `runs` in the working directory."""
    return Path(option or os.environ.get(VARIABLE) or "runs")


def run_directories(study_folder: Path) -> Iterator[RunDirectory]:
    """The run directories in a study's folder (those with a `run.json`), by name; no folder: none."""
    try:
        with os.scandir(study_folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        run = RunDirectory(study_folder / name)
        if run.run_json.exists():
            yield run
