"""How the distance from the initial weights grows: straight-line fits against log t and √t, and α."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fit:
    """y ≈ intercept + slope·x by least squares, and R² = 1 − Σ(residual²)/Σ((y − mean)²)."""

    slope: float
    intercept: float
    r_squared: float


class Line:
    """A least-squares line from a stream of points: counts, means and centred sums, nothing else.

    `state` is float64 [6]: n, mean x, mean y, Σ(x−x̄)², Σ(y−ȳ)², Σ(x−x̄)(y−ȳ), updated by Welford's method,
    which does not lose digits as sums of squares do.
    """

    def __init__(self, state: NDArray[np.float64] | None = None) -> None:
        self.state = np.zeros(6) if state is None else np.array(state, np.float64)

    def add(self, x: float, y: float) -> None:
        """One more point."""
        n, mean_x, mean_y, xx, yy, xy = self.state
        n += 1
        dx, dy = x - mean_x, y - mean_y
        mean_x, mean_y = mean_x + dx / n, mean_y + dy / n
        self.state[:] = (
            n,
            mean_x,
            mean_y,
            xx + dx * (x - mean_x),
            yy + dy * (y - mean_y),
            xy + dx * (y - mean_y),
        )

    def fit(self) -> Fit | None:
        """The line; None for fewer than three points or where x does not vary."""
        n, mean_x, mean_y, xx, yy, xy = (float(value) for value in self.state)
        if n < 3 or not xx > 0:
            return None
        slope = xy / xx
        return Fit(slope, mean_y - slope * mean_x, 1.0 if yy == 0 else xy * xy / (xx * yy))


class Growth:
    """Fits of a distance d(t), t = 1, 2, ... updates, from a stream of points; `state` is float64 [18].

    - `log`: d ≈ a + b·log t, the ultra-slow diffusion of Hoffer, Hubara and Soudry (2017);
    - `root`: d ≈ a + b·√t, an ordinary random walk;
    - `diffusion`: log d ≈ a + b·log log t over t > e. A walk on a random potential with
      E(L(w₁) − L(w₂))² ∝ ‖w₁ − w₂‖^α has E‖w_t − w₀‖² ∝ (log t)^(4/α), so b = 2/α and α = 2/b.
    """

    def __init__(self, state: NDArray[np.float64] | None = None) -> None:
        parts = np.zeros((3, 6)) if state is None else np.reshape(np.asarray(state, np.float64), (3, 6))
        self._lines = [Line(part) for part in parts]

    @property
    def state(self) -> NDArray[np.float64]:
        """All that there is to know of the points so far."""
        return np.concatenate([line.state for line in self._lines])

    def add(self, t: float, distance: float) -> None:
        """The distance after t ≥ 1 updates; one that is not finite is left out."""
        if not math.isfinite(distance):
            return
        self._lines[0].add(math.log(t), distance)
        self._lines[1].add(math.sqrt(t), distance)
        if t > math.e and distance > 0:
            self._lines[2].add(math.log(math.log(t)), math.log(distance))

    @property
    def log(self) -> Fit | None:
        """d against log t."""
        return self._lines[0].fit()

    @property
    def root(self) -> Fit | None:
        """d against √t."""
        return self._lines[1].fit()

    @property
    def diffusion(self) -> Fit | None:
        """log d against log log t."""
        return self._lines[2].fit()

    @property
    def alpha(self) -> float | None:
        """α = 2/slope of `diffusion`; None where the distance does not grow."""
        fit = self.diffusion
        return 2.0 / fit.slope if fit and fit.slope > 0 else None


def growth(points: Iterable[tuple[float, float]]) -> Growth:
    """The fits of points (t, d)."""
    found = Growth()
    for t, distance in points:
        found.add(t, distance)
    return found
