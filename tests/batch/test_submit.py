"""`hlb submit` with a scheduler that is slow, dies, refuses or is silent: every run is sent exactly once."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from standin_site import PROFILE, STUDY, Site, killed_at

from horovod_lb.batch.submission import submissions
from horovod_lb.runs import RunDirectory


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def once(site: Site) -> Counter[str]:
    return Counter(site.run_ids())


def test_what_was_sent_is_written_down_and_not_sent_again(site: Site) -> None:
    done = site.submit()
    assert done.returncode == 0, done.stderr
    assert site.times_sent() == once(site)
    assert [job["array"] for job in site.table()] == ["0-1"] * 3
    (submission,) = submissions(site.study_folder)
    assert [link.job_id for job in submission.jobs for link in job.links] == ["1001", "1002", "1003"]
    assert submission.machine == "site"
    for run_id in site.run_ids():
        assert RunDirectory(site.study_folder / run_id).read_spec()["run_id"] == run_id
    for job in submission.jobs:
        listed = (submission.folder / job.listing).read_text().splitlines()
        assert listed == [str(site.study_folder / run_id) for run_id in job.runs]
        assert f"#SBATCH --job-name={job.name}" in (submission.folder / job.script).read_text()
    again = site.submit()
    assert again.returncode == 0
    assert "6 runs queued already" in again.stdout
    assert len(submissions(site.study_folder)) == 1
    assert len(site.table()) == 3


def test_only_what_has_no_result_and_no_job_is_sent(site: Site) -> None:
    assert site.submit("--where", "seed == 0").returncode == 0
    sent = [run_id for job in submissions(site.study_folder)[0].jobs for run_id in job.runs]
    assert len(sent) == 3
    RunDirectory(site.study_folder / sent[0]).begin_life().finish("completed")
    RunDirectory(site.study_folder / sent[1]).begin_life().finish("failed")
    site.change_jobs("COMPLETED")
    found = json.loads(site.submit("--json").stdout)
    # the one that was lost, and the three of seed 1
    assert sum(len(job["runs"]) for job in found["jobs"]) == 4
    assert found["not_sent"] == {"completed": 1, "failed": 1}
    assert sent[2] in {run_id for job in found["jobs"] for run_id in job["runs"]}
    told = site.submit().stdout
    assert "1 run has its result." in told
    assert "1 run failed: `hlb retry` sends such runs again." in told


def test_two_senders_at_the_same_moment(site: Site) -> None:
    site.faults(delay_before=0.2)
    senders = [site.start() for _ in range(3)]
    outputs = [sender.communicate(timeout=100) for sender in senders]
    assert [sender.returncode for sender in senders] == [0, 0, 0], outputs
    assert site.times_sent() == once(site)
    assert len(submissions(site.study_folder)) == 1
    assert sum("is submitting runs of this study; waiting" in err for _, err in outputs) == 2


# A point between two steps of the sender, as the module and the function before which it is killed.
POINTS = [
    "folders.create_runs",
    "folders.write_jobs",
    "folders.write_diff",
    "submit.Submission.write",
    "submit.send",
    "client.run",  # before anything is asked
    "submission.Submission.with_link",  # the first job is sent, its id not written
]


@pytest.mark.parametrize("point", POINTS)
def test_a_sender_killed_between_two_steps(site: Site, point: str) -> None:
    assert killed_at(site, point).returncode == -signal.SIGKILL
    done = site.submit()
    assert done.returncode == 0, done.stderr
    assert site.times_sent() == once(site)
    assert "6 runs queued already" in site.submit().stdout


@pytest.mark.parametrize(("calls", "sent_before"), [(2, 2), (3, 3)])
def test_ids_that_were_not_written_are_found_by_name(site: Site, calls: int, sent_before: int) -> None:
    assert killed_at(site, "submission.Submission.with_link", calls).returncode == -signal.SIGKILL
    assert len(site.table()) == sent_before
    before = {job["id"]: job["name"] for job in site.table()}
    done = site.submit()
    assert f"{sent_before} of its jobs had reached the scheduler" in done.stderr
    assert site.times_sent() == once(site)
    old = submissions(site.study_folder)[0]
    assert {job.name: link.job_id for job in old.jobs for link in job.links} == {
        name: str(number) for number, name in before.items()
    }


@pytest.mark.parametrize("fault", ["kill_before", "kill_after"])
def test_a_sender_killed_while_sbatch_works(site: Site, fault: str) -> None:
    site.faults(**{fault: 2})
    assert site.submit().returncode == -signal.SIGKILL
    assert len(site.table()) == (1 if fault == "kill_before" else 2)
    site.faults()
    assert site.submit().returncode == 0
    assert site.times_sent() == once(site)


def test_a_killed_sender_takes_a_slow_sbatch_with_it(site: Site) -> None:
    site.faults(delay_before=6.0)
    began = time.monotonic()
    sender = site.start()
    while not list(site.study_folder.glob("submissions/*/submission.json")):
        time.sleep(0.02)
    time.sleep(0.4)
    sender.kill()
    sender.communicate()
    site.faults()
    assert site.submit().returncode == 0
    assert site.times_sent() == once(site)
    time.sleep(max(0.0, began + 8.0 - time.monotonic()))
    assert site.times_sent() == once(site), "the first sbatch went on after its sender's death"


LONG = STUDY.replace("resources: {workers: 6}", 'resources: {workers: 6, walltime: "5:00"}')


def chain_profile() -> str:
    head, tables = PROFILE.split("[limits]")
    return f'{head}resume = "chain"\n[limits]{tables}'


def test_the_links_of_a_chain_are_sent_in_one_go(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", study=LONG, profile=chain_profile())
    done = site.submit()
    assert done.returncode == 0, done.stderr
    # 300 minutes in lives of 115: three links of each of three arrays
    assert [job["dependency"] for job in site.table()] == [
        None,
        "afterany:1001",
        "afterany:1002",
        None,
        "afterany:1004",
        "afterany:1005",
        None,
        "afterany:1007",
        "afterany:1008",
    ]
    links = [link for job in submissions(site.study_folder)[0].jobs for link in job.links]
    assert [(link.job_id, link.after) for link in links[:3]] == [
        ("1001", None),
        ("1002", "1001"),
        ("1003", "1002"),
    ]


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_a_chain_that_was_cut_off_is_completed(tmp_path: Path, calls: int) -> None:
    site = Site(tmp_path / "site", study=LONG, profile=chain_profile())
    assert killed_at(site, "submission.Submission.with_link", calls).returncode == -signal.SIGKILL
    assert len(site.table()) == calls
    assert site.submit().returncode == 0
    assert site.times_sent() == once(site)
    assert len(site.table()) == 9
    dependencies = {str(job["id"]): job["dependency"] for job in site.table()}
    for submission in submissions(site.study_folder):
        for job in submission.jobs:
            if not job.links:
                continue
            assert len(job.links) == 3
            for before, link in zip(job.links, job.links[1:], strict=False):
                assert dependencies[link.job_id or ""] == f"afterany:{before.job_id}"


def test_a_chain_whose_first_jobs_are_over_is_not_completed(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", study=LONG, profile=chain_profile())
    assert killed_at(site, "submission.Submission.with_link", 2).returncode == -signal.SIGKILL
    site.change_jobs("TIMEOUT")
    assert site.submit().returncode == 0
    assert site.times_sent() == once(site)


def test_a_refused_job_stops_the_submission_and_keeps_what_was_sent(site: Site) -> None:
    site.faults(reject=2)
    done = site.submit()
    assert done.returncode == 1
    assert "Invalid account or account/partition combination" in done.stderr
    assert "1 of 3 jobs were sent and stay" in done.stderr
    assert len(site.table()) == 1
    (submission,) = submissions(site.study_folder)
    assert [len(job.links) for job in submission.jobs] == [1, 0, 0]
    site.faults()
    assert site.submit().returncode == 0
    assert site.times_sent() == once(site)


def test_ctrl_c_between_two_jobs(site: Site) -> None:
    site.faults(delay_after=0.5)
    sender = site.start()
    while not site.table():
        time.sleep(0.02)
    sender.send_signal(signal.SIGINT)
    _, err = sender.communicate(timeout=30)
    assert sender.returncode == 130
    assert "interrupted; 1 of 3 jobs were sent and stay" in err
    (submission,) = submissions(site.study_folder)
    assert submission.jobs[0].links[0].job_id == "1001"
    site.faults()
    assert site.submit().returncode == 0
    assert site.times_sent() == once(site)


def test_a_silent_scheduler_is_not_guessed_at(site: Site) -> None:
    assert site.submit("--where", "seed == 0").returncode == 0
    site.faults(silent=True)
    before = len(site.table())
    done = site.submit()
    assert done.returncode == 1
    assert "Unable to contact slurm controller" in done.stderr
    assert "nothing was sent" in done.stderr
    assert len(site.table()) == before
    assert len(submissions(site.study_folder)) == 1


def test_without_the_commands_it_says_who_asks_for_them(site: Site) -> None:
    done = site.submit(env={**site.environment, "PATH": str(site.folder / "home")})
    assert done.returncode == 1
    assert "machine profile site asks for it" in done.stderr


def test_the_queue_takes_only_as_many_as_there_is_room_for(tmp_path: Path) -> None:
    profile = PROFILE.replace("array_size = 2", "array_size = 2\nqueued = 4")
    site = Site(tmp_path / "site", profile=profile)
    done = site.submit()
    assert done.returncode == 0, done.stderr
    assert "2 runs for which the queue has no room now (site takes 4 jobs of a user)" in done.stdout
    assert sum(site.times_sent().values()) == 4
    done = site.submit()
    assert "2 runs for which the queue has no room" in done.stdout
    assert sum(site.times_sent().values()) == 4
    site.forget_jobs()
    first = [run_id for job in submissions(site.study_folder)[0].jobs for run_id in job.runs]
    for run_id in first:
        RunDirectory(site.study_folder / run_id).begin_life().finish("completed")
    assert site.submit().returncode == 0
    assert set(site.times_sent()) == site.run_ids() - set(first)


def test_a_pilot_is_the_cheapest_run_and_gives_the_time_of_the_others(site: Site) -> None:
    found = json.loads(site.submit("--pilot", "--json").stdout)
    assert [len(job["runs"]) for job in found["jobs"]] == [1]
    (pilot,) = found["jobs"][0]["runs"]
    assert "No pilot is needed" in site.submit("--pilot").stdout
    run = RunDirectory(site.study_folder / pilot)
    # 2 epochs of 1,200 images
    run.begin_life().finish("completed", images_per_second=2.0)
    found = json.loads(site.submit("--json", "--dry-run").stdout)
    assert sum(len(job["runs"]) for job in found["jobs"]) == 5
    assert all(job["source"].startswith(f"images/s of the pilot {pilot[:8]}") for job in found["jobs"])
    # 1,200 s, and 3 minutes to start
    assert found["node_hours_expected"] == pytest.approx(5 * (1200 + 180) / 3600)


def test_a_budget_refuses_before_anything_is_written(site: Site) -> None:
    done = site.submit("--budget", "7")
    assert done.returncode == 2
    assert "may cost 12.0 node-hours" in done.stderr
    assert "the first 3 of the 6 runs would fit" in done.stderr
    assert site.table() == []
    assert not list(site.study_folder.glob("*/run.json"))
    assert site.submit("--budget", "12").returncode == 0


def test_the_source_is_kept_with_the_submission(site: Site) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, cwd=site.folder, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "train.py")
    git("commit", "-qm", "x")
    (site.folder / "train.py").write_text("def main(run):\n    print('changed')\n")
    assert site.submit(cwd=site.folder).returncode == 0
    (submission,) = submissions(site.study_folder)
    assert submission.source is not None
    assert submission.source["commit"] == git("rev-parse", "HEAD").strip()
    assert (submission.source["dirty"], submission.source["changed_files"]) == (True, ["train.py"])
    assert "+    print('changed')" in (submission.folder / "source.diff").read_text()
