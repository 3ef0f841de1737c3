"""The examples of layers as networks of one layer, with arrays for their inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.tree import nest
from dlc.components.initializers.initializer import draw
from dlc.components.layers import LAYERS
from dlc.ir import DTYPES, Example, Layer, ParamSpec, Signature, TensorType
from dlc.language.interpolation import substitute
from dlc.language.options import RuleViolation, build_word, load_class
from tests.components.building import item

SIZES = {"batch": 2, "time": 5, "depth": 3, "height": 6, "width": 7, "channels": 3, "classes": 4}


class Built(NamedTuple):
    """An example taken through the shape rule: the layer with its signature, or the code and message of an error."""

    layer: Layer | None
    types: tuple[TensorType, ...]
    signature: Signature | None
    error: str | None
    message: str = ""


def build(example: Example) -> Built:
    types = tuple(
        TensorType.parse(text) for text in ([example.inputs] if isinstance(example.inputs, str) else example.inputs)
    )
    value = item(example.spec)
    word = value if isinstance(value, str) else next(iter(value))
    cls = load_class(LAYERS, word)
    body = None if isinstance(value, str) else value[word]
    if cls.short_form_inputs and isinstance(body, list):
        assert len(body) == len(types), "the short form names each input"
        value = word  # the names are the graph's business
    made = build_word(value, LAYERS, "layer")
    if isinstance(made, list):
        return Built(None, types, None, made[0].code, made[0].message)
    assert isinstance(made, Layer)
    least, most = made.arity
    if len(types) < least or (most is not None and len(types) > most):
        return Built(made, types, None, "DLC206", f"it gets {len(types)} inputs")
    tied = {"tied": {"embedding": ParamSpec((5, 4))}} if made.ties_weights else {}
    try:
        return Built(made, types, made.infer(*types, **tied), None)
    except RuleViolation as wrong:
        return Built(made, types, None, wrong.code, wrong.message)


def sizes(kind: TensorType) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else int(substitute(f"$({dim})", SIZES)) for dim in kind.shape)


def value(kind: TensorType, seed: int = 0) -> jax.Array:
    """A random array of a type; no ties, so that maxima are clear."""
    generator = np.random.default_rng(seed)
    if not kind.is_float:
        return jnp.asarray(generator.integers(0, kind.bound or 5, sizes(kind)), DTYPES[kind.dtype])
    return jnp.asarray(generator.normal(size=sizes(kind)), DTYPES[kind.dtype])


def mask(kind: TensorType) -> jax.Array | None:
    """The mask of a masked type: the second example is two places shorter."""
    if not kind.mask:
        return None
    batch, time = sizes(kind)[:2]
    return jnp.arange(time) < jnp.array([time, time - 2])[:batch, None]


def weights_of(declared: dict[str, ParamSpec]) -> dict[str, Any]:
    """First values of declared weights; names with slashes are nested."""
    return nest({name: jnp.asarray(draw(spec, 0, name)) for name, spec in declared.items()})


ALL = [(word, example) for word in LAYERS for example in load_class(LAYERS, word).examples]
GOOD = [(word, example) for word, example in ALL if example.error is None]
FIRST = {next(example for name, example in GOOD if name == word) for word in LAYERS}


def ids(cases: list[tuple[str, Example]]) -> list[str]:
    return [
        f"{example.spec} | {example.inputs if isinstance(example.inputs, str) else ', '.join(example.inputs)}"
        for _, example in cases
    ]
