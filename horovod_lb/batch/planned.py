"""A job that has been planned, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from horovod_lb.batch.submission import Job, Link
from horovod_lb.schedulers.types import JobRequest


@dataclass(frozen=True)
class Planned:
    """A script that will be sent, once or as the links of a chain.

    number: of the script, from 1. run_ids: of its listing, in order. links: jobs sent one after the other;
    segments: lives that its runs need, in these jobs or in one that requeues itself. expected: node-hours,
    where `node_hours` is the most that can be charged. source: where the time that a run needs is known from.
    steps_a_node: runs of this shape that one node would hold.
    """

    number: int
    request: JobRequest
    run_ids: tuple[str, ...]
    links: int
    segments: int
    expected: float
    source: str
    steps_a_node: int

    @property
    def script(self) -> str:
        """The name of its script."""
        return f"{self.number}.sh"

    @property
    def elements(self) -> int:
        """Elements of its array, or 1."""
        return len(self.request.array.indices) if self.request.array else 1

    @property
    def element_hours(self) -> float:
        """Node-hours of one element, all segments to the last minute."""
        return self.request.nodes * self.request.minutes / 60 * self.segments

    @property
    def node_hours(self) -> float:
        """The most node-hours that can be charged."""
        return self.elements * self.element_hours

    def job(self) -> Job:
        """The record of a job that has not been sent."""
        request = self.request
        return Job(
            name=request.name,
            script=self.script,
            listing=request.runs,
            runs=self.run_ids,
            pack=request.pack,
            array=(request.array.first, request.array.last) if request.array else None,
            nodes=request.nodes,
            minutes=request.minutes,
            links=(Link(),) * self.links,
            ranks=request.ranks,
        )
