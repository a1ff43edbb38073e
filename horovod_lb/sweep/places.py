"""Where the sessions of a sweep run: on this machine, or each on hosts and GPUs of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from horovod_lb.schedulers.hosts import Host, Slot, pack
from horovod_lb.sweep.nodes import Node


@dataclass(frozen=True)
class Place:
    """The place of one session at a time: `hosts` as Open MPI writes them, None for this machine."""

    hosts: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join(self.hosts) if self.hosts else "this machine"


class Lender(Protocol):
    """Cores and GPUs for the sessions of a sweep."""

    @property
    def ranks(self) -> int:
        """How many ranks it holds at a time."""

    def places(self, ranks: int, runs: int) -> tuple[list[Place], int]:
        """Places for sessions of `ranks` ranks that share `runs` runs, and the threads of a rank in them.

        Raises `RequestError` where not one session fits.
        """


@dataclass(frozen=True)
class ThisMachine:
    """This machine with so many cores. A session with more ranks than cores fits, too: for rehearsals."""

    cores: int

    @property
    def ranks(self) -> int:
        """See `Lender`."""
        return self.cores

    def places(self, ranks: int, runs: int) -> tuple[list[Place], int]:
        """See `Lender`."""
        count = max(1, min(self.cores // ranks, runs))
        return [Place()] * count, max(1, self.cores // (ranks * count))


@dataclass(frozen=True)
class Hosts:
    """Hosts of an allocation or of a host file."""

    nodes: Sequence[Node]

    def __str__(self) -> str:
        kinds = Counter((node.slots, node.cores, len(node.gpus)) for node in self.nodes)
        return "; ".join(
            f"{count} {'host' if count == 1 else 'hosts'} for {slots} ranks each ({cores} cores, {gpus} GPUs)"
            for (slots, cores, gpus), count in kinds.items()
        )

    @property
    def ranks(self) -> int:
        """See `Lender`. Equal parts for hosts that share a run."""
        return max(host.slots * count for count, host in enumerate(self._largest_first(), start=1))

    def places(self, ranks: int, runs: int) -> tuple[list[Place], int]:
        """See `Lender`. A few sessions are spread over the hosts."""
        chosen = _spread(pack(self._largest_first(), ranks))[:runs]
        return [self._place(slot) for slot in chosen], self._threads(chosen)

    def _largest_first(self) -> list[Host]:
        """Hosts of one size beside each other, so that runs over several find equal parts."""
        hosts = [Host(node.name, node.slots) for node in self.nodes]
        return sorted(hosts, key=lambda host: -host.slots)

    def _place(self, slot: Slot) -> Place:
        hosts = tuple(slot.hosts.split(","))
        if slot.gpus is None:
            return Place(hosts)
        visible = self._node(hosts[0]).gpus
        own = [visible[index] for index in slot.gpus if index < len(visible)]
        return Place(hosts, {"CUDA_VISIBLE_DEVICES": ",".join(own)} if own else {})

    def _threads(self, slots: Sequence[Slot]) -> int:
        """An equal share of the cores for all ranks of a host; the smallest of the hosts'."""
        ranks: Counter[str] = Counter()
        for host in (host for slot in slots for host in slot.hosts.split(",")):
            ranks[host.rpartition(":")[0]] += int(host.rpartition(":")[2])
        return max(1, min(self._node(name).cores // count for name, count in ranks.items()))

    def _node(self, host: str) -> Node:
        return next(node for node in self.nodes if node.name == host.partition(":")[0])


def _spread(slots: Sequence[Slot]) -> list[Slot]:
    """The first place of every host, then the second ones, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for slot in slots:
        turns.append(seen[slot.hosts])
        seen[slot.hosts] += 1
    return [slot for _, slot in sorted(zip(turns, slots, strict=True), key=lambda pair: pair[0])]
