"""Studies on batch systems: planning, submitting, following and resuming jobs."""

from __future__ import annotations
