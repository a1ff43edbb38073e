"""A sweep of trivial sessions as a process of its own: `sweep_program.py ROOT SPECS.json [OPTIONS.json]`.

`hosts` among the options is what `hlb run --hosts` takes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from horovod_lb.sweep import run_sweep
from horovod_lb.sweep.deadline import seconds_left
from horovod_lb.sweep.nodes import find_hosts

if __name__ == "__main__":
    root, specs, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    session = (sys.executable, str(Path(__file__).with_name("trivial_session.py")))
    if "hosts" in options:
        options["hosts"] = find_hosts(options["hosts"], os.environ)
    sys.exit(run_sweep("s", specs, Path(root), command=session, seconds=seconds_left(os.environ), **options))
