"""What else differs between two sets of runs: settings, and the software and machines they ran with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from horovod_lb.analysis.matching import Match
from horovod_lb.analysis.provenance import flat, of_one_life
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.runs import runs_table
from horovod_lb.analysis.table import cell

# The parts of a run's specification that determine what it computes. Where data and scripts lie does not.
_SECTIONS = ("job", "model", "data", "resources", "recipe", "measure")
_PLACES = ("job.path", "data.root", "resources.walltime")
# What was asked for is no version of anything.
_ASKED = ("command", "job.")
# What a table of runs tells of a run's software and machine.
_SAID = ("machine", "nodes", "gpus", "git_sha")


class Difference(NamedTuple):
    """A key whose values differ, and the values of each side in text, sorted; empty where it is not said."""

    key: str
    a: tuple[str, ...]
    b: tuple[str, ...]


def settings(matches: Sequence[Match], axes: Sequence[str]) -> list[Difference]:
    """The settings that differ in any two points that are compared, other than the axes they are matched by.

    Runs of a study say all of them, those of scripts and tables some: between sides of different kinds, what
    both say is compared.
    """
    compared = _compared(matches)
    kinds = [
        {("job" in run.spec, bool(run.said)) for runs in compared for run in runs[side]} for side in (0, 1)
    ]
    whole = all(kind == {(True, False)} for kind in kinds)

    def of_run(run: Record) -> Mapping[str, Any]:
        found = {
            key: value
            for key, value in flat({name: run.spec.get(name) for name in _SECTIONS})
            if key not in _PLACES and value is not None
        }
        return found if whole else {**found, **(run.spec.get("derived") or {})}

    matched = tuple(f"{axis}." for axis in axes)
    distinct = [tuple(map(_distinct, runs)) for runs in compared]
    return [
        found
        for found in _differences(distinct, of_run)
        if not f"{found.key}.".startswith(matched) and (kinds[0] == kinds[1] or (found.a and found.b))
    ]


def _distinct(runs: Sequence[Record]) -> list[Record]:
    """The runs without those that have the settings of the one before: seeds seldom differ in more."""
    said = [[run.spec.get(name) for name in (*_SECTIONS, "derived")] for run in runs]
    return [run for place, run in enumerate(runs) if place == 0 or said[place] != said[place - 1]]


def versions(matches: Sequence[Match]) -> list[Difference]:
    """What the newest lives of the runs said of software and machine, where the two sides differ."""
    sides = [[run for runs in _compared(matches) for run in runs[side] if _ran(run)] for side in (0, 1)]
    recorded = all(run.provenance for side in sides for run in side)

    def of_run(run: Record) -> Mapping[str, Any]:
        if not recorded:
            return _said(run)
        return {
            key: value
            for key, value in flat(run.provenance)
            if not of_one_life(key) and not key.startswith(_ASKED)
        }

    return list(_differences([sides], of_run))


def _ran(run: Record) -> bool:
    return bool(run.lives or run.said)


def _said(run: Record) -> dict[str, Any]:
    (row,) = runs_table([run], ()).rows
    return {name: row[name] for name in _SAID if row.get(name) is not None}


def _compared(matches: Sequence[Match]) -> list[tuple[Sequence[Record], Sequence[Record]]]:
    return [(found.a.runs, found.b.runs) for found in matches if found.a and found.b]


def _differences(
    compared: Iterable[Sequence[Sequence[Record]]], of_run: Callable[[Record], Mapping[str, Any]]
) -> Iterable[Difference]:
    """The keys whose values differ in any of the compared sets of runs, with the values of all of them."""
    values: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    apart: set[str] = set()
    for runs in compared:
        here: dict[str, tuple[set[str], set[str]]] = {}
        for side in (0, 1):
            for run in runs[side]:
                for key, value in of_run(run).items():
                    text = cell(value)
                    here.setdefault(key, (set(), set()))[side].add(text)
                    values.setdefault(key, ({}, {}))[side][text] = value
        apart |= {key for key, (ours, theirs) in here.items() if ours != theirs}
    for key in sorted(apart):
        ours, theirs = values[key]
        yield Difference(key, tuple(sorted(ours)), tuple(sorted(theirs)))
