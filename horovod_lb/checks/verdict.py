"""What follows from what the ranks of `hlb preflight` have said. Pure: no rank is needed to test it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from horovod_lb.checks.finding import Finding, State, ok, problem, warning
from horovod_lb.checks.hosts import host_findings
from horovod_lb.checks.preflight import DOING, Outcome, Rank
from horovod_lb.machines import Machine
from horovod_lb.machines.rank import ranges

VERSIONS = ("python", "TensorFlow", "Keras", "Horovod", "MPI", "NCCL")
# Clocks of hosts: runs of a host that is this far behind look dead to the others (life.STALE_SECONDS is 300).
CLOCK_WARNING, CLOCK_PROBLEM = 1.0, 60.0
_SHOWN = 4


def findings(outcome: Outcome, machine: Machine | None) -> Iterator[Finding]:
    """All findings, what broke the step first."""
    ranks = outcome.ranks
    broken = list(broken_findings(outcome))
    yield from broken or [ok("ranks", f"all {outcome.expected} came through")]
    yield from version_findings(ranks)
    yield from together_findings(outcome)
    yield from gpu_findings(ranks, machine)
    yield from core_findings(ranks)
    yield from clock_findings(ranks)
    yield from place_findings(ranks, machine.scheduler if machine else "none")


def broken_findings(outcome: Outcome) -> Iterator[Finding]:
    """Ranks that failed, that stood still, or that never spoke."""
    if not outcome.ranks:
        said = outcome.tail[-1] if outcome.tail else "no output"
        how = f"silent for {outcome.silent:.0f} s" if outcome.silent else f"launcher's status {outcome.code}"
        yield problem(
            "ranks", f"none of {outcome.expected} started ({how}): {said}", "see the launcher's words"
        )
        return
    failed = [rank for rank in outcome.ranks if rank.error is not None]
    for error, same in _grouped(failed, "error").items():
        remedy = _LAYOUT if error.startswith("DistributedError") else _REMEDIES[same[0].stages[-1]]
        yield problem("ranks", f"{_names(same)}, {same[0].doing}: {error}", remedy)
    stuck = [rank for rank in outcome.ranks if rank.error is None and rank.doing is not None]
    if stuck and not failed:
        by_stage: dict[str, list[Rank]] = defaultdict(list)
        for rank in stuck:
            by_stage[str(rank.doing)].append(rank)
        for doing, same in by_stage.items():
            how = (
                f"silent for {outcome.silent:.0f} s" if outcome.silent else f"ended by status {outcome.code}"
            )
            last = f"; {outcome.tail[-1]}" if outcome.tail else ""
            yield problem("ranks", f"{_names(same)} {how} while {doing}{last}", _REMEDIES[_stage_of(doing)])
    if (missing := outcome.expected - len(outcome.ranks)) > 0 and not failed:
        yield problem("ranks", f"{missing} of {outcome.expected} never spoke", "see the launcher's words")
    elif not failed and not stuck and outcome.code:
        yield warning("ranks", f"the launcher ended with status {outcome.code}", "see the launcher's words")


_LAYOUT = "correct ranks_per_node, gpu_visibility or launcher_options in the profile, or start fewer ranks"
_REMEDIES = {
    "start": "see the launcher's words",
    "versions": "the environment must be seen by every node: modules and setup in the profile, HLB_USE_SITE, "
    "container; `hlb doctor` examines it",
    "world": "ranks that do not meet: does mpi in the profile fit the MPI that Horovod was built with "
    "(`srun --mpi=list`), and does the network let them?",
    "allreduce": "the network or GPU transport fails: HOROVOD_LOG_LEVEL=debug NCCL_DEBUG=INFO tell more",
}


def _stage_of(doing: str) -> str:
    return next(stage for stage, text in DOING.items() if text == doing)


def version_findings(ranks: Sequence[Rank]) -> Iterator[Finding]:
    """The same version of everything on every rank."""
    told = [rank for rank in ranks if "TensorFlow" in rank.said]
    if not told:
        return
    different = False
    for name in VERSIONS:
        by_version = _grouped([rank for rank in told if name in rank.said], name)
        if len(by_version) > 1:
            different = True
            seen = "; ".join(f"{version} on {_names(same)}" for version, same in by_version.items())
            yield problem("versions", f"{name}: {seen}", "every node needs the same environment")
    libraries = {path for rank in told for path in rank.said["libmpi"]}
    per_rank = max(len(rank.said["libmpi"]) for rank in told)
    if per_rank > 1:
        yield problem(
            "versions", f"more than one libmpi: {', '.join(sorted(libraries))}", "unload the other MPI"
        )
    if not different:
        said = told[0].said
        same = ", ".join(f"{name} {said[name]}" for name in VERSIONS if said.get(name))
        built = "+".join(said["built"])
        yield ok("versions", f"the same on every rank: {same} (Horovod with {built})")
    if not all("mpi" in rank.said["built"] for rank in told):
        yield problem("versions", "Horovod without MPI", "build it with MPI: `make setup`")
    if any(rank.said["gpus"] for rank in told) and not all("nccl" in rank.said["built"] for rank in told):
        yield warning(
            "versions",
            "there are GPUs, and Horovod has no NCCL: gradients go through the host's memory",
            "HOROVOD_GPU_OPERATIONS=NCCL make setup",
        )


def together_findings(outcome: Outcome) -> Iterator[Finding]:
    """Whether the ranks found each other, summed right, and how fast."""
    met = [rank for rank in outcome.ranks if "size" in rank.said]
    sizes = {rank.said["size"] for rank in met}
    if met and sizes != {outcome.expected}:
        listed = ", ".join(map(str, sorted(sizes)))
        yield problem("all-reduce", f"{outcome.expected} ranks believe to be {listed}", _REMEDIES["world"])
        return
    wrong = [rank for rank in met if rank.said.get("wrong")]
    for text, same in _grouped(wrong, "wrong").items():
        yield problem("all-reduce", f"{_names(same)}: {text}", _REMEDIES["allreduce"])
    done = [rank for rank in met if "seconds" in rank.said]
    if done and len(done) == outcome.expected and not wrong:
        times = {size: max(rank.said["seconds"][size] for rank in done) for size in done[0].said["seconds"]}
        seen = ", ".join(f"{size} MB in {1000 * seconds:.3g} ms" for size, seconds in times.items())
        algorithm = done[0].said["allreduce_in_force"] or done[0].said["allreduce"]
        yield ok("all-reduce", f"exact; {seen} ({algorithm})")


def gpu_findings(ranks: Sequence[Rank], machine: Machine | None) -> Iterator[Finding]:
    """A GPU of its own for each rank, as the profile says."""
    told = [rank for rank in ranks if "gpus" in rank.said]
    if not told:
        return
    wanted = machine.gpus_per_node if machine else 0
    blind = [rank for rank in told if not rank.said["gpus"]]
    if wanted and blind:
        yield problem(
            "GPUs",
            f"TensorFlow sees none on {_names(blind)}; the profile says {wanted} a node",
            "a TensorFlow for CPUs, a missing driver, or GPUs that the launcher did not ask for; for runs on "
            "CPUs set gpus_per_node = 0",
        )
    before = len(blind) if wanted else 0
    for by_gpu in _by_host(told).values():
        owners: dict[str, list[Rank]] = defaultdict(list)
        for rank in by_gpu:
            if name := _gpu_name(rank):
                owners[name].append(rank)
        for name, sharing in owners.items():
            if len(sharing) > 1:
                before += 1
                policy = sharing[0].said["variables"].get("HLB_GPUS", "all")
                yield problem("GPUs", f"{_names(sharing)} share GPU {name}", _SHARED[policy == "one"])
    over = [rank for rank in told if _policy(rank) == "one" and rank.said["gpus"] > 1]
    if over and not before:
        yield warning(
            "GPUs",
            f"gpu_visibility is one, but {_names(over)} see {over[0].said['gpus']}: all take GPU 0",
            'let the launcher show each rank its own, or set gpu_visibility = "all"',
        )
    if any(rank.said["gpus"] for rank in told) and not before and not over:
        yield ok("GPUs", "each rank has its own")


_SHARED = {
    True: "the launcher must show each rank its own GPU (srun --gpus-per-task=1, jsrun -a1 -g1), or set "
    'gpu_visibility = "all"',
    False: "start at most as many ranks a node as it has GPUs",
}


def core_findings(ranks: Sequence[Rank]) -> Iterator[Finding]:
    """Cores enough for the threads of the ranks of each host."""
    short = []
    for host, local in _by_host([rank for rank in ranks if "threads" in rank.said]).items():
        available = {core for rank in local for core in rank.said["cores"]}
        asked = sum(rank.said["threads"] for rank in local)
        bound = [rank for rank in local if len(rank.said["cores"]) < rank.said["threads"]]
        if bound:
            cores = ranges(bound[0].said["cores"])
            threads = bound[0].said["threads"]
            short.append(f"{_names(bound)}: {threads} threads on cores {cores}")
        elif asked > len(available):
            short.append(f"{host}: {len(local)} ranks with {asked} threads on {len(available)} cores")
    for text in short[:_SHOWN]:
        yield warning(
            "cores", text, "fewer ranks a node, or correct cores_per_rank and the launcher's binding"
        )
    if not short and any("threads" in rank.said for rank in ranks):
        yield ok("cores", "as many as threads")


def clock_findings(ranks: Sequence[Rank]) -> Iterator[Finding]:
    """Clocks of the hosts, read as all ranks had met."""
    clocks = {
        host: local[0].said["clock"] for host, local in _by_host(ranks).items() if "clock" in local[0].said
    }
    if len(clocks) < 2:
        return
    first, last = min(clocks, key=lambda host: clocks[host]), max(clocks, key=lambda host: clocks[host])
    apart = clocks[last] - clocks[first]
    seen = f"{last} is {apart:.2f} s ahead of {first}"
    if apart > CLOCK_PROBLEM:
        yield problem("clocks", seen, "have the clocks set (NTP): runs would look dead, files too old")
    elif apart > CLOCK_WARNING:
        yield warning("clocks", seen, "have the clocks set (NTP)")
    else:
        yield ok("clocks", f"at most {apart:.2f} s apart")


def place_findings(ranks: Sequence[Rank], scheduler: str) -> Iterator[Finding]:
    """Folders and traps of the hosts: one line where all are well, else one for each kind of trouble."""
    by_check: dict[str, list[tuple[str, Finding]]] = defaultdict(list)
    for rank in ranks:
        if rank.said.get("folders"):
            # Ranks that run are past jsrun's trap of TMPDIR.
            for found in host_findings(rank.said, scheduler=scheduler, launcher=""):
                by_check[found.check].append((rank.host, found))
    for check, all_found in by_check.items():
        troubles: dict[tuple[State, str], list[tuple[str, Finding]]] = defaultdict(list)
        for host, found in all_found:
            if found.state != State.OK:
                troubles[found.state, found.remedy].append((host, found))
        for (state, remedy), same in troubles.items():
            yield Finding(check, state, f"{_listed([host for host, _ in same])}: {same[0][1].seen}", remedy)
        if not troubles:
            where = f"{len(all_found)} hosts, {all_found[0][0]}: " if len(all_found) > 1 else ""
            yield ok(check, f"{where}{all_found[0][1].seen}")


def _listed(places: Sequence[str]) -> str:
    return ", ".join(places[:_SHOWN]) + (f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else "")


def _policy(rank: Rank) -> str:
    return str(rank.said["variables"].get("HLB_GPUS", "all"))


def _gpu_name(rank: Rank) -> str | None:
    """The physical GPU of a rank where the driver tells, else its place among those that are visible."""
    if rank.said.get("gpu") is None:
        return None
    if rank.said.get("physical_gpu"):
        return str(rank.said["physical_gpu"])
    shown = rank.said["variables"]
    visible = shown.get("CUDA_VISIBLE_DEVICES") or shown.get("ROCR_VISIBLE_DEVICES") or ""
    listed = visible.split(",") if visible else []
    index = int(rank.said["gpu"])
    return listed[index] if index < len(listed) else str(index)


def _by_host(ranks: Sequence[Rank]) -> Mapping[str, list[Rank]]:
    found: dict[str, list[Rank]] = defaultdict(list)
    for rank in ranks:
        found[rank.host].append(rank)
    return found


def _grouped(ranks: Sequence[Rank], key: str) -> Mapping[str, list[Rank]]:
    found: dict[str, list[Rank]] = defaultdict(list)
    for rank in ranks:
        found[str(rank.said[key])].append(rank)
    return found


def _names(ranks: Sequence[Rank]) -> str:
    """`rank 3 on node2`, or `ranks 0-5,7 (node1, node2)`."""
    if len(ranks) == 1:
        return ranks[0].name
    numbers = [rank.number for rank in ranks if rank.number is not None]
    places = list(dict.fromkeys(rank.host for rank in ranks))
    return f"ranks {ranges(sorted(set(numbers))) if numbers else '?'} ({_listed(places)})"
