"""What optimizers with a trust ratio by variable share: bounds, exclusions, decay inside, the record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from keras import initializers, ops
from keras.optimizers import Optimizer

from horovod_lb.optimizers import exclusion
from horovod_lb.optimizers.checked import CheckedOptimizer
from horovod_lb.optimizers.trust import TrustRatio
from horovod_lb.parameters import flag


class LayerAdaptive(CheckedOptimizer):
    """An optimizer whose steps are scaled variable by variable, with the weight decay inside the step.

    Args:
        weight_decay: λ. It enters the update and the ratio, as each optimizer's formula says; Keras' own
            decay, apart from the update, is off.
        coefficient, epsilon, min_ratio, max_ratio: see `TrustRatio`.
        exclude_from_adaptation: variables whose ratio is always 1: variables, their paths, or `vectors` for
            all of rank 0 and 1. Kinds of layers: `variables_of(model, ["bias", "normalization"])`.
        exclude_from_decay: variables without weight decay, in the same words.
        record_ratios: keep the ratios of the last step for `trust_ratios()`.
    """

    def __init__(
        self,
        *,
        weight_decay: float | None = 0.0,
        coefficient: float = 1.0,
        epsilon: float = 0.0,
        min_ratio: float = 0.0,
        max_ratio: float | None = None,
        exclude_from_adaptation: Iterable[Any] = (),
        exclude_from_decay: Iterable[Any] = (),
        record_ratios: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight_decay=0.0 if weight_decay is None else weight_decay, **kwargs)
        self.ratio = TrustRatio(coefficient, epsilon, min_ratio, max_ratio)
        self.record_ratios = flag("record_ratios", record_ratios)
        self.exclude_from_adaptation: tuple[str, ...] = ()
        self.exclude_from_decay: tuple[str, ...] = ()
        self.exclude(exclude_from_adaptation, exclude_from_decay)

    def exclude(self, from_adaptation: Iterable[Any] = (), from_decay: Iterable[Any] = ()) -> None:
        """Leave these variables out as well; before the optimizer is built.

        ValueError: the optimizer is built already, or a variable is given by the kind of its layer.
        """
        self.exclude_from_adaptation = exclusion.joined(self, "exclude_from_adaptation", from_adaptation)
        self.exclude_from_decay = exclusion.joined(self, "exclude_from_decay", from_decay)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """As in Keras, for variables only: parts of names would take in what was not meant."""
        if var_names:
            raise ValueError("exclude_from_weight_decay: pass variables (var_list), not parts of names")
        self.exclude(from_decay=var_list or ())

    def build(self, variables: Sequence[Any]) -> None:
        """Create the state, and settle which variables are adapted and decayed."""
        if self.built:
            return
        left = exclusion.excluded(variables, self.exclude_from_adaptation, "exclude_from_adaptation")
        kept = exclusion.excluded(variables, self.exclude_from_decay, "exclude_from_decay")
        self._adapted = tuple(not out for out in left)
        self._decay = tuple(0.0 if out else self.weight_decay for out in kept)
        super().build(variables)
        self._record = RatioRecord(self, variables) if self.record_ratios else None

    def trust_ratios(self) -> dict[str, float]:
        """The ratio of each adapted variable in the last step, by path; needs `record_ratios=True`.

        NaN: before the first step, and for a variable that had no gradient.
        """
        return read_ratios(self, self._record if self.built else None, self._adapted if self.built else ())

    def note_ratio(self, index: int, ratio: Any) -> Any:
        """Remember the ratio of a variable for the record, if there is one; returns it."""
        if self._record is not None:
            self._record.note(index, ratio)
        return ratio

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Nothing: the decay is inside the update."""

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        super()._backend_update_step(grads, trainable_variables, learning_rate)
        if self._record is not None:
            self._record.write()

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs."""
        config = super().get_config()
        config.update(
            coefficient=self.ratio.coefficient,
            epsilon=self.ratio.epsilon,
            min_ratio=self.ratio.min_ratio,
            max_ratio=self.ratio.max_ratio,
            exclude_from_adaptation=list(self.exclude_from_adaptation),
            exclude_from_decay=list(self.exclude_from_decay),
            record_ratios=self.record_ratios,
        )
        return config


class RatioRecord:
    """The ratios of the last step, in one variable of `optimizer`, so that compiled steps can write it."""

    def __init__(self, optimizer: Optimizer, variables: Sequence[Any]) -> None:
        self.paths = [exclusion.path(variable) for variable in variables]
        self._values = optimizer.add_variable(
            shape=(len(variables),),
            dtype="float32",
            initializer=initializers.Constant(float("nan")),
            name="trust_ratios",
        )
        self._noted: dict[int, Any] = {}

    def note(self, index: int, ratio: Any) -> None:
        """Keep the ratio of variable `index` until `write`."""
        self._noted[index] = ops.cast(ratio, "float32")

    def write(self) -> None:
        """Put what was noted into the variable; call it in the graph that the ratios belong to."""
        missing = ops.convert_to_tensor(float("nan"), dtype="float32")
        noted, self._noted = self._noted, {}
        self._values.assign(ops.stack([noted.get(index, missing) for index in range(len(self.paths))]))

    def read(self) -> list[float]:
        """The ratios in the order of the variables."""
        return [float(value) for value in ops.convert_to_numpy(self._values)]


def read_ratios(
    optimizer: Optimizer, record: RatioRecord | None, adapted: Sequence[bool]
) -> dict[str, float]:
    """The ratios that `record` holds for the adapted variables. ValueError: nothing is recorded."""
    if record is None:
        raise ValueError(
            f"{type(optimizer).__name__} has no trust ratios to tell: "
            + ("give it record_ratios=True" if optimizer.built else "it has not been built yet")
        )
    return {
        path: ratio for path, ratio, known in zip(record.paths, record.read(), adapted, strict=True) if known
    }
