"""Symmetric label noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LABELS = 3


def noisy_labels(
    labels: NDArray[np.int64], classes: int, probability: float, seed: int, step: int, first: int = 0
) -> NDArray[np.int64]:
    """`labels`, each with `probability` replaced by one of all `classes`, which may be the one it had.

    So a label is wrong with probability p(K − 1)/K, and the expected cross-entropy is that of label smoothing
    with α = p. What becomes of a label is a function of seed, step and its position in the batch.

    Args:
        labels: int64 [n] in [0, classes).
        classes: K.
        probability: p, in [0, 1].
        seed, step: whole numbers >= 0.
        first: the position of `labels[0]` in the global batch.

    Returns:
        A new array.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is in [0, 1], not {probability}")
    if classes < 1:
        raise ValueError(f"classes is at least 1, not {classes}")
    stream = np.random.Philox(np.random.SeedSequence([seed, _LABELS, step]))
    words = stream.random_raw(2 * (first + len(labels)))[2 * first :].reshape(-1, 2)
    chosen = (words[:, 0] >> np.uint64(11)) * 2.0**-53 < probability
    # The upper half times K, shifted back: uniform but for one part in 2³²/K.
    drawn = (words[:, 1] >> np.uint64(32)) * np.uint64(classes) >> np.uint64(32)
    return np.where(chosen, drawn.astype(np.int64), labels)
