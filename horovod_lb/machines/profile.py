"""A machine profile: what a site is like, as data. Every key of `machines/*.toml`, its type and default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:@%+=/-]+$")]
Line = Annotated[str, Field(pattern=r"^[^\n\r\x00]+$")]


def refuse(message: str) -> PydanticCustomError:
    """An error whose text is `message`, whatever the value."""
    return PydanticCustomError("refused", "{message}", {"message": message})


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


Walltime = Annotated[str, AfterValidator(_walltime)]


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
            raise refuse("nodes is [fewest, most]")
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
            raise refuse("node_local and stage_in go together")
        return self


class Machine(Table):
    """A machine as its profile describes it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str = ""
    scheduler: Literal["slurm", "lsf", "none"]
    launcher: Literal["srun", "jsrun", "mpirun", "horovodrun"]
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
        ranks = values.setdefault("ranks_per_node", values.get("gpus_per_node") or 1)
        cores = values.get("cores_per_node")
        if isinstance(ranks, int) and isinstance(cores, int) and ranks > 0:
            values.setdefault("cores_per_rank", max(1, cores // ranks))
        return values

    def nodes_for(self, ranks: int) -> int:
        """Whole nodes that `ranks` ranks take."""
        return -(-ranks // self.ranks_per_node)

    def bin_for(self, nodes: int) -> Bin | None:
        """The wall-time bin of a job on `nodes` nodes; None where the profile has no limit for it."""
        return next((bin for bin in self.walltimes if bin.nodes[0] <= nodes <= bin.nodes[1]), None)
