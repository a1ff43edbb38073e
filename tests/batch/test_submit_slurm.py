"""`hlb submit` on a real Slurm, where one answers: every run in one job that Slurm has, whoever dies."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin_site import PROFILE, STUDY, Site, killed_at

from horovod_lb.batch.submission import submissions

# Held jobs wait until they are cancelled; nothing is trained here.
HELD = PROFILE.replace("cores_per_node = 12", 'cores_per_node = 12\ndirectives = ["--hold"]')


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def why_not() -> str | None:
    if shutil.which("sbatch") is None:
        return "no sbatch on PATH"
    return None if " is UP" in slurm("scontrol", "ping") else "no Slurm controller answers"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if reason := why_not():
        pytest.skip(f"no real Slurm here: {reason}")
    name = f"tiny-{secrets.token_hex(4)}"
    made = Site(
        tmp_path / "site", study=STUDY.replace("name: tiny", f"name: {name}"), profile=HELD, name=name
    )
    shutil.rmtree(made.folder / "bin")
    yield made
    ids = [line.split()[0] for line in slurm("squeue", "-h", "-o", "%F %j").splitlines() if name in line]
    if ids:
        slurm("scancel", *ids)


def in_slurm(site: Site) -> Counter[str]:
    """How many elements that Slurm has work on each run of the study, by the names of its jobs."""
    lines = slurm("squeue", "-h", "-r", "-o", "%j %K").splitlines()
    elements = Counter(tuple(line.split()) for line in lines if line.startswith(site.study_folder.name))
    found: Counter[str] = Counter()
    for submission in submissions(site.study_folder):
        for job in submission.jobs:
            for position, run_id in enumerate(job.runs):
                index = job.index_of(position)
                found[run_id] += elements.pop((job.name, "N/A" if index is None else str(index)), 0)
    assert not elements, f"Slurm has elements that nobody knows of: {elements}"
    return found


def test_two_people_at_the_same_moment(site: Site) -> None:
    senders = [site.start() for _ in range(2)]
    errors = [sender.communicate(timeout=100)[1] for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0], errors
    assert in_slurm(site) == Counter(site.run_ids())
    assert "6 runs queued already" in site.submit().stdout


def test_a_job_whose_id_was_not_written_is_found_by_its_name(site: Site) -> None:
    assert killed_at(site, "submission.Submission.with_link", 2).returncode == -signal.SIGKILL
    done = site.submit()
    assert done.returncode == 0, done.stderr
    assert "2 of its jobs had reached the scheduler" in done.stderr
    assert in_slurm(site) == Counter(site.run_ids())


def test_what_slurm_refuses_is_said_in_its_words(site: Site) -> None:
    done = site.submit("--queue", "nowhere")
    assert done.returncode == 1
    assert "invalid partition specified: nowhere" in done.stderr
    assert "no job has an id" in done.stderr
    assert site.submit().returncode == 0
    assert in_slurm(site) == Counter(site.run_ids())
