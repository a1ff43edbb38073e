"""A job script without TensorFlow: does what its run's point says, and writes like a run."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from horovod_lb.runs import RunDirectory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    run = RunDirectory(parser.parse_args().run)
    point = run.read_spec()["point"]
    if point.get("end") == "before":
        sys.exit("ImportError: nothing to import")
    over = os.environ.get("HLB_SUPERSEDES")
    life = run.begin_life(os.environ["HLB_OWNER"], supersedes=int(over) if over else None)
    done = len(list(run.checkpoints.glob("step-*.npz")))
    while done < point.get("steps", 1):
        life.heartbeat(step=done)
        time.sleep(point.get("seconds", 0.0))
        if point.get("end") == "killed" or (point.get("end") == "killed once" and life.number == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if point.get("end") == "silent":
            return
        if point.get("end") == "failed":
            life.finish("failed", error="ValueError: no")
            sys.exit(1)
        done += 1
        run.checkpoints.mkdir(exist_ok=True)
        (run.checkpoints / f"step-{done:09d}.npz").touch()
        if run.stop_requested() and done < point.get("steps", 1):
            life.finish("stopped", reason=f"step {done}")
            return
    life.finish("completed", outcome="ok", visible=os.environ.get("CUDA_VISIBLE_DEVICES"))


main()
