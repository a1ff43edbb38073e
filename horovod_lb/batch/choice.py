"""Which runs of a study are to be sent now, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from horovod_lb.batch.shape import Spec
from horovod_lb.runs import RunDirectory, State

TO_SEND = (State.PLANNED, State.STOPPED, State.LOST)
TO_RETRY = (State.FAILED, State.CANCELLED, State.LOST)
ACTIVE = (State.RUNNING, State.QUEUED, State.SUBMITTED)


@dataclass(frozen=True)
class Choice:
    """Runs to `send`, and how many of the others are in which state."""

    send: tuple[Spec, ...]
    others: Counter[State]

    def sentences(self) -> list[str]:
        """What is said of the runs that are not sent."""
        done = self.others[State.COMPLETED] + self.others[State.DIVERGED]
        active = {state: self.others[state] for state in ACTIVE if self.others[state]}
        settled = {state: self.others[state] for state in TO_RETRY if self.others[state]}
        waiting = {state: self.others[state] for state in TO_SEND if self.others[state]}
        said = []
        if done:
            said.append("1 run has its result." if done == 1 else f"{_runs(done)} have their results.")
        if active:
            said.append(f"{_states(active)} already, and not sent again.")
        if settled and not waiting:
            said.append(f"{_states(settled)}: `hlb retry` sends such runs again.")
        if self.others[State.UNKNOWN]:
            said.append(
                f"{_runs(self.others[State.UNKNOWN])} of which it is not known where they stand: not sent; "
                "`hlb status` says why."
            )
        return said


def choose(
    specs: Sequence[Spec], state: Callable[[str], State], study: Path, wanted: Sequence[State] = TO_SEND
) -> Choice:
    """The runs of `specs` that are in one of the `wanted` states; a run without a folder is planned."""
    send: list[Spec] = []
    others: Counter[State] = Counter()
    for spec in specs:
        found = state(spec["run_id"])
        if found is State.UNKNOWN and not RunDirectory(study / spec["run_id"]).run_json.exists():
            found = State.PLANNED
        if found in wanted:
            send.append(spec)
        else:
            others[found] += 1
    return Choice(tuple(send), others)


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"


def _states(counts: dict[State, int]) -> str:
    return ", ".join(f"{_runs(number)} {state}" for state, number in counts.items())
