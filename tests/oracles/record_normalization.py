"""Record what PyTorch's BatchNorm2d does to a batch and to its chunks, as normalization.npz beside this file.

    python tests/oracles/record_normalization.py

For a batch cut into chunks of some size, the last one smaller where it does not divide, each chunk goes
through a `torch.nn.BatchNorm2d` of its own with the same weights, in float64: outputs, gradients of
⟨outputs, upstream⟩ by the inputs (both [N, H, W, C]) and by γ and β (summed over the chunks), and the running
statistics of each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

SHAPE = (11, 3, 2, 5)
SIZES = (1, 4, 5, 11)
EPSILON, MOMENTUM = 1e-3, 0.1


def problem() -> dict[str, np.ndarray]:
    """A batch far from the origin, with a trend over its examples; float32."""
    stream = np.random.default_rng(21)
    trend = np.arange(SHAPE[0]).reshape(-1, 1, 1, 1)
    made = {
        "x": stream.normal(2.0, 3.0, SHAPE) + trend,
        "upstream": stream.normal(size=SHAPE),
        "gamma": stream.normal(1.0, 0.3, SHAPE[-1]),
        "beta": stream.normal(0.0, 0.5, SHAPE[-1]),
    }
    return {name: value.astype("float32") for name, value in made.items()}


def answer(size: int) -> dict[str, np.ndarray]:
    """Chunks of `size` examples."""
    given = {name: torch.tensor(value.astype("float64")) for name, value in problem().items()}
    found: dict[str, list[Any]] = {name: [] for name in ("y", "dx", "dgamma", "dbeta", "mean", "variance")}
    for start in range(0, SHAPE[0], size):
        layer = torch.nn.BatchNorm2d(SHAPE[-1], eps=EPSILON, momentum=MOMENTUM, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(given["gamma"])
            layer.bias.copy_(given["beta"])
        rows = slice(start, start + size)
        x = given["x"][rows].permute(0, 3, 1, 2).clone().requires_grad_()
        y = layer(x)
        (y * given["upstream"][rows].permute(0, 3, 1, 2)).sum().backward()
        assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
        assert layer.running_mean is not None and layer.running_var is not None
        for name, value in (
            ("y", y.detach().permute(0, 2, 3, 1)),
            ("dx", x.grad.permute(0, 2, 3, 1)),
            ("dgamma", layer.weight.grad),
            ("dbeta", layer.bias.grad),
            ("mean", layer.running_mean),
            ("variance", layer.running_var),
        ):
            found[name].append(value.numpy())
    whole = {name: np.concatenate(found[name]) for name in ("y", "dx")}
    sums = {name: np.sum(found[name], axis=0) for name in ("dgamma", "dbeta")}
    return whole | sums | {name: np.stack(found[name]) for name in ("mean", "variance")}


def main() -> None:
    """Write the file."""
    made = {"torch": torch.__version__, "numpy": np.__version__}
    about = json.dumps(
        {"versions": made, "sizes": SIZES, "epsilon": EPSILON, "momentum": MOMENTUM}, sort_keys=True
    )
    arrays = {f"{size}/{name}": value for size in SIZES for name, value in answer(size).items()}
    target = Path(__file__).with_name("normalization.npz")
    np.savez_compressed(target, about=np.array(about), **problem(), **arrays)
    print(f"{target}: chunks of {SIZES} by {made}")


if __name__ == "__main__":
    main()
