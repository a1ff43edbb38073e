"""How long a run will take, from how fast runs of the study were on the same machine."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horovod_lb.batch.submission import Submission
from horovod_lb.runs import RunDirectory
from horovod_lb.runs.atomic import read_json

Spec = Mapping[str, Any]

# Training is measured; evaluations, checkpoints and a slower day come on top.
MARGIN = 1.25


@dataclass(frozen=True)
class Estimate:
    """Seconds that a run trains, and where that is known from. `all_in`: with a job's start and end in it."""

    seconds: float
    source: str
    all_in: bool = False


@dataclass(frozen=True)
class _Measured:
    run_id: str
    ranks: int
    batch_size: int
    images_per_second: float
    pilot: bool


class Paces:
    """Images per second of runs that this machine's jobs have trained or are training.

    A run is compared with runs of the same model, data set and precision: on as many ranks with the same
    batch size (their median), else on as many ranks (the slowest), else on other numbers of ranks, scaled as
    if speed were proportional, which the source then says.
    """

    def __init__(self, measured: Mapping[str, Sequence[_Measured]] | None = None) -> None:
        self._measured = measured or {}

    @classmethod
    def read(
        cls, study: Path, submissions: Sequence[Submission], machine: str, specs: Mapping[str, Spec]
    ) -> Paces:
        """Reads exit records and heartbeats of what was sent to `machine`; `specs`: run.json by id."""
        sent = {
            run_id: (job.ranks, submission.pilot)
            for submission in submissions
            if submission.machine == machine
            for job in submission.jobs
            if job.ranks and any(link.job_id for link in job.links)
            for run_id in job.runs
        }
        found: dict[str, list[_Measured]] = defaultdict(list)
        for run_id, (ranks, pilot) in sent.items():
            run = RunDirectory(study / run_id)
            pace = _pace(run.exit_json) or _pace(run.heartbeat_json)
            spec = specs.get(run_id) or read_json(run.run_json)
            if pace and spec:
                batch_size = int(spec["derived"]["batch_size"])
                found[_kind(spec)].append(_Measured(run_id, ranks, batch_size, pace, pilot))
        return cls(found)

    def estimate(self, spec: Spec, ranks: int) -> Estimate | None:
        """The seconds that a run trains on `ranks` ranks; None where nothing like it was measured."""
        found = self._measured.get(_kind(spec), ())
        if not found:
            return None
        images = int(spec["derived"]["steps"]) * int(spec["derived"]["batch_size"])
        same = [one for one in found if one.ranks == ranks]
        alike = [one for one in same if one.batch_size == int(spec["derived"]["batch_size"])]
        if alike:
            pace = statistics.median(one.images_per_second for one in alike)
            return Estimate(images / pace, f"images/s of {_names(alike)}")
        if same:
            slowest = min(same, key=lambda one: one.images_per_second)
            return Estimate(
                images / slowest.images_per_second,
                f"images/s of {_names([slowest])}, at batch size {slowest.batch_size}",
            )
        slowest = min(found, key=lambda one: one.images_per_second / one.ranks)
        pace = slowest.images_per_second * ranks / slowest.ranks
        return Estimate(
            images / pace,
            f"images/s of {_names([slowest])}, scaled from {slowest.ranks} ranks as if proportional",
        )


def _pace(path: Path) -> float:
    value = (read_json(path) or {}).get("images_per_second")
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0


def _kind(spec: Spec) -> str:
    """What decides how much there is to compute for an image."""
    data = {key: value for key, value in spec["data"].items() if key != "root"}
    return json.dumps([spec["model"], data, spec["recipe"].get("precision")], sort_keys=True)


def _names(runs: Sequence[_Measured]) -> str:
    if len(runs) == 1:
        return f"{'the pilot' if runs[0].pilot else 'run'} {runs[0].run_id[:8]}"
    return f"{len(runs)} earlier runs"
