"""LSF's commands, and Summit's jsrun."""

from __future__ import annotations
