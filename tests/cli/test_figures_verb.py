"""`hlb figures` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from horovod_lb.cli.main import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the runs of one study, in runs/made: two batch sizes, one of them diverged."""
    for batch, state, loss in ((64, "completed", 0.1), (128, "diverged", "nan")):
        folder = tmp_path / "runs" / "made" / f"b{batch}"
        (folder / "segments" / "1").mkdir(parents=True)
        spec = {"run_id": f"b{batch}", "study": "made", "point": {"recipe.batch_size": batch}, "seed": 0}
        (folder / "run.json").write_text(json.dumps(spec))
        rows = ["epoch,train_loss,val_accuracy", "1,0.5,0.5", f"2,{loss},0.875"]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
        (folder / "exit.json").write_text(json.dumps({"state": state, "life": 1}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HLB_RUNS", raising=False)
    return tmp_path


def hlb(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code, and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main(["figures", *map(str, arguments)])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out + printed.err


def test_usual_figures_in_three_formats(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = hlb(capsys, "made")
    assert code == 0
    files = {path.name for path in (here / "results/made/figures").iterdir()}
    assert {f"accuracy_by_epoch.{suffix}" for suffix in ("pdf", "svg", "png")} <= files
    assert "accuracy_by_epoch: Validation accuracy by epoch: one run a curve (n = 1)." in text
    assert text.rstrip().endswith("Figures: results/made/figures")


def test_a_kind_in_one_format_into_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = hlb(
        capsys, "made", "--kind", "error_by_epoch", "--format", "pdf", "--width", "column", "--out", "here"
    )
    assert code == 0
    (path,) = (here / "here").iterdir()
    content = path.read_bytes()
    assert path.name == "error_by_epoch.pdf"
    # letters as TrueType outlines that stay text, as journals want them, and none of Type 3
    assert b"/FontFile2" in content and b"/Type3" not in content
    width = float(content.split(b"/MediaBox [ 0 0 ")[1].split()[0])
    assert width == pytest.approx(3.4 * 72)


def test_a_file_in_the_place_of_the_folder_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("")
    code, text = hlb(capsys, "made", "--kind", "error_by_epoch", "--out", "file")
    assert code == 2 and "cannot make the folder file: File exists" in text


def test_an_unknown_kind_names_the_nearest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = hlb(capsys, "made", "--kind", "acuracy_by_epoch")
    assert code == 2
    assert "acuracy_by_epoch is no kind of figure; did you mean accuracy_by_epoch" in text


def test_a_kind_without_data_says_what_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = hlb(capsys, "made", "--kind", "distance_by_step")
    assert code == 1
    assert "no run has distance; it needs measure: [{kind: distance, by_step: true}] in the study" in text
    assert not (here / "results").exists()


def test_the_list_says_for_which_there_is_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = hlb(capsys, "made", "--list")
    lines = {line.split()[0]: line.split() for line in text.splitlines()}
    assert code == 0
    assert lines["accuracy_by_epoch"][1:3] == ["usual", "yes"]
    assert lines["val_loss_by_epoch"][1] == "no"
    assert not (here / "results").exists()


def test_collected_tables_are_drawn_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["collect", "made"])
    code, _ = hlb(capsys, "results/made", "--kind", "accuracy_by_epoch", "--where", "recipe.batch_size == 64")
    assert code == 0
    assert (here / "results/made/figures/accuracy_by_epoch.svg").is_file()
    code, text = hlb(capsys, "results/made", "--runs", "runs")
    assert code == 2 and "--runs and --set go with runs" in text


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--format", "pdf,jpg", "pdf, svg, png"),
        ("--width", "poster", "column or page"),
        ("--color", "recipe.epochs", "recipe.epochs is no axis of the study, which has recipe.batch_size"),
    ],
)
def test_wrong_options(
    here: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    code, text = hlb(capsys, "made", option, value)
    assert code == 2 and message in text
