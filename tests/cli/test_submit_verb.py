"""`hlb submit`, `hlb render` and `hlb retry` as commands: options, texts, JSON, what they refuse."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "batch"))

from standin_site import PROFILE, STUDY, Site

from horovod_lb.batch.submission import submissions
from horovod_lb.machines import Machine
from horovod_lb.runs import RunDirectory, State


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.name != "table.json"}


def test_a_dry_run_prints_what_is_sent_then_and_writes_nothing(site: Site) -> None:
    before = files(site.folder)
    dry = site.submit("--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert files(site.folder) == before
    assert dry.stdout.endswith("Nothing was sent (--dry-run).\n")
    sent = site.submit()
    assert sent.returncode == 0
    (submission,) = submissions(site.study_folder)
    # The same but for the names of this submission.
    stamp, _, token = submission.folder.name.rpartition("-")
    names = sorted({word for word in dry.stdout.split("/") if word.startswith(stamp[:8])})
    printed = dry.stdout.replace(names[0].split()[0], submission.folder.name)
    printed = printed.replace(f"tiny-{names[0].split()[0].rpartition('-')[2]}-", f"tiny-{token}-")
    for job in submission.jobs:
        assert (submission.folder / job.script).read_text().rstrip() in printed
        assert f"--job-name={job.name}" in printed


def test_the_plan_is_a_table_and_json(site: Site) -> None:
    found = json.loads(site.submit("--dry-run", "--json", "--walltime", "1:30").stdout)
    assert found["machine"] == "site"
    assert found["dry_run"] is True
    assert [job["elements"] for job in found["jobs"]] == [2, 2, 2]
    assert {job["walltime"] for job in found["jobs"]} == {"1:30"}
    assert found["node_hours"] == pytest.approx(6 * 1.5)
    assert Counter(run for job in found["jobs"] for run in job["runs"]) == Counter(site.run_ids())
    for job in found["jobs"]:
        (command,) = job["commands"]
        assert command.startswith("sbatch --parsable ")
    sent = json.loads(site.submit("--json").stdout)
    assert [job["job_ids"] for job in sent["jobs"]] == [["1001"], ["1002"], ["1003"]]
    assert Path(sent["submission"]).is_dir()


def test_options_reach_the_script(site: Site) -> None:
    options = ["--account", "abc", "--queue", "fast", "--pack", "3", "--max-failures", "2", "--workers", "2"]
    assert site.submit(*options).returncode == 0
    (submission,) = submissions(site.study_folder)
    (job,) = submission.jobs
    assert (job.pack, job.array, job.ranks, job.nodes) == (3, (0, 1), 2, 1)
    script = (submission.folder / job.script).read_text()
    for part in ("--account=abc", "--partition=fast", "--pack 3", "--side-by-side 3", "--max-failures 2"):
        assert part in script
    assert "--retry" not in script
    assert Machine.model_validate(submission.profile).account == "abc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--walltime", "2:30"], "end after 2:00"),
        (["--walltime", "90"], "hours and minutes are needed"),
        (["--workers", "4"], "1, 2, 3, 6"),
        (["--set", "resources.workers=102"], "17 nodes, and site has 16"),
        (["--pack", "2", "--side-by-side", "3"], "--pack N"),
        (["--where", "seed == 9"], "no run of"),
        (["--machine", "sight"], "site"),
        (["--machine", "local"], "hlb run"),
        (["--machine", "summit"], "--account NAME"),
        (["--account", "a; rm -rf /"], "--account"),
        (["--budget", "1"], "node-hours"),
        (["--pack", "0"], "--pack"),
    ],
)
def test_a_wrong_request_writes_and_sends_nothing(site: Site, options: list[str], message: str) -> None:
    # batch sizes that 102 ranks divide as well
    site.study.write_text(
        STUDY.replace("[12, 24, 48]", "[612, 1224]").replace("batch_size: 12", "batch_size: 612")
    )
    done = site.hlb(
        "submit", site.study, *([] if "--machine" in options else ["--machine", "site"]), *options
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert site.table() == []
    assert not list(site.runs.rglob("*.json"))
    assert not list(site.runs.rglob("*.sh"))


def test_the_machine_is_named_or_the_default(site: Site) -> None:
    done = site.hlb("submit", site.study)
    assert done.returncode == 2
    assert "--machine NAME" in done.stderr
    assert site.hlb("submit", site.study, env={**site.environment, "HLB_MACHINE": "site"}).returncode == 0
    assert len(site.table()) == 3


def test_runs_lie_in_the_machines_scratch_unless_somebody_says_otherwise(site: Site, tmp_path: Path) -> None:
    profile = site.folder / "machines" / "site.toml"
    profile.write_text(PROFILE + '[storage]\nscratch = "$MY_SCRATCH/studies"\n')
    bare = {key: value for key, value in site.environment.items() if key != "HLB_RUNS"}
    done = site.submit(env=bare)
    assert done.returncode == 2
    assert "storage.scratch of site is $MY_SCRATCH/studies" in done.stderr
    done = site.submit(env={**bare, "MY_SCRATCH": str(tmp_path / "scratch")})
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "scratch" / "studies" / "tiny").glob("*/run.json"))) == 6
    assert f"--runs {tmp_path / 'scratch' / 'studies'}" in done.stdout
    assert site.submit("--runs", tmp_path / "there", env=bare).returncode == 0
    assert len(list((tmp_path / "there" / "tiny").glob("*/run.json"))) == 6


NASTY = [
    "a'b",
    'a"b',
    "$(touch hacked)",
    "`touch hacked`",
    "a; touch hacked",
    "a\nb",
    "* ?",
    "--wrap=id",
    "%j",
]


@pytest.mark.parametrize("value", NASTY)
def test_values_of_a_study_are_never_commands(site: Site, value: str) -> None:
    """Neither the folder of the data, which the script copies to the nodes, nor the folder of the runs."""
    stage = '[storage]\nnode_local = "/tmp"\nstage_in = "cp -r $HLB_STAGE_FROM $HLB_STAGE_TO"\n'
    (site.folder / "machines" / "site.toml").write_text(PROFILE + stage)
    runs = site.folder / "r $(touch hacked) x"
    options = ["--set", f"data.root={json.dumps(value)}", "--where", "seed == 0", "--runs", runs]
    done = site.submit(*options, cwd=site.folder)
    assert done.returncode == 0, done.stderr
    assert site.table()
    for job in site.table():
        script = Path(job["script"])
        text = script.read_text()
        assert subprocess.run(["bash", "-n", script]).returncode == 0
        # As bash understands the script, the folder is one word.
        folder = str(site.folder / value)
        assert shlex.quote(folder) in text or shlex.quote(value) in text
        for line in script.with_suffix(".txt").read_text().splitlines():
            assert RunDirectory(line).read_spec()["data"]["root"] == value
    assert not list(site.folder.rglob("hacked"))


def test_what_no_script_can_hold_is_refused_before_anything_is_written(site: Site) -> None:
    done = site.submit("--runs", site.folder / "it's")
    assert done.returncode == 2
    assert "it's" in done.stderr
    assert not list((site.folder / "it's").rglob("run.json"))
    assert site.table() == []


def test_render_writes_scripts_lists_and_run_folders(site: Site) -> None:
    out = site.folder / "out"
    done = site.hlb("render", site.study, "--machine", "site", "--out", out)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["1.sh", "1.txt", "2.sh", "2.txt", "3.sh", "3.txt"]
    listed = [Path(line) for path in out.glob("*.txt") for line in path.read_text().splitlines()]
    assert Counter(path.name for path in listed) == Counter(site.run_ids())
    assert all(RunDirectory(path).state() is State.PLANNED for path in listed)
    assert site.table() == []
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("  sbatch")]
    assert lines == [f"sbatch {out}/{number}.sh" for number in (1, 2, 3)]
    again = site.hlb("render", site.study, "--machine", "site", "--out", out)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    # What is printed works.
    subprocess.run(lines[0], shell=True, check=True, env=site.environment, stdout=subprocess.DEVNULL)  # noqa: S602
    assert site.table()[0]["script"] == f"{out}/1.sh"


def test_render_says_how_to_send_a_chain(site: Site) -> None:
    (site.folder / "machines" / "site.toml").write_text('resume = "chain"\n' + PROFILE)
    site.study.write_text(STUDY.replace("workers: 6}", 'workers: 6, walltime: "3:00"}'))
    done = site.hlb("render", site.study, "--machine", "site", "--out", site.folder / "out")
    assert f"sbatch --dependency=afterany:PREVIOUS {site.folder}/out/1.sh" in done.stdout
    assert "PREVIOUS: the id that the scheduler gave the job before it." in done.stdout


def test_retry_sends_what_failed_was_cancelled_or_lost(site: Site) -> None:
    assert site.submit("--workers", "3", "--account", "abc").returncode == 0
    runs = [RunDirectory(site.study_folder / run) for run in sorted(site.run_ids())]
    completed, failed, cancelled, lost, *others = runs
    completed.begin_life().finish("completed")
    failed.begin_life().finish("failed", error="x")
    cancelled.request_stop(cancel=True)
    site.change_jobs("CANCELLED")
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"from horovod_lb.runs import RunDirectory as R; R({str(lost.path)!r}).begin_life()",
        ],
        check=True,
    )
    wanted = {run.path.name for run in (failed, cancelled, lost, *others)}
    found = json.loads(site.hlb("retry", site.study, "--dry-run", "--json").stdout)
    assert {run for job in found["jobs"] for run in job["runs"]} == wanted
    assert cancelled.state() is State.CANCELLED, "a dry run changes nothing"
    done = site.hlb("retry", "tiny", "--where", "state == 'failed' or state == 'cancelled'")
    assert done.returncode == 0, done.stderr
    sent = submissions(site.study_folder)[-1]
    assert {run for job in sent.jobs for run in job.runs} == {failed.path.name, cancelled.path.name}
    assert sent.retry
    assert {job.ranks for job in sent.jobs} == {3}
    assert sent.profile["account"] == "abc"
    assert not cancelled.stop_requested()
    assert "--retry" in (sent.folder / "1.sh").read_text()
    # They are on their way now; the others are retried when nobody chooses.
    assert site.hlb("retry", site.study).returncode == 0
    sent = submissions(site.study_folder)[-1]
    assert {run for job in sent.jobs for run in job.runs} == {run.path.name for run in (lost, *others)}
    assert "Nothing is to be sent" in site.hlb("retry", site.study).stdout


def test_retry_chooses_by_the_states_of_status(site: Site) -> None:
    """A job that was gone before its run began: the files alone know nothing of that."""
    assert site.submit().returncode == 0
    site.change_jobs("NODE_FAIL")
    damaged, empty, *others = sorted(site.run_ids())
    (site.study_folder / damaged / "run.json").write_text("{")
    (site.study_folder / empty / "run.json").write_text("{}")
    status = json.loads(site.hlb("status", "tiny", "--json", "--where", "state == 'lost'").stdout)
    assert {one["run_id"] for one in status["runs"] if one["state"] == "lost"} == set(others)
    done = site.hlb("retry", "tiny", "--where", "state == 'lost'", "--json")
    assert done.returncode == 0, done.stderr
    assert {run for job in json.loads(done.stdout)["jobs"] for run in job["runs"]} == set(others)


def test_what_cannot_be_read_is_not_sent_again(site: Site) -> None:
    assert site.submit().returncode == 0
    (submission,) = submissions(site.study_folder)
    record = submission.folder / "submission.json"
    record.write_bytes(record.read_bytes()[:-100])
    before = site.table()
    for verb in ("submit", "retry"):
        options = ["--machine", "site"] if verb == "submit" else []
        done = site.hlb(verb, site.study, *options)
        assert done.returncode == 1, verb
        assert str(submission.folder) in done.stderr
        assert "damaged" in done.stderr
    assert site.table() == before
    status = json.loads(site.hlb("status", "tiny", "--json").stdout)
    assert str(submission.folder) in status["problem"]
    cleaned = site.hlb("clean", "tiny", "--all", "--yes")
    assert "nothing to delete" in cleaned.stdout
    assert record.is_file()


def test_the_commands_to_go_on_with_can_be_pasted(tmp_path: Path) -> None:
    site = Site(tmp_path / "it's $(here); `there`")
    runs = site.folder / "all runs"
    done = site.submit("--runs", runs)
    # The job's log would need a quote in a directive; nothing is sent, and the folder is named.
    assert (done.returncode, site.table()) == (2, [])
    runs = tmp_path / "all $(runs);"
    done = site.submit("--runs", runs)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("`hlb status")]
    command = line.removeprefix("`").partition("` follows")[0]
    assert shlex.split(command) == ["hlb", "status", str(site.study), "--runs", str(runs)]


def test_retry_of_a_study_that_was_never_submitted(site: Site) -> None:
    done = site.hlb("retry", site.study)
    assert done.returncode == 2
    RunDirectory(site.study_folder / "r1").create({"run_id": "r1", "point": {}, "seed": 0})
    done = site.hlb("retry", site.study)
    assert done.returncode == 2
    assert "hlb run STUDY --retry-failed" in done.stderr


def cpu_seconds(
    environment: dict[str, str], *command: str
) -> tuple[float, int, subprocess.CompletedProcess[str]]:
    """CPU seconds and peak memory (KiB) of a command; waiting for a disk or a busy machine is not in it."""
    script = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "seconds = usage.ru_utime + usage.ru_stime\n"
        "print(json.dumps([seconds, usage.ru_maxrss, done.returncode, done.stdout, done.stderr]))"
    )
    whole = [sys.executable, "-c", script, *command]
    done = subprocess.run(whole, capture_output=True, text=True, check=True, env=environment)
    seconds, memory, code, out, err = json.loads(done.stdout)
    return seconds, memory, subprocess.CompletedProcess(command, code, out, err)


@pytest.mark.parametrize(("seeds", "array_size", "seconds"), [(1000, 1, 5.0), (10_000, 1000, 30.0)])
def test_thousands_of_runs_are_rendered_fast_and_in_little_memory(
    site: Site, seeds: int, array_size: int, seconds: float
) -> None:
    study = STUDY.replace("[12, 24, 48]", "[12]").replace("seeds: [0, 1]", f"seeds: {list(range(seeds))}")
    site.study.write_text(study)
    profile = PROFILE.replace("array_size = 2", f"array_size = {array_size}")
    (site.folder / "machines" / "site.toml").write_text(profile)
    out = site.folder / "out"
    command = site.command("render", site.study, "--machine", "site", "--out", out)
    took, memory, done = cpu_seconds(site.environment, *command)
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("*.sh"))) == seeds // array_size
    assert sum(1 for _ in site.study_folder.glob("*/run.json")) == seeds
    assert took < seconds
    assert memory < 500 * 1024


def test_submit_answers_fast_and_imports_nothing_heavy(site: Site) -> None:
    script = (
        "import sys, horovod_lb.cli.main as m\n"
        "try:\n    m.main(sys.argv[1:])\n"
        "finally:\n"
        "    heavy = ('tensorflow', 'numpy', 'pandas', 'horovod', 'rich')\n"
        "    print([name for name in heavy if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, "submit", str(site.study), "--machine", "site", "--dry-run"]
    best = 9.0
    for _ in range(3):
        took, _, done = cpu_seconds(site.environment, *command)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"
        best = min(best, took)
    assert best < 1.0
