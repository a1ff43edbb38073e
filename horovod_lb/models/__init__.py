"""Networks by name. Inputs are float32 images; outputs are float32 logits.

Initial weights are drawn from seeds that Keras' global generator hands out, so
`keras.utils.set_random_seed(seed)` before the build decides every weight; a run does that on all ranks.
Every layer has a name of its own: variable paths are the same in each build, however many came before.
"""

from __future__ import annotations

from horovod_lb.models.registry import BUILDERS, build

__all__ = ["BUILDERS", "build"]
