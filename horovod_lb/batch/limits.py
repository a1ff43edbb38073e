"""What a site does not allow, found before anything is sent; each message says what would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from horovod_lb.batch import client
from horovod_lb.errors import RequestError
from horovod_lb.machines import Machine
from horovod_lb.recipe.normalization import sharing
from horovod_lb.schedulers import scheduler

if TYPE_CHECKING:
    from horovod_lb.batch.planned import Planned


def check_machine(machine: Machine) -> None:
    """RequestError: it has no scheduler, or wants an account and has none."""
    if machine.scheduler == "none":
        raise RequestError(
            f"{machine.name} has no scheduler, so there is nothing to send jobs to: `hlb run` trains the "
            "study on this machine, --machine NAME names another (`hlb machines` lists them)"
        )
    if machine.account_required and machine.account is None:
        raise RequestError(
            f"{machine.name} charges every job to an account and none is named: --account NAME, or the line "
            f'account = "NAME" in ~/.config/horovod_lb/machines/{machine.name}.toml'
        )


def check_nodes(machine: Machine, nodes: int, steps: int, spec: Mapping[str, Any], ranks: int) -> None:
    """RequestError: a job of `steps` runs of `ranks` ranks side by side takes more nodes than there are."""
    most = machine.nodes or max((bin.nodes[1] for bin in machine.walltimes), default=nodes)
    if nodes <= most:
        return
    would_do = []
    if steps > 1:
        would_do.append("a smaller --side-by-side")
    possible = sharing(spec["model"], int(spec["derived"]["groups"]))
    fits = [one for one in possible if machine.nodes_for(one) <= most]
    if fits and fits[-1] < ranks:
        would_do.append(f"--workers {fits[-1]} ({machine.nodes_for(fits[-1])} nodes)")
    known = ", or ".join(would_do) or "another machine"
    each = f"{steps} runs of {ranks} ranks side by side take" if steps > 1 else f"{ranks} ranks take"
    raise RequestError(
        f"run {spec['run_id']}: {each} {nodes} nodes, and {machine.name} has {most} with "
        f"{machine.ranks_per_node} ranks on each; what would do: {known}"
    )


def room(machine: Machine) -> int | None:
    """How many jobs the queue still takes from this user; None where the profile has no limit.

    SchedulerError: the scheduler does not say how many there are.
    """
    if machine.limits.queued is None:
        return None
    rules = scheduler(machine.scheduler)
    return max(0, machine.limits.queued - rules.parse_load(*client.run(rules.load(), machine)))


def check_budget(planned: Sequence[Planned], budget: float | None) -> None:
    """RequestError: the jobs may cost more than `budget` node-hours; it names how many runs would fit."""
    total = sum(job.node_hours for job in planned)
    if budget is None or total <= budget:
        return
    left, fit = budget, 0
    for job in planned:
        elements = min(job.elements, int(left / job.element_hours + 1e-9))
        fit += min(len(job.run_ids), elements * job.request.pack)
        left -= elements * job.element_hours
        if elements < job.elements:
            break
    runs = sum(len(job.run_ids) for job in planned)
    would_do = (
        f"the first {fit} of the {runs} runs would fit (--where chooses)" if fit else "no run would fit"
    )
    raise RequestError(
        f"--budget {budget:g}: the plan may cost {total:.1f} node-hours at most (expected: "
        f"{sum(job.expected for job in planned):.1f}); {would_do}; nothing was sent"
    )
