"""Predictions of the best weights of a run on a split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dlc.backend.batches import unpacked
from dlc.backend.loss import answers_of, feature_of, input_feature
from dlc.backend.network import lower
from dlc.backend.predict import blank
from dlc.components.features.decision import limit
from dlc.components.features.feature import Feature
from dlc.components.features.tensor import Tensor
from dlc.components.metrics.class_checks import answered, need_answers
from dlc.components.metrics.classification import Accuracy
from dlc.components.metrics.language import TokenErrorRate, edit_distance
from dlc.components.metrics.metric import Metric
from dlc.data.dataset import Dataset
from dlc.data.fitted import FittedData
from dlc.frontend.decisions import threshold_of
from dlc.frontend.passes.sizes import Sizes
from dlc.frontend.plan import LossTerm, MetricTerm, Plan
from dlc.frontend.summary import table
from dlc.ir import MASK, TensorType, over
from dlc.language.options import RuleViolation
from dlc.reports.codes import Codes, codes_of, item_with_code, with_code
from dlc.reports.images import gray
from dlc.serving.evaluation import MOST_CLASSES, classes_of
from dlc.serving.model import Model
from dlc.support.fast_dataclass import fast_dataclass

MOST_EXAMPLES = 4096  # examples of a split that are used
MOST_NUMBERS = 1 << 25  # bound on the numbers of inputs and predictions
LEAST_EXAMPLES = 12
BATCH = 128
QUICK = {"xla_backend_optimization_level": 0}  # it runs only a few times: compilation dominates


@fast_dataclass(frozen=True)
class Classes:
    """Predictions of one class for each example or for each of its places, with the true ones.

    Args:
        name: the name of the target or input.
        classes: the names of the classes; empty for classes without names.
        guess: (n, *axes) class numbers.
        truth: the true ones, like `guess`.
        surety: (n,) the probability of the predicted class; None for maps of classes.
        there: bool like guess, false where there is nothing to predict; None if everything counts.
        threshold: that of the target, above which the second of two classes is predicted; None for the default.
    """

    name: str
    classes: list[str]
    guess: NDArray[Any]
    truth: NDArray[Any]
    surety: NDArray[Any] | None
    there: NDArray[np.bool_] | None
    threshold: float | None = None


@fast_dataclass(frozen=True)
class Labels:
    """Probabilities of labels that don't exclude each other, with the true labels.

    Args:
        name: the name of the target.
        labels: the names of the labels.
        guess: (n, *axes, labels) probabilities, NaN where there is nothing to predict.
        truth: 0 and 1, like `guess`.
        thresholds: (labels,) the probability above which each label is predicted.
    """

    name: str
    labels: list[str]
    guess: NDArray[Any]
    truth: NDArray[Any]
    thresholds: NDArray[Any]


@fast_dataclass(frozen=True)
class Numbers:
    """Predictions of numbers in the feature's unit, with the true ones.

    Args:
        name: the name of the target or input.
        section: `targets` or `inputs`.
        kind: the type of the target.
        guess: (n, *axes), NaN where there is nothing to predict.
        truth: the true ones; in the shape of `guess`, unless they can't be compared element by element.
    """

    name: str
    section: str
    kind: TensorType
    guess: NDArray[Any]
    truth: NDArray[Any]


@fast_dataclass(frozen=True)
class Sequences:
    """Sequences that a loss decoded, with the true ones.

    Args:
        name: the name of the target.
        guess: the tokens of each example.
        truth: the true tokens.
        edits: (n,) the Levenshtein distances.
    """

    name: str
    guess: list[list[int]]
    truth: list[list[int]]
    edits: NDArray[Any]


Answer = Classes | Labels | Numbers | Sequences


@fast_dataclass(frozen=True)
class Answers:
    """The predictions of a run on a split.

    Args:
        split: its name.
        size: its number of examples.
        count: the number of examples used: the first ones.
        inputs: their inputs in the features' units, by name: (count, ...).
        answers: one for each output that is compared with data.
        codes: the codes of an autoencoder; None if the network has none.
    """

    split: str
    size: int
    count: int
    inputs: Mapping[str, NDArray[Any]]
    answers: tuple[Answer, ...]
    codes: Codes | None = None


def sizes_of_data(plan: Plan, data: Dataset) -> Sizes:
    """The sizes of the data in place of symbols of the network's inputs."""
    found = {}
    for name, kind in plan.graph.inputs.items():
        sizes = data.rows["inputs"][name].shape[1:]
        found.update({dim: size for dim, size in zip(kind.shape[1:], sizes, strict=True) if isinstance(dim, str)})
    return Sizes(found)


