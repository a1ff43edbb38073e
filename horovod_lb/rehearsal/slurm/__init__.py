"""Slurm's commands, as far as a rehearsal needs them."""

from __future__ import annotations
