"""What the host that this runs on lends: `python -m horovod_lb.sweep.here` prints a line of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from horovod_lb.sweep.machine import cores


def visible_gpus(environ: Mapping[str, str], devices: Path = Path("/dev")) -> list[str]:
    """The GPUs as `CUDA_VISIBLE_DEVICES` names them: those that it lists, else all of NVIDIA's."""
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name for name in map(str.strip, listed.split(",")) if name and name != "-1"]
    numbers = [path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*")]
    return sorted((number for number in numbers if number.isdecimal()), key=int)


def main() -> None:
    """Prints this host's name, cores and GPUs, and which rank of the launcher's this is."""
    about = {
        "rank": int(os.environ.get("OMPI_COMM_WORLD_RANK", "0")),
        "host": os.uname().nodename,
        "cores": cores(),
        "gpus": visible_gpus(os.environ),
    }
    print(json.dumps(about), flush=True)


if __name__ == "__main__":
    main()
