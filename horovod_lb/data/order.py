"""The order of the training examples: one global permutation an epoch, cut into global batches.

The order is a function of (seed, step) alone. It does not depend on the number of workers, needs no state,
and any step can be asked for at once, so a resumed run continues without replaying what it has seen.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from horovod_lb.errors import RecipeError

REMAINDERS = ("continuous", "drop", "weighted", "wrap")


def permutation(examples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The permutation of `examples` for one epoch: read-only int64[examples].

    The order in which the first `examples` numbers of the Philox stream with the key (seed, epoch) sort;
    equal ones, were there any among 64-bit numbers, stay as they came. NumPy keeps the streams of its bit
    generators fixed between versions, which it does not promise of `Generator.permutation`: a recorded seed
    means the same order everywhere.
    """
    stream = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64))
    indices = np.argsort(stream.random_raw(examples), kind="stable")
    indices.flags.writeable = False
    return indices


class Order:
    """The global batches of a run, the same on every rank.

    `examples` N training examples are seen in batches of B = `batch_size`. `remainder` says what becomes of
    an epoch that B does not divide:

    - `continuous`: the epochs are joined end to end and cut every B, so every step has exactly B examples and
      one batch may hold parts of two epochs, or several whole ones when B > N;
    - `drop`: floor(N / B) steps an epoch; the rest of the permutation is not used in that epoch;
    - `weighted`: ceil(N / B) steps an epoch, the last one smaller;
    - `wrap`: ceil(N / B) steps an epoch, the last one filled from the start of the same epoch's permutation.
    """

    def __init__(self, examples: int, batch_size: int, remainder: str = "continuous", seed: int = 0):
        if examples < 1 or batch_size < 1:
            raise RecipeError(
                f"no order of {examples} examples in batches of {batch_size}: both must be positive"
            )
        if remainder not in REMAINDERS:
            raise RecipeError(f"remainder: {remainder!r} is not one of {', '.join(REMAINDERS)}")
        if remainder == "drop" and batch_size > examples:
            raise RecipeError(
                f"remainder: drop leaves no step: the batch of {batch_size} exceeds the {examples} examples"
            )
        if not 0 <= seed < 2**64:
            raise RecipeError(f"seed: {seed} is not between 0 and 2**64 - 1")
        self.examples = examples
        self.batch_size = batch_size
        self.remainder = remainder
        self.seed = seed
        # Two epochs meet in a step, and a prefetching reader may be one step ahead.
        self._permutation = lru_cache(maxsize=3)(partial(permutation, examples, seed))

    def step_indices(self, t: int) -> NDArray[np.int64]:
        """The examples of the global batch of step `t` (from 0): a new int64[b], b = B but for `weighted`."""
        epochs, positions = self._places(t)
        batch = np.empty(len(positions), dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            batch[here] = self._permutation(int(epoch))[positions[here]]
        return batch

    def step_epochs(self, t: int) -> NDArray[np.int64]:
        """The epoch (from 0) in which each example of step `t` is seen: int64[b]."""
        return self._places(t)[0]

    def step_size(self, t: int) -> int:
        """b, the number of examples of step `t`."""
        return len(self._places(t)[0])

    def _places(self, t: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The epoch of each example of step `t`, and its position in the permutation of that epoch."""
        if t < 0:
            raise IndexError(f"there is no step {t}")
        count = self.batch_size
        if self.remainder == "continuous":
            epochs, positions = np.divmod(np.arange(t * count, (t + 1) * count), self.examples)
            return epochs, positions
        whole, rest = divmod(self.examples, count)
        epoch, step = divmod(t, whole + (rest > 0 and self.remainder != "drop"))
        positions = np.arange(step * count, (step + 1) * count)
        if self.remainder == "weighted":
            positions = positions[positions < self.examples]
        return np.full(len(positions), epoch), positions % self.examples
