r"""LaTeX tables are read by a small parser: environments, columns of every row, nothing special unescaped.

The parser knows what the tables may contain and nothing else: an unknown command is an error, and so is a
row that begins with [ or *, which `\\`, `\midrule` and the like would take for an option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import Folder

from horovod_lb.analysis import collect
from horovod_lb.analysis.compare import compare
from horovod_lb.analysis.table import Span, Table

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[{}&$#%_^~\[\]*]|[^\\{}&$#%_^~\[\]*]+", re.DOTALL)
CHARACTERS = {
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
    r"\textasciitilde": "~", r"\textasciicircum": "^", r"\textbackslash": "\\",
    r"\textless": "<", r"\textgreater": ">", r"\textbar": "|",
}  # fmt: skip
MATH = {
    r"\pm": "±", r"\times": "×", "-": "−", r"\infty": "∞", r"\xi": "ξ", r"\eta": "η", r"\rho": "ρ",
}  # fmt: skip


def plain(latex: str) -> str:
    """The text that LaTeX sets of a cell or caption; ValueError where it would not set text alone."""
    found, depth, tokens = "", 0, iter(TOKEN.findall(latex))
    for token in tokens:
        if token in CHARACTERS:
            found += CHARACTERS[token]
            if token[1:].isalpha() and (next(tokens), next(tokens)) != ("{", "}"):
                raise ValueError(f"{token} without braces in {latex}")
        elif token == "$":
            found += MATH[next(tokens)]
            if next(tokens) != "$":
                raise ValueError(f"a formula too many in {latex}")
        elif token in "{}":
            depth += 1 if token == "{" else -1
        elif token in ("[", "]", "*"):
            if not depth:
                raise ValueError(f"{token} could be taken for an option in {latex}")
            found += token
        elif token[0] in "\\&#%_^~":
            raise ValueError(f"{token} in {latex}")
        else:
            found += token
    if depth:
        raise ValueError(f"braces in {latex}")
    return found


def parsed(latex: str) -> tuple[str, list[list[str]]]:
    """Caption and rows of a table, `\\multicolumn` as that many cells."""
    lines = [line.strip() for line in latex.splitlines()]
    assert [lines[0], lines[-1]] == [r"\begin{table}", r"\end{table}"]
    assert [lines.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    (begin,) = (
        re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", line) for line in lines if "begin{tabular" in line
    )
    assert begin is not None
    assert lines[-2] == r"\end{tabular}"
    caption = next((line for line in lines if line.startswith(r"\caption{")), r"\caption{}")
    rows = []
    for line in lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]:
        if line == r"\midrule" or re.fullmatch(r"\\cmidrule\(lr\)\{\d+-\d+\}", line):
            continue
        assert line.endswith(r" \\"), line
        row = list(cells(line[:-3]))
        assert len(row) == len(begin[1]), line
        rows.append(row)
    return plain(caption[len(r"\caption{") : -1]), rows


def cells(line: str) -> Iterator[str]:
    for text in re.split(r"(?<!\\)&", line):
        span = re.fullmatch(r"\s*\\multicolumn\{(\d+)\}\{c\}\{(.*)\}\s*", text)
        yield from [plain(span[2])] * int(span[1]) if span else [plain(text.strip())]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4), st.text())
def test_any_text_comes_out_as_it_went_in(rows: list[tuple[str, str]], caption: str) -> None:
    def shown(value: str) -> str:
        return " ".join(value.splitlines()).strip()

    table = Table(("a|b", "100 %"), [{"a|b": shown(one), "100 %": shown(two)} for one, two in rows])
    found_caption, found = parsed(table.to_latex(shown(caption)))
    assert found_caption == shown(caption)
    assert found == [["a|b", "100 %"], *([shown(one), shown(two)] for one, two in rows)]


def test_a_row_that_begins_with_a_bracket_is_no_option() -> None:
    latex = Table(("schedule",), [{"schedule": [30, 60]}, {"schedule": "*"}]).to_latex()
    assert [row[0] for row in parsed(latex)[1][1:]] == ["[30,60]", "*"]
    with pytest.raises(ValueError, match="option"):
        plain("[30,60]")


def test_the_axis_of_the_last_columns_stands_once_over_its_values() -> None:
    columns = ("batch", "warmup = 0", "warmup = 5")
    span = Span("warmup_epochs", {"warmup = 0": "0", "warmup = 5": "5"})
    table = Table(columns, [dict(zip(columns, (64, "a", "b"), strict=True))], span)
    _, rows = parsed(table.to_latex())
    assert rows == [["", "warmup_epochs", "warmup_epochs"], ["batch", "0", "5"], ["64", "a", "b"]]
    assert r"\cmidrule(lr){2-3}" in table.to_latex()
    assert "| batch | warmup = 0 | warmup = 5 |" in table.to_markdown()


def test_every_table_of_a_study_is_sound(batch_by_warmup: Folder, tmp_path: Path) -> None:
    results = collect(batch_by_warmup.path)
    results.write(tmp_path)
    found = {path.stem: parsed(path.read_text()) for path in (tmp_path / "tables").glob("*.tex")}
    assert set(found) >= {"accuracy", "error", "accuracy_by_point", "best"}
    for name, caption, table in results.presented():
        assert found[name][0] == caption
        assert len(found[name][1]) == len(table.rows) + (2 if table.span else 1)
    assert found["error"][1][2] == ["256", "8.00 ± 2.00 (3)", "4.00 ± 1.73 (3)"]
    assert found["accuracy_by_point"][1][1][2:] == [
        "92.00 ± 2.00 (3)", "87.03 to 96.97", "91.00 ± 2.00 (3)",
    ]  # fmt: skip


def test_captions_of_regimes_need_no_letters_that_latex_does_not_have(folder: Folder) -> None:
    for batch in (256, 1024, 4096):
        derived = {"batch_size": batch, "learning_rate_peak": batch / 2560, "epochs": 2}
        for seed in (0, 1):
            folder.run(f"{batch}-{seed}", {"recipe.batch_size": batch}, seed, [0.5, 0.9], derived=derived)
    (latex,) = (
        table.to_latex(caption)
        for name, caption, table in collect(folder.path).presented()
        if name == "regimes"
    )
    assert r"1.2 $\xi$" in latex and r"$\infty$" in latex
    assert all(ord(letter) < 0x370 for letter in latex)  # below, inputenc knows them all
    assert "1.2 ξ" in parsed(latex)[0]


def test_a_grid_with_many_columns_and_few_rows_is_turned(folder: Folder) -> None:
    for batch in (64, 128):
        for warmup in range(7):
            point = {"recipe.batch_size": batch, "recipe.warmup.epochs": warmup}
            folder.run(f"{batch}-{warmup}", point, 0, [0.5 + warmup / 100 + batch / 1000])
    results = collect(folder.path)
    assert len(results.tables["accuracy_wide"].columns) == 8
    shown = {table.name: table.table for table in results.presented()}["accuracy"]
    _, rows = parsed(shown.to_latex())
    assert rows[:3] == [
        ["", "batch size", "batch size"], ["warmup epochs", "64", "128"], ["0", "56.40 (1)", "62.80 (1)"],
    ]  # fmt: skip
    assert len(rows) == 9


def test_axes_with_one_value_are_in_the_caption(folder: Folder) -> None:
    for warmup in (0, 5):
        point = {"model.name": "lenet", "recipe.batch_size": 64, "recipe.warmup.epochs": warmup}
        folder.run(f"w{warmup}", point, 0, [0.5, 0.75])
    caption = collect(folder.path).presented()[0].caption
    assert caption.endswith("(n runs). Model name lenet, batch size 64.")


def test_comparisons_are_sound(batch_by_warmup: Folder, tmp_path: Path) -> None:
    results = collect(batch_by_warmup.path)
    compare(results, results, ("50 % of_it", "[b]")).write(tmp_path)
    caption, rows = parsed((tmp_path / "compare.tex").read_text().strip())
    assert "Difference: [b] minus 50 % of_it" in caption
    assert rows[0][2:4] == ["50 % of_it (%)", "[b] (%)"]
    assert rows[1][:6] == ["256", "0", "92.00 ± 2.00 (3)", "92.00 ± 2.00 (3)", "+0.00", "+0.00 to +0.00"]
    assert rows[1][6] == "3 pairs, all equal"
