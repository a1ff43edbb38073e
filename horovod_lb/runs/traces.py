"""What a life records beside its results, on request: TensorBoard's events and Horovod's timeline.

Asked for with options of `hlb run` and `hlb submit`, never in a study: they change nothing of a run. The
ranks hear of it through the environment.
"""

from __future__ import annotations

from collections.abc import Mapping

TENSORBOARD = "HLB_TENSORBOARD"
TIMELINE = "HLB_TIMELINE"


def environment(*, tensorboard: bool = False, timeline: bool = False) -> dict[str, str]:
    """The variables that ask the ranks for it."""
    found = {TENSORBOARD: "1"} if tensorboard else {}
    # Horovod begins and ends a timeline at run time only where it was started with this value.
    return {**found, TIMELINE: "1", "HOROVOD_TIMELINE": "DYNAMIC"} if timeline else found


def asked(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the variable `name` asks for it."""
    return environ.get(name, "") not in ("", "0")
