"""pip in the environment: its words, the tools that builds need, and what its complaints mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from horovod_lb.errors import BuildError
from horovod_lb.wheel import progress, source
from horovod_lb.wheel.toolchain import first_error

ROOT = Path(__file__).resolve().parents[2]


def words(venv: Path) -> list[str]:
    """`pip install` with this project's pins."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    return [*pip, "--constraint", str(ROOT / "constraints.txt"), "--no-compile"]


def install_tools(venv: Path, env: Mapping[str, str], log: Path) -> None:
    """What an editable installation without build isolation needs. BuildError."""
    tools = progress.run(
        [*words(venv), "setuptools", "wheel"],
        label="Environment: build tools",
        log=log,
        env=dict(env),
        cwd=ROOT,
    )
    if tools.code:
        raise BuildError(explain("\n".join(tools.tail), log))


def explain(output: str, log: Path) -> str:
    """What pip's output means, as a sentence with the remedy."""
    if source.says_unreachable(output):
        return (
            "The package index cannot be reached, so the environment's packages could not be installed. "
            "Connect this machine, or point pip at a mirror or a folder of wheels (PIP_INDEX_URL, or "
            f"PIP_NO_INDEX=1 with PIP_FIND_LINKS=/folder). pip's output is in {log}."
        )
    if "No space left on device" in output:
        return (
            "The disk is full: the environment needs about 3 GB. Make room, or choose another disk with "
            "`make VENV=/path/to/folder`."
        )
    return (
        f"pip could not install the environment's packages: {first_error(output)}. pip's output is in {log}."
    )
