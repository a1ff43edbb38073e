"""`hlb compare` as a command."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from horovod_lb.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """What a command has said, and its exit status."""

    status: int
    out: str
    err: str


Hlb = Callable[..., Done]


@pytest.fixture
def hlb(studies: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hlb:
    """Runs the command line in the folder of the studies."""
    monkeypatch.chdir(studies)

    def call(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        said = capsys.readouterr()
        return Done(int(end.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Studies `old` and `new` with a batch size each of their own and one in common, three seeds."""
    for study, batches, gain, rate in (("old", (64, 128), 0.0, 1000.0), ("new", (64, 256), 0.0625, 1500.0)):
        for batch in batches:
            for seed in range(3):
                folder = tmp_path / "runs" / study / f"b{batch}s{seed}"
                (folder / "segments" / "1").mkdir(parents=True)
                point = {"recipe.batch_size": batch}
                optimizer = {"momentum": 0.5 if study == "old" else 0.75}
                spec = {"run_id": folder.name, "study": study, "point": point, "seed": seed}
                spec |= {"job": {"name": "job.py"}, "recipe": {"batch_size": batch, "optimizer": optimizer}}
                (folder / "run.json").write_text(json.dumps(spec))
                value = 0.5 + seed / 8 + gain
                (folder / "metrics.csv").write_text(f"epoch,train_loss,val_accuracy\n1,0.1,{value}\n")
                end = {"state": "completed", "life": 1, "images_per_second": rate}
                (folder / "exit.json").write_text(json.dumps(end))
                life = {"versions": {"tensorflow": "2.21" if study == "new" else "2.20"}}
                (folder / "segments" / "1" / "provenance.json").write_text(json.dumps(life))
    return tmp_path


# 0.5625 - 0.5, and so for every seed: +6.25 points, no spread. Old: 0.5, 0.625, 0.75.
SHOWN = """\
batch size            old (%)            new (%)  difference (percentage points)   95 % interval           \
compared by  throughput
        64  62.50 ± 12.50 (3)  68.75 ± 12.50 (3)                           +6.25  +6.25 to +6.25  \
3 pairs, better in 3      1.50 ×
       128  62.50 ± 12.50 (3)      no such point
       256      no such point  68.75 ± 12.50 (3)
Final validation accuracy in percent, mean ± standard deviation (n runs). Difference: new minus old, with \
the 95 % interval of the mean, by Student's t over runs paired by seed, or by Welch's for unpaired runs. \
Throughput: new over old.

setting                    old  new
recipe.optimizer.momentum  0.5  0.75
Settings that differ.

version              old   new
versions.tensorflow  2.20  2.21
Software and machines that differ.

1 point of old has no counterpart in new: batch size 128.
1 point of new has no counterpart in old: batch size 256.
new is better in 1 and worse in 0 of 1 point; 1 of 1 intervals leave out 0 (0.05 by chance alone).
old: 6 runs: 6 completed.
new: 6 runs: 6 completed.
"""


def test_two_studies_by_name_and_by_folder(hlb: Hlb) -> None:
    for arguments in (("old", "new"), ("runs/old", "runs/new")):
        assert hlb("compare", *arguments) == (0, SHOWN, "")


def test_json_and_files_hold_the_same(hlb: Hlb, studies: Path) -> None:
    done = hlb("compare", "old", "new", "--json", "--out", "there")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["a"], found["b"]) == ("old", "new")
    assert found["settings"] == {"recipe.optimizer.momentum": {"a": ["0.5"], "b": ["0.75"]}}
    assert found["versions"] == {"versions.tensorflow": {"a": ["2.20"], "b": ["2.21"]}}
    assert [point["mean_difference"] for point in found["points"]] == [0.0625, None, None]
    assert {path.name for path in (studies / "there").iterdir()} == {
        "compare.csv",
        "compare.md",
        "compare.tex",
    }
    rows = list(csv.DictReader((studies / "there" / "compare.csv").open()))
    assert [row["mean_difference"] for row in rows] == ["0.0625", "", ""]
    text = (studies / "there" / "compare.md").read_text()
    assert "| recipe.optimizer.momentum | 0.5 | 0.75 |" in text
    assert "- 1 point of old has no counterpart in new: batch size 128.\n" in text


def test_one_study_parted_by_a_column_and_collected_tables(hlb: Hlb) -> None:
    done = hlb("compare", "old", "--by", "recipe.batch_size")
    assert done.status == 0
    assert "0 of 3" not in done.out
    assert "3 pairs, all equal" in done.out
    for study in ("old", "new"):
        assert hlb("collect", study).status == 0
    tables = hlb("compare", "results/old", "results/new")
    assert tables.out.splitlines()[:6] == SHOWN.splitlines()[:6]
    some = hlb("compare", "results/old", "runs/new", "--where", "seed > 0")
    assert "2 pairs, better in 2" in some.out
    assert "old: 4 of 6 runs: those with seed > 0." in some.out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["old"], "compare two studies, or the runs of one with --by COLUMN, e.g. --by code"),
        (["old", "new", "--by", "seed"], "compare two studies, or the runs of one with --by COLUMN"),
        (
            ["old", "--by", "seed"],
            'found 3: 0 (2 runs), 1 (2 runs), 2 (2 runs); choose two with --where "seed in',
        ),
        (["old", "no-such"], "no-such is neither a study file"),
        (
            ["old", "new", "--where", "recipe.batch_size > 64"],
            "recipe.batch_size is 128 in old and 256 in new; to compare them all the same: "
            "--ignore recipe.batch_size",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(hlb: Hlb, arguments: list[str], words: str) -> None:
    done = hlb("compare", *arguments)
    assert done.status == 2
    assert done.out == ""
    assert words in done.err


def test_it_starts_without_what_it_does_not_need(studies: Path) -> None:
    code = (
        "import sys\nfrom horovod_lb.cli.main import main\n"
        "try:\n    main(['compare', 'old', 'new'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([name for name in ('tensorflow', 'keras', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=studies,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "[]"
