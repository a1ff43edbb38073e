"""The report as a browser would read it: its HTML, its policy, and the data that it carries."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import Folder
from read_report import Page, column, inflated, unpacked_json

from horovod_lb.analysis import collect, results_from_tables
from horovod_lb.analysis.report import Live, prepare, write_report

EVIL = "<script>alert(1)</script>"


def rename(run: Path, run_id: str) -> None:
    """Gives a run another id than its folder's name."""
    spec = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**spec, "run_id": run_id}))


def test_the_page_holds_the_tables_figures_reasons_and_origins(
    batch_by_warmup: Folder, tmp_path: Path
) -> None:
    for run in sorted(batch_by_warmup.path.iterdir()):
        about = {
            "host": f"node{run.name[-1]}",
            "versions": {"tensorflow": "2.21.0", "horovod_lb": "0.1.0"},
            "source": {"commit": "abc1234"},
        }
        (run / "segments" / "1" / "provenance.json").write_text(json.dumps(about))
    results = collect(batch_by_warmup.path)
    path = write_report(results, tmp_path / "out")
    page = Page(path)
    assert page.grids["accuracy"][:3] == [
        ["batch size", "warmup epochs = 0", "warmup epochs = 5"],
        ["256", "92.00 ± 2.00 (3)", "96.00 ± 1.73 (3)"],
        ["1024", "99.00 (1; 2 diverged)", page.grids["accuracy"][2][2]],
    ]
    assert set(page.grids) >= {table.name for table in results.presented() if table.table.rows} | {"runs"}
    assert page.download("accuracy.md") == results.presented()[0].table.to_markdown(
        results.presented()[0].caption
    )
    assert page.download("accuracy.tex").startswith("\\begin{table}")
    trouble = page.grids["trouble"]
    assert [
        "c1",
        "batch size = 1024, warmup epochs = 0, seed 1",
        "diverged",
        "loss is nan at step 17",
    ] in trouble
    assert [
        "d2",
        "batch size = 1024, warmup epochs = 5, seed 2",
        "failed",
        "MemoryError: too little",
    ] in trouble
    assert len(trouble) == 4
    cells = [row for table in page.tables for row in table]
    assert ["versions.tensorflow", "2.21.0"] in cells
    assert ["source.commit", "abc1234"] in cells
    assert ["host", "node0, node1, node2"] in cells
    assert ["batch size", "256, 1024"] in cells
    assert ["model", "lenet"] in cells and ["data", "mnist, holdout 5000"] in cells
    assert "12 runs: 9 completed, 2 diverged, 1 failed." in page.text
    assert "git checkout abc1234" in page.text
    assert page.download("constraints.txt") == "tensorflow==2.21.0\n"
    names = {file.stem for file in (tmp_path / "out" / "figures").iterdir()}
    assert path.read_text().count("<svg") == len(names) >= 4
    for name in names:
        embedded = base64.b64decode(page.links[f"{name}.pdf"].partition(",")[2])
        assert embedded == (tmp_path / "out" / "figures" / f"{name}.pdf").read_bytes()
        assert (
            inflated(page.data(f"figure-{name}"))
            == (tmp_path / "out" / "figures" / f"{name}.svg").read_bytes()
        )


def test_the_page_needs_no_other_file_and_its_policy_allows_none(
    batch_by_warmup: Folder, tmp_path: Path
) -> None:
    path = write_report(collect(batch_by_warmup.path), tmp_path)
    page = Page(path)
    assert all(link.startswith(("#", "data:")) for link in page.loads)
    assert len(page.ids) == len(set(page.ids))
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'" and "connect-src" not in rules
    assert rules["img-src"] == "data: blob:"
    plotly = inflated(page.data("data-plotting")).decode()
    assert "plotly.js v" in plotly[:200] and "MIT license" in plotly[:200]
    # The page's script and the plotting library may run, as they are; nothing else may.
    assert len(page.scripts) == 1
    digests = [hashlib.sha256(script.encode()).digest() for script in (page.scripts[0], plotly)]
    assert rules["script-src"].split() == [f"'sha256-{base64.b64encode(one).decode()}'" for one in digests]
    own = re.sub(r'xmlns(:xlink)?="[^"]*"', "", path.read_text())
    assert not re.search(r"https?://|@import|url\((?!#)", own)


