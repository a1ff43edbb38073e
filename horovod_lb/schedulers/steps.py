"""One launcher step, a run's ranks, as an argument list up to the program."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from horovod_lb.errors import MachineError, RequestError
from horovod_lb.machines import Machine
from horovod_lb.schedulers.types import JobRequest

# Where a launcher names its hosts, which are known inside the job only.
HOSTS = "{hosts}"


@dataclass(frozen=True)
class Layout:
    """How the ranks of one step lie on its nodes: `per_node` on each, fewer on the last where they must."""

    ranks: int
    nodes: int
    per_node: int

    @property
    def even(self) -> bool:
        """Whether every node has as many ranks."""
        return self.ranks == self.nodes * self.per_node


def layout(request: JobRequest) -> Layout:
    """As few nodes as will do, with equal parts: 8 ranks on nodes of 6 are 4 and 4.

    RequestError: the job has too few nodes for its steps.
    """
    machine, ranks = request.machine, request.ranks
    if ranks < 1 or request.side_by_side < 1 or request.nodes < 1:
        raise RequestError(f"job {request.name}: ranks, side_by_side and nodes are at least 1")
    nodes = machine.nodes_for(ranks)
    together = machine.ranks_per_node // ranks if nodes == 1 else 1
    needed = -(-request.side_by_side // together) if nodes == 1 else nodes * request.side_by_side
    if needed > request.nodes:
        raise RequestError(
            f"job {request.name}: {request.side_by_side} x {ranks} ranks at a time need {needed} nodes of "
            f"{machine.ranks_per_node} ranks, and it asks for {request.nodes}"
        )
    return Layout(ranks, nodes, -(-ranks // nodes))


def ranks_a_node(request: JobRequest) -> int:
    """The ranks of all steps that run at a time on one node of the job."""
    one = layout(request)
    together = -(-request.side_by_side // request.nodes) if one.nodes == 1 else 1
    return one.per_node * together


def step(request: JobRequest, export: Sequence[str] = ()) -> tuple[str, ...]:
    """The launcher's words for one step of `request`, container included, up to the program.

    Launchers that are told their hosts have the word `{hosts}` for them. `export` names the variables that
    the ranks need, for the launcher that passes on what it is told to only (mpirun). `$NAME` in words of the
    profile stays as it is: the job script lets the shell put the value in.

    Raises:
        RequestError: the ranks cannot be laid out like this.
        MachineError: options of the profile that contradict each other.
    """
    machine = request.machine
    words = {"srun": _srun, "jsrun": _jsrun, "mpirun": _mpirun, "horovodrun": _horovodrun}
    launcher = words[machine.launcher](request, layout(request))
    exported = _exported(export) if machine.launcher == "mpirun" else []
    return (*launcher, *exported, *launcher_options(machine), *split(machine.container, "container"))


def once_a_node(request: JobRequest, export: Sequence[str] = ()) -> tuple[str, ...]:
    """The words that start a program once on every node of the job, without a container; see `step`."""
    machine, nodes = request.machine, request.nodes
    if machine.launcher == "srun":
        each = ("--ntasks-per-node=1", f"--cpus-per-task={machine.cores_per_rank}", "--mpi=none")
        return (
            "srun",
            f"--nodes={nodes}",
            f"--ntasks={nodes}",
            *each,
            "--kill-on-bad-exit=1",
            "--export=ALL",
        )
    if machine.launcher == "jsrun":
        return ("jsrun", f"-n{nodes}", "-r1", "-a1", f"-c{machine.cores_per_rank}")
    if machine.scheduler == "none":
        return ()
    return (*("mpirun", "-n", str(nodes), "--host", HOSTS, "--map-by", "ppr:1:node"), *_exported(export))


def _exported(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("-x", name)]


def launcher_options(machine: Machine) -> tuple[str, ...]:
    """The profile's own options, in words.

    MachineError: jsrun would refuse them, or take them for something else.
    """
    words = split(machine.launcher_options, "launcher_options")
    if machine.launcher != "jsrun":
        return words
    told = [flag for value in _values(words, "-M", "--smpiargs") for flag in value.split()]
    if "-gpu" in told and "-disable_gpu_hooks" in told:
        raise MachineError(
            f"machine {machine.name}: launcher_options: --smpiargs takes -gpu (CUDA-aware MPI) or "
            "-disable_gpu_hooks (no CUDA in MPI), not both"
        )
    for value in _values(words, "-l", "--latency_priority"):
        if value != value.lower():
            raise MachineError(
                f"machine {machine.name}: launcher_options: jsrun misreads the capitals of {value!r}; "
                f"write {value.lower()!r}"
            )
    return words


def _values(words: Sequence[str], short: str, long: str) -> list[str]:
    """The values of an option, whether joined to it or the next word."""
    values = []
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word in (short, long):
            values.append(following)
        elif word.startswith(f"{long}="):
            values.append(word[len(long) + 1 :])
        elif word.startswith(short) and not word.startswith("--"):
            values.append(word[len(short) :])
    return values


def split(lines: Iterable[str], key: str) -> tuple[str, ...]:
    """The words of lines written as for a shell: quotes keep words together, nothing is expanded.

    MachineError names `key`: a quote is not closed.
    """
    try:
        return tuple(word for line in lines for word in shlex.split(line))
    except ValueError as error:
        raise MachineError(f"{key}: {list(lines)} cannot be cut into words: {error}") from None


def _srun(request: JobRequest, lay: Layout) -> list[str]:
    machine = request.machine
    words = ["srun", f"--nodes={lay.nodes}", f"--ntasks={lay.ranks}"]
    words += [f"--ntasks-per-node={lay.per_node}", f"--cpus-per-task={machine.cores_per_rank}"]
    words += ["--kill-on-bad-exit=1", "--export=ALL"]
    if request.side_by_side > 1:
        # Only what it asks for; of memory, the job's as a bound, without taking it from the other steps.
        words += ["--exact", "--mem=0"]
    if machine.mpi:
        words.append(f"--mpi={machine.mpi}")
    if machine.gpus_per_node and machine.gpu_visibility == "one":
        words.append("--gpus-per-task=1")
    elif machine.gpus_per_node:
        # Without --gpu-bind=none, which in Slurm 22.05 leaves CUDA_VISIBLE_DEVICES unset: steps side by side
        # on a node would then take the same GPUs.
        words.append(f"--gpus-per-node={lay.per_node}")
    return words


def _jsrun(request: JobRequest, lay: Layout) -> list[str]:
    """Resource sets of one rank and its GPU, or of a node with all of its ranks and GPUs."""
    machine = request.machine
    cores, gpu = machine.cores_per_rank, 1 if machine.gpus_per_node else 0
    if machine.gpu_visibility == "one" or not gpu:
        words = [f"-n{lay.ranks}", f"-r{lay.per_node}", "-a1", f"-g{gpu}", f"-c{cores}"]
    elif lay.even:
        each = lay.per_node
        words = [f"-n{lay.nodes}", "-r1", f"-a{each}", f"-g{each}", f"-c{each * cores}"]
    else:
        raise RequestError(
            f"job {request.name}: {lay.ranks} ranks on {lay.nodes} nodes have unequal parts, which jsrun "
            f'cannot lay out with gpu_visibility = "all"; take a multiple of {lay.nodes} ranks, or "one"'
        )
    return ["jsrun", *words, f"-bpacked:{cores}", "-dpacked"]


def _mpirun(request: JobRequest, lay: Layout) -> list[str]:
    _all_gpus_visible(request.machine)
    # Bound ranks would share one core between all their threads.
    words = ["mpirun", "-n", str(lay.ranks), "--bind-to", "none"]
    if request.machine.scheduler == "none":
        return [*words, "--map-by", "slot:OVERSUBSCRIBE"]
    return [*words, "--map-by", "slot", "--host", HOSTS]


def _horovodrun(request: JobRequest, lay: Layout) -> list[str]:
    _all_gpus_visible(request.machine)
    hosts = f"localhost:{lay.ranks}" if request.machine.scheduler == "none" else HOSTS
    # Its own -bind-to, with one dash, is a program's name to Open MPI 5.
    return ["horovodrun", "-np", str(lay.ranks), "-H", hosts, "--binding-args=--bind-to none --map-by slot"]


def _all_gpus_visible(machine: Machine) -> None:
    if machine.gpus_per_node and machine.gpu_visibility == "one":
        raise MachineError(
            f'machine {machine.name}: gpu_visibility = "one" needs a launcher that shows each rank its own '
            f'GPU (srun, jsrun); with {machine.launcher} it is "all"'
        )
