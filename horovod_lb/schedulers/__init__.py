"""Command lines of launchers: pure functions from numbers to argument lists and environments."""

from __future__ import annotations
