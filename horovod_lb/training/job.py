"""The last line of a job script: `if __name__ == "__main__": hlb.job(main)`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path

from horovod_lb.distributed import init
from horovod_lb.errors import HlbError
from horovod_lb.training.worker import Main, execute


def job(main: Main) -> None:
    """Execute `main` on the run folder of `--run`, under whatever launcher started this rank.

    Exits with 0 for completed, diverged and stopped runs, 1 for a failed one and 2 for a wrong request. A
    rank that fails leaves at once, so that the launcher ends the others, who may wait for it.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument(
        "--run",
        required=True,
        type=Path,
        metavar="RUN_DIR",
        help="the run's folder; `hlb run STUDY` makes one for every run and starts this script's main",
    )
    arguments = parser.parse_args()
    # A scheduler's warning to all processes of a job; while the run trains it has a meaning.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    status = 0
    try:
        world = init()
        state = execute(arguments.run, main)
        if world.rank == 0:
            print(f"{arguments.run}: {state}")
    except HlbError as error:
        print(error, file=sys.stderr)
        status = error.exit_code
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if status:
        os._exit(status)
