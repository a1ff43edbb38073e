"""`hlb data`: data sets made ready for training, and looked through."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_lb.errors import DataError, RequestError

if TYPE_CHECKING:
    from horovod_lb.data.dataset import DataInfo
    from horovod_lb.data.imagenet.check import Found

# Between two lines of progress where there is no terminal to draw on.
LINE_SECONDS = 10.0

app = typer.Typer(
    help="Prepare data sets, and check them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Jobs = Annotated[
    int | None, typer.Option(metavar="J", min=1, help="Processes at work. Default: one for each core.")
]


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="imagenet", help="The data set: imagenet.")],
    source: Annotated[
        Path, typer.Option("--from", metavar="DIR", help="Folder with train/<class> and val/<class>.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the shards.")],
    shards: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=99_999,
            help="Training shards; an eighth as many for validation. Default: what gives ImageNet 1,024.",
        ),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Make TFRecord shards of class folders of JPEG files.

    Stopped or killed, the same command goes on where it was, and the shards are the same byte for byte.
    """
    if name != "imagenet":
        raise RequestError(f"hlb data prepare {name}: there is nothing to prepare but imagenet")
    from horovod_lb.data.imagenet.prepare import prepare as make

    with _progress("pictures") as progress:
        done = make(source, out, shards=shards, jobs=jobs or _cores(), progress=progress)
    converted = [one for shard in done.shards.values() for one in shard.converted]
    left_out = [one for shard in done.shards.values() for one in shard.left_out]
    for picture, was in converted:
        print(f"converted from {was}: {picture}")
    for picture, why in left_out:
        print(f"LEFT OUT: {picture} {why}", file=sys.stderr)
    sizes = ", ".join(
        f"{done.examples(part):,} {part} examples in {total:,} shards" for part, total in done.totals.items()
    )
    print(f"{out}: {sizes}; {len(done.classes):,} classes. In a study: data: {_words(done.classes, out)}")


@app.command()
def check(
    target: Annotated[str, typer.Argument(metavar="SET|STUDY", help="Name of a data set, or a study file.")],
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the set. Default: the study's, else $HLB_DATA."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="imagenet: names, lengths and counts alone; decode nothing.")
    ] = False,
    jobs: Jobs = None,
) -> None:
    """Look through a data set: counts, labels, checksums, and pictures that cannot be decoded.

    Exits with 1 where something is wrong; everything that is, is listed.
    """
    from horovod_lb import data
    from horovod_lb.data.catalog import PUBLISHED

    section = _section(target, root)
    if section["name"] != "imagenet":
        found = data.load(section)
        sizes = ", ".join(
            f"{len(part):,} {word} examples"
            for word, part in (("training", found.train), ("validation", found.val), ("test", found.test))
            if part is not None
        )
        known = ", and as published" if section["name"] in PUBLISHED else ""
        print(f"{section['name']}: {sizes}, {found.info.classes:,} classes: whole{known}")
        return
    problems = _check_imagenet(section, target, quick, jobs or _cores())
    if problems:
        print(f"{problems:,} problem{'s' * (problems > 1)}", file=sys.stderr)
        raise typer.Exit(1)


def _check_imagenet(section: Mapping[str, Any], target: str, quick: bool, jobs: int) -> int:
    """Prints what is found, and returns how many problems there are."""
    from horovod_lb.data.imagenet import layout
    from horovod_lb.data.imagenet.check import check as look

    of_study = target != "imagenet"
    folder = layout.root_folder(section.get("root"))
    with _progress("shards or folders") as progress:
        found = look(
            folder,
            classes=section.get("classes") if of_study else None,
            first_label=section.get("first_label", 1),
            decode=not quick,
            jobs=jobs,
            progress=progress,
        )
    problems = 0
    for part, one in found.items():
        if of_study:
            one.problems += _against_study(section, part, one)
        for note in one.notes:
            print(note)
        for problem in one.problems:
            print(problem, file=sys.stderr)
        problems += len(one.problems)
        print(f"{part}: {one.examples:,} examples{_spread(one.labels)}")
    return problems


def _against_study(section: Mapping[str, Any], part: str, found: Found) -> list[str]:
    """What the study says of a part, where that is not what was found."""
    from horovod_lb import data

    try:
        info: DataInfo = data.describe({**section, "holdout": 0})
    except DataError as error:
        return [str(error)] if part == "train" else []
    expected = info.train_examples if part == "train" else info.val_examples
    if found.problems or found.examples == expected:
        return []
    return [f"{part}: {found.examples:,} examples, the study stands for {expected:,}"]


def _spread(labels: Mapping[int, int]) -> str:
    if not labels:
        return ""
    return f" of {len(labels):,} classes, {min(labels.values()):,} to {max(labels.values()):,} of each"


def _section(target: str, root: Path | None) -> dict[str, Any]:
    """The `data:` section to look at."""
    from horovod_lb.data.catalog import PUBLISHED
    from horovod_lb.study.nearest import nearest

    known = (*PUBLISHED, "imagenet")
    if target in known:
        section: dict[str, Any] = {"name": target}
    elif Path(target).suffix in (".yaml", ".yml") or Path(target).is_file():
        from horovod_lb.study import load_study

        section = load_study(Path(target)).settings.data.model_dump()
    else:
        meant = nearest(target, known)
        hint = f"; did you mean {meant}?" if meant else ""
        raise RequestError(
            f"{target} is neither a study file nor one of the data sets {', '.join(known)}{hint}"
        )
    return {**section, "root": str(root)} if root is not None else section


def _words(classes: list[str], out: Path) -> str:
    from horovod_lb.data.imagenet import CLASSES

    stated = "" if len(classes) == CLASSES else f", classes: {len(classes)}"
    return f"{{name: imagenet, root: {out}{stated}}}"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere; both on standard error."""
    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                print(f"{done:,} of {total:,} {unit}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)
