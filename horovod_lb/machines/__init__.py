"""Machine profiles: data files that say what a site is like, and their loader."""

from __future__ import annotations

from horovod_lb.machines.load import default_machine, load_machine, machine_names
from horovod_lb.machines.profile import Machine, hours, minutes

__all__ = ["Machine", "default_machine", "hours", "load_machine", "machine_names", "minutes"]
