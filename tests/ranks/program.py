"""One rank of a session of checks: `mpirun -n K python program.py OUT_DIR CHECK_ID...`.

Every rank writes `records/<check>.<rank>.json` with its outcome. A check that fails on all ranks alike leaves
them in step, and the next one follows; one that fails on some ranks only, or exceeds its time, ends the
program: the others may be waiting in a collective.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parent))

from rank_checks import Check, Here, collect

AFTER_A_FAILURE = 20.0


class Watch:
    """Ends the process, with the stacks of its threads in the record, when a check takes too long."""

    def __init__(self, out: Path, rank: int) -> None:
        self._out, self._rank = out, rank
        self._check: Check | None = None
        self._deadline = 0.0
        threading.Thread(target=self._run, daemon=True).start()

    def limit(self, check: Check | None, seconds: float = 0.0) -> None:
        self._deadline = time.monotonic() + seconds
        self._check = check

    def _run(self) -> None:
        while True:
            time.sleep(0.2)
            check = self._check
            if check is not None and time.monotonic() > self._deadline:
                with tempfile.TemporaryFile("w+") as file:
                    faulthandler.dump_traceback(file)
                    file.seek(0)
                    stacks = file.read()
                if not record_path(self._out, check, self._rank).exists():
                    record(self._out, check, self._rank, False, 0.0, f"exceeded its time; stacks:\n{stacks}")
                os._exit(3)


def record_path(out: Path, check: Check, rank: int) -> Path:
    return out / "records" / f"{check.id}.{rank}.json"


def record(out: Path, check: Check, rank: int, ok: bool, seconds: float, error: str) -> None:
    path = record_path(out, check, rank)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"ok": ok, "seconds": seconds, "error": error}))
    partial.rename(path)


def perform(check: Check, here: Here, watch: Watch) -> bool:
    """Run one check on this rank; whether all ranks are still in step."""
    watch.limit(check, check.seconds)
    began, ok, error = time.monotonic(), True, ""
    try:
        getattr(importlib.import_module(check.module), check.name)(here)
    except Exception:
        ok, error = False, traceback.format_exc()
    seconds = time.monotonic() - began
    record(here.out, check, here.rank, ok, seconds, error)
    if not ok:
        watch.limit(check, AFTER_A_FAILURE)
    outcomes = here.comm.allgather(ok)
    watch.limit(None)
    if here.rank == 0:
        print(f"{check.id} {'passed' if all(outcomes) else 'FAILED'} {seconds:.1f} s", flush=True)
    return len(set(outcomes)) == 1


def main() -> None:
    out, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    import horovod_lb as hlb

    world = hlb.init()
    comm: Any = MPI.COMM_WORLD
    here = Here(world.rank, world.size, comm, out)
    watch = Watch(out, here.rank)
    random.seed()
    for check in collect():
        if here.size in check.ranks and check.id in wanted and not perform(check, here, watch):
            sys.stdout.flush()
            os._exit(4)


if __name__ == "__main__":
    main()
