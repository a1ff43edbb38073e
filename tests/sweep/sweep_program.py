"""A sweep of trivial sessions as a process of its own: `sweep_program.py ROOT SPECS.json [OPTIONS.json]`.

`hosts` among the options is what `hlb run --hosts` takes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from horovod_lb.sweep import run_sweep
from horovod_lb.sweep.deadline import seconds_left
from horovod_lb.sweep.nodes import find_hosts

PROGRAM = Path(__file__)
SESSION = (sys.executable, str(PROGRAM.with_name("trivial_session.py")))


def spec(number: int, do: str = "complete", **point: Any) -> dict[str, Any]:
    """What a sweep reads of a run's `run.json`, and what the trivial session is to `do`."""
    allreduce = point.pop("allreduce", "ring")
    workers = point.pop("workers", 2)
    return {
        "schema": 1,
        "run_id": f"{number:04d}abcd",
        "study": "s",
        "point": {"do": do, **point},
        "seed": 0,
        "model": {"name": "none"},
        "resources": {"workers": workers},
        "recipe": {"communication": {"allreduce": allreduce}},
        "derived": {"batch_size": 8 * workers, "groups": workers},
    }


if __name__ == "__main__":
    root, specs, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    if "hosts" in options:
        options["hosts"] = find_hosts(options["hosts"], os.environ)
    sys.exit(run_sweep("s", specs, Path(root), command=SESSION, seconds=seconds_left(os.environ), **options))
