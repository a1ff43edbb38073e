"""What a sweep knows of its runs: which are waiting, taken, finished, failed; and what it says of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from horovod_lb.runs import Claims, RunDirectory, State, error_line
from horovod_lb.runs.log import LOG
from horovod_lb.runs.summary import Summary, duration, label, summarize
from horovod_lb.sweep import abandoned
from horovod_lb.sweep.arrangement import Batch, dealing, dealt
from horovod_lb.sweep.display import Display
from horovod_lb.sweep.process import Session


class Ledger:
    """The runs of a sweep. Files decide: this only remembers what has been seen and said."""

    def __init__(
        self,
        runs: Mapping[str, RunDirectory],
        specs: Mapping[str, Mapping[str, Any]],
        claims: Path,
        show: Display,
        retry_failed: bool,
    ) -> None:
        self.runs = runs
        self._specs = specs
        self._claims = Claims(claims)
        self._show = show
        again = (State.FAILED, State.CANCELLED) if retry_failed else ()
        states = {run_id: abandoned.state(run) for run_id, run in runs.items()}
        # The runs to do, and the number of the life that each had before this sweep.
        self._lives = {
            run_id: runs[run_id].life_number()
            for run_id, state in states.items()
            if not state.final or state in again
        }
        self._owners: dict[str, str] = {}
        self._settled: dict[str, Summary] = {}
        self._seconds: list[float] = []
        for run_id in self._lives:
            if states[run_id] is not State.RUNNING:
                runs[run_id].clear_stop()  # asked of an earlier life

    def announce(self, batches: Sequence[Batch]) -> None:
        """Says what there is to do and how it is dealt out."""
        before = len(self.runs) - len(self._lives)
        noun = "run" if len(self._lives) == 1 else "runs"
        self._show.line(f"{len(self._lives)} {noun} to do" + (f", {before} ended before" if before else ""))
        for batch in batches:
            waiting = [self._specs[run_id] for run_id in self.waiting(batch)]
            if waiting:
                self._show.line(
                    f"{len(waiting)} on {batch.workers} ranks (threads a rank: {batch.threads}, "
                    f"side by side: {len(batch.places)}, all-reduce: {batch.allreduce})"
                )
            for sentence in dealt((spec, dealing(spec, 0, batch.workers)) for spec in waiting):
                self._show.line(sentence)

    def taken(self) -> set[str]:
        """The runs that sessions have taken."""
        return self._claims.taken()

    def waiting(self, batch: Batch) -> list[str]:
        """The runs of `batch` that no session has taken, in order."""
        taken = self.taken()
        return [run_id for run_id in batch.run_ids if run_id in self._lives and run_id not in taken]

    def collect(self) -> None:
        """Looks at the runs that have been taken, and reports those that have ended."""
        taken = self.taken() - self._settled.keys()
        for run_id in [run_id for run_id in self._lives if run_id in taken]:
            if self._owners.get(run_id) == Claims.SKIPPED:
                continue
            self._owners[run_id] = self._claims.owner(run_id)
            state = self.runs[run_id].state()
            if self._began(run_id) and (state.final or state is State.STOPPED):
                self._settle(run_id)

    def update(self, batch: Batch, sessions: int) -> None:
        """Shows the runs that train now and how far the sweep is."""
        self.collect()
        running = [
            summary
            for run_id, owner in self._owners.items()
            if owner != Claims.SKIPPED and run_id not in self._settled
            if (summary := summarize(self.runs[run_id], self._specs[run_id])).state is State.RUNNING
        ]
        footer = [f"{len(self._settled)} of {len(self._lives)} runs done"]
        if sessions and not self.taken():
            footer.append("the ranks are starting")
        if self.failures:
            footer.append(f"{self.failures} failed")
        left = self._seconds_left(running, len(self.waiting(batch)), sessions)
        if left is not None:
            footer.append(f"about {duration(left)} left")
        self._show.update(running, ", ".join(footer))

    def active(self, session: str) -> list[RunDirectory]:
        """The runs that `session` has taken and not finished: one, or none between two runs."""
        return [
            self.runs[run_id]
            for run_id, owner in self._owners.items()
            if owner == session and run_id not in self._settled
        ]

    def record_crash(self, session: Session) -> None:
        """Marks the run failed that `session`, which is dead, left without an exit record."""
        for run in self._left_by(session):
            segment = run.newest_segment() if self._began(run.path.name) else None
            said = error_line(segment / LOG) if segment else None
            run.record_failure(said or session.cause_of_death())
            self._settle(run.path.name)

    def release(self, session: Session) -> None:
        """Lets the run go on later that `session`, which was told to end and is dead, was training.

        On this host its life is seen to be over. On another one it would count as alive for a while.
        """
        for run in self._left_by(session):
            if run.state() is State.RUNNING:
                abandoned.end(run, "its ranks were ended before they could write a checkpoint")

    def _left_by(self, session: Session) -> list[RunDirectory]:
        """The runs that a dead session has taken and not finished, but for one that another sweep trains."""
        return [
            run
            for run in self.active(session.name)
            if run.state() is not State.RUNNING or run.life_record().get("task") == session.task
        ]

    @property
    def failures(self) -> int:
        """How many runs failed in this sweep."""
        return sum(summary.state is State.FAILED for summary in self._settled.values())

    def conclude(self, *, interrupted: bool) -> int:
        """Says how the sweep ended and what to do next; returns 0 where every run has its result, else 1."""
        states = [run.state() for run in self.runs.values()]
        results = sum(state.has_result for state in states)
        elsewhere = states.count(State.RUNNING)
        failed = states.count(State.FAILED)
        self._show.line(f"{results} of {len(states)} runs have their result")
        if elsewhere:
            self._show.line(f"{elsewhere} are being trained by another sweep")
        if failed:
            self._show.line(
                f"{failed} failed: `hlb logs` shows why, `hlb run --retry-failed` tries them again"
            )
        if interrupted or results + elsewhere + failed < len(states):
            self._show.line("the same command goes on from the last checkpoints")
        return 0 if results + elsewhere == len(states) else 1

    def _began(self, run_id: str) -> bool:
        return self.runs[run_id].life_number() > self._lives[run_id]

    def _settle(self, run_id: str) -> None:
        run = self.runs[run_id]
        summary = self._settled[run_id] = summarize(run, self._specs[run_id])
        seconds = (run.read_exit() or {}).get("wall_seconds")
        if seconds is not None and summary.state.has_result:
            self._seconds.append(float(seconds))
        words = [run_id[:8], label(summary.point, summary.seed), str(summary.state)]
        if summary.accuracy is not None:
            words.append(f"accuracy {summary.accuracy:.4f}")
        words += [duration(seconds), summary.error or ""]
        self._show.line("  ".join(filter(None, words)))

    def _seconds_left(self, running: Sequence[Summary], waiting: int, sessions: int) -> float | None:
        """From the time left of the runs that train now, and the mean time of a run for those that wait."""
        left = [run.seconds_left for run in running if run.seconds_left is not None]
        whole = self._seconds or [
            time.time() - self.runs[run.run_id].life_record()["time"] + run.seconds_left
            for run in running
            if run.seconds_left is not None
        ]
        if len(left) < len(running) or (waiting and not whole):
            return None
        mean = sum(whole) / len(whole) if whole else 0.0
        return max(max(left, default=0.0), (sum(left) + waiting * mean) / max(1, sessions))
