"""What the page tells of a single run: specification, lives, events, provenance, log, rates, commands.

The browser makes a run's view of it when somebody asks for that run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from horovod_lb.analysis.provenance import flat
from horovod_lb.analysis.record import Record
from horovod_lb.analysis.report import pack
from horovod_lb.analysis.report.log_tail import log_tail
from horovod_lb.analysis.report.rate_trace import RateTraces
from horovod_lb.analysis.report.redact import redact, redacted
from horovod_lb.analysis.report.repeat import repeat_run
from horovod_lb.analysis.results import Results
from horovod_lb.analysis.table import text
from horovod_lb.runs import RunDirectory, rank_log

_BLOCK = 32  # runs that are packed together: similar texts compress well, and few are unpacked for one
_MOST_EVENTS = 60


def run_views(results: Results) -> dict[str, Any]:
    """`blocks` of packed run details, `size` of a block in runs, and `rates`, the packed traces of planned
    rates that they speak of by index.
    """
    traces = RateTraces()
    details = [details_of(record, results, traces) for record in results.records]
    blocks = [pack.document(details[start : start + _BLOCK]) for start in range(0, len(details), _BLOCK)]
    return {"size": _BLOCK, "blocks": blocks, "rates": pack.document(traces.traces)}


def details_of(record: Record, results: Results, traces: RateTraces) -> dict[str, Any]:
    """The details of one run; what its folder does not have is left out, secrets are hidden."""
    directory = RunDirectory(record.directory) if record.directory else None
    events = directory.read_events() if directory else []
    segment = directory.newest_segment() if directory else None
    repeat = repeat_run(record, results)
    return {
        "reason": redact(str(record.reason)) if record.reason else None,
        "problems": redact("; ".join(record.problems)),
        "folder": str(record.directory) if record.directory else None,
        "spec": redacted(record.spec) or None,
        "exit": _entries(record.exit),
        "lives": list(_lives(record.lives, events)),
        "provenance": _entries(record.provenance),
        "events": [_event(event) for event in events[-_MOST_EVENTS:]],
        "earlier_events": max(0, len(events) - _MOST_EVENTS),
        "log": redact(log_tail(rank_log(segment, 0))) if segment else "",
        "log_name": f"segments/{segment.name}/log" if segment else "",
        "rate": traces.place(record.spec) if record.spec else None,
        "repeat": repeat._asdict() if repeat else None,
    }


def _entries(mapping: Mapping[str, Any]) -> list[list[str]]:
    return [
        [key, f"{_time(value)} UTC" if key == "time" else redact(text(value))]
        for key, value in flat(redacted(mapping))
    ]


def _lives(lives: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A row a life: number, begun, ended, how, on which host, ranks, GPUs, commit, who began it."""
    for number in range(1, max([len(lives), *(_life(event) for event in events)]) + 1):
        about = lives[number - 1] if number <= len(lives) else {}
        mine = [event for event in events if _life(event) == number]
        begin = next((event for event in mine if event.get("kind") == "begin"), {})
        end = next((event for event in mine if event.get("kind") == "end"), {})
        source = about.get("source")
        source = source if isinstance(source, Mapping) else {}
        commit = str(source.get("commit") or "")[:12] + (" (changed)" if source.get("dirty") else "")
        gpus = about.get("gpu")
        cells = [
            number,
            _time(begin.get("time", about.get("time"))),
            _time(end.get("time")),
            end.get("state"),
            about.get("host") or begin.get("host"),
            about.get("ranks"),
            len(gpus) if isinstance(gpus, list) else gpus,
            commit,
            begin.get("owner"),
        ]
        yield [redact(text(value)) for value in cells]


def _life(event: Mapping[str, Any]) -> int:
    life = event.get("life")
    return life if isinstance(life, int) and life < 10_000 else 0


def _event(event: Mapping[str, Any]) -> list[str]:
    """Time, life, kind, and the rest as words."""
    others = {key: value for key, value in event.items() if key not in ("time", "life", "kind")}
    words = [f"{key} {redact(text(value))}" for key, value in redacted(others).items() if value is not None]
    return [_time(event.get("time")), text(event.get("life")), text(event.get("kind")), ", ".join(words)]


def _time(value: Any) -> str:
    """A time as UTC, to the second."""
    try:
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
