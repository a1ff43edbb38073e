"""The report as a browser would read it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.report import write_report

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and gathers the tables' cells, ids and what the page would load."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.text = ""
        self.feed(path.read_text())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.scripts += tag == "script"
        for name, value in attributes:
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "data", "action"):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


def test_the_page_holds_the_tables_figures_reasons_and_origins(
    batch_by_warmup: Folder, tmp_path: Path
) -> None:
    for run in sorted(batch_by_warmup.path.iterdir()):
        about = {
            "host": f"node{run.name[-1]}",
            "versions": {"tensorflow": "2.21.0"},
            "source": {"commit": "abc123"},
        }
        (run / "segments" / "1" / "provenance.json").write_text(json.dumps(about))
    path = write_report(collect(batch_by_warmup.path), tmp_path / "out")
    page = Page(path)
    assert page.tables[0] == [
        ["batch size", "warmup epochs = 0", "warmup epochs = 5"],
        ["256", "92.00 ± 2.00 (3)", "96.00 ± 1.73 (3)"],
        ["1024", "99.00 (1; 2 diverged)", "85.00 ± 7.07 (2; 1 missing)"],
    ]
    assert ["256", "5", "96.00 ± 1.73 (3)", "94.00 ± 1.73 (3)", "2 points"] in page.tables[1]
    trouble = page.tables[2]
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
    cells = [row for table in page.tables[3:] for row in table]
    assert ["versions.tensorflow", "2.21.0"] in cells
    assert ["source.commit", "abc123"] in cells
    assert ["host", "node0, node1, node2"] in cells
    assert ["batch size", "256, 1024"] in cells
    assert ["model", "lenet"] in cells and ["data", "mnist, holdout 5000"] in cells
    assert "12 runs: 9 completed, 2 diverged, 1 failed." in page.text
    assert path.read_text().count("<svg") == 4
    assert len(list((tmp_path / "out" / "figures").iterdir())) == 12


def test_the_page_works_offline(batch_by_warmup: Folder, tmp_path: Path) -> None:
    path = write_report(collect(batch_by_warmup.path), tmp_path)
    page = Page(path)
    assert page.scripts == 0
    assert all(link.startswith("#") for link in page.loads)
    assert len(page.ids) == len(set(page.ids))
    text = re.sub(r'xmlns(:xlink)?="[^"]*"', "", path.read_text())
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_text_from_run_folders_stays_text(folder: Folder, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    for run_id, value, state in (
        ("a", evil, "failed"),
        ("b", "\"'><img src=x onerror=alert(1)>", "completed"),
    ):
        folder.run(
            run_id,
            {"recipe.optimizer.kind": value},
            0,
            [0.5, 0.9],
            state=state,
            exit={"error": evil},
            provenance={evil: evil},
            study=evil,
        )
    results = collect(folder.path)
    assert results.source.name == evil
    page = Page(write_report(results, tmp_path))
    assert page.scripts == 0
    assert page.loads == [link for link in page.loads if link.startswith("#")]
    assert evil in page.text


@pytest.mark.parametrize("state", [None, "failed"])
def test_a_study_without_results_has_a_page(folder: Folder, tmp_path: Path, state: str | None) -> None:
    folder.run("a", {}, 0, state=state)
    page = Page(write_report(collect(folder.path), tmp_path))
    assert page.tables[0] == [["accuracy (%)"], ["missing"]]
    assert "1 has no result yet" in page.text
