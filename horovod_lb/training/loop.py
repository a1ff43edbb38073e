"""The run loop: steps, epochs, evaluation, checkpoints, and the ways a run can end.

It does not stand on `model.fit`, whose epochs have a fixed number of steps: here an epoch ends after
ceil(e·N/B) steps, parts of a batch may be unequal, and a run can go on from any step. Keras callbacks work
as they do there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import horovod.tensorflow as hvd
import keras
import numpy as np

from horovod_lb.data import DataSet
from horovod_lb.data.feed import Batch, stream
from horovod_lb.data.order import Order
from horovod_lb.data.portion import Portion
from horovod_lb.distributed import DistributedOptimizer, check_identical
from horovod_lb.errors import DataError
from horovod_lb.measure import Measurements
from horovod_lb.training import build, checkpoint, precision
from horovod_lb.training.averaging import Averaging
from horovod_lb.training.checkpoint import Position
from horovod_lb.training.context import RunContext
from horovod_lb.training.control import Control
from horovod_lb.training.evaluate import Evaluation, means
from horovod_lb.training.loss import COUNT, LOSS, cross_entropy
from horovod_lb.training.normalization import check_layers
from horovod_lb.training.pace import Pace
from horovod_lb.training.record import Record
from horovod_lb.training.saver import Saver
from horovod_lb.training.statistics import moving_state
from horovod_lb.training.step import TrainingStep
from horovod_lb.training.timings import Stopwatch

CHECK_EVERY = 500


@dataclass(frozen=True)
class Result:
    """How training ended: `completed`, `stopped` or `diverged`, and the fields of the exit record."""

    state: str
    outcome: str | None = None
    reason: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class Loop:
    """Trains one model by the recipe of one run."""

    def __init__(
        self,
        run: RunContext,
        model: keras.Model,
        optimizer: DistributedOptimizer,
        data: DataSet,
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.run, self.model, self.optimizer, self.data = run, model, optimizer, data
        if len(data.train) != run.info.train_examples:
            raise DataError(
                f"the job has {len(data.train):,} training examples, "
                f"the study says {run.info.train_examples:,}; "
                "the recipe's steps and rates are those of the study; correct its `data` (`examples` of a "
                "custom set, `holdout`)"
            )
        check_layers(run, model)
        recipe = run.recipe
        passes = run.resolved.batch.groups // run.span.groups
        # Compiled for the sake of callbacks, which look for model.optimizer; the loop has its own step.
        model.compile(optimizer=optimizer, jit_compile=False)
        build.exclude(recipe, optimizer, model)
        self.measurements = Measurements(
            run.spec.get("measure") or (),
            model,
            optimizer,
            data.train,
            normalize=data.info.normalization,
            batch_size=run.resolved.batch.batch_size,
            epochs=run.resolved.timeline.epoch_ends[-1][0],
            loss=loss or cross_entropy,
        )
        optimizer.build(model.trainable_variables)
        self.step = TrainingStep(
            model,
            optimizer,
            normalize=data.info.normalization,
            seed=run.seed,
            smoothing=recipe["label_smoothing"],
            penalty=build.penalty(recipe, optimizer),
            penalized=build.decayed_variables(model, recipe["weight_decay"]["exclude"]),
            loss=loss,
            sam=recipe.get("sam"),
            noise=recipe.get("noise"),
            classes=data.info.classes,
            groups=passes,
            peers=run.peers,
            watch=self.measurements.watch,
        )
        average = recipe.get("ema") or {}
        self.averaging = Averaging(optimizer, model.trainable_variables, average.get("evaluate", "averaged"))
        self.evaluate = Evaluation(model, data.info.normalization, loss)
        batch = run.resolved.batch
        self.order = Order(len(data.train), batch.batch_size, recipe["remainder"], run.seed)
        self.portion = Portion(self.order, passes, run.world.size, run.world.rank)
        self.stopwatch = optimizer.reducer.stopwatch = Stopwatch()
        self.record = Record(run.life, run.world.rank == 0)
        self._common = [*model.trainable_variables, *moving_state(model)]  # the same on every rank
        state = [*checkpoint.state_variables(model, optimizer), *self.measurements.variables]
        self.saver = Saver(run.life, self.record, state, run.spec["checkpoint"])

    def train(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> Result:
        """Train to the end of the recipe, or until the run is asked to stop or diverges."""
        timeline = self.run.resolved.timeline
        position = self.saver.restore()
        hooks = keras.callbacks.CallbackList(
            list(callbacks),
            model=self.model,
            epochs=timeline.epoch_ends[-1][0],
            steps=int(np.ceil(timeline.steps_per_epoch)),
        )
        minutes = self.run.spec["checkpoint"].get("every_minutes")
        self.control = Control(self.run.directory, position.step, minutes, lambda: self.saver.busy)
        self._began, self._pace = time.monotonic(), Pace(self.stopwatch)
        self._accuracy: float | None = None
        self.model.stop_training = False
        hooks.on_train_begin()
        requests = self.portion.requests(position.step, timeline.total_steps)
        with self.saver, closing(stream(self.data.train, requests)) as feed:
            for epoch, end in timeline.epoch_ends:
                if position.over:
                    break
                if end <= position.step:
                    continue
                position, ending = self._epoch(epoch, end, position, hooks, feed)
                if ending is not None:
                    hooks.on_train_end()
                    return ending
            problem = self._last_writes()
        check_identical(self._common, "at the end of training")
        self.averaging.finish()
        hooks.on_train_end()
        if not int(self.optimizer.iterations):
            return self._diverged(position.step - 1, "not one gradient has been finite")
        if problem:
            reason = f"trained to the end, but not all is saved: {problem}"
            return Result("stopped", None, reason, self._speed())
        return Result("completed", "ok", None, {**self._speed(), **self._test()})

    def _epoch(
        self,
        epoch: int,
        end: int,
        position: Position,
        hooks: keras.callbacks.CallbackList,
        feed: Iterator[Batch],
    ) -> tuple[Position, Result | None]:
        """The steps up to `end`, which ends epoch `epoch`, then its evaluation, row and checkpoint."""
        sums, began = np.array(position.epoch_sums), time.monotonic() - position.epoch_seconds
        hooks.on_epoch_begin(epoch - 1)
        self._pace.begin_epoch()
        for step in range(position.step, end):
            hooks.on_train_batch_begin(step)
            totals, watched = np.split(self._train_step(step, feed), [4])
            if not np.isfinite(totals[LOSS]):
                return position, self._diverged(step)
            sums += totals
            self.measurements.step(step, watched, round(float(totals[COUNT])))
            self._pace.step(float(totals[COUNT]))
            hooks.on_train_batch_end(step, {"loss": float(totals[LOSS] / totals[COUNT])})
            done = step + 1
            self._check_weights(done)
            decision = self.control.decide(done)
            if decision.due and not self._finite_weights():
                return position, self._diverged(step, "a weight is not finite")
            if decision.due:
                self._heartbeat(epoch, done, sums)
            if (decision.stop or decision.save) and done < end:
                position = Position(done, epoch - 1, tuple(sums.tolist()), time.monotonic() - began)
                self._save(position)
                if decision.stop:
                    return position, self._stopped(f"step {done}")
        seconds = time.monotonic() - began
        row = self._end_epoch(epoch, end, sums, seconds)
        if not self._finite_weights():
            return position, self._diverged(end - 1, "a weight is not finite")
        hooks.on_epoch_end(epoch - 1, {key: value for key, value in row.items() if value is not None})
        stop, enough = self._stop_now()
        last = enough or end == self.run.resolved.timeline.total_steps
        stop = stop and not last
        position = Position(end, epoch, over=last)
        if last or stop or self.saver.due(epoch, end):
            self._save(position)
        return position, self._stopped(f"epoch {epoch}") if stop else None

    def _train_step(self, step: int, feed: Iterator[Batch]) -> np.ndarray:
        with self._pace.waiting_for_input():
            batch = next(feed)
        groups = self.portion.cut(step, *batch)
        first, size = self.portion.numbers.start, self.order.step_size(step)
        return self.step(step, groups, first, size, self.run.world.size)

    def _end_epoch(self, epoch: int, step: int, sums: np.ndarray, seconds: float) -> dict[str, Any]:
        started = time.monotonic()
        with self.averaging.evaluated():
            train, val = means(sums), self.evaluate(self.data.val)
        self._accuracy = val["accuracy"]
        measured = self.measurements.epoch(epoch) if self._finite_weights() else {}
        row = {
            "epoch": epoch,
            "step": step,
            "learning_rate": build.rate_of_last_update(self.optimizer, self.run.resolved),
            "train_loss": train["loss"],
            "train_accuracy": train["accuracy"],
            "val_loss": val["loss"],
            "val_accuracy": val["accuracy"],
            "images_per_second": self._pace.epoch,
            "seconds": seconds + time.monotonic() - started,
            **precision.columns(self.optimizer, step),
            **measured,
        }
        if self.run.info.classes > 10:
            row["val_top5"] = val["top5"]
        self.record.epoch(row)
        self.record.say(
            f"epoch {epoch}: train loss {train['loss']:.4f}, validation accuracy {val['accuracy']:.4f}, "
            f"{self._pace.epoch or 0:.0f} images/s"
        )
        return row

    def _stopped(self, where: str) -> Result:
        problem = self._last_writes()
        reason = f"asked to stop, after {where}" + (f"; not all is saved: {problem}" if problem else "")
        return Result("stopped", reason=reason, fields=self._speed())

    def _finite_weights(self) -> bool:
        """oneDNN's fused ReLU makes 0 of NaN, so the loss of a broken network may well be finite."""
        return all(np.isfinite(variable.numpy()).all() for variable in self._common)

    def _diverged(self, step: int, what: str = "the loss is not finite") -> Result:
        reason = f"{what} at step {step}"
        self._keep_rows()
        self.record.event("diverged", step=step)
        self.record.say(reason)
        return Result("diverged", "nan", reason, {**self._speed(), "step": step})

    def _test(self) -> dict[str, Any]:
        if self.data.test is None:
            return {}
        test = self.evaluate(self.data.test)
        return {"test_loss": test["loss"], "test_accuracy": test["accuracy"]}

    def _speed(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._began
        return {"wall_seconds": seconds, **self._pace.parts()}

    def _check_weights(self, done: int) -> None:
        if done <= 2 or done % CHECK_EVERY == 0:
            check_identical(self._common, f"after step {done}")

    def _stop_now(self) -> tuple[bool, bool]:
        """At an epoch's end: was the run asked to stop, does a callback end it? Rank 0 says; collective."""
        said = np.array([self.run.directory.stop_requested(), self.model.stop_training], np.int64)
        if hvd.size() > 1:
            said = hvd.broadcast(said, root_rank=0, name="hlb.stop").numpy()
        self.model.stop_training = bool(said[1])
        return bool(said[0]), bool(said[1])

    def _heartbeat(self, epoch: int, done: int, sums: np.ndarray) -> None:
        self.saver.look()
        accuracy = self._accuracy if self._accuracy is not None else means(sums)["accuracy"]
        self.record.heartbeat(self.run.resolved.timeline, epoch, done, accuracy, self._pace.epoch)

    def _keep_rows(self) -> None:
        self.record.steps(self.measurements.take_rows())

    def _save(self, position: Position) -> None:
        self._keep_rows()
        self.saver.save(position)
        self.control.saved()

    def _last_writes(self) -> str:
        """Wait for everything to be on the disk; why it is not, on every rank: collective."""
        self.saver.settle()
        self.record.catch_up()
        problem = self.saver.failed or self.record.problem
        if hvd.size() > 1:
            bad = hvd.broadcast(np.array([bool(problem)], np.int64), root_rank=0, name="hlb.written").numpy()
            problem = problem or ("see rank 0" if bad[0] else "")
        return problem
