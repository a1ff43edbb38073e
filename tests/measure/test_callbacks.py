"""Distance and trust ratios in `model.fit`, against NumPy on weights that the test kept itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from horovod_lb.errors import RequestError
from horovod_lb.measure import Distance, TrustRatios
from horovod_lb.optimizers import LARS


class Keep(keras.callbacks.Callback):
    """All weights after every step, and what `look` says then."""

    def __init__(self, look: Any = lambda: None) -> None:
        super().__init__()
        self.weights: list[np.ndarray] = []
        self.seen: list[Any] = []
        self.look = look

    def flat(self) -> np.ndarray:
        return np.concatenate(
            [np.array(v.numpy(), "float64").ravel() for v in self.model.trainable_variables]
        )

    def on_train_begin(self, logs: Any = None) -> None:
        self.weights.append(self.flat())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.weights.append(self.flat())
        self.seen.append(self.look())


def fit(softmax: Any, optimizer: Any, callbacks: list[Any], epochs: int = 4) -> dict[str, list[float]]:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    softmax.model.compile(optimizer, loss)
    data = softmax.data
    history = softmax.model.fit(
        data.x, data.y, epochs=epochs, batch_size=6, verbose=0, callbacks=callbacks, shuffle=False
    )
    return history.history


@pytest.mark.parametrize("every", [1, 3])
def test_distance_and_its_fits(softmax: Any, every: int) -> None:
    distance = Distance(every_steps=every)
    keep = Keep(distance.latest)
    history = fit(softmax, keras.optimizers.SGD(0.05), [distance, keep])
    distances = [np.linalg.norm(w - keep.weights[0]) for w in keep.weights]
    assert len(distances) == 1 + 4 * 7
    expected = [{"distance": pytest.approx(d, rel=1e-5)} for d in distances[every::every]]
    assert [found for found in keep.seen if found] == expected
    np.testing.assert_allclose(history["distance"], distances[7::7], rtol=1e-5)
    t = np.arange(every, 29, every)
    d = np.array(distances)[t]
    for name, x in (("log", np.log(t)), ("sqrt", np.sqrt(t))):
        slope, _ = np.polyfit(x, d, 1)
        assert history[f"distance_{name}"][-1] == pytest.approx(slope, rel=1e-4)
        assert history[f"distance_{name}_r2"][-1] == pytest.approx(np.corrcoef(x, d)[0, 1] ** 2, rel=1e-4)
    late = t > np.e
    slope, _ = np.polyfit(np.log(np.log(t[late])), np.log(d[late]), 1)
    assert history["diffusion_alpha"][-1] == pytest.approx(2 / slope, rel=1e-3)


def test_trust_ratios_of_an_epoch(softmax: Any) -> None:
    optimizer = LARS(0.1, exclude_from_adaptation=["vectors"], record_ratios=True)
    keep = Keep(lambda: dict(optimizer.trust_ratios()))
    history = fit(softmax, optimizer, [keep, TrustRatios()], epochs=2)
    (path,) = keep.seen[0]
    for epoch, steps in enumerate((keep.seen[:7], keep.seen[7:])):
        ratios = [step[path] for step in steps]
        assert history[f"trust_ratio[{path}]"][epoch] == pytest.approx(np.mean(ratios))
        assert history["trust_ratio_min"][epoch] == pytest.approx(min(ratios))
        assert history["trust_ratio_max"][epoch] == pytest.approx(max(ratios))
    assert min(ratios) < max(ratios)


def test_an_optimizer_without_ratios_is_refused(softmax: Any) -> None:
    with pytest.raises(RequestError, match="trust_ratios: SGD has none; use LARS, LAMB or LayerWise"):
        TrustRatios().prepare(softmax.model, keras.optimizers.SGD())


@pytest.mark.parametrize("kind", [Distance, TrustRatios])
def test_bad_cadence_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="every_steps must be at least 1, not 0"):
        kind(every_steps=0)