def predicted(model: Model, data: Dataset, most_flops: float = math.inf) -> Answers:
    """The predictions on the test split, or on the last existing split.

    Args:
        model: the network with its best weights.
        data: the records that it was trained on.
        most_flops: bound on the work; a few examples are used in any case.
    """
    plan, stats = model.plan, data.fitted.stats
    split = next(name for name in ("test", "validation", "train") if name in data.splits)
    terms = _terms(plan)
    counts = table(plan, sizes=sizes_of_data(plan, data))
    size = sum(prod(array.shape[1:]) for arrays in data.rows.values() for array in arrays.values())
    ends = {ref.source for ref in plan.graph.outputs.values()}
    size += sum(row.output.size for row in counts.rows if row.path in ends)
    affordable = min(MOST_NUMBERS // max(1, size), most_flops / max(1, counts.flops), MOST_EXAMPLES)
    rows = data.splits[split][: max(LEAST_EXAMPLES, int(affordable))]
    held = {section: {name: array[rows] for name, array in arrays.items()} for section, arrays in data.rows.items()}
    records = jax.device_get(jax.jit(partial(unpacked, plan))(held, data.stats))
    item = item_with_code(plan)
    *found, last = _run(model, terms, records, len(rows), item) if terms or item else [{}]
    answers = tuple(_answer(plan, term, part, data.fitted) for term, part in zip(terms, found, strict=True))
    inputs = {}
    for name in plan.graph.inputs:
        feature = input_feature(plan, name)
        if feature.reads_texts:
            inputs[name] = feature.spelled(records["inputs"][name], data.fitted.artifacts[name])
            continue
        value = feature.decode(records["inputs"][name], stats[name])
        inputs[name] = _shown(value, records["inputs"].get(name + MASK))
    codes = None if item is None else codes_of(plan, item, last["code"], records)
    return Answers(split, len(data.splits[split]), len(rows), inputs, answers, codes)


def _shown(value: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Values (n, time, *axes) with NaN at padding, without the positions that are padding in all of them."""
    if mask is None:
        return value
    real = np.flatnonzero(mask.any(0))
    found: NDArray[Any] = blank(value, mask)
    return found[:, : real[-1] + 1 if real.size else 1]


def _terms(plan: Plan) -> list[LossTerm]:
    """The losses whose outputs predict data: one for each output."""
    found: dict[str, LossTerm] = {}
    for term in plan.losses:
        if term.target is not None and _kind(plan, term) is not None:
            found.setdefault(term.output, term)
    return list(found.values())


def _kind(plan: Plan, term: LossTerm) -> Literal["classes", "sequences", "values"] | None:
    """How the predictions of a loss are shown; None if they can't be compared with the target."""
    feature = _feature(plan, term)
    if term.loss.aligned:
        return "values" if _classes(plan, term, feature) is None else "classes"
    kind = feature.value_type()
    return "sequences" if kind.rank == 2 and not kind.is_float else None


def _feature(plan: Plan, term: LossTerm) -> Feature:
    feature = feature_of(plan, term.against)
    assert feature is not None, "it predicts data"
    return feature


def _classes(plan: Plan, term: LossTerm, feature: Feature) -> list[str] | None:
    """The names of the classes; empty for classes without names; None for numbers."""
    output, target = plan.graph.types[term.output], feature.value_type()
    names = classes_of(feature, output)
    if names is not None:
        return names
    if not target.is_float:
        return [] if output.rank > target.rank else None
    binary = "sigmoid" in term.loss.activations() and output.shape[-1] == 1
    if term.against is None or term.against.section != "targets":
        return None  # a reconstructed image, whatever its loss
    if not binary and "softmax" not in term.loss.activations():
        return None
    try:
        count = need_answers("DLC302", "accuracy", output, target)
    except RuleViolation:
        return None
    return [str(index) for index in range(count)] if count <= MOST_CLASSES else []


# ---- computed on the device ----


def _run(
    model: Model, terms: list[LossTerm], records: Mapping[str, Mapping[str, Any]], count: int, item: str | None
) -> list[dict[str, NDArray[Any]]]:
    """For each term arrays by name, all (count, ...); at the end the results of an item, `code`, if one is given."""
    plan, program = model.plan, model.program
    if item is not None:
        program = lower(with_code(program.graph, item), only=program.platform)
    variables = program.from_flat(model.weights)

    def answer(variables: Any, batch: Mapping[str, Any]) -> list[Any]:
        results = program.run(variables, batch["inputs"], train=False)
        shown = [_COMPUTED[_kind(plan, term) or "values"](plan, term, results, batch) for term in terms]
        return [*shown, {} if item is None else {"code": results.outputs[item]}]

    apply = jax.jit(answer, compiler_options=QUICK)
    fitting = plan.train.batch_size  # fits into memory, as in training
    size = min(BATCH if isinstance(fitting, str) else min(BATCH, fitting), count)
    parts = []
    for start in range(0, count, size):
        chosen = np.minimum(np.arange(start, start + size), count - 1)  # one shape, one compilation
        batch = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], dict(records))
        parts.append(jax.device_get(apply(variables, batch)))
    return [
        {name: np.concatenate([part[index][name] for part in parts])[:count] for name in parts[0][index]}
        for index in range(len(terms) + 1)
    ]


