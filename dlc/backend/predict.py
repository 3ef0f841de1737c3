"""The network for users: raw values in, predictions in their own units out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.loss import feature_of, input_feature
from dlc.backend.network import Program
from dlc.components.features.feature import encoded, fitted_types
from dlc.frontend.plan import Plan
from dlc.frontend.predictions import Answer, answers
from dlc.ir import DTYPES, MASK, TensorType, over


def predictions_of(plan: Plan) -> dict[str, Answer]:
    """The predictions of a plan by name."""
    return answers(plan.losses, plan.graph.outputs)


Predict = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, jax.Array]]


def predicting(plan: Plan, program: Program) -> Predict:
    """The function (weights, the network's values of the inputs) -> predictions that are not decoded.

    Weights are flat, as in files. Predictions are probabilities for classes, and numbers as the network sees them. The
    mask of a prediction that has one is beside it, under its name with the suffix `ir.MASK`.
    """
    named = predictions_of(plan)

    def predict(weights: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, jax.Array]:
        results = program.run(program.from_flat(weights, jnp.stack), values, train=False)
        found = {}
        for name, answer in named.items():
            output, mask = results.outputs[answer.output], results.masks.get(answer.output)
            found[name] = output if answer.loss is None else answer.loss.predict(output, mask)
            if mask is not None and not answer.decodes:
                found[name + MASK] = mask
        return found

    return predict


def blank(value: Any, mask: Any) -> Any:
    """A prediction (n, time, *axes) with NaN where its mask (n, time) is false; integers as they are."""
    arrays = np if isinstance(value, np.ndarray) else jnp
    if mask is None or not arrays.issubdtype(value.dtype, arrays.floating):
        return value
    return arrays.where(over(mask, value), value, arrays.nan)


def serving(plan: Plan, program: Program) -> Predict:
    """The function (weights, raw inputs) -> predictions.

    Weights are flat, with the features' statistics under `features/NAME/KEY`. Inputs have the features' raw types,
    batch first. Predictions are probabilities for classes and numbers in the target's unit, and NaN at padding.
    """
    named, predict = predictions_of(plan), predicting(plan, program)

    def serve(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, jax.Array]:
        values: dict[str, Any] = {}
        for name in plan.graph.inputs:
            values |= encoded(input_feature(plan, name), name, jnp.asarray(inputs[name]), stats_of(weights, name))
        found = predict(weights, values)
        for name, answer in named.items():
            feature = feature_of(plan, answer.against)
            if answer.against is not None and feature is not None:
                found[name] = feature.decode(found[name], stats_of(weights, answer.against.name))
        return {name: blank(found[name], found.get(name + MASK)) for name in named}

    return serve


def stats_of(weights: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A feature's statistics in flat weights."""
    prefix = f"features/{name}/"
    return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}


def with_stats(weights: Mapping[str, Any], stats: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Flat weights with the features' statistics."""
    fitted = {f"features/{name}/{key}": value for name, values in stats.items() for key, value in values.items()}
    return {**weights, **fitted}


def raw_inputs(plan: Plan) -> dict[str, TensorType]:
    """The types of the inputs of `serving`."""
    return {name: input_feature(plan, name).raw_type() for name in plan.graph.inputs}


def weight_shapes(plan: Plan, program: Program) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of the weights of `serving`."""
    shapes = {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in program.shapes().items()}
    for section in (plan.inputs, plan.targets):
        for name, feature in section.items():
            for key, kind in fitted_types(feature).items():
                whole = tuple(dim for dim in kind.shape if isinstance(dim, int))
                shapes[f"features/{name}/{key}"] = jax.ShapeDtypeStruct(whole, DTYPES[kind.dtype])
    return shapes
