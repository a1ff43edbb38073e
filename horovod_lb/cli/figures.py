"""`hlb figures`: draw figures of a study's results, or list the kinds there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_lb.cli.collect import AllowDirty, Runs, Set, Where, watch_reading
from horovod_lb.cli.table import print_table
from horovod_lb.errors import RequestError

if TYPE_CHECKING:
    from horovod_lb.analysis import Results

Target = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|FOLDER|RESULTS",
        help="Study file, folder of run folders, study name, or folder of collected tables.",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="NAME", help="Kind or name of a figure; may be given again."),
]
List = Annotated[bool, typer.Option("--list", help="List the kinds, and which of them there is data for.")]
Formats = Annotated[
    str, typer.Option("--format", metavar="LIST", help="File formats: pdf, svg and png, with commas.")
]
Width = Annotated[str, typer.Option(help="Drawn for a column (3.4 inches) or a page (up to 7 inches).")]
Color = Annotated[str | None, typer.Option(metavar="AXIS", help="The axis that colours of curves tell.")]
Style = Annotated[str | None, typer.Option(metavar="AXIS", help="The axis that their line styles tell.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the files. Default: results/<study>/figures.")
]


def figures(
    target: Target,
    kinds: Kinds = None,
    list_: List = False,
    formats: Formats = "pdf,svg,png",
    width: Width = "page",
    color: Color = None,
    style: Style = None,
    out: Out = None,
    where: Where = None,
    runs: Runs = None,
    set_: Set = None,
    allow_dirty: AllowDirty = False,
) -> None:
    """Draw figures of a study's results: those asked for, else the study's choice, else the usual ones."""
    from horovod_lb.analysis.figures import Choices, draw, require
    from horovod_lb.analysis.figures.style import FORMATS, lay_out, save
    from horovod_lb.analysis.written import make_folder

    suffixes = [word.strip() for word in formats.split(",") if word.strip()]
    if not suffixes or any(word not in FORMATS for word in suffixes):
        raise RequestError(f"--format {formats}: figures are written as {', '.join(FORMATS)}")
    choices = Choices(width, color, style)
    for kind in kinds or ():
        require(kind)
    results, folder = _results(target, runs, set_, where, allow_dirty)
    if list_:
        _list(results)
        return
    names = kinds or results.source.figures
    drawn = draw(results, names, choices)
    absent = [name for name in names if not any(figure.name.startswith(name) for figure in drawn)]
    _say_what_is_missing(results, absent)
    if not drawn:
        print("There is nothing to draw." if names else "No run has anything to draw yet.")
        raise typer.Exit(1)
    folder = out or folder
    make_folder(folder)
    for figure in drawn:
        lay_out(figure.figure)
        save(figure.figure, folder / figure.name, suffixes)
        print(f"{figure.name}: {figure.caption}")
    print(f"Figures: {folder}")
    if absent and kinds:
        raise typer.Exit(1)


def _results(
    target: str,
    runs: Sequence[Path] | None,
    overrides: Sequence[str] | None,
    where: str | None,
    allow_dirty: bool,
) -> tuple[Results, Path]:
    """The results of run folders, or of tables, and the folder for their figures."""
    from horovod_lb.analysis import collect, results_from_tables
    from horovod_lb.analysis.written import holds_tables

    path = Path(target)
    if not holds_tables(path):
        results = collect(
            target,
            runs or (),
            overrides=overrides or (),
            where=where,
            watch=watch_reading,
            allow_dirty=allow_dirty,
        )
        return results, Path("results") / results.source.file_name / "figures"
    if runs or overrides:
        raise RequestError(f"{target} holds tables, no runs: --runs and --set go with runs")
    results = results_from_tables(path)
    return results.only(where) if where else results, path / "figures"


def _say_what_is_missing(results: Results, names: Sequence[str]) -> None:
    from horovod_lb.analysis.figures import lacking, require

    for name in names:
        try:
            require(name)
            print(f"{name}: {lacking(results, name)}")
        except RequestError as error:  # a study's own list may be of another version
            print(error)


def _list(results: Results) -> None:
    from horovod_lb.analysis.figures import KINDS

    rows = []
    for name, kind in KINDS.items():
        missing = kind.missing(results)
        usual = "usual" if kind.usual else ""
        rows.append([name, usual, "no" if missing else "yes", kind.about, missing or ""])
    print_table(["kind", "report", "data", "shows", "missing"], rows)
