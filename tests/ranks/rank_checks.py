"""Checks that need real ranks: `@ranks(2, 3)` functions `check_*(here)` in the files `check_*.py`.

Importing TensorFlow costs seconds a rank, so one `mpirun` for each number of ranks works through all checks
of that number (`program.py`); pytest finds them here from the source text, without importing anything.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 90.0


@dataclass(frozen=True)
class Check:
    """A check as its source says: module, function, numbers of ranks, time limit."""

    module: str
    name: str
    ranks: tuple[int, ...]
    seconds: float

    @property
    def id(self) -> str:
        return f"{self.module.removeprefix('check_')}.{self.name.removeprefix('check_')}"


@dataclass(frozen=True)
class Here:
    """What a check gets: this rank, all ranks, their communicator, and a folder that all ranks share."""

    rank: int
    size: int
    comm: Any
    out: Path

    def identical(self, *arrays: Any) -> None:
        """Fails on every rank unless all ranks hold the same bits."""
        import numpy as np

        mine = [np.asarray(array) for array in arrays]
        for index, found in enumerate(zip(*self.comm.allgather([a.tobytes() for a in mine]), strict=True)):
            assert len(set(found)) == 1, f"array {index} of {len(mine)} differs between the ranks"

    def first(self, value: Any) -> Any:
        """Rank 0's value."""
        return self.comm.bcast(value)


def ranks(*numbers: int, seconds: float = SECONDS) -> Callable[[Any], Any]:
    """Run the check on each of these numbers of ranks, `seconds` at most."""

    def mark(function: Any) -> Any:
        function.ranks, function.seconds = numbers, seconds
        return function

    return mark


def collect() -> list[Check]:
    """All checks, in the order of files and lines."""
    found = []
    for path in sorted(HERE.glob("check_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
                call = next(
                    d
                    for d in node.decorator_list
                    if isinstance(d, ast.Call) and ast.unparse(d.func) == "ranks"
                )
                options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
                numbers = tuple(ast.literal_eval(argument) for argument in call.args)
                found.append(Check(path.stem, node.name, numbers, options.get("seconds", SECONDS)))
    return found
