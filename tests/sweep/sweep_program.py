"""A sweep of trivial sessions as a process of its own: `sweep_program.py ROOT SPECS.json [OPTIONS.json]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from horovod_lb.sweep import run_sweep

if __name__ == "__main__":
    root, specs, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    session = (sys.executable, str(Path(__file__).with_name("trivial_session.py")))
    sys.exit(run_sweep("s", specs, Path(root), command=session, **options))
