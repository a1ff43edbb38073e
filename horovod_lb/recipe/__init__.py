"""What a recipe means in numbers: the batch, the time line and the learning rate of every step.

Pure functions: no TensorFlow, no files, nothing random.
"""

from __future__ import annotations

from horovod_lb.recipe.batch import Batch
from horovod_lb.recipe.rate import LearningRate
from horovod_lb.recipe.resolve import Resolved, resolve
from horovod_lb.recipe.timeline import Timeline

__all__ = ["Batch", "LearningRate", "Resolved", "Timeline", "resolve"]
