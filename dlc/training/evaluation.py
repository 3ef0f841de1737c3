"""Loss and metrics on whole splits, and what decides which weights are best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from dlc.diagnostics import SpecError, did_you_mean, listing
from dlc.features.category import Category
from dlc.features.feature import Feature
from dlc.ir import TensorType
from dlc.lower import tally
from dlc.lower.evaluating import Evaluate, make_evaluate
from dlc.lower.lowering import platform
from dlc.lower.objective import Answers, Stats, answers_of, feature_of
from dlc.lower.serve import answers
from dlc.objectives.classes import answered, need_answers
from dlc.objectives.classification_metrics import Accuracy
from dlc.objectives.metric import Metric
from dlc.options import Wrong
from dlc.passes.match import MetricTerm
from dlc.pipeline import Spec
from dlc.records import record
from dlc.sources.dataset import check_values, load_dataset
from dlc.sources.reading import allowed_memory
from dlc.training.feeding import Feeder, evaluated_together
from dlc.training.model import BATCH, Model, load_model
from dlc.training.run_folder import RunFolder
from dlc.training.tables import read_encoded, read_table

MOST_CLASSES = 100  # of targets without names of classes, such as tokens: a larger confusion matrix tells nobody much


def evaluate_rows(
    spec: Spec,
    evaluator: Evaluate,
    variables: Any,
    feeder: Feeder,
    chosen: NDArray[np.int32],
    stats: Stats,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Loss and metrics on the chosen rows; None when `stop`, which is asked between two chunks, said yes."""
    totals: dict[str, Any] | None = None
    parts: dict[str, list[Answers]] = {term.name: [] for term in spec.metrics if term.metric.collected}
    for feed, real, turns in feeder.evaluation(chosen):
        if totals is not None and stop():
            return None
        told, answers = jax.device_get(evaluator(variables, feed, real, np.int32(turns), stats))
        sums = tally.settled(told)
        totals = tally.joined(spec, totals, sums) if totals is not None else sums
        for name, found in answers.items():
            parts[name].append(jax.tree.map(lambda leaf, real=real: leaf[real], found))
    assert totals is not None, "no rows were chosen"
    values = tally.values(spec, totals)
    for term in spec.metrics:
        if term.metric.collected:
            values[term.name] = _judged(term.metric, parts[term.name])
    order = [term.name for term in spec.metrics]
    return {**{name: value for name, value in values.items() if name not in order}, **{n: values[n] for n in order}}


def _judged(metric: Metric, parts: Sequence[Answers]) -> float:
    """The value of a metric that needs all answers at once."""
    whole: Answers = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    weights = whole.weights.astype(np.float64)
    if whole.mask is not None:
        weights = weights[:, None] * whole.mask
    return metric.judge(np.asarray(whole.prediction), np.asarray(whole.target), np.asarray(weights))


def monitored(spec: Spec, name: str | None = None) -> tuple[str, bool]:
    """The value that decides which weights are best, and whether higher is better."""
    data = spec.document.data
    splits: Iterable[str] = data.splits() if data is not None else ()
    name = name or spec.document.train.monitor or ("validation/loss" if "validation" in splits else "train/loss")
    metric = name.partition("/")[2]
    return name, any(term.name == metric and term.metric.rises for term in spec.metrics)


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


@record(frozen=True)
class Evaluation:
    """Metrics of a network on some records.

    Args:
        split: the split's name, or the file's.
        examples: how many records.
        metrics: loss and metrics by name.
        confusion: for each target of classes, counts by true class (rows) and predicted class; of places, for a target
            of several places, without padding. Weights of examples have no part in it.
        classes: the names of the classes of each such target.
    """

    split: str
    examples: int
    metrics: Mapping[str, float]
    confusion: Mapping[str, np.ndarray[Any, Any]]
    classes: Mapping[str, list[str]]


