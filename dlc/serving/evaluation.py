"""A trained run measured on a split or on a table of the user's: loss, metrics, confusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dlc.backend.batches import unpacked
from dlc.backend.evaluate import make_evaluate
from dlc.backend.loss import Stats, answers_of, feature_of
from dlc.backend.lowering import platform
from dlc.backend.predict import predictions_of
from dlc.components.features.category import Category
from dlc.components.features.feature import Feature
from dlc.components.metrics.class_checks import answered, need_answers
from dlc.components.metrics.classification import Accuracy
from dlc.data.dataset import load_dataset
from dlc.data.feeder import Feeder, evaluated_together
from dlc.data.fitted import device_stats
from dlc.data.tables import allowed_memory
from dlc.diagnostics import SpecError, did_you_mean, listing, quoting
from dlc.frontend.decisions import threshold_of
from dlc.frontend.plan import MetricTerm
from dlc.ir import TensorType
from dlc.language.options import RuleViolation
from dlc.serving.model import BATCH, Model, load_model
from dlc.serving.sources import source_of
from dlc.serving.tables import read_encoded
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.evaluation import evaluate_rows, undefined_note
from dlc.training.run_folder import RunFolder

MOST_CLASSES = 100  # of targets without names of classes, such as tokens: a larger confusion matrix tells nobody much


@fast_dataclass(frozen=True)
class Evaluation:
    """Metrics of a network on some records.

    Args:
        split: the split's name, or the file's.
        examples: how many records.
        metrics: loss and metrics by name.
        undefined: how many records have a prediction that is NaN, for each prediction that has any. Their class is a
            wrong one in all metrics, and no class in `confusion`.
        confusion: for each target of classes, counts by true class (rows) and predicted class; of places, for a target
            of several places, without padding. Weights of examples have no part in it.
        classes: the names of the classes of each such target.
        notes: what is noteworthy about the records and the predictions.
    """

    split: str
    examples: int
    metrics: Mapping[str, float]
    undefined: Mapping[str, int]
    confusion: Mapping[str, np.ndarray[Any, Any]]
    classes: Mapping[str, list[str]]
    notes: tuple[str, ...] = ()


@noticing_exhaustion()
def evaluate(run: RunFolder, split: str | None = None, data: str | Path | None = None) -> Evaluation:
    """Metrics of a run's best weights.

    Args:
        run: the run.
        split: `train`, `validation` or `test`; the last that exists when None.
        data: a file, or a source as in a spec, to evaluate on instead of the spec's own data.

    Raises:
        SpecError: DLC401-DLC406, DLC502, DLC503, DLC510.
    """
    model = load_model(run, platform())
    with quoting(model.texts):
        return _evaluated(model, run, split, data)


def _evaluated(model: Model, run: RunFolder, split: str | None, data: str | Path | None) -> Evaluation:
    plan = model.plan
    assert plan.data is not None
    fitted = run.load_fitted(plan)
    stats = device_stats(fitted.stats)
    notes: list[str] = []
    if data is not None:
        if split is not None:
            raise SpecError.of("DLC510", "`--split` has no effect beside `--data`", hint="remove one of them")
        table, notes = read_encoded(plan, fitted, source_of(model, data), str(data))
        rows = np.arange(len(next(iter(table["inputs"].values()))), dtype=np.int32)
        label = str(data)
    else:
        dataset = load_dataset(plan, fitted)
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
    feeder = Feeder(table, None, len(rows), evaluated_together(plan), memory=allowed_memory(plan))
    found = evaluate_rows(plan, make_evaluate(plan, model.program), variables, feeder, rows, stats)
    assert found is not None, "nobody asked for a stop"
    confusion, classes = _confusion(model, table, rows, variables, stats)
    notes += [undefined_note(name, count, len(rows)) for name, count in found.undefined.items()]
    return Evaluation(label, len(rows), found.values, found.undefined, confusion, classes, tuple(notes))


def _confusion(
    model: Model, table: Mapping[str, Any], rows: Any, variables: Any, stats: Stats
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The counts by true class (rows) and answer, and the classes' names, of each target of classes.

    Every place of a map or of a sequence counts, without padding; weights of examples don't.
    """
    plan = model.plan
    names: dict[str, list[str]] = {}
    terms: dict[str, MetricTerm] = {}
    for name, paired in predictions_of(plan).items():
        feature = feature_of(plan, paired.against)
        if feature is None or paired.decodes:  # a decoded sequence has no place at which a class could be wrong
            continue
        classes = classes_of(feature, plan.graph.types[paired.output])
        if classes is not None and paired.against is not None:
            names[name] = classes
            terms[name] = MetricTerm(name, Accuracy(), paired.output, paired.against, paired.loss)
    if not terms:
        return {}, {}

    def answer(variables: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        batch = unpacked(plan, batch, stats)
        results = model.program.run(variables, batch["inputs"], train=False)
        found = {}
        for name, term in terms.items():
            prediction, target, _, mask, known = answers_of(plan, term, results, batch, stats)
            found[name] = (*answered(prediction, target, threshold_of(plan, term)), mask, known)
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
            there = ((truth >= 0) & (truth < count) & (guess >= 0))[: len(part)]  # an undefined guess is no class
            if known is not None:
                there &= known[: len(part)]
            if mask is not None:
                there &= mask[: len(part)].reshape(len(part), -1, *(1,) * (truth.ndim - 2))
            found[name] += np.bincount(cells[there], minlength=count * count).reshape(count, count)
    return found, names


def classes_of(feature: Feature, output: TensorType) -> list[str] | None:
    """The names of the classes of a target; None if the output has none, or too many to show."""
    target = feature.value_type()
    try:
        count = need_answers("DLC302", "accuracy", output, target)
    except RuleViolation:
        return None
    if isinstance(feature, Category):
        return feature.names
    return [str(index) for index in range(count)] if not target.is_float and count <= MOST_CLASSES else None
