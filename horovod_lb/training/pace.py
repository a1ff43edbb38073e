"""Images per second."""

from __future__ import annotations

import time


class Pace:
    """How fast the training steps of one life are, without its first step, which makes the graph.

    `epoch` and `life` are images per second over all ranks, None before there is anything to tell.
    """

    def __init__(self) -> None:
        self._traced = False
        self._images = self._seconds = 0.0
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Start the clock, after the evaluation and the checkpoint of the epoch before."""
        self._epoch_images = self._epoch_seconds = 0.0
        self._mark = time.monotonic()

    def step(self, images: float) -> None:
        """A step over so many images was done just now."""
        now = time.monotonic()
        if self._traced:
            self._images, self._epoch_images = self._images + images, self._epoch_images + images
            seconds = now - self._mark
            self._seconds, self._epoch_seconds = self._seconds + seconds, self._epoch_seconds + seconds
        self._traced, self._mark = True, now

    @property
    def epoch(self) -> float | None:
        """Of the epoch begun last."""
        return self._epoch_images / self._epoch_seconds if self._epoch_seconds else None

    @property
    def life(self) -> float | None:
        """Of all epochs of this life."""
        return self._images / self._seconds if self._seconds else None
