"""A machine profile: what a site is like, as data. Every key of `machines/*.toml`, its type and default."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from horovod_lb.machines.directives import problem as directive_problem

Count = Annotated[int, Field(ge=1)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:@%+=/-]+$")]
Line = Annotated[str, Field(pattern=r"^[^\n\r\x00]+$")]


def refuse(message: str, *key: str) -> PydanticCustomError:
    """An error whose text is `message`, whatever the value; `key`: the key at fault, below the table."""
    return PydanticCustomError("refused", "{message}", {"message": message, "key": key})


def minutes(text: str) -> int:
    """Minutes of a wall time `hours:minutes`. ValueError: it is not one."""
    hours, colon, rest = text.partition(":")
    if not (colon and hours.isdecimal() and rest.isdecimal() and len(rest) == 2 and int(rest) < 60):
        raise ValueError(f'{text!r} is no wall time; hours and minutes are needed, as in "2:00"')
    if not (total := 60 * int(hours) + int(rest)):
        raise ValueError("a wall time is at least a minute")
    return total


def hours(total: int) -> str:
    """`hours:minutes` of a number of minutes."""
    return f"{total // 60}:{total % 60:02}"


def _walltime(text: str) -> str:
    try:
        minutes(text)
    except ValueError as error:
        raise refuse(str(error)) from None
    return text


Launcher = Literal["srun", "jsrun", "mpirun", "horovodrun"]
# The schedulers that a launcher belongs to; the others go with any.
_SCHEDULERS = {"srun": ("slurm",), "jsrun": ("lsf",)}
Walltime = Annotated[str, AfterValidator(_walltime)]


def _quoted(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


class Table(BaseModel):
    """A table of a profile: no key but its own, no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Bin(Table):
    """`[[walltimes]]`: the longest job on `nodes[0]` to `nodes[1]` nodes."""

    nodes: Annotated[list[Count], Field(min_length=2, max_length=2)]
    limit: Walltime

    @model_validator(mode="after")
    def _ordered(self) -> Bin:
        if self.nodes[0] > self.nodes[1]:
            raise refuse(f"{self.nodes} is no range; it is [fewest, most]", "nodes")
        return self

    @property
    def minutes(self) -> int:
        """The limit in minutes."""
        return minutes(self.limit)


class Limits(Table):
    """`[limits]`: of jobs per user. Elements of an array count one by one; none means no limit is known."""

    array_size: Count | None = None
    queued: Count | None = None
    eligible: Count | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.queued is not None and self.eligible is not None and self.eligible > self.queued:
            raise refuse(f"{self.eligible} jobs cannot wait where {self.queued} may be queued", "eligible")
        return self


class Storage(Table):
    """`[storage]`: folders, with `$NAME` for environment variables of the node.

    scratch: run folders. node_local: a folder of each node; stage_in: a shell line, run once a node before
    the ranks start, that copies `"$HLB_STAGE_FROM"` (the data set's folder) to `"$HLB_STAGE_TO"` in it.
    """

    scratch: Line | None = None
    node_local: Line | None = None
    stage_in: Line | None = None

    @model_validator(mode="after")
    def _together(self) -> Storage:
        if (self.node_local is None) != (self.stage_in is None):
            missing = "node_local" if self.node_local is None else "stage_in"
            raise refuse("missing; node_local and stage_in go together", missing)
        return self


