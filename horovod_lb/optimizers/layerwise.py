"""A trust ratio for each variable around any Keras optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops
from keras.optimizers import Optimizer

from horovod_lb.optimizers import exclusion
from horovod_lb.optimizers.adaptive import LayerAdaptive, RatioRecord, read_ratios
from horovod_lb.optimizers.kernels import dense, norm
from horovod_lb.optimizers.trust import TrustRatio
from horovod_lb.optimizers.wrapper import Wrapper
from horovod_lb.parameters import flag, one_of

WHERE = ("gradient", "update")


@keras.saving.register_keras_serializable(package="horovod_lb")
class LayerWise(Wrapper):
    """Scales another optimizer's step by a bounded trust ratio a variable (You et al. 2020, Table 3).

    On the `update` u, which is the inner optimizer's change of the variable divided by its rate:
    w ← w − η·r·u with r = ‖w‖/(‖u‖ + ε), as LAMB does with Adam's u. On the `gradient`: the inner optimizer
    gets r·g with r = ‖w‖/(‖g‖ + ε), as LARS does with SGD. Adam, RMSprop and Adagrad divide by the size of
    the gradients themselves, so a ratio on the gradient that does not change does nothing to them.

    r is held within [min_ratio, max_ratio]. It is 1 where a norm or the rate is 0, and for excluded ones.
    The inner optimizer's clipping, decoupled decay, EMA and accumulation work as ever: clipping before the
    ratio, the decay (w ← w − η·λ·w) apart from it.

    Args:
        optimizer: a Keras optimizer, or its name. Wrappers go outside: `DistributedOptimizer(LayerWise(…))`.
        min_ratio, max_ratio: bounds of r; the paper bounds Adam's and does not say by what.
        on: `update` or `gradient`.
        coefficient, epsilon: see `TrustRatio`.
        exclude_from_adaptation, record_ratios: see `LayerAdaptive`.
        exclude_from_decay: variables without the inner optimizer's weight decay, in the same words. Keras
            forgets those that its own `exclude_from_weight_decay` was told when a model is saved.
    """

    def __init__(
        self,
        optimizer: Optimizer | str,
        min_ratio: float = 0.0,
        max_ratio: float | None = None,
        on: str = "update",
        coefficient: float = 1.0,
        epsilon: float = 0.0,
        exclude_from_adaptation: Iterable[Any] = (),
        exclude_from_decay: Iterable[Any] = (),
        record_ratios: bool = False,
        name: str | None = None,
    ) -> None:
        optimizer = keras.optimizers.get(optimizer)
        if hasattr(optimizer, "inner_optimizer"):
            raise ValueError(
                f"optimizer is a {type(optimizer).__name__}, a wrapper itself: wrap the optimizer inside it"
            )
        if isinstance(optimizer, LayerAdaptive | keras.optimizers.Lamb):
            raise ValueError(
                f"{type(optimizer).__name__} has a trust ratio of its own; a second would undo it"
            )
        super().__init__(optimizer, name=name or f"layerwise_{optimizer.name}")
        self.on = one_of("on", on, WHERE)
        self.ratio = TrustRatio(coefficient, epsilon, min_ratio, max_ratio)
        self.record_ratios = flag("record_ratios", record_ratios)
        self.exclude_from_adaptation: tuple[str, ...] = ()
        self.exclude_from_decay: tuple[str, ...] = ()
        self.exclude(exclude_from_adaptation, exclude_from_decay)

    def exclude(self, from_adaptation: Iterable[Any] = (), from_decay: Iterable[Any] = ()) -> None:
        """Leave these variables out as well, before it is built; decay is the inner optimizer's."""
        self.exclude_from_adaptation = exclusion.joined(self, "exclude_from_adaptation", from_adaptation)
        self.exclude_from_decay = exclusion.joined(self, "exclude_from_decay", from_decay)

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """As `exclude`; with parts of names the inner optimizer's, which are not saved."""
        if var_names:
            self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)
        else:
            self.exclude(from_decay=var_list or ())

    def build(self, variables: Sequence[Any]) -> None:
        """Create the inner optimizer's state, and settle which variables are adapted."""
        if self.built:
            return
        left = exclusion.excluded(variables, self.exclude_from_adaptation, "exclude_from_adaptation")
        self._adapted = tuple(not out for out in left)
        kept = exclusion.excluded(variables, self.exclude_from_decay, "exclude_from_decay")
        if undecayed := [variable for variable, out in zip(variables, kept, strict=True) if out]:
            self.inner_optimizer.exclude_from_weight_decay(undecayed)
        self.inner_optimizer.build(variables)
        # A variable of the inner optimizer, which knows which micro-batches count.
        self._record = RatioRecord(self.inner_optimizer, variables) if self.record_ratios else None
        super().build(variables)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """The inner optimizer's step, adapted."""
        if not self.built:
            self.build(list(trainable_variables or []))
        with _replaced(self.inner_optimizer, _backend_update_step=self._update_all):
            self.inner_optimizer.apply(dense(grads), trainable_variables)

    def trust_ratios(self) -> dict[str, float]:
        """The ratio of each adapted variable in the last step, by path; needs `record_ratios=True`."""
        return read_ratios(self, self._record if self.built else None, self._adapted if self.built else ())

    def _update_all(self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        inner, seen = self.inner_optimizer, []

        def update(gradient: Any, variable: Any, rate: Any) -> None:
            seen.append(variable)
            self._update(gradient, variable, rate)

        with _replaced(inner, update_step=update):
            type(inner)._backend_update_step(inner, grads, variables, learning_rate)
        if len(seen) != len(variables):
            raise NotImplementedError(
                f"on the {keras.backend.backend()} backend {type(inner).__name__} updates all variables at "
                "once, so that they cannot be adapted one by one"
            )
        if self._record is not None:
            self._record.write()

    def _update(self, gradient: Any, variable: Any, rate: Any) -> None:
        inner = self.inner_optimizer
        index = inner._get_variable_index(variable)
        if not self._adapted[index]:
            type(inner).update_step(inner, gradient, variable, rate)
        elif self.on == "gradient":
            gradient = ops.cast(gradient, variable.dtype)
            ratio = self._ratio(index, norm(variable), norm(gradient))
            scaled = ops.multiply(ops.cast(ratio, variable.dtype), gradient)
            type(inner).update_step(inner, scaled, variable, rate)
        else:
            change = _change(inner, gradient, variable, rate)
            # ‖u‖ = ‖change‖/η; at a rate of 0 there is none.
            length = norm(change)
            rate = ops.cast(rate, length.dtype)
            moves = ops.not_equal(rate, 0)
            length = ops.where(moves, length / ops.where(moves, rate, 1.0), 0.0)
            ratio = self._ratio(index, norm(variable), length)
            type(inner).assign_add(inner, variable, ops.multiply(ops.cast(ratio, variable.dtype), change))

    def _ratio(self, index: int, weights: Any, moved: Any) -> Any:
        ratio = self.ratio(weights, moved, ops.logical_and(weights > 0, moved > 0))
        if self._record is not None:
            self._record.note(index, ratio)
        return ratio

    def get_config(self) -> dict[str, Any]:
        """Everything `from_config` needs, the inner optimizer included."""
        return {
            **super().get_config(),
            "min_ratio": self.ratio.min_ratio,
            "max_ratio": self.ratio.max_ratio,
            "on": self.on,
            "coefficient": self.ratio.coefficient,
            "epsilon": self.ratio.epsilon,
            "exclude_from_adaptation": list(self.exclude_from_adaptation),
            "exclude_from_decay": list(self.exclude_from_decay),
            "record_ratios": self.record_ratios,
        }


def _change(optimizer: Optimizer, gradient: Any, variable: Any, rate: Any) -> Any:
    """What `optimizer` would add to `variable`, exactly: its assignments are caught, not carried out.

    The difference of the weights before and after would have lost the digits that a small step shares with
    large weights.
    """
    changes: list[Any] = []
    kind = type(optimizer)

    def catch(assign: Any, change: Any) -> Any:
        def replacement(target: Any, value: Any) -> None:
            if target is variable:
                changes.append(change(ops.cast(value, variable.dtype)))
            else:
                assign(optimizer, target, value)

        return replacement

    with _replaced(
        optimizer,
        assign=catch(kind.assign, lambda value: ops.subtract(value, variable)),
        assign_add=catch(kind.assign_add, lambda value: value),
        assign_sub=catch(kind.assign_sub, ops.negative),
    ):
        kind.update_step(optimizer, gradient, variable, rate)
    if len(changes) != 1:
        raise NotImplementedError(
            f"{kind.__name__}.update_step assigns {len(changes)} times to the variable by the optimizer's "
            "own assign methods, not once: its update cannot be adapted; use on='gradient'"
        )
    return changes[0]


@contextmanager
def _replaced(optimizer: Optimizer, **methods: Any) -> Iterator[None]:
    """Methods of one instance, exchanged for the time of a step; past `__setattr__`, which tracks state."""
    vars(optimizer).update(methods)
    try:
        yield
    finally:
        for name in methods:
            del vars(optimizer)[name]