def evaluate(run: RunFolder, split: str | None = None, data: Path | None = None) -> Evaluation:
    """Metrics of a run's best weights.

    Args:
        run: the run.
        split: `train`, `validation` or `test`; the last that exists when None.
        data: a table file to evaluate on instead of the spec's own data.

    Raises:
        SpecError: DLC401-DLC406, DLC502, DLC503, DLC510.
    """
    model = load_model(run, platform())
    spec = model.spec
    assert spec.document.data is not None
    stats = run.load_stats(spec)
    if data is not None:
        if split is not None:
            raise SpecError.of("DLC510", "`--split` has no effect beside `--data`", hint="remove one of them")
        columns = read_table(data, spec)
        table = read_encoded(spec, columns, stats, str(data))
        check_values(spec, table)
        rows = np.arange(len(next(iter(columns.values()))), dtype=np.int32)
        label = str(data)
    else:
        dataset = load_dataset(spec, stats)
        splits = list(dataset.splits)
        label = split or next(name for name in ("test", "validation", "train") if name in splits)
        if label not in splits:
            raise SpecError.of(
                "DLC510",
                f"the run has no split `{label}`",
                expected=f"one of {listing(splits)}",
                hint=did_you_mean(label, splits),
            )
        rows, table = dataset.splits[label], dataset.rows
    variables = model.program.from_flat(model.weights)
    feeder = Feeder(table, None, len(rows), evaluated_together(spec), memory=allowed_memory(spec))
    metrics = evaluate_rows(spec, make_evaluate(spec, model.program), variables, feeder, rows, stats)
    assert metrics is not None, "nobody asked for a stop"
    confusion, classes = _confusion(model, table, rows, variables, stats)
    return Evaluation(label, len(rows), metrics, confusion, classes)


def _confusion(
    model: Model, table: Mapping[str, Any], rows: Any, variables: Any, stats: Stats
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The counts by true class (rows) and answer, and the classes' names, of each target of classes.

    Every place of a map or of a sequence counts, without padding; weights of examples don't.
    """
    spec = model.spec
    names: dict[str, list[str]] = {}
    terms: dict[str, MetricTerm] = {}
    for name, paired in answers(spec).items():
        feature = feature_of(spec, paired.against)
        classes = classes_of(feature, spec.graph.types[paired.output]) if feature is not None else None
        if classes is not None and paired.against is not None:
            names[name] = classes
            terms[name] = MetricTerm(name, Accuracy(), paired.output, paired.against, paired.loss)
    if not terms:
        return {}, {}

    def answer(variables: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        results = model.program.run(variables, batch["inputs"], train=False)
        found = {}
        for name, term in terms.items():
            prediction, target, _, mask, known = answers_of(spec, term, results, batch, stats)
            found[name] = (*answered(prediction, target, 0.5), mask, known)
        return found

    apply = jax.jit(answer)
    found = {name: np.zeros((len(classes), len(classes)), np.int64) for name, classes in names.items()}
    size = min(BATCH, len(rows))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        chosen = np.concatenate([part, np.repeat(part[-1:], size - len(part))])
        batch = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], dict(table))
        for name, (guess, truth, mask, known) in jax.device_get(apply(variables, batch)).items():
            count = len(names[name])
            cells = (truth.astype(np.int64) * count + guess)[: len(part)]
            there = (truth >= 0)[: len(part)] & (truth < count)[: len(part)]
            if known is not None:
                there &= known[: len(part)]
            if mask is not None:
                there &= mask[: len(part)].reshape(len(part), -1, *(1,) * (truth.ndim - 2))
            found[name] += np.bincount(cells[there], minlength=count * count).reshape(count, count)
    return found, names


def classes_of(feature: Feature, output: TensorType) -> list[str] | None:
    """The names of the classes that a target and an output tell apart; None when they don't, or too many."""
    target = feature.value_type()
    try:
        count = need_answers("DLC302", "accuracy", output, target)
    except Wrong:
        return None
    if isinstance(feature, Category):
        return feature.names
    return [str(index) for index in range(count)] if not target.is_float and count <= MOST_CLASSES else None
