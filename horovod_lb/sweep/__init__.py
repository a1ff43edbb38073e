"""The local sweep: sessions of ranks that work through a study's runs, watched and restarted."""

from __future__ import annotations

from horovod_lb.sweep.supervisor import run_sweep

__all__ = ["run_sweep"]
