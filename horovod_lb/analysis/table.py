"""A table of results: rows of plain values, written as CSV, Markdown and LaTeX with the same digits every
time.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

_LATEX = str.maketrans(
    {
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
        "[": "{[}", "]": "{]}", "*": "{*}",  # after \\ and \midrule they would be options
        "±": r"$\pm$", "×": r"$\times$", "−": "$-$", "∞": r"$\infty$",
        "ξ": r"$\xi$", "η": r"$\eta$", "ρ": r"$\rho$",  # LaTeX has Greek letters in formulas alone
    }
)  # fmt: skip
_MARKDOWN = str.maketrans(
    {
        "|": r"\|", "\n": " ", "<": "&lt;", ">": "&gt;", "&": "&amp;", "\\": r"\\", "*": r"\*", "`": r"\`",
        "[": r"\[", "~": r"\~",
    }
)  # fmt: skip
# Within a word an underscore is one to Markdown, too.
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


class Span(NamedTuple):
    """The last columns of a table are values of one axis: its name, and each column's value."""

    title: str
    heads: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """Columns in order and rows as mappings; what a row lacks, or has as None, is an empty cell."""

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    span: Span | None = None

    def to_csv(self) -> str:
        """The table as CSV: floats with ten significant digits, lists and mappings as JSON."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([cell(row.get(name)) for name in self.columns] for row in self.rows)
        return buffer.getvalue()

    def to_frame(self) -> pd.DataFrame:
        """The table as a DataFrame for work of one's own."""
        import pandas as pd

        return pd.DataFrame(
            [[row.get(name) for name in self.columns] for row in self.rows], columns=self.columns
        )

    def to_markdown(self, caption: str = "") -> str:
        """The table in GitHub's Markdown, numbers to the right."""
        lines = [
            _markdown_line(self.columns),
            _markdown_line("---:" if self._is_number(name) else "---" for name in self.columns),
            *(_markdown_line(text(row.get(name)) for name in self.columns) for row in self.rows),
        ]
        head = f"{markdown(caption)}\n\n" if caption else ""
        return head + "\n".join(lines) + "\n"

    def to_latex(self, caption: str = "", label: str = "") -> str:
        r"""The table as a LaTeX float; needs `\usepackage{booktabs}`."""
        alignment = "".join("r" if self._is_number(name) else "l" for name in self.columns)
        body = [_latex_line(text(row.get(name)) for name in self.columns) for row in self.rows]
        lines = [
            r"\begin{table}",
            r"  \centering",
            *([f"  \\caption{{{escape_latex(caption)}}}"] if caption else []),
            *([f"  \\label{{{label}}}"] if label else []),
            f"  \\begin{{tabular}}{{{alignment}}}",
            r"    \toprule",
            *(f"    {line}" for line in self._latex_head()),
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def _latex_head(self) -> list[str]:
        """The names of the columns; the axis of the last ones stands once, over its values."""
        if self.span is None:
            return [_latex_line(self.columns)]
        first = len(self.columns) - len(self.span.heads)
        over = f"\\multicolumn{{{len(self.span.heads)}}}{{c}}{{{escape_latex(self.span.title)}}}"
        return [
            "& " * first + over + r" \\",
            f"\\cmidrule(lr){{{first + 1}-{len(self.columns)}}}",
            _latex_line((*self.columns[:first], *(self.span.heads[name] for name in self.columns[first:]))),
        ]

    def _is_number(self, column: str) -> bool:
        values = [row[column] for row in self.rows if row.get(column) is not None]
        return bool(values) and all(isinstance(value, int | float) and value is not True for value in values)


def cell(value: Any) -> str:
    """One CSV cell: ten significant digits tell measured values apart and hide the noise of round-off; `nan`
    and `inf`.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(value + 0.0, ".10g")  # adding zero makes -0.0 plain
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return " ".join(str(value).splitlines())


def text(value: Any) -> str:
    """A cell for people: as in CSV, floats with five significant digits."""
    return format(value, ".5g") if isinstance(value, float) else cell(value)


def sort_key(values: Iterable[Any]) -> tuple[tuple[int, float, str], ...]:
    """Orders and identifies mixed values: empty first, then numbers by size (3 is 3.0), then text by
    letter.
    """
    return tuple(
        (0, 0.0, "")
        if value is None
        else (1, float(value), "")
        if isinstance(value, int | float)
        else (2, 0.0, cell(value))
        for value in values
    )


def markdown(value: str) -> str:
    """`value` with what Markdown or a table of it would take for its own made literal."""
    return _UNDERSCORE.sub(r"\\_", value.translate(_MARKDOWN))


def escape_latex(value: str) -> str:
    """`value` with LaTeX's special characters made literal."""
    return value.translate(_LATEX)


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(value if value.strip("-:") == "" else markdown(value) for value in cells) + " |"


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(escape_latex(value) for value in cells) + r" \\"
