"""Checks of a site before anything is trained: from the login node, and on the ranks of an allocation."""

from __future__ import annotations

from horovod_lb.checks.finding import Finding, State, worst

__all__ = ["Finding", "State", "worst"]