def _asked(term: LossTerm, metric: Metric) -> MetricTerm:
    """A metric that gets the predictions as they are shown."""
    assert term.against is not None
    return MetricTerm(term.name, metric, term.output, term.against, term.loss)


def _shown_classes(plan: Plan, term: LossTerm, results: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Classes, the probability of the predicted one for examples of one class, and which places count."""
    prediction, target, _, mask, known = answers_of(plan, _asked(term, Metric()), results, batch, None)
    guess, truth = answered(prediction, target, threshold_of(plan, _asked(term, Accuracy())))
    found = {"guess": guess, "truth": truth, "there": _there(guess, mask, known)}
    if guess.ndim == 1:
        scores = prediction.astype(jnp.float32)
        chosen = jnp.take_along_axis(scores, jnp.clip(guess, 0, scores.shape[-1] - 1)[:, None], axis=-1)[:, 0]
        found["surety"] = jnp.where(guess > 0, chosen, 1 - chosen) if scores.shape[-1] == 1 else chosen
    return found


def _shown_values(plan: Plan, term: LossTerm, results: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Numbers as the network sees them, and which places count."""
    prediction, target, _, mask, known = answers_of(plan, _asked(term, Metric()), results, batch, None)
    guess, truth = prediction.astype(jnp.float32), target.astype(jnp.float32)
    return {"guess": guess, "truth": truth, "there": _there(guess, mask, known)}


def _shown_sequences(plan: Plan, term: LossTerm, results: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Tokens, -1 where there is none, and the Levenshtein distances."""
    prediction, target, _, mask, _ = answers_of(plan, _asked(term, TokenErrorRate()), results, batch, None)
    there = jnp.ones(target.shape, bool) if mask is None else mask
    edits = edit_distance(prediction, target, there)
    return {"guess": prediction, "truth": jnp.where(there, target, -1), "edits": edits}


_COMPUTED = {"classes": _shown_classes, "sequences": _shown_sequences, "values": _shown_values}


def _there(guess: jax.Array, mask: jax.Array | None, known: jax.Array | None) -> jax.Array:
    """Which elements of (n, *axes) count."""
    there = jnp.ones(guess.shape, bool)
    if known is not None:
        there &= over(known, guess)
    if mask is not None and guess.ndim > 1:
        there &= over(mask, guess)
    return there


# ---- on the host ----


def _answer(plan: Plan, term: LossTerm, found: Mapping[str, NDArray[Any]], fitted: FittedData) -> Answer:
    assert term.against is not None
    name, section, feature = term.against.name, term.against.section, _feature(plan, term)
    guess, truth = found["guess"], found["truth"]
    if "edits" in found:
        answers, wanted = ([row[row >= 0].tolist() for row in side] for side in (guess, truth))
        return Sequences(name, answers, wanted, found["edits"])
    there = None if found["there"].all() else found["there"]
    classes = _classes(plan, term, feature)
    if classes is not None and feature.reads_texts:
        classes = feature.token_names(fitted.artifacts[name])
    if classes is not None:
        rule = feature.decision
        threshold = float(limit(rule)) if rule is not None and np.ndim(limit(rule)) == 0 else None
        return Classes(name, classes, guess, truth, found.get("surety"), there, threshold)
    kind = feature.value_type()
    if guess.size == truth.size:  # an axis of size 1 may differ
        guess, there = guess.reshape(truth.shape), None if there is None else there.reshape(truth.shape)
    elif prod(truth.shape[1:]) == 1:  # several numbers for one, such as quantiles
        truth = np.broadcast_to(truth.reshape(len(truth), *(1,) * (guess.ndim - 1)), guess.shape)
    else:
        return Numbers(name, section, kind, guess, truth)
    if _are_labels(term, kind, guess, truth):
        if _exclude(guess, truth):
            names = [str(index) for index in range(guess.shape[-1])] if guess.shape[-1] <= MOST_CLASSES else []
            surety = guess.max(-1) if guess.ndim == 2 else None
            return Classes(
                name, names, guess.argmax(-1), truth.argmax(-1), surety, None if there is None else there[..., 0]
            )
        lost = truth if there is None else np.where(there, truth, np.nan)
        count = guess.shape[-1]
        thresholds = np.broadcast_to(limit(feature.decision), (count,))
        guess = np.where(np.isnan(lost), np.nan, guess)
        return Labels(name, _label_names(feature, name, count), guess, lost, thresholds)
    guess, truth = (feature.decode(value.astype(np.float64), fitted.stats[name]) for value in (guess, truth))
    if there is not None:
        guess, truth = (np.where(there, value, np.nan) for value in (guess, truth))
    return Numbers(name, section, kind, guess, truth)


def _are_labels(term: LossTerm, kind: TensorType, guess: NDArray[Any], truth: NDArray[Any]) -> bool:
    """Whether values are probabilities of several labels: the true ones are 0 and 1, predicted ones between them."""
    alone = guess.ndim < 2 or guess.shape[-1] == 1 or gray(kind)
    if alone or term.against is None or term.against.section != "targets":
        return False
    known = guess[np.isfinite(guess)]
    return bool(np.isin(truth, (0, 1)).all() and ((known >= 0) & (known <= 1)).all())


def _exclude(guess: NDArray[Any], truth: NDArray[Any]) -> bool:
    """Whether labels exclude each other: exactly one is true, and the probabilities sum to 1."""
    sums = guess.sum(-1)
    return bool((truth.sum(-1) == 1).all() and (np.abs(sums[np.isfinite(sums)] - 1) < 1e-3).all())


def _label_names(feature: Feature, name: str, count: int) -> list[str]:
    columns = feature.columns if isinstance(feature, Tensor) else None
    return list(columns) if columns and len(columns) == count else [f"{name}_{index}" for index in range(count)]
