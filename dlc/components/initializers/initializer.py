"""The interface of initializers, and initial values by path.

Values are drawn on the host: nothing has to be compiled, so the first step starts a second earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator

from dlc.components.constraints import CONSTRAINTS
from dlc.components.initializers import INITIALIZERS
from dlc.diagnostics import nearest
from dlc.ir import DTYPES, Init, ParamSpec
from dlc.language.options import Options, Table, build_word, load_class, reject, word_field
from dlc.support.lazy import np

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Generator = numpy.random.Generator
    Values = NDArray[numpy.floating]


def path_hash(path: str) -> int:
    """A 32-bit number for a path: the same in every process and version.

    >>> path_hash("dense/kernel") == path_hash("dense/kernel")
    True
    """
    from hashlib import blake2s  # `dlc check` does without it

    return int.from_bytes(blake2s(path.encode(), digest_size=4).digest(), "little")


def draw(spec: ParamSpec, seed: int, path: str) -> NDArray[Any]:
    """The initial value of the weight at `path`. It depends only on the seed, the path and the declaration."""
    generator = np.random.Generator(np.random.Philox(key=[seed, path_hash(path)]))
    value = _made(spec.init).draw(generator, spec.shape, spec.init.fan_in, spec.init.fan_out)
    return np.ascontiguousarray(value.astype(DTYPES[spec.dtype]))


def _made(init: Init) -> Initializer:
    """The initializer by name, or by `module:Class` for plugins, whose names are gone when weights are drawn."""
    cls = load_class({init.name: INITIALIZERS.get(init.name, init.name)}, init.name)
    made = cls(**dict(init.options))
    assert isinstance(made, Initializer), made
    return made


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Fan-in and fan-out of a weight of which only the shape is known: (*window, in, out).

    >>> fans((3, 3, 8, 16)), fans((5,)), fans(())
    ((72, 144), (5, 5), (1, 1))
    """
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    area = math.prod(shape[:-2])
    return area * shape[-2], area * shape[-1]


class Weight(NamedTuple):
    """A weight that is initialized: the word of its layer, its name in it, and its declaration.

    Args:
        layer: the layer's word.
        name: the name in the layer, as in `query/kernel`.
        spec: the declaration.
        all: the declarations of all weights of the layer, by name.
    """

    layer: str
    name: str
    spec: ParamSpec
    all: Mapping[str, ParamSpec]

    @property
    def own(self) -> str:
        """The last part of its name: `kernel` of `query/kernel`."""
        return self.name.rpartition("/")[2]

    @property
    def beside(self) -> dict[str, ParamSpec]:
        """The declarations of the weights in the same part of the layer, by the last part of their names."""
        part = self.name.rpartition("/")[0]
        return {name.rpartition("/")[2]: spec for name, spec in self.all.items() if name.rpartition("/")[0] == part}


def init_of(thing: Initializer, spec: ParamSpec) -> Init:
    """The initialization of a weight with `thing`, using the fans of the weight's declaration."""
    fan_in, fan_out = (spec.init.fan_in, spec.init.fan_out) if spec.init.fan_in * spec.init.fan_out > 1 else (0, 0)
    if not fan_in:
        fan_in, fan_out = fans(spec.shape)
    options = tuple((name, getattr(thing, name)) for name in type(thing).model_fields)
    own = INITIALIZERS.get(thing.word, "").startswith("dlc.")
    name = thing.word if own else f"{type(thing).__module__}:{type(thing).__qualname__}"
    return Init(name, fan_in, fan_out, options)


class Initializer(Options):
    """An initializer of weights. `draw` returns float values of a shape from a random generator."""

    example: ClassVar[str] = ""
    whole: ClassVar[bool] = False  # whether, without a weight's name, it applies to all weights and not only to kernels

    def for_weight(self, weight: Weight) -> Init:
        """How it initializes a weight of a layer: by default with its own draw, whatever the layer."""
        return init_of(self, weight.spec)

    def draw(self, generator: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Values:
        """The values.

        Args:
            generator: the weight's own numpy generator.
            shape: the weight's shape.
            fan_in: the number of inputs of one output.
            fan_out: the number of outputs of one input.
        """
        raise NotImplementedError


InitializerWord = Annotated[Initializer, word_field(lambda: INITIALIZERS, "initializer")]
"""The type of an option that holds an initializer."""


def by_weight(value: Any, table: Table, kind: str) -> dict[str, Any]:
    """A component without a name of a weight, under the empty name, or a mapping of weight names to components."""
    if isinstance(value, dict) and value and not set(value) & set(table):
        parts = {str(name): build_word(item, table, kind) for name, item in value.items()}
        errors = [
            error._replace(loc=(name, *error.loc), at_key=error.at_key and bool(error.loc))
            for name, made in parts.items()
            if isinstance(made, list)
            for error in made
        ]
        if errors and len(value) == 1 and nearest(str(next(iter(value))), table):  # a misspelt name
            errors = build_word(value, table, kind)  # type: ignore[assignment]
        if errors:
            raise reject(*errors)
        return parts
    made = build_word(value, table, kind)
    if isinstance(made, list):
        raise reject(*made)
    return {"": made}


def _words(table: Table, kind: str) -> BeforeValidator:
    return BeforeValidator(lambda value: by_weight(value, table, kind))


ByWeight = Annotated[Mapping[str, Any], _words(INITIALIZERS, "initializer")]
"""The initializers of an item's weights by name; the empty name is for its kernels, or all weights (`whole`)."""

ByConstraint = Annotated[Mapping[str, Any], _words(CONSTRAINTS, "constraint")]
"""The constraints of an item's weights by name; the empty name is for its kernels."""
