"""What is measured while training goes on, as Keras callbacks: distance, trust ratios, noise scale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from horovod_lb.errors import RequestError
from horovod_lb.measure.fits import Fit, Growth
from horovod_lb.measure.scale import Averages, from_groups
from horovod_lb.measure.watch import GradientWatch


class Measurement(keras.callbacks.Callback, ABC):
    """A callback that adds its `columns` to an epoch's logs.

    `variables` are its state: saved with them and restored, it goes on as if never stopped. `model.fit` takes
    it as it is; the run loop calls `prepare` before the optimizer is built and before a checkpoint is loaded.
    """

    variables: Sequence[Any] = ()
    by_step = False

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The names of what it measures."""

    def prepare(self, model: Any, optimizer: Any) -> None:
        """Make the state of this measurement, at the initial weights."""

    @abstractmethod
    def measure(self, epoch: int) -> dict[str, float | None]:
        """The columns at the end of an epoch (from 1) that is due; None where there is no value."""

    @property
    def step_columns(self) -> tuple[str, ...]:
        """The names of what `latest` has."""
        return ()

    def latest(self) -> dict[str, float | None]:
        """What was measured after the step that has just ended; empty where it was not due."""
        return {}

    def due(self, epoch: int) -> bool:
        """Whether epoch `epoch` (from 1) is measured; the last one always is."""
        return True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put what was measured into `logs`."""
        if logs is not None and self.due(epoch + 1):
            found = self.measure(epoch + 1)
            logs.update({name: value for name, value in found.items() if value is not None})


class Distance(Measurement):
    """‖w_t − w_0‖₂ over all trainable weights, and how it grows with t; see `fits.Growth`.

    Args:
        every_steps: the fits take the distance after every so many updates.
        by_step: a run keeps these distances in its `steps.csv`.

    In `model.fit` it stands after `Synchronize`, whose weights it starts from.
    """

    def __init__(self, every_steps: int = 1, by_step: bool = False) -> None:
        super().__init__()
        if every_steps < 1:
            raise ValueError(f"every_steps must be at least 1, not {every_steps}")
        self.every_steps, self.by_step = every_steps, by_step
        self._latest: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The distance; slope, R² of the fits against log t and √t; α of the diffusion and its R²."""
        log, root = (f"distance_{name}" for name in ("log", "sqrt"))
        return ("distance", log, f"{log}_r2", root, f"{root}_r2", "diffusion_alpha", "diffusion_r2")

    def prepare(self, model: Any, optimizer: Any) -> None:
        """Remember the weights as they are now."""
        self._trained, self._optimizer = list(model.trainable_variables), optimizer
        self._start = [
            keras.Variable(v.numpy(), trainable=False, dtype=v.dtype, name=f"start_{index}")
            for index, v in enumerate(self._trained)
        ]
        # t of the last point, then `Growth.state`.
        self._state = keras.Variable(np.zeros(19), trainable=False, dtype="float64", name="growth")
        self.variables = [*self._start, self._state]
        self._squares = tf.function(self._sum_of_squares)

    def on_train_begin(self, logs: Any = None) -> None:
        """In `model.fit`: start here."""
        if not self.variables:
            self.prepare(self.model, self.model.optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """One more point, where it is due and the step was not skipped."""
        t, state = int(self._optimizer.iterations), np.array(self._state.numpy())
        self._latest = None
        if t % self.every_steps == 0 and t > state[0]:
            self._latest, growth = self.distance(), Growth(state[1:])
            growth.add(t, self._latest)
            self._state.assign(np.concatenate([[t], growth.state]))

    @property
    def step_columns(self) -> tuple[str, ...]:
        """`distance`."""
        return ("distance",)

    def latest(self) -> dict[str, float | None]:
        """See `step_columns`."""
        return {} if self._latest is None else {"distance": self._latest}

    def distance(self) -> float:
        """‖w − w_0‖₂ now."""
        return math.sqrt(float(self._squares()))

    def growth(self) -> Growth:
        """The fits of all points so far."""
        return Growth(np.array(self._state.numpy())[1:])

    def measure(self, epoch: int) -> dict[str, float | None]:
        """See `columns`."""
        growth = self.growth()
        values = [self.distance(), *_told(growth.log), *_told(growth.root)]
        values += [growth.alpha, _told(growth.diffusion)[1]]
        return dict(zip(self.columns, values, strict=True))

    def _sum_of_squares(self) -> Any:
        squares = [
            tf.cast(2.0 * tf.nn.l2_loss(tf.cast(tf.convert_to_tensor(now) - start, tf.float32)), tf.float64)
            for now, start in zip(self._trained, self._start, strict=True)
        ]
        return tf.add_n(squares)


def _told(fit: Fit | None) -> tuple[float | None, float | None]:
    return (fit.slope, fit.r_squared) if fit else (None, None)


class NoiseScale(Measurement):
    """The gradient noise scale, from the groups of every step; see `scale.from_groups` and `scale.Averages`.

    `watch` goes into the training step, whose sums come back by `add`. There is no such step in `model.fit`.

    Args:
        decay: of the moving averages, a step.
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = Averages(decay).decay
        self.watch: GradientWatch | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """B_simple in examples, and the averages of |G|² and tr Σ that it is the ratio of."""
        return ("noise_scale", "gradient_square", "gradient_variance")

    def prepare(self, model: Any, optimizer: Any) -> None:
        """Watch the reduced gradients of `optimizer`, a `DistributedOptimizer`."""
        if optimizer.micro_batches > 1:
            raise RequestError(
                "measure: noise_scale takes a step's groups for its batch, and the optimizer joins "
                f"{optimizer.micro_batches} steps (gradient_accumulation_steps); leave one of them out"
            )
        self._state = keras.Variable(np.zeros(3), trainable=False, dtype="float64", name="noise_averages")
        self.variables = [self._state]
        self.watch = optimizer.watch = GradientWatch(optimizer)

    def add(self, sums: Any, batch: int) -> None:
        """One step: what the watch returned for its groups, added up; `batch` examples on all ranks."""
        groups = round(float(sums[1]))
        if groups < 2 or self.watch is None:
            return
        averages = Averages(self.decay, np.array(self._state.numpy()))
        averages.add(from_groups(float(sums[0]), groups, self.watch.reduced_square, batch))
        self._state.assign(averages.state)

    def measure(self, epoch: int) -> dict[str, float | None]:
        """See `columns`."""
        averages = Averages(self.decay, np.array(self._state.numpy()))
        if (noise := averages.noise) is None:
            return dict.fromkeys(self.columns)
        values = (averages.scale, noise.gradient_square, noise.variance)
        return dict(zip(self.columns, values, strict=True))


class TrustRatios(Measurement):
    """Trust ratios by variable: their means over an epoch, and the lowest and the highest of all.

    For optimizers with `trust_ratios()`: LARS, LAMB, LayerWise. `prepare` must come before the optimizer is
    built; in `model.fit` give the optimizer `record_ratios=True`.

    Args:
        every_steps: of how many steps one is looked at.
        by_step: a run keeps these ratios in its `steps.csv`.
    """

    def __init__(self, every_steps: int = 1, by_step: bool = False) -> None:
        super().__init__()
        if every_steps < 1:
            raise ValueError(f"every_steps must be at least 1, not {every_steps}")
        self.every_steps, self.by_step = every_steps, by_step
        self._latest: dict[str, float | None] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """`trust_ratio_min`, `trust_ratio_max`, and `trust_ratio[<path>]` for each adapted variable."""
        names = [f"trust_ratio[{path}]" for path in self._adaptive.trust_ratios()]
        return ("trust_ratio_min", "trust_ratio_max", *names)

    def prepare(self, model: Any, optimizer: Any) -> None:
        """Make the optimizer record its ratios. RequestError: it has none."""
        self._optimizer, self._adaptive = optimizer, _with_ratios(optimizer)
        if not self._adaptive.built:
            self._adaptive.record_ratios = True
        # Rows: sum, count, lowest, highest, by variable, since the epoch began.
        shape = (4, len(model.trainable_variables))
        self._state = keras.Variable(np.zeros(shape), trainable=False, dtype="float64", name="ratio_sums")
        self._state.assign(_empty(shape))
        self.variables = [self._state]

    def on_train_begin(self, logs: Any = None) -> None:
        """In `model.fit`: start here."""
        if not self.variables:
            self.prepare(self.model, self.model.optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Add the ratios of this step."""
        self._latest = {}
        if int(self._optimizer.iterations) % self.every_steps:
            return
        ratios = np.array(list(self._adaptive.trust_ratios().values()))
        known = np.isfinite(ratios)
        if self.by_step:
            values = [float(ratio) if finite else None for ratio, finite in zip(ratios, known, strict=True)]
            self._latest = dict(zip(self.step_columns, values, strict=True))
        state = np.array(self._state.numpy())
        sums, counts, lowest, highest = state[:, : len(ratios)]
        sums[known] += ratios[known]
        counts[known] += 1
        lowest[known] = np.minimum(lowest[known], ratios[known])
        highest[known] = np.maximum(highest[known], ratios[known])
        self._state.assign(state)

    @property
    def step_columns(self) -> tuple[str, ...]:
        """`trust_ratio[<path>]` for each adapted variable."""
        return self.columns[2:]

    def latest(self) -> dict[str, float | None]:
        """See `step_columns`."""
        return self._latest

    def measure(self, epoch: int) -> dict[str, float | None]:
        """See `columns`; the sums begin anew."""
        sums, counts, lowest, highest = np.array(self._state.numpy())
        self._state.assign(_empty(self._state.shape))
        columns = self.columns
        ends = (float(lowest.min()), float(highest.max())) if counts.any() else (None, None)
        means = [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]
        return dict(zip(columns, [*ends, *means[: len(columns) - 2]], strict=True))


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    state = np.zeros(shape)
    state[2], state[3] = np.inf, -np.inf
    return state


def _with_ratios(optimizer: Any) -> Any:
    while not hasattr(optimizer, "trust_ratios"):
        if not hasattr(optimizer, "inner_optimizer"):
            raise RequestError(
                f"measure: trust_ratios: {type(optimizer).__name__} has none; use LARS, LAMB or LayerWise"
            )
        optimizer = optimizer.inner_optimizer
    return optimizer
