"""The README's scripts do what it says they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from horovod_lb.schedulers.launchers import find_mpirun, mpirun

ROOT = Path(__file__).resolve().parents[2]
HLB = [sys.executable, "-c", "from horovod_lb.cli.main import main; main()"]


def script(name: str) -> str:
    """The code block that the README marks as tested under `name`."""
    found = re.search(
        rf"<!-- tested: {name} -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert found, f"README.md has no block <!-- tested: {name} -->"
    return found[1]


def run(argv: list[str], folder: Path, **variables: str) -> str:
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_three_lines_train_the_same_on_one_and_two_ranks(tmp_path: Path) -> None:
    """From the same weights they see the same examples in other batches: the accuracy is close, not equal."""
    code = script("plain script")
    assert [line.split("#")[1][1] for line in code.splitlines() if re.search(r"# \d:", line)] == [
        "1",
        "2",
        "3",
    ]
    (tmp_path / "script.py").write_text(
        "import keras\nkeras.utils.set_random_seed(1)\n"
        + code
        + "\nif hlb.rank() == 0:\n    print('ACCURACY', model.evaluate(x / 16, y, verbose=0)[1])\n"
    )
    accuracy = []
    for ranks in (1, 2):
        launch = mpirun(
            ranks,
            [sys.executable, "script.py"],
            threads=1,
            program=find_mpirun(),
            as_root=os.geteuid() == 0,
        )
        output = run(list(launch.argv), tmp_path, **launch.environment)
        accuracy.append(float(re.search(r"ACCURACY (\S+)", output)[1]))
    assert accuracy == pytest.approx([accuracy[0]] * 2, abs=0.05)
    assert min(accuracy) > 0.8


def test_a_logged_run_is_collected(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(script("logger"))
    run([sys.executable, "script.py"], tmp_path)
    run([*HLB, "collect", "runs/mine"], tmp_path)
    runs = pd.read_csv(tmp_path / "results/mine/runs.csv")
    assert runs.loc[0, ["run_id", "batch_size", "optimizer", "state"]].tolist() == [
        "b64-s0",
        64,
        "sgd",
        "completed",
    ]
    assert runs.loc[0, "final_val_accuracy"] == 0.875


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
