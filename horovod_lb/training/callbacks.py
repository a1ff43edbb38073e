"""The recipe's learning rate as Keras callbacks, under the names people look for.

They only describe: each contributes its part, and the rate of a step is the same pure function of the recipe
that the in-graph `RecipeSchedule` looks up. Use the callbacks or the schedule, not both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import keras

from horovod_lb.errors import RecipeError
from horovod_lb.recipe import Resolved, resolve

_NO_SCALING = {
    "kind": "none",
    "batch_size": 1,
    "reference": None,
    "examples": None,
    "remainder": "continuous",
}
_NO_WARMUP = {"kind": "none", "epochs": 0, "steps": None, "start": "reference"}


class _Composition:
    """The recipe that the callbacks of one optimizer describe together."""

    def __init__(self, reference: float) -> None:
        self.reference = reference
        self.last = reference
        self.parts: dict[str, Any] = {}
        self._resolved: Resolved | None = None

    def add(self, section: str, value: Any) -> None:
        if section in self.parts and self.parts[section] != value:
            raise RecipeError(f"two callbacks describe the {section} of the learning rate; keep one of them")
        self.parts[section] = value
        self._resolved = None

    def rate(self, step: int, steps_per_epoch: int | None, epochs: int) -> float:
        if self._resolved is None:
            self._resolved = self._resolve(steps_per_epoch, epochs)
        self.last = self._resolved.rate(step)
        return self.last

    def _resolve(self, steps_per_epoch: int | None, epochs: int) -> Resolved:
        scaling = self.parts.get("scaling", _NO_SCALING)
        examples = scaling["examples"] or (steps_per_epoch or 0) * scaling["batch_size"]
        if examples < 1:
            raise RecipeError(
                "the number of steps an epoch is not known: give `steps_per_epoch` to model.fit, or "
                "`examples` to LinearScaling"
            )
        reference = scaling.get("rate") or self.reference
        recipe = {
            "batch_size": scaling["batch_size"],
            "groups": 1,
            "epochs": epochs,
            "budget": None,
            "remainder": scaling["remainder"],
            "reference": {
                "batch_size": scaling["reference"],
                "learning_rate": reference,
                "warmup_epochs": None,
            },
            "scaling": scaling["kind"],
            "warmup": self.parts.get("warmup", _NO_WARMUP),
            "schedule": self.parts.get("schedule", {"kind": "constant"}),
        }
        return resolve(recipe, examples=examples, workers=1)


_compositions: WeakKeyDictionary[Any, _Composition] = WeakKeyDictionary()


class _RateCallback(keras.callbacks.Callback):
    """Adds its part to the optimizer's composition and sets the rate before every step."""

    section = ""  # of the recipe
    _part: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Join the other rate callbacks of this optimizer."""
        optimizer = self.model.optimizer
        if not isinstance(optimizer.learning_rate, keras.Variable):
            raise RecipeError(
                f"{type(self).__name__} sets the learning rate, but the optimizer has a schedule: use "
                "the callbacks with a plain learning rate, or the schedule alone"
            )
        if getattr(self.model, "steps_per_execution", 1) > 1:
            raise RecipeError(
                f"{type(self).__name__} sets the rate before every step, which steps_per_execution > 1 does "
                "not allow: use hlb.RecipeSchedule instead"
            )
        now = float(optimizer.learning_rate)
        composition = _compositions.get(optimizer)
        if composition is None or abs(now - composition.last) > 1e-6 * abs(composition.last):
            composition = _compositions[optimizer] = _Composition(now)
        composition.add(self.section, self._part)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set η(t), with t the optimizer's count of steps, which survives a resume."""
        optimizer = self.model.optimizer
        rate = _compositions[optimizer].rate(
            int(optimizer.iterations), self.params.get("steps"), int(self.params["epochs"])
        )
        optimizer.learning_rate = rate

    def on_train_end(self, logs: Any = None) -> None:
        """The next training may bring other callbacks."""
        if self.model.optimizer in _compositions:
            _compositions[self.model.optimizer].parts.clear()


class LinearScaling(_RateCallback):
    """Peak rate = reference rate · B / B_ref (Goyal et al. 2017).

    Args:
        batch_size: B, the global batch over all ranks.
        reference_batch_size: B_ref, the batch that the reference rate was tuned for.
        reference_rate: default: the rate of the optimizer when training begins.
        examples: N, all training examples over all ranks; default: steps an epoch · B.
        remainder: what becomes of the rest of N / B, as in a recipe: it decides how many steps an epoch has.
    """

    section = "scaling"

    def __init__(
        self,
        batch_size: int,
        reference_batch_size: int = 256,
        reference_rate: float | None = None,
        examples: int | None = None,
        remainder: str = "continuous",
    ) -> None:
        super().__init__()
        self._part = {
            "kind": "linear",
            "batch_size": int(batch_size),
            "reference": int(reference_batch_size),
            "rate": reference_rate,
            "examples": examples,
            "remainder": remainder,
        }


class GradualWarmup(_RateCallback):
    """From `start` to the peak rate, linearly by the step: start + (peak − start)·t/T_w for t < T_w.

    Args:
        epochs: length of the warmup; fractions allowed.
        start: `reference` (the rate before scaling), `zero`, or a rate.
        steps: length in steps instead.
    """

    section = "warmup"
    kind = "gradual"

    def __init__(self, epochs: float = 0, start: str | float = "reference", steps: int | None = None) -> None:
        super().__init__()
        if isinstance(start, str) and start not in ("reference", "zero"):
            raise RecipeError(f"the warmup starts from 'reference', 'zero' or a rate, not from {start!r}")
        if epochs and steps is not None:
            raise RecipeError("give the length of the warmup in epochs or in steps, not both")
        kind = self.kind if epochs or steps else "none"
        self._part = {"kind": kind, "epochs": epochs, "steps": steps, "start": start}


class ConstantWarmup(GradualWarmup):
    """The rate `start` for the first `epochs` epochs, then the peak rate at once."""

    kind = "constant"


class StepDecay(_RateCallback):
    """The peak rate times `factor` to the number of `epochs` passed.

    `anchor`: they count from the first step (`zero`) or from the end of warmup (`after_warmup`).
    """

    section = "schedule"

    def __init__(self, epochs: Sequence[float], factor: float = 0.1, anchor: str = "zero") -> None:
        super().__init__()
        self._part = {"kind": "step", "epochs": list(epochs), "factor": factor, "anchor": anchor}