class Machine(Table):
    """A machine as its profile describes it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str = ""
    scheduler: Literal["slurm", "lsf", "none"]
    launcher: Launcher
    nodes: Count | None = None
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    cores_per_node: Count
    ranks_per_node: Count
    cores_per_rank: Count
    gpu_visibility: Literal["all", "one"] = "all"
    mpi: Word | None = None
    account: Word | None = None
    account_required: bool = False
    queue: Word | None = None
    modules: list[Word] = []
    setup: list[Line] = []
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Line] = {}
    python: Line | None = None
    container: list[Line] = []
    submit: Literal["file", "stdin"] = "file"
    resume: Literal["requeue", "chain", "none"] = "requeue"
    dependency: Literal["afterany", "singleton"] = "afterany"
    requeue_exit_code: Annotated[int, Field(ge=1, le=125)] = 99
    signal: Literal["USR2", "USR1", "URG", "TERM"] = "USR2"
    grace_minutes: Count = 2
    directives: list[Line] = []
    launcher_options: list[Line] = []
    walltimes: list[Bin] = []
    limits: Limits = Limits()
    storage: Storage = Storage()

    @model_validator(mode="before")
    @classmethod
    def _shares(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A rank a GPU, and an equal share of the cores, where the profile does not say."""
        values = dict(values)
        if values.get("scheduler") == "none":
            values.setdefault("cores_per_node", len(os.sched_getaffinity(0)))
            values.setdefault("ranks_per_node", values.get("gpus_per_node") or values["cores_per_node"])
        ranks = values.setdefault("ranks_per_node", values.get("gpus_per_node") or 1)
        cores = values.get("cores_per_node")
        shared = isinstance(ranks, int) and isinstance(cores, int) and ranks > 0
        # Where there is nothing to share, that is what is said.
        values.setdefault("cores_per_rank", max(1, cores // ranks) if shared else 1)
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Machine:
        for check in (self._check_launcher, self._check_node, self._check_walltimes):
            check()
        if problem := directive_problem(self.scheduler, self.launcher, self.directives):
            raise refuse(problem, "directives")
        for option in self.launcher_options:
            if not option.startswith("-"):
                raise refuse(f"{option!r} is no option of {self.launcher}", "launcher_options")
        return self

    def _check_launcher(self) -> None:
        wanted = _SCHEDULERS.get(self.launcher, (self.scheduler,))
        if self.scheduler not in wanted:
            able = [n for n in get_args(Launcher) if self.scheduler in _SCHEDULERS.get(n, (self.scheduler,))]
            raise refuse(
                f"{self.launcher} needs scheduler = {_quoted(wanted)}, and here it is {self.scheduler!r}; "
                f"allowed: {', '.join(able)}",
                "launcher",
            )
        if self.dependency == "singleton" and self.scheduler == "lsf":
            raise refuse("LSF knows no singleton; allowed: afterany (ended() in LSF)", "dependency")

    def _check_node(self) -> None:
        used = self.ranks_per_node * self.cores_per_rank
        if used > self.cores_per_node and self.scheduler != "none":
            raise refuse(
                f"{self.ranks_per_node} ranks of {self.cores_per_rank} cores are {used}, and cores_per_node "
                f"is {self.cores_per_node}; at most {self.cores_per_node // self.ranks_per_node}",
                "cores_per_rank" if self.cores_per_node >= self.ranks_per_node else "ranks_per_node",
            )
        if 0 < self.gpus_per_node < self.ranks_per_node:
            raise refuse(
                f"there are {self.gpus_per_node} GPUs a node, one for a rank; at most {self.gpus_per_node}",
                "ranks_per_node",
            )

    def _check_walltimes(self) -> None:
        if self.walltimes and self.scheduler == "none":
            raise refuse("without a scheduler nobody limits wall time; leave them out", "walltimes")
        bins = sorted(self.walltimes, key=lambda bin: bin.nodes)
        free = 1
        for bin in bins:
            first, last = bin.nodes
            if first != free:
                what = "overlap" if first < free else "leave a gap"
                between = f"{first} to {min(last, free - 1)}" if first < free else f"{free} to {first - 1}"
                raise refuse(f"the bins {what} at {between} nodes; each number of nodes has one", "walltimes")
            free = last + 1
            if bin.minutes <= self.grace_minutes:
                raise refuse(
                    f"the warning of {self.grace_minutes} minutes before the end leaves nothing of the "
                    f"{bin.limit} on {first} to {last} nodes",
                    "grace_minutes",
                )
        if bins and self.nodes is not None and free <= self.nodes:
            raise refuse(f"the bins end at {free - 1} nodes, and nodes is {self.nodes}", "walltimes")

    def nodes_for(self, ranks: int) -> int:
        """Whole nodes that `ranks` ranks take."""
        return -(-ranks // self.ranks_per_node)

    def bin_for(self, nodes: int) -> Bin | None:
        """The wall-time bin of a job on `nodes` nodes; None where the profile has no limit for it."""
        return next((bin for bin in self.walltimes if bin.nodes[0] <= nodes <= bin.nodes[1]), None)
