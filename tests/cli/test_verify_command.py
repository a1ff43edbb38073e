"""`hlb collect` and `hlb verify` as commands: files, messages and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from horovod_lb.cli.main import main


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of a study, by two commits, in a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HLB_ALLOW_DIRTY", raising=False)
    for seed in (0, 1):
        life = tmp_path / "runs" / "mine" / f"r{seed}" / "segments" / "1"
        life.mkdir(parents=True)
        spec = {"run_id": f"r{seed}", "study": "mine", "seed": seed, "point": {"recipe.batch_size": 64}}
        source = {"commit": f"c{seed}", "dirty": False}
        (life / "provenance.json").write_text(json.dumps({"time": seed, "source": source}))
        run = life.parent.parent
        (run / "run.json").write_text(json.dumps(spec))
        (run / "metrics.csv").write_text(f"epoch,val_accuracy\n1,0.{seed + 5}\n")
        (run / "exit.json").write_text('{"state": "completed", "life": 1}')
    return tmp_path / "runs" / "mine"


def hlb(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def make_dirty(runs: Path) -> None:
    path = runs / "r1" / "segments" / "1" / "provenance.json"
    path.write_text(path.read_text().replace("false", "true"))


def test_collect_keeps_a_cache_and_verify_agrees(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hlb("collect", "mine") == 0
    out = Path("results/mine")
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert ".collect-cache" in first
    assert "2 states of the code" in capsys.readouterr().out
    assert hlb("collect", "mine") == 0
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == first
    capsys.readouterr()
    assert hlb("verify", "results/mine") == 0
    assert "are what the runs say" in capsys.readouterr().out


def test_verify_exits_1_on_an_edit_and_names_the_cell(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hlb("collect", "mine")
    path = Path("results/mine/epochs.csv")
    path.write_text(path.read_text().replace("0.6", "0.7"))
    capsys.readouterr()
    assert hlb("verify", "results/mine") == 1
    said = capsys.readouterr().out
    assert "epochs.csv: edited since it was written" in said
    assert "epochs.csv: row run_id r1, epoch 1, column val_accuracy: there is 0.7, should be 0.6" in said


def test_verify_tells_runs_that_are_gone_or_moved(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hlb("collect", "mine")
    runs.parent.rename("elsewhere")
    capsys.readouterr()
    assert hlb("verify", "results/mine") == 1
    assert "The runs are gone: mine is neither" in capsys.readouterr().out
    assert hlb("verify", "results/mine", "--runs", "elsewhere") == 0
    assert hlb("verify", "elsewhere") == 2


def test_dirty_code_is_mixed_only_when_asked(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dirty(runs)
    assert hlb("collect", "mine") == 2
    said = capsys.readouterr().err
    assert "B* was never committed" in said
    assert "r1" in said
    assert not Path("results").exists()
    assert hlb("collect", "mine", "--where", "code == 'A'") == 0
    assert hlb("collect", "mine", "--allow-dirty") == 0
    monkeypatch.setenv("HLB_ALLOW_DIRTY", "1")
    assert hlb("collect", "mine", "--parquet") == 0
    assert Path("results/mine/runs.parquet").exists()
