"""Components built from the text of a spec, and arrays for their examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlc.components.features.feature import Feature
from dlc.components.losses.loss import Loss, LossExample
from dlc.components.metrics.metric import Metric
from dlc.components.optimizers.optimizer import Optimizer
from dlc.components.registry import KINDS
from dlc.components.schedules.schedule import Horizon, Schedule
from dlc.ir import DTYPES, Layer, TensorType
from dlc.language.options import OptionError, build_word
from dlc.language.yaml_text import parse_yaml

HORIZON = Horizon(200, 20.0)


def item(spec: str) -> Any:
    """An item as a plain tree, read as a file is read."""
    return parse_yaml(f"item:\n  {spec}\n", "example").tree["item"]


def built_from(table: Mapping[str, str], spec: str, kind: str) -> Any:
    """The component of a table that an item describes, or its errors."""
    return build_word(item(spec), table, kind)


@cache
def built(spec: str, kind: str) -> Any:
    """The component of a kind that an item describes, or its errors."""
    return built_from(KINDS[kind].table, spec, kind)


def loss(spec: str) -> Loss:
    made = built(spec, "loss")
    assert isinstance(made, Loss), made
    return made


def metric(spec: str) -> Metric:
    made = built(spec, "metric")
    assert isinstance(made, Metric), made
    return made


def optimizer(spec: str) -> Optimizer:
    made = built(spec, "optimizer")
    assert isinstance(made, Optimizer), made
    return made


def schedule(spec: str) -> Schedule:
    made = built(spec, "schedule")
    assert isinstance(made, Schedule), made
    return made


def layer(spec: str) -> Layer:
    made = built(spec, "layer")
    assert isinstance(made, Layer), made
    return made


def feature(spec: str) -> Feature:
    made = built(spec, "feature")
    assert isinstance(made, Feature), made
    return made


def option_error(spec: str, kind: str) -> OptionError:
    made = built(spec, kind)
    assert isinstance(made, list), made
    assert len(made) == 1, made
    return made[0]


def pair(example: LossExample, seed: int = 0) -> tuple[jax.Array, Any]:
    """A random output and target.

    Real-valued targets lie in 0..1 and sum to 1 along the last axis; all classes occur.
    """
    generator = np.random.default_rng(seed)
    kinds = [TensorType.parse(text) for text in (example.output, example.target) if text is not None]
    sizes = {"batch": 6, "time": 7, "length": 2}
    shapes = [tuple(dim if isinstance(dim, int) else sizes[dim] for dim in kind.shape) for kind in kinds]
    output = jax.nn.sigmoid(jnp.asarray(generator.normal(size=shapes[0]), jnp.float32))
    if example.target is None:
        return output, None
    if kinds[1].is_float:
        target = jnp.asarray(generator.uniform(0.1, 1, shapes[1]), jnp.float32)
        return output, target / target.sum(-1, keepdims=True)
    classes = generator.permutation(np.arange(math.prod(shapes[1])) % (kinds[1].bound or 3))
    return output, jnp.asarray(classes.reshape(shapes[1]), DTYPES[kinds[1].dtype])


def over_split(made: Metric, prediction: np.ndarray, target: np.ndarray, size: int) -> float:
    """As evaluation does it: statistics of batches, the last one filled up with rows that don't count."""
    if made.collected:
        return made.judge(prediction, target, np.ones(len(target)))
    whole, of_batch = None, jax.jit(made.statistics)
    for start in range(0, len(target), size):
        rows = np.minimum(np.arange(start, start + size), len(target) - 1)
        weights = (np.arange(start, start + size) < len(target)).astype(np.float32)
        found = jax.tree.map(np.float64, of_batch(prediction[rows], target[rows], weights))
        whole = found if whole is None else made.merge(whole, found)
    assert whole is not None
    return made.result(whole)
