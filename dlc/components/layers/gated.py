"""Gated units, and the rectifier with a learned slope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator

from dlc.components.layers.activations import need_axis
from dlc.components.layers.axis_options import axes_list
from dlc.ir import (
    ZEROS,
    Context,
    Decoding,
    Example,
    Layer,
    Masks,
    ParamSpec,
    Signature,
    TensorType,
    known_size,
    need_float,
    refused_decoding,
)
from dlc.language.options import RuleViolation, main
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class PRelu(Layer):
    """(batch, *axes, channels) -> (batch, *axes, channels): f(x) = x where x >= 0, else slope * x, the slope learned.

    Each channel has one slope, as in the paper (He et al. 2015, arXiv:1502.01852), and it begins at 0. `shared_axes`
    selects other axes: with `[]` each element of an example has its own slope, as by default in Keras.
    """

    word = "prelu"
    masks = "elementwise"
    decoding = "pointwise"
    shared_axes: Annotated[tuple[int, ...] | None, BeforeValidator(axes_list)] = main(
        None,
        description="axes that share one slope, counted with the batch axis as 0; default: all but the last",
    )

    examples = (
        Example("prelu", "f32[batch, height, width, 3]", "f32[batch, height, width, 3]", params=3),
        Example("prelu: {shared_axes: [1]}", "f32[batch, 4, 5, 3]", "f32[batch, 4, 5, 3]", params=15),
        Example("prelu: {shared_axes: []}", "f32[batch, 4, 3]", "f32[batch, 4, 3]", params=12),
        Example("prelu: [1, 2]", "f32[batch, time, 3]", "f32[batch, time, 3]", params=1),
        Example("prelu: {shared_axes: []}", "f32[batch, time, 3]", error="DLC203"),
        Example("prelu: 3", "f32[batch, 4, 3]", error="DLC104"),
        Example("prelu: 0", "f32[batch, 4, 3]", error="DLC104"),
        Example("prelu: all", "f32[batch, 4, 3]", error="DLC103"),
        Example("prelu", "f32[batch, width]", error="DLC203"),
        Example("prelu", "f32[batch]", error="DLC204"),
        Example("prelu", "i32[batch, 3]", error="DLC207"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; a slope for each element along the axes that don't share."""
        need_float(x, self.word)
        need_axis(x, self.word)
        wrong = [axis for axis in self.shared_axes or () if not 0 < axis < x.rank]
        if wrong:
            hint = "axis 0 is the batch, which always shares" if wrong[0] == 0 else None
            message, expected = f"no axis {wrong[0]} to share along", f"1 to {x.rank - 1}"
            raise RuleViolation("DLC104", message, found=str(x), expected=expected, hint=hint, option="shared_axes")
        shared = range(1, x.rank - 1) if self.shared_axes is None else self.shared_axes
        shape = tuple(1 if axis in shared else known_size(x, axis, self.word) for axis in range(1, x.rank))
        return Signature(x, {"slope": ParamSpec(shape, ZEROS)}, flops=2 * x.size)

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Each element by itself, if the positions share their slopes."""
        super().check_decoding(inputs, stepped)
        shared = range(1, inputs[0].rank - 1) if self.shared_axes is None else self.shared_axes
        if 1 not in shared:
            raise refused_decoding(self.word, "it has a slope for each position", hint="add 1 to `shared_axes`")

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X where x >= 0, else slope * x."""
        return jnp.where(x >= 0, x, weights["slope"] * x)


class Gate(Layer):
    """What the gated units share: the last axis is split in two halves."""

    masks: ClassVar[Masks] = "pointwise"
    decoding: ClassVar[Decoding] = "pointwise"

    def infer(self, x: TensorType) -> Signature:
        """The last axis becomes half as long."""
        need_float(x, self.word)
        need_axis(x, self.word)
        size = known_size(x, -1, self.word)
        if size % 2:
            found, expected = str(x), "an even last axis"
            raise RuleViolation(
                "DLC205", f"`{self.word}` splits the last axis in two halves", found=found, expected=expected
            )
        return Signature(x.resized(*x.shape[:-1], size // 2), flops=3 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The first half a and the second half b as one."""
        a, b = jnp.split(x, 2, axis=-1)
        return self.gated(a, b)

    def gated(self, a: Array, b: Array) -> Array:
        """What becomes of the halves."""
        raise NotImplementedError


class Glu(Gate):
    """(*lead, 2 d) -> (*lead, d): a * sigmoid(b) of the halves a and b of the last axis.

    Dauphin et al. 2016, arXiv:1612.08083.
    """

    word = "glu"
    examples = (
        Example("glu", "f32[batch, time, 6]", "f32[batch, time, 3]"),
        Example("glu", "f32[batch, 5]", error="DLC205"),
        Example("glu", "f32[batch, width]", error="DLC203"),
        Example("glu", "f32[batch]", error="DLC204"),
        Example("glu", "i32[batch, 4]", error="DLC207"),
    )

    def gated(self, a: Array, b: Array) -> Array:
        """The product a * sigmoid(b)."""
        return a * jax.nn.sigmoid(b)


class SwiGlu(Gate):
    """(*lead, 2 d) -> (*lead, d): silu(a) * b of the halves a and b of the last axis.

    Shazeer 2020, arXiv:2002.05202.
    """

    word = "swiglu"
    examples = (
        Example("swiglu", "f32[batch, time, 6]", "f32[batch, time, 3]"),
        Example("swiglu", "f32[batch, 5]", error="DLC205"),
    )

    def gated(self, a: Array, b: Array) -> Array:
        """silu(a) * b."""
        return jax.nn.silu(a) * b
