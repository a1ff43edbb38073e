"""Images per second, and what the time of the steps went into."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import horovod.tensorflow as hvd
import numpy as np


class Clock(Protocol):
    """Counts seconds that steps waited for other ranks: `timings.Stopwatch`."""

    @property
    def seconds(self) -> float:
        """Of all steps so far."""


class Pace:
    """How fast the training steps of one life are, without its first step, which makes the graph.

    `epoch` is in images per second over all ranks, None before there is anything to tell.
    """

    def __init__(self, allreduce: Clock | None = None) -> None:
        self._traced = False
        self._images = self._seconds = self._input = self._before = 0.0
        self._allreduce = allreduce
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Start the clock, after the evaluation and the checkpoint of the epoch before."""
        self._epoch_images = self._epoch_seconds = 0.0
        self._mark = time.monotonic()

    @contextmanager
    def waiting_for_input(self) -> Iterator[None]:
        """For the time in which the next step's examples are asked for."""
        began = time.monotonic()
        yield
        if self._traced:
            self._input += time.monotonic() - began

    def step(self, images: float) -> None:
        """A step over so many images was done just now."""
        now = time.monotonic()
        if self._traced:
            self._images, self._epoch_images = self._images + images, self._epoch_images + images
            seconds = now - self._mark
            self._seconds, self._epoch_seconds = self._seconds + seconds, self._epoch_seconds + seconds
        elif self._allreduce is not None:
            self._before = self._allreduce.seconds
        self._traced, self._mark = True, now

    @property
    def epoch(self) -> float | None:
        """Of the epoch begun last."""
        return self._epoch_images / self._epoch_seconds if self._epoch_seconds else None

    def parts(self) -> dict[str, float]:
        """What the steps of this life spent their time on, the mean over ranks; collective.

        `images_per_second`, over all ranks; `allreduce_seconds`: waiting for gradients of other ranks (0 on
        one); `input_wait`: the fraction of the time that was spent waiting for examples; `compute_seconds`:
        the rest. Empty after less than two steps.
        """
        waited = self._allreduce.seconds - self._before if self._allreduce is not None else 0.0
        sums = np.array([self._seconds, self._input, waited])
        if hvd.size() > 1:
            sums = hvd.allreduce(sums, op=hvd.Average, name="hlb.pace").numpy()
        seconds, waited_for_input, waited = sums.tolist()
        if not seconds:
            return {}
        return {
            "images_per_second": self._images / seconds,
            "compute_seconds": seconds - waited_for_input - waited,
            "allreduce_seconds": waited,
            "input_wait": waited_for_input / seconds,
        }
