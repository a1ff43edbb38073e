"""`hlb regimes`: how far the batch size can be raised, how sure that is, and what to run next."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_lb.cli.collect import AllowDirty, Out, Runs, Set, Target, Where, write_tables
from horovod_lb.cli.table import print_table

if TYPE_CHECKING:
    from horovod_lb.analysis.regimes import Proposal, Survey

Factor = Annotated[
    float,
    typer.Option(min=1.01, help="A bracket is narrow enough where its ends are no further apart than this."),
]
Json = Annotated[bool, typer.Option("--json", help="Print all of it as JSON instead.")]


def regimes(
    target: Target,
    runs: Runs = None,
    out: Out = None,
    set_: Set = None,
    where: Where = None,
    allow_dirty: AllowDirty = False,
    factor: Factor = 2.0,
    json_: Json = False,
) -> None:
    """Bracket the regimes of batch sizes, say how sure that is, and propose what to run next."""
    from horovod_lb.analysis.regimes import survey
    from horovod_lb.analysis.regimes.as_json import as_json
    from horovod_lb.analysis.regimes.tables import regimes as regimes_table
    from horovod_lb.analysis.regimes.words import sentences
    from horovod_lb.analysis.table import text

    results, folder = write_tables(target, runs, out, set_, where, allow_dirty=allow_dirty)
    found = survey(results)
    proposals = found.proposals(factor)
    if json_:
        print(json.dumps(as_json(found, proposals), indent=2))
        return
    table = regimes_table(found).table
    print_table(table.columns, [[text(row.get(name)) for name in table.columns] for row in table.rows])
    for sentence in sentences(found):
        print(sentence)
    for note in results.notes():
        print(note)
    print(f"Tables: {folder}")
    _print_proposals(found, proposals, factor)


def _print_proposals(survey: Survey, proposals: list[Proposal], factor: float) -> None:
    if survey.base is None:
        print("Next: the baseline's runs; without a result of theirs there is nothing to compare with.")
        return
    if not proposals:
        print(
            f"Next: nothing; brackets are within a factor of {factor:g}, end at the full batch, or hold no "
            "batch size that the recipe's groups divide."
        )
        return
    study = survey.results.source.study_file
    fresh = [proposal for proposal in proposals if not proposal.planned]
    points = [proposal for proposal in fresh if not proposal.seeds]
    seeds = [proposal for proposal in fresh if proposal.seeds]
    if fresh:
        print(f"\nNext, to add to {study or 'the study'}:")
    if points:
        print("points:")
        for proposal in points:
            print(f"  {proposal.words()}  # {proposal.boundary}: {proposal.why}")
    if seeds:
        print(max(seeds, key=lambda proposal: len(proposal.seeds)).words())
        for proposal in seeds:
            print(f"  # {proposal.why}")
    for proposal in proposals:
        if proposal.planned:
            where = f" at {proposal.batch_size:,}" if proposal.batch_size else ""
            print(f"Planned already, yet to run{where}: {proposal.boundary}: {proposal.why}")
    sizes = {proposal.batch_size for proposal in proposals if proposal.batch_size is not None}
    if survey.base and any(proposal.seeds for proposal in proposals):
        sizes.add(survey.base.batch_size)  # its spread is in every comparison
    condition = f"batch_size in {sorted(sizes)}"
    print(f"Then: hlb run {shlex.quote(str(study or 'STUDY.yaml'))} --where {shlex.quote(condition)}")
