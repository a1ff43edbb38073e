"""All shipped studies: what they say of themselves, that they plan, what the audit finds, that they train."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from horovod_lb.analysis.figures import KINDS
from horovod_lb.analysis.published import published_names
from horovod_lb.runs import RunDirectory, State
from horovod_lb.study import RunSpec, Study, expand, load_study, select
from horovod_lb.study.audit import audit
from horovod_lb.study.shipped import described, miniatures, shipped_studies

ROOT = Path(__file__).parents[2]
FILES = {path.stem if path.parent.name == "studies" else f"{path.stem}-miniature": path
         for path in (*shipped_studies().values(), *miniatures().values())}  # fmt: skip

# The presets that the manual promises, all with a miniature.
PRESETS = {
    "goyal2017-warmup",
    "goyal2017-batch",
    "mccord2021-baseline",
    "mccord2021-warmup",
    "mccord2021-scaling",
    "you2020-ladder",
    "you2020-table3",
    "you2020-table4",
    "you2020-longer",
    "you2020-regimes",
    "you2020-cyclical",
    "surlemont2022-sam",
    "scaling-throughput",
}


@cache
def loaded(name: str) -> tuple[Study, tuple[RunSpec, ...]]:
    study = load_study(FILES[name])
    return study, tuple(expand(study))


def head(name: str) -> str:
    """The comment at the beginning of the file, as one line."""
    text = FILES[name].read_text(encoding="utf-8")
    return " ".join(line.lstrip("# ") for line in text.split("\nname:")[0].split("\n"))


def test_every_preset_is_there_with_its_miniature() -> None:
    studies = described(shipped_studies())
    assert {name for name, study in studies.items() if study.paper or "scaling" in name} >= PRESETS
    assert set(miniatures()) >= PRESETS
    assert {name: study.runs for name, study in studies.items()} == {
        name: len(loaded(name)[1]) for name in studies
    }
    assert set(miniatures()) <= set(studies)


@pytest.mark.parametrize("name", FILES)
def test_a_study_says_what_it_is(name: str) -> None:
    study, runs = loaded(name)
    assert (study.name, study.settings.about is not None) == (name, True)
    assert 10 < len(study.settings.about.title) <= 110
    assert runs and head(name)
    if FILES[name].parent.name == "miniature":
        full, _ = loaded(name.removesuffix("-miniature"))
        assert study.settings.about.paper == full.settings.about.paper
        assert study.settings.about.cost
        assert study.settings.resources.workers <= 2
        assert head(name).startswith(f"Miniature of {full.name}")
        assert study.settings.data.name in ("digits", "mnist", "cifar10", "synthetic")
    elif study.settings.about.paper:
        assert study.settings.about.cost


@pytest.mark.parametrize("name", FILES)
def test_the_head_says_whether_the_audit_finds_something(name: str) -> None:
    _, runs = loaded(name)
    assert bool(audit(runs)) == ("--audit` finds" in head(name) or "--audit` notes" in head(name))


@pytest.mark.parametrize("name", FILES)
def test_figures_and_published_results_of_a_report_are_known(name: str) -> None:
    report = loaded(name)[0].report
    for wanted in report.figures:
        assert any(kind.startswith(wanted) or wanted.startswith(kind) for kind in KINDS), wanted
    assert report.published is None or report.published in published_names()
    assert not FILES[name].stem.startswith("you2020") or (report.figures and report.published)


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "results" / "reference").iterdir()), ids=lambda path: path.name
)
def test_reference_results_are_runs_of_the_study_as_it_is(folder: Path) -> None:
    with (folder / "runs.csv").open(encoding="utf-8", newline="") as file:
        found = {row["run_id"] for row in csv.DictReader(file)}
    (study,) = (name for name in FILES if name == folder.name)
    assert found and found <= {run.run_id for run in loaded(study)[1]}


def test_assumptions_stand_where_the_numbers_are() -> None:
    """In every preset of You et al. as the paper has it; numbers behind no comment are the paper's."""
    for name in FILES:
        if name.startswith("you2020") and not name.endswith("-miniature"):
            body = FILES[name].read_text(encoding="utf-8").split("\nname:")[1]
            assert len(re.findall(r"# .*assumption", body)) >= 4, name


def test_the_manual_lists_every_preset_with_its_runs() -> None:
    manual = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    row = r"^\| `([a-z0-9-]+)` \| [^|]+ \| (\d+) \| [^|]+ \| (\d*) \| [^|]* \|$"
    rows = re.findall(row, manual, re.MULTILINE)
    studies, small = described(shipped_studies()), described(miniatures())
    presets = {name for name, study in studies.items() if study.paper or name in small}
    assert sorted(name for name, *_ in rows) == sorted(presets)
    for name, runs, miniature in rows:
        assert int(runs) == studies[name].runs
        assert miniature == (str(small[name].runs) if name in small else "")


def test_a_miniature_trains(tmp_path: Path) -> None:
    name = "you2020-cyclical-miniature"
    where = "label == 'cyclical, long cycle (Figure 33)' and learning_rate_peak == 0.032"
    (run,) = select(list(loaded(name)[1]), where)
    words = ["run", str(FILES[name]), "--runs", str(tmp_path), "--workers", "1", "--where", where]
    done = subprocess.run(
        [sys.executable, "-m", "horovod_lb.cli.main", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    directory = RunDirectory(tmp_path / name / run.run_id)
    rows = directory.read_metrics()
    assert directory.state() is State.COMPLETED
    assert [row["epoch"] for row in rows] == list(range(1, 31))
    assert rows[-1]["step"] == 51
    assert rows[-1]["val_accuracy"] > 0.5
