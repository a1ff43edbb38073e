"""What the TensorFlow, Keras, Horovod and MPI of this Python are: `python -m horovod_lb.wheel.probe`.

Prints a line a part, so that a part that kills the process (an MPI that login nodes forbid) is known by name.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MARK = "HLB-PROBE "
#: Importing TensorFlow from a cold parallel file system takes minutes.
SECONDS = 300.0
Report = dict[str, Any]


def tensorflow() -> Report:
    """Version of TensorFlow, and of the Keras it calls its own."""
    tf = importlib.import_module("tensorflow")
    return {"version": tf.__version__, "keras": str(tf.keras.__version__)}


def keras() -> Report:
    """Version and backend of the package `keras`."""
    module = importlib.import_module("keras")
    return {"version": module.__version__, "backend": module.backend.backend()}


def horovod() -> Report:
    """Version of Horovod's TensorFlow part, and what it was built with."""
    hvd = importlib.import_module("horovod.tensorflow")
    built = {part: int(getattr(hvd, f"{part}_built")()) for part in ("mpi", "gloo", "nccl")}
    return {"version": importlib.import_module("horovod").__version__, **built}


def mpi4py() -> Report:
    """Version of mpi4py and of the MPI library that it finds."""
    module = importlib.import_module("mpi4py")
    module.rc.initialize = False
    library = importlib.import_module("mpi4py.MPI").Get_library_version()
    return {"version": module.__version__, "library": library.split(",")[0].splitlines()[0].strip("\0 ")}


PARTS: Mapping[str, Callable[[], Report]] = {
    "tensorflow": tensorflow,
    "keras": keras,
    "horovod": horovod,
    "mpi4py": mpi4py,
}


def probe(
    python: str | os.PathLike[str] = sys.executable,
    env: Mapping[str, str] | None = None,
    timeout: float = SECONDS,
) -> dict[str, Report]:
    """Each part as another process of `python` finds it: its report, or {"error": why it cannot be used}."""
    root = str(Path(__file__).resolve().parents[2])
    variables = {
        **(os.environ if env is None else env),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [root, variables.get("PYTHONPATH")]))
    command = [os.fspath(python), "-m", __name__ if __name__ != "__main__" else "horovod_lb.wheel.probe"]
    output, ended = _run(command, variables, timeout)
    found: dict[str, Report] = {}
    for line in output.splitlines():
        if line.startswith(MARK):
            found |= json.loads(line[len(MARK) :])
    for part in PARTS:
        if part not in found:
            found[part] = {"error": ended}
            ended = "was not tried"
    return found


def _run(command: Sequence[str], variables: Mapping[str, str], timeout: float) -> tuple[str, str]:
    """The output, and what to say of a part that did not report."""
    try:
        done = subprocess.run(
            command, env=dict(variables), capture_output=True, text=True, errors="replace", timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output if isinstance(output, str) else output.decode(errors="replace")
        return text, f"did not finish importing within {timeout:.0f} s"
    except OSError as error:
        return "", f"{command[0]} cannot be started: {error.strerror}"
    if done.returncode < 0:
        return done.stdout, f"importing it killed the process (signal {-done.returncode})"
    lines = done.stderr.strip().splitlines()
    return done.stdout, f"Python ended with status {done.returncode}: {lines[-1] if lines else 'no output'}"


def main() -> int:
    """Reports part by part."""
    for name, part in PARTS.items():
        start = time.monotonic()
        try:
            report = part()
        except Exception as error:
            report = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        report["seconds"] = round(time.monotonic() - start, 2)
        print(MARK + json.dumps({name: report}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