def test_text_from_run_folders_stays_text(folder: Folder, tmp_path: Path) -> None:
    image = "\"'><img src=x onerror=alert(1)>"
    for run_id, value, state in (("a", EVIL, "failed"), ("b", image, "completed")):
        folder.run(
            run_id,
            {"recipe.optimizer.kind": value},
            0,
            [0.5, 0.9],
            state=state,
            exit={"error": EVIL},
            provenance={EVIL: EVIL, "versions": {"numpy": EVIL}, "source": {"commit": f"$(touch x){EVIL}"}},
            study=EVIL,
        )
        rename(folder.path / run_id, f"{EVIL}{run_id}")
        (folder.path / run_id / "segments" / "1" / "log").write_text(f"</script>{EVIL}\n")
    results = collect(folder.path)
    assert results.source.name == EVIL
    page = Page(write_report(results, tmp_path, with_figures=False))
    assert len(page.scripts) == 1 and "alert(1)" not in page.scripts[0]
    assert all(link.startswith(("#", "data:")) for link in page.loads)
    assert EVIL in page.text and f"{EVIL}a" in page.grids["trouble"][1]
    assert sorted(page.data("data-page")["runs"]["ids"]) == [f"{EVIL}a", f"{EVIL}b"]
    assert page.details(0)["log"] == f"</script>{EVIL}"
    repeat = page.text[page.text.index("How to repeat this") :]
    assert "touch" not in repeat[: repeat.index("Where the results come from")]


@pytest.mark.parametrize("state", [None, "failed"])
def test_a_study_without_results_has_a_page(folder: Folder, tmp_path: Path, state: str | None) -> None:
    folder.run("a", {}, 0, state=state)
    page = Page(write_report(collect(folder.path), tmp_path))
    assert page.grids["accuracy"] == [["accuracy (%)"], ["missing"]]
    assert "1 has no result yet" in page.text
    assert page.data("data-curves")["columns"] == []


def test_tables_alone_make_a_page(batch_by_warmup: Folder, tmp_path: Path) -> None:
    whole = collect(batch_by_warmup.path)
    whole.write(tmp_path / "tables")
    page = Page(write_report(results_from_tables(tmp_path / "tables"), tmp_path, with_figures=False))
    assert page.grids["accuracy"][1] == ["256", "92.00 ± 2.00 (3)", "96.00 ± 1.73 (3)"]
    assert page.details(0)["log"] == "" and page.details(0)["lives"] == []
    assert column(page.data("data-curves")["data"]["val_accuracy"], 0) == pytest.approx([0.5, 0.9], rel=1e-5)


def test_the_curves_are_the_metrics_of_each_run(batch_by_warmup: Folder, tmp_path: Path) -> None:
    results = collect(batch_by_warmup.path)
    data = Page(write_report(results, tmp_path, with_figures=False)).data("data-curves")
    for number, run in enumerate(results.records):
        for name in ("val_accuracy", "train_loss", "learning_rate"):
            found = column(data["data"][name], number)
            expected = [row[name] for row in run.epochs]
            assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)
        assert column(data["data"]["epoch"], number, "i") == [row["epoch"] for row in run.epochs]
    # Seeds with the same rates share them; a run whose loss is not finite is drawn up to there.
    assert len(data["data"]["learning_rate"]["lengths"]) == 2
    ids = [run.run_id for run in results.records]
    assert data["finite"] == {str(ids.index("c1")): 1, str(ids.index("c2")): 1}
    labels = [point["label"] for point in data["points"]]
    assert labels[0] == "batch size = 256, warmup epochs = 0"
    assert sorted(ids[run] for run in data["points"][0]["runs"]) == ["a0", "a1", "a2"]


def test_numbers_keep_five_digits_and_what_is_no_number(folder: Folder, tmp_path: Path) -> None:
    values = [0.123456789, 1e-30, 3.4e38, 7.0, 99999.0, 0.0, -2.5]
    folder.run("a", {}, 0, values, losses=[0.5, 1.5, 2.5, math.inf, 4.5, 5.5, 6.5])
    data = Page(write_report(collect(folder.path), tmp_path, with_figures=False)).data("data-curves")
    for found, value in zip(column(data["data"]["val_accuracy"], 0) or [], values, strict=True):
        assert found == pytest.approx(value, rel=5e-6)
    assert (column(data["data"]["val_loss"], 0) or [])[3] == math.inf
    assert data["finite"] == {"0": 3}


