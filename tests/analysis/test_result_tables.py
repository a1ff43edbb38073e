"""Cells and the three ways in which a table is written."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from horovod_lb.analysis.table import Table, cell, escape_latex, sort_key


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (0.1 + 0.2, "0.3"), (-0.0, "0"), (1e-05, "1e-05"), (1 / 3, "0.3333333333"), (256, "256"),
        (256.0, "256"), (True, "true"), (math.nan, "nan"), (math.inf, "inf"), ("a,b", "a,b"),
        ({"b": 1, "a": [2]}, '{"a":[2],"b":1}'), ([30, 60], "[30,60]"),
    ],
)  # fmt: skip
def test_cells(value: Any, text: str) -> None:
    assert cell(value) == text


@given(st.lists(st.tuples(st.text(), st.floats(-1e300, 1e300)), max_size=5))
def test_csv_reads_back(rows: list[tuple[str, float]]) -> None:
    table = Table(("name", "value"), [{"name": name, "value": value} for name, value in rows])
    found = list(csv.reader(io.StringIO(table.to_csv(), newline="")))
    assert found[0] == ["name", "value"]
    assert [name for name, _ in found[1:]] == [" ".join(name.splitlines()) for name, _ in rows]
    assert [float(value) for _, value in found[1:]] == pytest.approx([value for _, value in rows], rel=1e-9)


def test_pandas_reads_empty_and_nan_alike() -> None:
    text = Table(("a", "b"), [{"a": 1.5, "b": math.nan}, {"a": None, "b": 2}]).to_csv()
    frame = pd.read_csv(io.StringIO(text))
    assert frame["a"].isna().tolist() == [False, True]
    assert frame["b"].tolist()[1] == 2


def test_to_frame_keeps_values() -> None:
    frame = Table(("a", "b"), [{"a": 1, "b": "x"}, {"a": 2}]).to_frame()
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].isna().tolist() == [False, True]


def test_latex_and_markdown_are_escaped() -> None:
    table = Table(("run_id", "point"), [{"run_id": "a_b", "point": r"50 % & $x$ | <b> #1 {2} ~ ^ \cmd"}])
    latex = table.to_latex("100 % of a_b", "tab:x")
    assert r"a\_b & 50 \% \& \$x\$ \textbar{} \textless{}b\textgreater{} \#1 \{2\} \textasciitilde{}" in latex
    assert r"\textasciicircum{} \textbackslash{}cmd \\" in latex
    assert r"\caption{100 \% of a\_b}" in latex
    line = table.to_markdown().splitlines()[2]
    assert r"\| &lt;b&gt; #1" in line
    assert line.replace(r"\|", "").count("|") == 3


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"])), min_size=1, max_size=3))
@example(
    ["__init__", "_a_", "*b*", "`c`", "[d](e)", "&lt;", "~~f~~", "\\|", "<b>", "a_b", "- g", "# h", "---"]
)
def test_markdown_shows_what_went_in(values: list[str]) -> None:
    """Read by markdown-it, an implementation of CommonMark with GitHub's tables."""
    shown = [" ".join(value.splitlines()).strip() for value in values]
    text = Table(("value",), [{"value": value} for value in shown]).to_markdown()
    cells = [
        token.children or []
        for token in MarkdownIt("commonmark").enable("table").parse(text)
        if token.type == "inline"
    ]
    assert {child.type for children in cells for child in children} <= {"text", "text_special"}
    rows = ["".join(child.content for child in children) for children in cells]
    assert rows == ["value", *shown]


def test_a_minus_sign_and_plus_minus_in_latex() -> None:
    assert escape_latex("−0.5 ± 0.1 × 2") == r"$-$0.5 $\pm$ 0.1 $\times$ 2"


def test_numbers_sort_by_size_before_text_and_after_nothing() -> None:
    values = ["linear", 1024, None, 64.0, "cosine", 256]
    assert sorted(values, key=lambda value: sort_key([value])) == [None, 64.0, 256, 1024, "cosine", "linear"]
    assert sort_key([3]) == sort_key([3.0])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_any_json_value_has_a_place(value: Any) -> None:
    if isinstance(value, int) and abs(value) > 10**300:
        return
    sort_key([value, json.dumps(value)])
