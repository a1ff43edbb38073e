"""`hlb plan` as a user runs it: table, JSON, trace, warnings, errors."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "study" / "example" / "study.yaml"


def hlb(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=120,
        check=False,
    )


def plan(*arguments):
    done = hlb("plan", EXAMPLE, *arguments)
    assert done.returncode == 0, done.stderr
    return done


def rows(text):
    """The printed table as a list of dicts."""
    lines = text.splitlines()[1:]
    lines = [line.split("  ") for line in lines if not line.startswith("...") and " groups of " not in line]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    return [dict(zip(cells[0], line, strict=True)) for line in cells[1:]]


def test_table():
    done = plan()
    assert done.stdout.startswith(
        "tiny: 4 runs = 2 points, seeds 0, 1; 60,000 training examples; 14,504 steps in all\n"
    )
    found = rows(done.stdout)
    assert [row["seed"] for row in found] == ["0", "1", "0", "1"]
    assert {key: value for key, value in found[2].items() if key not in ("run", "seed")} == {
        "B": "8192",
        "k": "2",
        "n": "4096",
        "a": "1",
        "epochs": "30",
        "steps": "220",
        "rate at start": "0.1",
        "peak": "3.2",
    }


def test_warnings_go_to_stderr_once():
    assert plan().stderr == "warning: recipe.warmup: does not rise, from 0.1 to a peak of 0.1 (2 runs)\n"


def test_baseline_without_a_run():
    done = plan("--set", "baseline={recipe.batch_size: 512}")
    assert done.stderr.startswith(
        "warning: baseline: no run of the study is at it, so there is nothing to compare"
    )


def test_json_says_what_the_table_says():
    table, document = rows(plan().stdout), json.loads(plan("--json").stdout)
    assert document["study"] == "tiny"
    for row, run in zip(table, document["runs"], strict=True):
        derived = run["derived"]
        assert row["run"] == run["run_id"]
        assert [row["B"], row["k"], row["n"], row["steps"]] == [
            str(derived[key]) for key in ("batch_size", "workers", "batch_per_group", "steps")
        ]
        assert float(row["peak"]) == pytest.approx(derived["learning_rate_peak"])


def test_trace_has_every_step_of_the_chosen_runs(tmp_path):
    path = tmp_path / "rates.csv"
    done = plan("--where", "batch_size == 8192", "--trace", path)
    assert done.stderr == f"Learning rate of 440 steps: {path}\n"
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["run_id", "step", "epoch", "learning_rate"]
    assert [run["run_id"] for run in json.loads(plan("--json").stdout)["runs"]][2:] == [
        found[0]["run_id"],
        found[-1]["run_id"],
    ]
    assert [int(row["step"]) for row in found] == [*range(220), *range(220)]
    for t, expected in ((0, 0.1), (10, 0.94650667), (36, 3.14742400), (37, 3.2), (110, 0.32), (184, 0.032)):
        assert float(found[t]["learning_rate"]) == pytest.approx(expected, abs=5e-9)
        assert float(found[t]["epoch"]) == pytest.approx(t * 8192 / 60_000)
    assert list(tmp_path.iterdir()) == [path]


def test_trace_that_cannot_be_written(tmp_path):
    done = hlb("plan", EXAMPLE, "--trace", tmp_path / "absent" / "rates.csv")
    assert done.returncode == 2
    assert done.stderr.endswith("rates.csv: cannot be written: No such file or directory\n")


def test_long_plans_are_cut():
    many = plan("--set", f"seeds={list(range(50))}")
    assert len(rows(many.stdout)) == 40
    assert many.stdout.endswith("... and 60 more runs; --all shows them, --where chooses\n")
    assert len(rows(plan("--set", f"seeds={list(range(50))}", "--all").stdout)) == 100


def test_axes_have_columns():
    found = rows(
        plan("--set", "axes={recipe.batch_size: [512], recipe.warmup.kind: [gradual, constant]}").stdout
    )
    assert [row["warmup.kind"] for row in found] == ["gradual", "gradual", "constant", "constant"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.yaml",), "hlb: absent.yaml: no such file\n"),
        (
            (EXAMPLE, "--where", "batch_size > 1e9"),
            "hlb: --where 'batch_size > 1e9': chooses none of the study's runs\n",
        ),
        (
            (EXAMPLE, "--where", "batch_siz > 1"),
            "hlb: --where: there is no 'batch_siz'; did you mean batch_size?\n",
        ),
        (
            (EXAMPLE, "--set", "recipe.epochs=x"),
            "hlb: --set recipe.epochs=x: recipe.epochs: found 'x'; a number is needed\n",
        ),
    ],
)
def test_wrong_requests_end_with_2_and_no_traceback(arguments, message):
    done = hlb("plan", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_on_a_terminal_nothing_is_cut():
    """A run's id and every number are whole even on a narrow terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "horovod_lb.cli.main", "plan", str(EXAMPLE)],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "40", "TERM": "xterm"},
    )
    os.close(follower)
    text = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    os.close(leader)
    assert process.wait(timeout=60) == 0
    for run in json.loads(plan("--json").stdout)["runs"]:
        assert run["run_id"].encode() in text
    assert "…".encode() not in text


def test_audit_says_what_looks_like_a_mistake(tmp_path):
    done = hlb("plan", EXAMPLE, "--audit")
    assert done.returncode == 1
    assert "recipe.warmup (2 runs: " in done.stdout
    assert "group size (all runs)" in done.stdout
    assert done.stdout.endswith("3 findings in 4 runs\n")
    found = json.loads(hlb("plan", EXAMPLE, "--audit", "--json").stdout)["findings"]
    assert [finding["kind"] for finding in found] == ["recipe.warmup", "warmup steps", "group size"]
    sound = hlb("plan", EXAMPLE, "--audit", "--where", "recipe.batch_size > 256")
    assert (sound.returncode, sound.stdout) == (0, "nothing looks wrong\n")


def test_a_plan_for_another_number_of_workers_says_what_they_do():
    done = plan("--set", "recipe.groups=16", "--workers", "1")
    assert {(row["k"], row["a"]) for row in rows(done.stdout)} == {("1", "16")}
    assert (
        "16 groups of 16 to 512 on 1 rank: 16 groups a rank one after the other, then one update a step; the "
        "weights are those of 16 ranks, up to round-off\n"
    ) in done.stdout
    refused = hlb("plan", EXAMPLE, "--set", "recipe.groups=16", "--workers", "3")
    assert refused.returncode == 2
    assert refused.stderr.endswith("to 3 ranks; these numbers would do: 1, 2, 4, 8, 16\n")
