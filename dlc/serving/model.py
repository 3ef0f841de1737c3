"""A trained network, ready to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from dlc.backend.batches import unpacked
from dlc.backend.loss import feature_of, input_feature
from dlc.backend.network import Program, lower
from dlc.backend.predict import blank, predicting, predictions_of, stats_of, with_stats
from dlc.components.features.feature import Feature, encoded_on_host
from dlc.data.balance import with_class_weights
from dlc.data.fitted import FittedData, device_stats
from dlc.data.ranges import with_ranges
from dlc.diagnostics import SpecError
from dlc.frontend.decisions import THRESHOLDS, decided, read_thresholds
from dlc.frontend.plan import Plan
from dlc.frontend.plugins import Plugin
from dlc.frontend.predictions import with_output
from dlc.ir import MASK
from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.run_folder import RunFolder

BATCH = 256
Held = Callable[[int, int], dict[str, Any]]


@fast_dataclass(frozen=True)
class Model:
    """A trained network, ready to use.

    Args:
        plan: its checked spec, with the thresholds that were fitted.
        program: its program.
        weights: flat weights with what the features fitted, as `serving` takes them.
        fitted: what the run learned about its data.
        texts: the texts that places of the plan point into, by file, for messages.
        plugins: the plugins of the spec.
    """

    plan: Plan
    program: Program
    weights: Mapping[str, Any]
    fitted: FittedData
    texts: Mapping[str, str]
    plugins: tuple[Plugin, ...] = ()

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Predictions for raw inputs of n records, by name: probabilities for classes, numbers in the target's unit.

        The host encodes the inputs and decodes the predictions in float64. Numbers whose differences float32 would lose
        stay in float64. At padding they are NaN. The mask of a prediction that has one is beside it, under its name
        with the suffix `ir.MASK`.
        """
        chosen = {name: inputs[name] for name in self.plan.graph.inputs}

        def held(start: int, stop: int) -> dict[str, Any]:
            batch: dict[str, Any] = {}
            for name, raw in chosen.items():
                batch |= self._held(name, raw[start:stop])
            return batch

        return self._decoded(self._predictions(held, len(next(iter(chosen.values())))))

    def predict_rows(self, values: Mapping[str, Any], rows: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The same for some rows of the inputs of a data set, which holds them encoded."""
        names = [key for name in self.plan.graph.inputs for key in (name, name + MASK) if key in values]

        def held(start: int, stop: int) -> dict[str, Any]:
            return {name: values[name][rows[start:stop]] for name in names}

        return self._decoded(self._predictions(held, len(rows)))

    def _decoded(self, found: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Predictions in the user's unit, NaN at padding."""
        for name, answer in predictions_of(self.plan).items():
            feature = feature_of(self.plan, answer.against)
            if answer.against is not None and feature is not None:
                found[name] = _decoded(feature, found[name], self.fitted.stats[answer.against.name])
            found[name] = blank(found[name], found.get(name + MASK))
        return found

    def _predictions(self, held: Held, count: int) -> dict[str, np.ndarray[Any, Any]]:
        """Predictions for inputs as a data set holds them, not decoded.

        Args:
            held: the inputs of consecutive records, from the number of the first and that after the last.
            count: the number of records.
        """
        predict = predicting(self.plan, self.program)

        @jax.jit
        def function(weights: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
            stats = {name: stats_of(weights, name) for name in self.plan.graph.inputs}
            return predict(weights, unpacked(self.plan, {"inputs": dict(batch)}, stats)["inputs"])

        parts: list[dict[str, Any]] = []
        size = min(BATCH, max(count, 1))
        for start in range(0, count, size):
            batch = held(start, start + size)
            rows = len(next(iter(batch.values())))
            if rows < size:  # one shape, one compilation
                batch = {
                    name: np.concatenate([value, np.repeat(value[-1:], size - rows, axis=0)])
                    for name, value in batch.items()
                }
            parts.append({name: np.asarray(value)[:rows] for name, value in function(self.weights, batch).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _held(self, name: str, raw: Any) -> dict[str, Any]:
        """Raw inputs as a data set holds them."""
        feature = input_feature(self.plan, name)
        return {name: raw} if feature.packed else dict(encoded_on_host(feature, name, raw, self.fitted.stats[name]))


def _decoded(feature: Feature, value: np.ndarray[Any, Any], stats: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Predictions in the user's unit; in float32 if that keeps their differences."""
    found: np.ndarray[Any, Any] = np.asarray(feature.decode(value, stats))
    if found.dtype != np.float64 or not found.size:
        return found
    axes = tuple(range(max(1, found.ndim - 1)))  # all but the last: its entries have units of their own
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = found.astype(np.float32)
        spread = np.abs(feature.decode(value, feature.centered(stats)))
        lost = np.abs(found - narrow) > 2.0**-20 * np.where(np.isfinite(spread), spread, 0).max(axes)
    return found if lost[np.isfinite(found)].any() else narrow


def load_model(run: RunFolder, only: str | None = None, output: str | None = None) -> Model:
    """The best network of a run.

    Args:
        run: the run folder.
        only: the platform that it is computed on; any when None.
        output: the only thing that it predicts, as by `with_output`; everything when None.

    Raises:
        SpecError: DLC502 without run or weights, DLC503 when a file is damaged, DLC510 when there is no such output.
    """
    spec = run.load_spec()
    plan = spec.plan if output is None else with_output(spec.plan, output)
    program = lower(plan.graph, run.load_lowering(), only)
    weights = run.load_weights()
    for name, (shape, dtype) in program.shapes().items():
        if name not in weights or weights[name].shape != shape or weights[name].dtype != dtype:
            raise SpecError.of("DLC503", f"`{run.weights}` does not fit the spec: `{name}` differs or is missing")
    try:
        plan = decided(plan, read_thresholds(plan, weights))
    except (KeyError, ValueError):
        raise SpecError.of("DLC503", f"`{run.weights}` does not fit the spec: a threshold is missing") from None
    own = {name: value for name, value in weights.items() if not name.startswith(THRESHOLDS)}
    fitted = run.load_fitted(plan)
    plan = with_class_weights(with_ranges(plan, fitted.ranges, fitted.stats), fitted.class_weights)
    return Model(plan, program, with_stats(own, device_stats(fitted.stats)), fitted, spec.texts, spec.plugins)
