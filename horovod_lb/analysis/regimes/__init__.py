"""How far the batch size can be raised: targets, laws in the batch size, and the regimes after You et al."""

from __future__ import annotations

from horovod_lb.analysis.regimes.baseline import Baseline
from horovod_lb.analysis.regimes.best import Best, best_by_batch
from horovod_lb.analysis.regimes.boundaries import Boundary
from horovod_lb.analysis.regimes.fits import CriticalBatch, PowerLaw, epochs_by_batch, power_law
from horovod_lb.analysis.regimes.judged import Judged
from horovod_lb.analysis.regimes.laws import Law, laws
from horovod_lb.analysis.regimes.proposal import Proposal
from horovod_lb.analysis.regimes.survey import Survey, survey
from horovod_lb.analysis.regimes.targets import Reached, Target, reached, target_of, targets_table

__all__ = [
    "Baseline",
    "Best",
    "Boundary",
    "CriticalBatch",
    "Judged",
    "Law",
    "PowerLaw",
    "Proposal",
    "Reached",
    "Survey",
    "Target",
    "best_by_batch",
    "epochs_by_batch",
    "laws",
    "power_law",
    "reached",
    "survey",
    "target_of",
    "targets_table",
]
