"""Seconds from images per second: exact where they were measured, and said where they were not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planning import machine, spec

from horovod_lb.batch.arrange import Options, plan_jobs
from horovod_lb.batch.pace import MARGIN, Paces
from horovod_lb.batch.submission import Job, Link, Submission


def sent(
    study: Path, run: dict[str, Any], ranks: int, *, site: str = "site", pilot: bool = False
) -> Submission:
    (study / run["run_id"]).mkdir(parents=True, exist_ok=True)
    (study / run["run_id"] / "run.json").write_text(json.dumps(run))
    job = Job("n", "1.sh", "1.txt", (run["run_id"],), 1, None, 1, 60, (Link("7"),), ranks)
    return Submission(
        folder=study / "submissions" / run["run_id"],
        token="t",
        time=0.0,
        user="u",
        host="h",
        scheduler="slurm",
        profile={"name": site},
        command="",
        retry=False,
        max_failures=None,
        source=None,
        jobs=(job,),
        pilot=pilot,
    )


def measured(study: Path, run_id: str, images_per_second: float, file: str = "exit.json") -> None:
    (study / run_id / file).write_text(json.dumps({"images_per_second": images_per_second}))


def test_the_same_ranks_and_batch_size_are_compared_by_their_median(tmp_path: Path) -> None:
    runs = [spec(name, workers=6, steps=100, batch_size=1200) for name in ("a", "b", "c")]
    submissions = [sent(tmp_path, run, 6) for run in runs]
    for run_id, pace in (("a", 100.0), ("b", 300.0), ("c", 250.0)):
        measured(tmp_path, run_id, pace)
    paces = Paces.read(tmp_path, submissions, "site", {})
    found = paces.estimate(spec("d", workers=6, steps=50, batch_size=1200), 6)
    assert found is not None
    assert found.seconds == pytest.approx(50 * 1200 / 250)
    assert found.source == "images/s of 3 earlier runs"


def test_a_running_run_and_a_pilot_are_named(tmp_path: Path) -> None:
    submission = sent(tmp_path, spec("abcdef0123"), 6, pilot=True)
    measured(tmp_path, "abcdef0123", 10.0, "heartbeat.json")
    paces = Paces.read(tmp_path, [submission], "site", {})
    found = paces.estimate(spec("d"), 6)
    assert found is not None
    assert found.source == "images/s of the pilot abcdef01"


def test_other_batch_sizes_and_ranks_are_said(tmp_path: Path) -> None:
    submissions = [sent(tmp_path, spec("a", batch_size=600), 6), sent(tmp_path, spec("b", batch_size=900), 6)]
    measured(tmp_path, "a", 60.0)
    measured(tmp_path, "b", 90.0)
    paces = Paces.read(tmp_path, submissions, "site", {})
    other = paces.estimate(spec("d", batch_size=1200, steps=10), 6)
    assert other is not None
    assert other.seconds == pytest.approx(1200 * 10 / 60)
    assert "at batch size 600" in other.source
    scaled = paces.estimate(spec("d", batch_size=600, steps=10), 12)
    assert scaled is not None
    assert scaled.seconds == pytest.approx(600 * 10 / (60 * 12 / 6))
    assert "scaled from 6 ranks" in scaled.source


def test_other_machines_models_and_unsent_jobs_say_nothing(tmp_path: Path) -> None:
    submission = sent(tmp_path, spec("a"), 6)
    measured(tmp_path, "a", 60.0)
    assert Paces.read(tmp_path, [submission], "site", {}).estimate(spec("d", model="other"), 6) is None
    assert Paces.read(tmp_path, [submission], "elsewhere", {}).estimate(spec("d"), 6) is None
    unsent = replace(submission, jobs=(replace(submission.jobs[0], links=(Link(),)),))
    assert Paces.read(tmp_path, [unsent], "site", {}).estimate(spec("d"), 6) is None
    measured(tmp_path, "a", 0.0)
    assert Paces.read(tmp_path, [submission], "site", {}).estimate(spec("d"), 6) is None


def test_what_was_measured_decides_over_wall_time_and_cost(tmp_path: Path) -> None:
    submission = sent(tmp_path, spec("a", steps=100, batch_size=1200), 6)
    measured(tmp_path, "a", 100.0)  # 1200 s a run
    paces = Paces.read(tmp_path, [submission], "site", {})
    runs = [spec(name, steps=100, batch_size=1200) for name in ("b", "c")]
    (job,) = plan_jobs(runs, machine(), folder=tmp_path, options=Options(), paces=paces)
    # 20 minutes and the margin, 3 to start, 2 of grace, in steps of 5
    assert job.request.minutes == -(-(20 * MARGIN + 5) // 5) * 5 == 30
    assert job.expected == pytest.approx(2 * (20 + 3) / 60)
    assert job.node_hours == pytest.approx(2 * 0.5)
    assert job.source == "images/s of run a"
    # The study's own word is asked for, what was measured is expected.
    stated = [{**run, "resources": {"workers": 6, "walltime": "1:30"}} for run in runs]
    (job,) = plan_jobs(stated, machine(), folder=tmp_path, options=Options(), paces=paces)
    assert job.request.minutes == 90
    assert job.expected == pytest.approx(2 * (20 + 3) / 60)
    assert job.source == "resources.walltime; expected: images/s of run a"


def test_where_nothing_is_known_the_longest_job_is_asked_for(tmp_path: Path) -> None:
    (job,) = plan_jobs([spec()], machine(), folder=tmp_path, options=Options())
    assert job.request.minutes == 120
    assert "not known" in job.source
    assert job.expected == job.node_hours == 2.0
    (job,) = plan_jobs([spec()], machine(), folder=tmp_path, options=Options(walltime=30))
    assert job.source == "--walltime"
    assert job.node_hours == 0.5
