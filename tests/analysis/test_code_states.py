"""Which code trained which run: marks, notes, and the refusal to mix what was never committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.errors import RequestError
from horovod_lb.runs.provenance import code_changes

CODE = (
    b"diff --git a/job.py b/job.py\nindex 1..2 100644\n--- a/job.py\n+++ b/job.py\n"
    b"@@ -1 +1 @@\n-a = 1\n+a = 2\n"
)
DOCS = CODE.replace(b"job.py", b"README.md")
STUDY = DOCS.replace(b"README.md", b"studies/one.yaml")


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HLB_ALLOW_DIRTY", raising=False)


def run(
    folder: Folder, run_id: str, commit: str | None, diff: bytes | None = None, time: float = 0.0, **more: Any
) -> Path:
    """A run by `commit`, and what was changed since."""
    about: dict[str, Any] = {"time": time, **more}
    if commit:
        about["source"] = {"commit": commit, "dirty": diff is not None}
    path = folder.run(run_id, {"recipe.batch_size": 64}, 0, [0.5], provenance=about)
    if diff:
        (path / "segments" / "1" / "source.diff").write_bytes(diff)
    return path


def marks(folder: Folder, **options: Any) -> dict[str, str | None]:
    return {record.run_id: record.code for record in collect(folder.path, **options).records}


def code_note(folder: Folder, **options: Any) -> list[str]:
    return [note for note in collect(folder.path, **options).notes() if "code" in note]


def test_one_clean_state_needs_no_note(folder: Folder) -> None:
    run(folder, "a", "c1")
    run(folder, "b", "c1")
    run(folder, "none", None)
    assert marks(folder) == {"a": "A", "b": "A", "none": None}
    assert code_note(folder) == []


def test_clean_commits_are_marked_by_first_use_and_collected(folder: Folder) -> None:
    run(folder, "a", "c" * 40, time=20.0)
    run(folder, "b", "d" * 40, time=10.0)
    run(folder, "c", "d" * 40, time=30.0)
    assert marks(folder) == {"a": "B", "b": "A", "c": "A"}
    assert code_note(folder) == [
        "The runs come from 2 states of the code (code in runs.csv): A commit dddddddddd (2 runs); "
        "B commit cccccccccc (1 run)."
    ]


def test_one_dirty_state_is_collected_with_a_note(folder: Folder) -> None:
    run(folder, "a", "c1", CODE)
    run(folder, "b", "c1", CODE)
    assert marks(folder) == {"a": "A*", "b": "A*"}
    assert code_note(folder) == [
        "The code was changed and not committed: A* commit c1 with changes in job.py (2 runs)."
    ]


@pytest.mark.parametrize("other", [None, CODE.replace(b"a = 2", b"a = 3")])
def test_a_dirty_state_beside_another_is_refused(
    folder: Folder, other: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, "clean", "c1", other, time=1.0)
    run(folder, "dirty", "c1", CODE, time=2.0)
    with pytest.raises(RequestError) as refusal:
        collect(folder.path)
    text = str(refusal.value)
    first = "A*" if other else "A"
    assert f"2 states of the code, of which {'A* B* were' if other else 'B* was'} never committed" in text
    assert f"{first}: commit c1{' with changes in job.py' if other else ''}: clean" in text
    assert "B*: commit c1 with changes in job.py: dirty" in text
    assert "--allow-dirty" in text
    assert refusal.value.exit_code == 2
    assert marks(folder, allow_dirty=True) == {"clean": first, "dirty": "B*"}
    # What the message proposes works, and keeps the letter.
    assert marks(folder, where="code == 'B*'") == {"dirty": "B*"}
    monkeypatch.setenv("HLB_ALLOW_DIRTY", "1")
    assert len(marks(folder)) == 2


@pytest.mark.parametrize("diff", [DOCS, STUDY, DOCS + STUDY])
def test_documentation_and_study_files_train_nothing(folder: Folder, diff: bytes) -> None:
    run(folder, "a", "c1")
    run(folder, "b", "c1", diff)
    assert marks(folder) == {"a": "A", "b": "A"}
    assert {row["git_sha"] for row in collect(folder.path).tables["runs"].rows} == {"c1", "c1-dirty"}


def test_of_a_mixed_change_the_code_counts(folder: Folder) -> None:
    run(folder, "a", "c1", CODE)
    run(folder, "b", "c1", DOCS + CODE + STUDY)
    assert marks(folder) == {"a": "A*", "b": "A*"}


def test_code_that_became_documentation_is_code() -> None:
    renamed = b"diff --git a/job.py b/job.md\nsimilarity index 100%\nrename from job.py\nrename to job.md\n"
    assert code_changes(renamed)[1] == ("job.md",)
    assert code_changes(DOCS) == (None, ())
    assert code_changes(b"") == (None, ())
    quoted = b'diff --git "a/caf\\303\\251.py" "b/caf\\303\\251.py"\n'
    assert len(code_changes(quoted)[1]) == 1


def test_a_digest_in_the_provenance_does_without_the_diff(folder: Folder) -> None:
    digest, files = code_changes(CODE)
    source = {"commit": "c1", "dirty": True, "changes_sha256": digest, "changed_files": list(files)}
    folder.run("new", {}, 0, [0.5], provenance={"source": source})
    run(folder, "old", "c1", CODE)
    source = {"commit": "c1", "dirty": True, "changes_sha256": None, "changed_files": []}
    folder.run("documents", {}, 0, [0.5], provenance={"source": source, "time": 1.0})
    assert marks(folder, allow_dirty=True) == {"new": "A*", "old": "A*", "documents": "B"}


def test_changes_that_were_not_kept_are_their_own_state(folder: Folder) -> None:
    run(folder, "kept", "c1", CODE, time=1.0)
    run(folder, "lost", "c1", b"", time=2.0)
    assert marks(folder, allow_dirty=True) == {"kept": "A*", "lost": "B*"}


def test_a_run_of_two_lives_by_two_codes_has_both_marks(folder: Folder) -> None:
    path = run(folder, "a", "c1", time=1.0)
    life = path / "segments" / "2"
    life.mkdir()
    (life / "provenance.json").write_text('{"time": 2, "source": {"commit": "c2", "dirty": false}}')
    run(folder, "b", "c2", time=3.0)
    assert marks(folder) == {"a": "A+B", "b": "B"}
    assert "A commit c1 (1 run); B commit c2 (2 runs)" in code_note(folder)[0]


def test_versions_and_contents_of_one_job_script_are_states(folder: Folder) -> None:
    job = {"name": "jobs/x.py", "sha256": "1" * 64}
    run(folder, "a", None, time=1.0, versions={"horovod_lb": "0.1"}, job=job)
    run(folder, "b", None, time=2.0, versions={"horovod_lb": "0.2"}, job=job)
    run(folder, "c", None, time=3.0, versions={"horovod_lb": "0.2"}, job={**job, "sha256": "2" * 64})
    assert marks(folder) == {"a": "A", "b": "B", "c": "C"}


def test_two_scripts_by_the_same_code_are_one_state(folder: Folder) -> None:
    for name in ("x", "y"):
        run(folder, name, "c1", job={"name": f"{name}.py", "sha256": name})
    assert marks(folder) == {"x": "A", "y": "A"}


def test_more_states_than_letters(folder: Folder) -> None:
    for number in range(28):
        run(folder, f"r{number:02}", f"c{number}", time=float(number))
    found = marks(folder)
    assert [found[f"r{number:02}"] for number in (0, 25, 26, 27)] == ["A", "Z", "AA", "AB"]


def test_provenance_tells_the_marks(folder: Folder, tmp_path: Path) -> None:
    run(folder, "a", "c1", CODE)
    collect(folder.path).write(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())["code"]["A*"]
    assert (told["commit"], told["changed_files"], told["runs"]) == ("c1", ["job.py"], 1)
