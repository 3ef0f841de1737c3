"""Loss and metrics on whole splits, and what decides which weights are best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from dlc.backend import statistics
from dlc.backend.evaluate import Evaluate
from dlc.backend.loss import FITTED, Answers, Stats, collected_terms
from dlc.data.feeder import Feeder
from dlc.frontend.decisions import starting_thresholds
from dlc.frontend.plan import Plan
from dlc.training.thresholds import best_f1


class Measured(NamedTuple):
    """What an evaluation found.

    Args:
        values: loss and metrics by name.
        examples: the number of examples.
        undefined: the number of examples whose prediction is NaN, for each prediction that has any.
        thresholds: the thresholds of targets that fit these examples best, float32 (labels,); of those to fit.
    """

    values: dict[str, float]
    examples: int = 0
    undefined: Mapping[str, int] = {}
    thresholds: Mapping[str, Any] = {}

    def notes(self, split: str) -> dict[str, str]:
        """What to know about the predictions of a split, by name."""
        return {name: undefined_note(name, count, self.examples, split) for name, count in self.undefined.items()}


def evaluate_rows(
    plan: Plan,
    evaluator: Evaluate,
    variables: Any,
    feeder: Feeder,
    chosen: NDArray[np.int32],
    stats: Stats,
) -> Measured:
    """Loss and metrics on the chosen rows."""
    found = SplitEvaluation(plan, evaluator, variables, feeder, chosen, stats).values()
    assert found is not None, "nothing asked it to stop"
    return found


class SplitEvaluation:
    """An evaluation of the chosen rows. Its first chunk is sent to the device at once.

    Args:
        plan: the spec's plan.
        evaluator: evaluates a chunk.
        variables: what is evaluated.
        feeder: makes the chunks.
        chosen: the rows, at least one.
        stats: the features' statistics.
    """

    def __init__(
        self,
        plan: Plan,
        evaluator: Evaluate,
        variables: Any,
        feeder: Feeder,
        chosen: NDArray[np.int32],
        stats: Stats,
    ) -> None:
        self.plan, self.evaluator, self.variables, self.stats = plan, evaluator, variables, stats
        self.examples = len(chosen)
        self._chunks = feeder.evaluation(chosen)
        self._sent = self._send()
        assert self._sent is not None, "no rows were chosen"

    def values(self, stop: Callable[[], bool] = lambda: False) -> Measured | None:
        """Loss and metrics; None if `stop`, called between two chunks, returned true."""
        plan = self.plan
        totals: dict[str, Any] | None = None
        parts: dict[str, list[Answers]] = {term.name: [] for term in collected_terms(plan)}
        while self._sent is not None:
            if totals is not None and stop():
                return None
            (batch_statistics, answers), real = jax.device_get(self._sent[0]), self._sent[1]
            sums = statistics.to_host(batch_statistics)
            totals = statistics.merge(plan, totals, sums) if totals is not None else sums
            for name, found in answers.items():
                parts[name].append(jax.tree.map(lambda leaf, real=real: leaf[real], found))
            self._sent = self._send()
        assert totals is not None, "`values` is called once"
        values = statistics.values(plan, totals)
        for term in plan.metrics:
            if term.metric.collected:
                values[term.name] = term.metric.judge(*_whole(parts[term.name]))
        order = [term.name for term in plan.metrics]
        values = {**{n: value for n, value in values.items() if n not in order}, **{n: values[n] for n in order}}
        undefined = {name: int(count) for name, count in totals[statistics.UNDEFINED].items() if count}
        fitted = {name: len(start) for name, start in starting_thresholds(plan).items()}
        thresholds = {name: best_f1(*_whole(parts[FITTED + name]), labels) for name, labels in fitted.items()}
        return Measured(values, self.examples, undefined, thresholds)

    def _send(self) -> tuple[Any, NDArray[np.bool_]] | None:
        """Send the next chunk: what the device makes of it, and which of its examples are real."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return None
        feed, real, iterations = chunk
        return self.evaluator(self.variables, feed, real, np.int32(iterations), self.stats), real


def undefined_note(name: str, count: int, examples: int, split: str = "") -> str:
    """How many predictions are NaN.

    >>> undefined_note("y", 2, 1200, "test")
    'the prediction of `y` is NaN for 2 of 1,200 test examples'
    """
    return f"the prediction of `{name}` is NaN for {count:,} of {examples:,} {split + ' ' if split else ''}examples"


def _whole(parts: Sequence[Answers]) -> tuple[Any, Any, Any]:
    """Predictions, targets, and weights of examples or positions, of all batches."""
    whole: Answers = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    weights = whole.weights.astype(np.float64)
    if whole.mask is not None:
        weights = weights[:, None] * whole.mask
    return np.asarray(whole.prediction), np.asarray(whole.target), np.asarray(weights)


def monitored(plan: Plan, name: str | None = None) -> tuple[str, bool]:
    """The value that decides which weights are best, and whether higher is better."""
    data = plan.data
    splits: Iterable[str] = data.splits() if data is not None else ()
    name = name or plan.train.monitor or ("validation/loss" if "validation" in splits else "train/loss")
    metric = name.partition("/")[2]
    return name, any(term.name == metric and term.metric.rises for term in plan.metrics)


def better(value: float, best: float | None, higher: bool, margin: float = 0.0) -> bool:
    """Whether a value improves on the best so far by more than a margin; one that is not finite never does.

    >>> better(0.9, 0.8, higher=True), better(0.9, 0.8, higher=False), better(0.5, None, higher=False)
    (True, False, True)
    >>> better(float("nan"), None, higher=False)
    False
    """
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best + margin if higher else value < best - margin
