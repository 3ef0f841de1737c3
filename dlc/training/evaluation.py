"""Loss and metrics on whole splits, and what decides which weights are best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from numpy.typing import NDArray

from dlc.diagnostics import SpecError, did_you_mean, listing
from dlc.features.category import Category
from dlc.lower import tally
from dlc.lower.objective import Answers, Stats, feature_of
from dlc.lower.serve import answers
from dlc.lower.steps import Trainer, Updater, make_trainer
from dlc.objectives.metric import Metric
from dlc.pipeline import Spec
from dlc.sources.dataset import load_dataset
from dlc.training.feeding import Feeder
from dlc.training.model import BATCH, Model, load_model
from dlc.training.run_folder import RunFolder
from dlc.training.tables import read_encoded, read_table


def evaluate_rows(
    spec: Spec, trainer: Trainer, variables: Any, feeder: Feeder, chosen: NDArray[np.int32], stats: Stats
) -> dict[str, float]:
    """Loss and metrics on the chosen rows."""
    totals: dict[str, Any] | None = None
    parts: dict[str, list[Answers]] = {term.name: [] for term in spec.metrics if term.metric.collected}
    for feed, real, turns in feeder.evaluation(chosen):
        told, answers = jax.device_get(trainer.evaluate(variables, feed, real, np.int32(turns), stats))
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
    """Whether a value improves on the best so far by more than a margin.

    >>> better(0.9, 0.8, higher=True), better(0.9, 0.8, higher=False), better(0.5, None, higher=False)
    (True, False, True)
    """
    if best is None:
        return True
    return value > best + margin if higher else value < best - margin


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a network on some records.

    Args:
        split: the split's name, or the file's.
        examples: how many records.
        metrics: loss and metrics by name.
        confusion: for each target of classes, counts by true class (rows) and predicted class.
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
    model = load_model(run)
    spec = model.spec
    assert spec.document.data is not None
    stats = run.load_stats(spec)
    if data is not None:
        if split is not None:
            raise SpecError.of("DLC510", "`--split` has no effect beside `--data`", hint="remove one of them")
        columns = read_table(data, spec)
        table = read_encoded(spec, columns, stats, str(data))
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
    trainer = make_trainer(spec, model.program, Updater(optax.identity()), stats)
    metrics = evaluate_rows(spec, trainer, variables, Feeder(table, None, len(rows)), rows, stats)
    confusion, classes = _confusion(model, table, rows, variables)
    return Evaluation(label, len(rows), metrics, confusion, classes)


def _confusion(
    model: Model, table: Mapping[str, Any], rows: Any, variables: Any
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    from sklearn.metrics import confusion_matrix

    spec = model.spec
    found: dict[str, Any] = {}
    classes: dict[str, list[str]] = {}
    categories = {
        name: (answer, feature)
        for name, answer in answers(spec).items()
        if isinstance(feature := feature_of(spec, answer.against), Category)
    }
    if not categories:
        return found, classes
    apply = jax.jit(lambda variables, inputs: model.program.apply(variables, inputs, train=False)[0])
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        chosen = (
            np.concatenate([part, np.repeat(part[-1:], min(BATCH, len(rows)) - len(part))])
            if len(part) < min(BATCH, len(rows))
            else part
        )
        outputs = apply(variables, {name: value[chosen] for name, value in table["inputs"].items()})
        for name, (answer, feature) in categories.items():
            value = outputs[answer.output]
            scores = np.asarray(answer.loss.activate(value) if answer.loss else value)[: len(part)]
            if scores.ndim != 2:
                continue
            guess = scores.argmax(-1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)
            assert answer.against is not None
            truth = table[answer.against.section][answer.against.name][part]
            truth = truth.argmax(-1) if truth.ndim == 2 else truth
            counts = confusion_matrix(truth, guess, labels=range(len(feature.names)))
            found[name] = found.get(name, 0) + counts
            classes[name] = feature.names
    return found, classes
