"""From runs to jobs: shapes, packs, arrays, chains."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from horovod_lb.batch import limits
from horovod_lb.batch.pace import MARGIN, Estimate, Paces
from horovod_lb.batch.planned import Planned
from horovod_lb.batch.shape import Options, Shape, Spec, nodes_of, shapes, side_by_side, steps_a_node
from horovod_lb.batch.walltime import START_MINUTES, WallTime, wall_time
from horovod_lb.errors import RequestError
from horovod_lb.machines import Machine
from horovod_lb.schedulers import scheduler
from horovod_lb.schedulers.types import Array, JobRequest

__all__ = ["Options", "Planned", "plan_jobs"]

# Slurm's and LSF's own default.
ARRAY_SIZE = 1000


def plan_jobs(
    specs: Sequence[Spec],
    machine: Machine,
    *,
    folder: Path,
    options: Options,
    token: str = "",
    paces: Paces | None = None,
    room: int | None = None,
) -> list[Planned]:
    """The jobs of runs, in the order of the runs: a run a job, or element of an array, unless packed.

    Args:
        specs: contents of `run.json`, of one study.
        machine: where they are to run; whole nodes.
        folder: where scripts and listings will lie, absolute.
        options: see `Options`.
        token: makes the jobs' names unique.
        paces: how fast runs of the study were.
        room: how many jobs the queue still takes; runs beyond it are in no job. None: as many as there are.

    Raises:
        RequestError: the site does not allow it; nothing has happened.
    """
    limits.check_machine(machine)
    _check(options)
    planned: list[Planned] = []
    for shape, members in shapes(specs, machine, options).items():
        group = _Group(shape, members, machine, options, paces or Paces())
        for piece in group.pieces(room):
            number = len(planned) + 1
            name = "-".join(filter(None, (str(piece[0]["study"]), token, str(number))))
            planned.append(group.planned(piece, number, name, folder))
            room = None if room is None else room - planned[-1].elements * planned[-1].links
    return planned


class _Group:
    """The runs of one shape: the pack, nodes and wall time that all of their jobs share."""

    def __init__(
        self, shape: Shape, members: Sequence[Spec], machine: Machine, options: Options, paces: Paces
    ) -> None:
        self.shape, self.members, self.machine, self.options = shape, members, machine, options
        self.pack = min(options.pack, len(members))
        self.steps = min(self.pack, side_by_side(shape.ranks, machine, options))
        self.nodes = nodes_of(shape.ranks, self.steps, machine)
        limits.check_nodes(machine, self.nodes, self.steps, members[0], shape.ranks)
        self.measured = {spec["run_id"]: paces.estimate(spec, shape.ranks) for spec in members}
        self.wall = self._wall_time()
        self.links = self.wall.segments if machine.resume == "chain" else 1
        # A chain that the queue never takes whole is sent in parts.
        self.links = min(self.links, machine.limits.queued or self.links)

    def pieces(self, room: int | None) -> Iterator[Sequence[Spec]]:
        """The runs of each job, as far as there is room in the queue."""
        elements = self.machine.limits.array_size or ARRAY_SIZE
        if self.machine.limits.queued is not None:
            elements = min(elements, max(1, self.machine.limits.queued // self.links))
        fitting = len(self.members) if room is None else room // self.links * self.pack
        runs = self.members[:fitting]
        for start in range(0, len(runs), elements * self.pack):
            yield runs[start : start + elements * self.pack]

    def planned(self, runs: Sequence[Spec], number: int, name: str, folder: Path) -> Planned:
        """The job of `runs`."""
        machine, options = self.machine, self.options
        request = JobRequest(
            name=name,
            machine=machine,
            nodes=self.nodes,
            minutes=self.wall.minutes,
            ranks=self.shape.ranks,
            threads=machine.cores_per_rank,
            allreduce=self.shape.allreduce,
            folder=folder,
            runs=f"{number}.txt",
            pack=self.pack,
            side_by_side=self.steps,
            array=self._array(-(-len(runs) // self.pack)),
            retry=options.retry,
            max_failures=options.max_failures,
            stage_from=self.shape.stage_from,
            environment={**_environment(), **options.environment},
        )
        return Planned(
            number=number,
            request=request,
            run_ids=tuple(spec["run_id"] for spec in runs),
            links=self.links,
            segments=self.wall.segments,
            expected=self._expected(runs),
            source=self._source(),
            steps_a_node=steps_a_node(self.shape.ranks, machine),
        )

    @cached_property
    def need(self) -> Estimate | None:
        """What the longest run needs, by the study or else as measured; None where one is unknown."""
        if self.shape.walltime is not None:
            return Estimate(_seconds(self.shape.walltime), "resources.walltime", all_in=True)
        known = [one for one in self.measured.values() if one is not None]
        return max(known, key=lambda one: one.seconds) if len(known) == len(self.members) else None

    def _wall_time(self) -> WallTime:
        work = None
        if self.need is not None:
            rounds = -(-self.pack // self.steps)
            work = self.need.seconds / 60 * rounds * (1 if self.need.all_in else MARGIN)
        all_in = self.need is not None and self.need.all_in
        return wall_time(self.machine, self.nodes, work=work, all_in=all_in, asked=self.options.walltime)

    def _array(self, elements: int) -> Array | None:
        if elements == 1:
            return None
        throttle = self.options.throttle or self.machine.limits.eligible
        first = scheduler(self.machine.scheduler).first_index
        too_many = throttle is not None and throttle < elements
        return Array(first, first + elements - 1, throttle if too_many else None)

    def _expected(self, runs: Sequence[Spec]) -> float:
        """Node-hours that `runs` should take together: each its share of the nodes for its time."""
        longest = 60.0 * self.wall.minutes * self.wall.segments
        seconds = 0.0
        for spec in runs:
            estimate = self.measured[spec["run_id"]] or self.need
            if estimate is None:
                seconds += longest / -(-self.pack // self.steps)
            else:
                starts = 0 if estimate.all_in else 60 * START_MINUTES * self.wall.segments
                seconds += min(longest, estimate.seconds + starts)
        return self.nodes / self.steps * seconds / 3600

    def _source(self) -> str:
        if self.need is None:
            asked = self.options.walltime is not None
            return "--walltime" if asked else "not known: the longest job allowed"
        measured = next(filter(None, self.measured.values()), None)
        if self.need.all_in and measured is not None:
            return f"{self.need.source}; expected: {measured.source}"
        return self.need.source


def _seconds(walltime: str) -> float:
    """Seconds of `resources.walltime`, which the study has checked: h:mm or h:mm:ss."""
    hours, minutes, seconds = map(int, [*walltime.split(":"), "0"][:3])
    return float(max(60, 3600 * hours + 60 * minutes + seconds))


def _check(options: Options) -> None:
    for name in ("pack", "side_by_side", "throttle", "max_failures"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise RequestError(f"--{name.replace('_', '-')} {value}: at least 1 is needed")
    if (options.side_by_side or 1) > options.pack:
        raise RequestError(
            f"--side-by-side {options.side_by_side}: a job works through {options.pack} of the runs; "
            "--pack N puts more into one"
        )


def _environment() -> dict[str, str]:
    """Variables of this shell that the runs need, whatever the site passes on of the environment."""
    data = os.environ.get("HLB_DATA")
    return {"HLB_DATA": str(Path(data).absolute())} if data else {}