def test_the_runs_are_the_rows_of_runs_csv(batch_by_warmup: Folder, tmp_path: Path) -> None:
    results = collect(batch_by_warmup.path)
    page = Page(write_report(results, tmp_path, with_figures=False))
    grid = unpacked_json(page.data("data-grid"))
    names = [one["name"] for one in grid["columns"]]
    for name in ("run_id", "state", "recipe.batch_size", "final_val_accuracy", "reason"):
        cells = grid["cells"][names.index(name)]
        assert cells == [row[name] for row in results.tables["runs"].rows]
    about = dict(zip(names, grid["columns"], strict=True))
    assert about["state"]["filter"] and about["recipe.warmup.epochs"]["filter"]
    assert about["run_id"]["main"] and not about["run_id"]["filter"] and not about["segments"]["main"]
    assert "final_val_top5" not in names


def test_a_runs_details_hold_its_lives_events_and_log_but_no_secret(folder: Folder, tmp_path: Path) -> None:
    path = folder.run(
        "a",
        {},
        3,
        [0.5],
        provenance={"host": "n1", "ranks": 8, "gpu": ["0", "1"], "command": "x --api-key abc"},
    )
    (path / "segments" / "2").mkdir()
    (path / "segments" / "2" / "provenance.json").write_text(
        json.dumps(
            {"host": "n2", "ranks": 4, "source": {"commit": "f" * 40, "dirty": True}, "token": "s3cr3t"}
        )
    )
    events = [
        {"time": 1.7e9, "life": 1, "kind": "begin", "owner": "hlb run", "host": "n1"},
        {"time": 1.7e9 + 60, "life": 1, "kind": "end", "state": "stopped"},
        {"time": 1.7e9 + 90, "life": 2, "kind": "begin", "owner": "job 7"},
    ]
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    lines = [f"line {number}" for number in range(100)]
    lines += ["\x1b[31mred\x1b[0m  HF_TOKEN=hf_abcdefghijklmnopqrstuvwx", "0%\r50%\r100%", "  indented", ""]
    (path / "segments" / "2" / "log").write_text("\n".join(lines))
    page = Page(write_report(collect(folder.path), tmp_path, with_figures=False))
    run = page.details(0)
    assert run["lives"] == [
        ["1", "2023-11-14 22:13:20", "2023-11-14 22:14:20", "stopped", "n1", "8", "2", "", "hlb run"],
        ["2", "2023-11-14 22:14:50", "", "", "n2", "4", "", "ffffffffffff (changed)", "job 7"],
    ]
    assert [event[2:] for event in run["events"]] == [
        ["begin", "owner hlb run, host n1"],
        ["end", "state stopped"],
        ["begin", "owner job 7"],
    ]
    assert run["log_name"] == "segments/2/log"
    log = run["log"].split("\n")
    assert len(log) == 40 and log[0] == "line 63" and log[-2:] == ["100%", "  indented"]
    assert log[-3] == "red  HF_TOKEN=[hidden]"
    whole = json.dumps(run)
    assert "s3cr3t" not in whole and "hf_" not in whole and "abcdefgh" not in whole


def test_a_live_page_says_so_and_the_last_one_does_not(batch_by_warmup: Folder, tmp_path: Path) -> None:
    report = prepare(collect(batch_by_warmup.path), tmp_path, with_figures=False)
    assert Page(report.write(Live(5, "12:00:00"))).data("data-page")["live"] == {
        "every": 5,
        "written": "12:00:00",
    }
    assert Page(report.write()).data("data-page")["live"] is None


def test_runs_of_one_id_have_addresses_of_their_own(folder: Folder, tmp_path: Path) -> None:
    for name, batch in (("x", 32), ("y", 64)):
        rename(folder.run(name, {"batch_size": batch}, 0, [0.5], state="failed"), "same")
    page = Page(write_report(collect(folder.path), tmp_path, with_figures=False))
    assert page.data("data-page")["runs"]["keys"] == ["same", "same~2"]
    assert {"#run-same", "#run-same~2"} <= set(page.loads)


def test_published_results_stand_beside_with_columns_for_people(folder: Folder, tmp_path: Path) -> None:
    folder.run("a", {"recipe.batch_size": 64}, 0, [0.5, 0.75])
    results = collect(folder.path)
    beside = replace(results, source=replace(results.source, published="goyal2017-warmup"))
    page = Page(write_report(beside, tmp_path / "out", with_figures=False))
    (table,) = [table for table in page.tables if "where" in table[0]]
    assert "batch size" in table[0] and "batch_size" not in table[0]
    # The last row, gradual warmup: 23.74 % of top-1 error.
    row = dict(zip(table[0], table[-1], strict=True))
    assert (row["batch size"], row["final5 val error"]) == ("8192", "0.2374")
