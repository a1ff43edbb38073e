"""Stand-ins for batch systems: real executables with the documented grammar, on this machine."""

from __future__ import annotations
