"""The measurements of a run: from the words of its `measure` list to columns of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from horovod_lb.data import Examples
from horovod_lb.measure.callbacks import Distance, Measurement, NoiseScale, TrustRatios
from horovod_lb.measure.probes import Hessian, Probe, Sharpness, SignalToNoise

_WHILE_TRAINING: dict[str, type[Measurement]] = {
    "noise_scale": NoiseScale,
    "distance": Distance,
    "trust_ratios": TrustRatios,
}
_PROBES: dict[str, type[Probe]] = {
    "sharpness": Sharpness,
    "hessian": Hessian,
    "signal_to_noise": SignalToNoise,
}


class Measurements:
    """All measurements of one run, as the run loop sees them; every method is for all ranks alike.

    Args:
        wanted: the `measure` section of `run.json`: mappings of `kind` and options.
        model: built.
        optimizer: the `DistributedOptimizer`, not built yet.
        data: the training set, `normalize` what makes the network's input of it.
        batch_size: B.
        epochs: of the run; the last one is always measured.
        loss: of a probe, (labels, outputs) -> float32 [n].
    """

    def __init__(
        self,
        wanted: Iterable[Mapping[str, Any]],
        model: Any,
        optimizer: Any,
        data: Examples,
        *,
        normalize: Callable[[Any], Any],
        batch_size: int,
        epochs: int,
        loss: Callable[[Any, Any], Any],
    ) -> None:
        self._all: list[Measurement] = []
        for one in wanted:
            options = {key: value for key, value in one.items() if key != "kind"}
            if one["kind"] in _WHILE_TRAINING:
                measurement = _WHILE_TRAINING[one["kind"]](**options)
            else:
                if one["kind"] == "signal_to_noise":
                    options["batch_size"] = batch_size
                measurement = _PROBES[one["kind"]](data, loss, normalize=normalize, **options)
            measurement.set_model(model)
            measurement.set_params({"epochs": epochs})
            measurement.prepare(model, optimizer)
            self._all.append(measurement)
        self._rows: list[dict[str, Any]] = []
        self._noise = next((one for one in self._all if isinstance(one, NoiseScale)), None)

    @property
    def watch(self) -> Any:
        """What the training step must let see its gradients; None where nothing must."""
        return self._noise.watch if self._noise else None

    @property
    def variables(self) -> list[Any]:
        """The state, which belongs into checkpoints."""
        return [variable for one in self._all for variable in one.variables]

    def step(self, step: int, sums: Any, batch: int) -> None:
        """After global step `step` (from 0) of `batch` examples; `sums` are those that `watch` asked for."""
        if self._noise:
            self._noise.add(sums, batch)
        for one in self._all:
            one.on_train_batch_end(step)
        kept = [one for one in self._all if one.by_step]
        if found := {name: value for one in kept for name, value in one.latest().items()}:
            columns = [name for one in kept for name in one.step_columns]
            self._rows.append({"step": step + 1, **dict.fromkeys(columns), **found})

    def take_rows(self) -> list[dict[str, Any]]:
        """The rows of `steps.csv` since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def epoch(self, epoch: int) -> dict[str, float | None]:
        """The columns at the end of an epoch (from 1), empty where there is no value; collective."""
        found: dict[str, Any] = {}
        for one in self._all:
            found |= dict.fromkeys(one.columns)
            one.on_epoch_end(epoch - 1, found)
        return found
