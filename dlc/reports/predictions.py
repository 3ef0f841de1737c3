"""Predictions of the best weights of a run on a split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dlc.backend.loss import answers_of, feature_of, input_feature
from dlc.components.features.feature import Feature
from dlc.components.metrics.class_checks import answered, need_answers
from dlc.components.metrics.classification import Accuracy
from dlc.data.dataset import Dataset
from dlc.frontend.decisions import threshold_of
from dlc.frontend.plan import LossTerm, MetricTerm, Plan
from dlc.frontend.summary import table
from dlc.language.options import RuleViolation
from dlc.serving.evaluation import MOST_CLASSES, classes_of
from dlc.serving.model import Model
from dlc.support.fast_dataclass import fast_dataclass

MOST_EXAMPLES = 4096  # examples of a split that are used
MOST_NUMBERS = 1 << 25  # bound on the numbers of inputs and predictions
LEAST_EXAMPLES = 12
BATCH = 128
QUICK = {"xla_backend_optimization_level": 0}  # it runs only a few times: compilation dominates


@fast_dataclass(frozen=True)
class Answer:
    """Predictions of one output, with the true values.

    Args:
        name: the name of the target or input.
        feature: the feature of the target or input.
        section: `targets` or `inputs`.
        classes: the names of the classes; empty for classes without names; None for numbers.
        guess: (n, *axes) classes, or numbers in the feature's unit.
        truth: the true values, like `guess`.
        surety: (n,) the probability of the predicted class; None for numbers and for maps of classes.
        there: bool like guess, false where there is nothing to predict; None if everything counts.
    """

    name: str
    feature: Feature
    section: str
    classes: list[str] | None
    guess: NDArray[Any]
    truth: NDArray[Any]
    surety: NDArray[Any] | None
    there: NDArray[np.bool_] | None


@fast_dataclass(frozen=True)
class Answers:
    """The predictions of a run on a split.

    Args:
        split: its name.
        size: its number of examples.
        count: the number of examples used: the first ones.
        inputs: their inputs in the features' units, by name: (count, ...).
        answers: one for each output that is compared with data.
    """

    split: str
    size: int
    count: int
    inputs: Mapping[str, NDArray[Any]]
    answers: tuple[Answer, ...]


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
    size = sum(prod(array.shape[1:]) for arrays in data.rows.values() for array in arrays.values())
    affordable = min(MOST_NUMBERS // max(1, size), most_flops / max(1, _flops(plan, data)), MOST_EXAMPLES)
    rows = data.splits[split][: max(LEAST_EXAMPLES, int(affordable))]
    records = {section: {name: array[rows] for name, array in arrays.items()} for section, arrays in data.rows.items()}
    found = _run(model, terms, records, len(rows)) if terms else []
    answers = []
    for term, (*pair, surety, there) in zip(terms, found, strict=True):
        assert term.against is not None
        feature = feature_of(plan, term.against)
        assert feature is not None
        classes = _classes(plan, term, feature)
        fitted = stats[term.against.name]
        guess, truth = pair if classes is not None else [feature.decode(value, fitted) for value in pair]
        sure = surety if surety.ndim == 1 and classes is not None else None
        answers.append(
            Answer(
                term.against.name,
                feature,
                term.against.section,
                classes,
                guess,
                truth,
                sure,
                None if there.all() else there,
            )
        )
    inputs = {
        name: input_feature(plan, name).decode(records["inputs"][name], stats[name]) for name in plan.graph.inputs
    }
    return Answers(split, len(data.splits[split]), len(rows), inputs, tuple(answers))


def _flops(plan: Plan, data: Dataset) -> float:
    """The approximate FLOPs of an example; sizes that the spec leaves open are those of the data."""
    open_ = {
        dim: size
        for name, kind in plan.graph.inputs.items()
        for dim, size in zip(kind.shape[1:], data.rows["inputs"][name].shape[1:], strict=True)
        if isinstance(dim, str)
    }
    return float(table(plan).flops * prod(open_.values()))


def _terms(plan: Plan) -> list[LossTerm]:
    """The losses whose outputs predict data: one for each output."""
    found: dict[str, LossTerm] = {}
    for term in plan.losses:
        if term.predicts and term.against is not None and term.against.section != "outputs":
            found.setdefault(term.output, term)
    return list(found.values())


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


def _run(
    model: Model, terms: list[LossTerm], records: Mapping[str, Mapping[str, Any]], count: int
) -> list[tuple[NDArray[Any], ...]]:
    """For each term guess, truth, surety and which positions count, all (count, ...)."""
    plan = model.plan
    variables = model.program.from_flat(model.weights)

    def answer(variables: Any, batch: Mapping[str, Any]) -> list[Any]:
        results = model.program.run(variables, batch["inputs"], train=False)
        return [_answer(plan, term, results, batch) for term in terms]

    apply = jax.jit(answer, compiler_options=QUICK)
    fitting = plan.train.batch_size  # fits into memory, as in training
    size = min(BATCH if isinstance(fitting, str) else min(BATCH, fitting), count)
    parts = []
    for start in range(0, count, size):
        chosen = np.minimum(np.arange(start, start + size), count - 1)  # one shape, one compilation
        batch = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], dict(records))
        parts.append(jax.device_get(apply(variables, batch)))
    return [
        tuple(np.concatenate([part[index][which] for part in parts])[:count] for which in range(4))
        for index in range(len(terms))
    ]


def _answer(plan: Plan, term: LossTerm, results: Any, batch: Mapping[str, Any]) -> tuple[jax.Array, ...]:
    """Guess, truth, surety and which positions count. Numbers are as the network sees them."""
    assert term.against is not None
    feature = feature_of(plan, term.against)
    assert feature is not None
    asked = MetricTerm(term.name, Accuracy(), term.output, term.against, term.loss)
    guess, truth, _, mask, known = answers_of(plan, asked, results, batch, None)
    surety = jnp.zeros(len(guess), jnp.float32)
    if _classes(plan, term, feature) is not None:
        guess, truth = answered(guess, truth, threshold_of(plan, asked))
        if guess.ndim == 1:
            scores = term.loss.activate(results.outputs[term.output]).astype(jnp.float32)
            best = scores.max(-1)
            if scores.shape[-1] == 1:
                surety = jnp.where(guess > 0, best, 1 - best)
            else:
                surety = jnp.take_along_axis(scores, jnp.maximum(guess, 0)[:, None], axis=-1)[:, 0]
    else:
        guess, truth = guess.astype(jnp.float32), truth.astype(jnp.float32)
    there = jnp.ones(guess.shape, bool)
    if known is not None:
        there &= known.reshape(-1, *(1,) * (guess.ndim - 1))
    if mask is not None and guess.ndim > 1:
        there &= mask.reshape(*mask.shape, *(1,) * (guess.ndim - mask.ndim))
    return guess, truth, surety, there
