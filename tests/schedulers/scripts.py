"""Which scripts are kept as files, and how they are written anew:

    python tests/schedulers/scripts.py

writes tests/schedulers/golden/ and slurm/examples/, lsf/examples/. Read what changed before it is committed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from horovod_lb.machines import Machine, load_machine, machine_names
from horovod_lb.schedulers.render import context, render, render_template
from horovod_lb.schedulers.types import Array, JobRequest

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).resolve().parent / "golden"
SUFFIX = {"slurm": "sbatch", "lsf": "lsf", "none": "sh"}

# What a machine's profile takes from this one, so that files are the same everywhere.
LOCAL = {"cores_per_node": 8, "ranks_per_node": 4, "cores_per_rank": 2}
STAGE = {
    "storage.node_local": "/tmp/$USER",
    "storage.stage_in": 'rsync -a "$HLB_STAGE_FROM"/ "$HLB_STAGE_TO"/',
}


def machine(name: str, **overrides: object) -> Machine:
    """A shipped profile, charged to an account where it must be."""
    found = load_machine(name, overrides=LOCAL if name == "local" else {})
    account = {"account": "ABC123"} if found.account_required else {}
    return load_machine(name, overrides={**(LOCAL if name == "local" else {}), **account, **overrides})


def request(on: Machine, nodes: int = 2, **changes: object) -> JobRequest:
    """A job of one run over two nodes, or over all of a machine that has fewer."""
    nodes = min(nodes, on.nodes or nodes)
    plain = JobRequest(
        name="demo-3fa9c1-0",
        machine=on,
        nodes=nodes,
        minutes=120,
        ranks=nodes * on.ranks_per_node,
        threads=on.cores_per_rank,
        allreduce="ring",
        folder=Path("/scratch/runs/demo/submissions/20250102-030405-3fa9c1"),
        runs="0.txt",
        python="/opt/venv/bin/python",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def golden() -> Iterator[tuple[str, JobRequest]]:
    """Every shipped machine: one run, an array, runs side by side, a link of a chain, data staged."""
    for name in machine_names():
        suffix = SUFFIX[machine(name).scheduler]
        first = 1 if machine(name).scheduler == "lsf" else 0
        chosen: dict[str, JobRequest] = {
            "one": request(machine(name)),
            "packed": request(
                machine(name), nodes=1, ranks=1, pack=8, side_by_side=machine(name).ranks_per_node, retry=True
            ),
            "staged": request(machine(name, **STAGE), stage_from=Path("/projects/data/mnist")),
        }
        if suffix != "sh":
            array = Array(first, first + 19, 4)
            chosen["array"] = request(machine(name), array=array, max_failures=3)
            chosen["chain"] = request(machine(name, resume="chain"))
        for kind, one in sorted(chosen.items()):
            yield f"{name}-{kind}.{suffix}", one


def examples() -> Iterator[tuple[str, str]]:
    """Job files to be sent by hand, by path and content."""
    for name, folder, suffix, send, option in (
        ("slurm-6gpu", "slurm", "sbatch", "sbatch", "--array=0-3"),
        ("summit", "lsf", "lsf", "bsub", '-J "hlb-sweep[1-4]"'),
    ):
        lists: Mapping[str, object] = {"batch_sizes": [384, 768, 1536, 3072, 6144], "warmups": [0, 5, 10]}
        first = 1 if folder == "lsf" else 0
        for kind, array in (("one-point", None), ("batch-warmup-sweep", Array(first, first + 14))):
            path = f"{folder}/examples/{kind}.{suffix}"
            title = "hlb-sweep" if array else "hlb-point"
            values = context(request(machine(name), name=title, array=array, python="python"))
            values |= {"command": f"{send} {path}", "command_of_four": f"{send} {option} {path}", **lists}
            values["log"] = "hlb-%A_%a.log" if array else "hlb-%j.log"
            values["report"] = "hlb-%J_%I.lsf" if array else "hlb-%J.lsf"
            yield path, render_template(f"{folder}/example.{suffix}.j2", values)


def main() -> None:
    """Writes all of them."""
    for name, one in golden():
        (GOLDEN / name).write_text(render(one))
    for path, text in examples():
        (REPOSITORY / path).write_text(text)
    known = {name for name, _ in golden()}
    for left in [path for path in GOLDEN.iterdir() if path.name not in known]:
        print(f"{left} is of no machine any more", file=sys.stderr)


if __name__ == "__main__":
    main()
