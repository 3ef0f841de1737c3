"""Vectors for tokens and positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dlc.components.layers.windows import shifted
from dlc.ir import (
    Context,
    Example,
    Init,
    Layer,
    Outcome,
    ParamSpec,
    Signature,
    TensorType,
    known_size,
    need_float,
    need_rank,
)
from dlc.kernels.rotary import rotate
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jnp, np

if TYPE_CHECKING:
    from jax import Array

_SEQUENCE = "(batch, time, d)"
_SMALL = Init("normal", options=(("stddev", 0.02),))


class Embedding(Layer):
    """(*lead) -> (*lead, size): each integer becomes a learned vector, a row of a table of `vocabulary` rows.

    The rows are drawn uniformly from -0.05 to 0.05. An integer outside of [0, vocabulary) gives a vector of NaN.
    """

    word = "embedding"
    masks = "used"
    decoding = "pointwise"
    vocabulary: int = main(ge=1, description="how many integers there are: they lie in [0, vocabulary)")
    size: int = option(ge=1, description="length of the vectors")
    mask_zero: bool = option(False, description="0 is padding: the output carries a mask")

    examples = (
        Example("embedding: {vocabulary: 10, size: 4}", "i32[batch, time]<10", "f32[batch, time, 4]", params=40),
        Example("embedding: {vocabulary: 10, size: 4}", "i32[batch]<3", "f32[batch, 4]", params=40),
        Example("embedding: {vocabulary: 10, size: 4}", "i32[batch, 5] masked", "f32[batch, 5, 4] masked", params=40),
        Example(
            "embedding: {vocabulary: 10, size: 4, mask_zero: true}",
            "i32[batch, time]<10",
            "f32[batch, time, 4] masked",
            params=40,
        ),
        Example("embedding: {vocabulary: 10, size: 4}", "i32[batch, time]<11", error="DLC205"),
        Example("embedding: {vocabulary: 10, size: 4}", "f32[batch, time]", error="DLC207"),
        Example("embedding: {vocabulary: 10, size: 4, mask_zero: true}", "i32[batch]<10", error="DLC204"),
        Example("embedding: 10", "i32[batch, time]<10", error="DLC102"),
        Example("embedding: {vocabulary: 0, size: 4}", "i32[batch, time]<10", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """One axis more, `size` long."""
        if x.dtype not in ("i32", "u8"):
            hint = "an embedding takes tokens or classes by number; numbers go through `dense`"
            raise RuleViolation("DLC207", "`embedding` takes integers", found=str(x), expected="i32[...]", hint=hint)
        if x.bound is not None and x.bound > self.vocabulary:
            raise RuleViolation(
                "DLC205",
                "the vocabulary of `embedding` is smaller than the numbers that it gets",
                found=f"{x.bound} numbers, a vocabulary of {self.vocabulary}",
                expected=f"at least {x.bound}",
                hint=f"write `vocabulary: {x.bound}`",
                option="vocabulary",
            )
        if self.mask_zero and x.rank != 2:
            message = "a mask is made of (batch, time)"
            raise RuleViolation("DLC204", message, found=str(x), expected="i32[batch, time]", option="mask_zero")
        table = ParamSpec((self.vocabulary, self.size), Init("uniform"), ("in", "out"))
        return Signature(TensorType((*x.shape, self.size), "f32", x.mask or self.mask_zero), {"embedding": table})

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Each integer is looked up by itself, whatever the axes."""

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Outcome:
        """The rows, and which of them are not padding."""
        mask = ctx.mask
        if self.mask_zero:
            mask = x != 0 if mask is None else mask & (x != 0)
        index = jnp.where(x < 0, self.vocabulary, x.astype(jnp.int32))  # a negative one would count from the end
        return Outcome(jnp.take(weights["embedding"], index, axis=0, mode="fill"), mask=mask)


class LearnedPositions(Layer):
    """(batch, time, d) -> (batch, time, d): adds to each position a learned vector of its own.

    The vectors are drawn from a normal distribution of deviation 0.02 (Gehring et al. 2017, arXiv:1705.03122; as in
    BERT, GPT-2 and ViT).
    """

    word = "learned_positions"
    masks = "pointwise"
    decoding = "pointwise"
    length: int = main(ge=1, description="how many positions there are at most")

    examples = (
        Example("learned_positions: 5", "f32[batch, time, 3]", "f32[batch, time, 3]", params=15),
        Example("learned_positions: 4", "f32[batch, 4, 3]", "f32[batch, 4, 3]", params=12),
        Example("learned_positions: 3", "f32[batch, 4, 3]", error="DLC205"),
        Example("learned_positions: 5", "f32[batch, 3]", error="DLC204"),
        Example("learned_positions: 5", "f32[batch, time, width]", error="DLC203"),
        Example("learned_positions: 5", "i32[batch, 4, 3]", error="DLC207"),
        Example("learned_positions", "f32[batch, 4, 3]", error="DLC102"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays; a vector for each of `length` positions."""
        need_rank(x, 3, self.word, _SEQUENCE)
        need_float(x, self.word)
        if isinstance(x.shape[1], int) and x.shape[1] > self.length:
            self.too_long(x.shape[1])
        size = known_size(x, -1, self.word)
        return Signature(x, {"embedding": ParamSpec((self.length, size), _SMALL, ("in", "out"))}, flops=x.size)

    def too_long(self, time: int) -> None:
        """Raise DLC205: there are more positions than vectors."""
        raise RuleViolation(
            "DLC205",
            "`learned_positions` has fewer positions than its input",
            found=f"{time} positions, `length` {self.length}",
            expected=f"a length of at least {time}",
            option="length",
        )

    def most_positions(self, inputs: Sequence[TensorType]) -> int:
        """As many as there are vectors."""
        return self.length

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X + embedding, the first rows of it."""
        table, time = weights["embedding"], cast("Any", x.shape[1])  # a number, or a symbol in an export
        if isinstance(time, int) and isinstance(ctx.offset, int):
            end = ctx.offset + time
            if end > self.length:
                self.too_long(end)
            return x + table[ctx.offset : end]
        return x + jnp.take(table, ctx.positions(time), axis=0, mode="fill")  # NaN after the last position


class SinusoidalPositions(Layer):
    """(batch, time, d) -> (batch, time, d): adds to each position the values of sine waves of growing length.

    Entry 2 i of position t gets sin(t / base^(2 i / d)), entry 2 i + 1 the cosine of that (Vaswani et al. 2017,
    arXiv:1706.03762).
    """

    word = "sinusoidal_positions"
    masks = "pointwise"
    decoding = "pointwise"
    base: float = main(10_000.0, gt=1, description="the longest wave is 2 pi times this")

    examples = (
        Example("sinusoidal_positions", "f32[batch, time, 6]", "f32[batch, time, 6]"),
        Example("sinusoidal_positions: 100", "f32[batch, 4, 5]", "f32[batch, 4, 5]"),
        Example("sinusoidal_positions", "f32[batch, 6]", error="DLC204"),
        Example("sinusoidal_positions", "f32[batch, 4, width]", error="DLC203"),
        Example("sinusoidal_positions", "i32[batch, 4, 6]", error="DLC207"),
        Example("sinusoidal_positions: 0", "f32[batch, 4, 6]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        need_rank(x, 3, self.word, _SEQUENCE)
        need_float(x, self.word)
        known_size(x, -1, self.word)
        return Signature(x, flops=3 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X + waves."""
        time, d = x.shape[1:]
        rates = np.asarray(self.base ** (-2.0 * np.arange((d + 1) // 2) / d), np.float32)  # (d / 2,)
        angles = ctx.positions(time, jnp.float32)[..., None] * rates  # (T, d / 2) or (B, T, d / 2)
        waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)  # (T, d / 2, 2)
        return x + waves.reshape(*angles.shape[:-1], -1)[..., :d].astype(x.dtype)


class RotaryPositions(Layer):
    """(batch, time, *heads, size) -> (batch, time, *heads, size): rotates pairs by an angle for each position.

    Applied to the queries and keys of attention, it makes their product depend on the distance of two positions. The
    pairs are (i, i + size / 2), as in GPT-NeoX and Llama (Su et al. 2021, arXiv:2104.09864).
    """

    word = "rotary_positions"
    masks = "pointwise"
    decoding = "pointwise"
    base: float = main(10_000.0, gt=1, description="how slowly the last pair rotates")

    examples = (
        Example("rotary_positions", "f32[batch, time, 2, 4]", "f32[batch, time, 2, 4]"),
        Example("rotary_positions: 500000", "f32[batch, 5, 6]", "f32[batch, 5, 6]"),
        Example("rotary_positions", "f32[batch, time, 5]", error="DLC205"),
        Example("rotary_positions", "f32[batch, 6]", error="DLC204"),
        Example("rotary_positions", "f32[batch, 5, width]", error="DLC203"),
        Example("rotary_positions", "i32[batch, 5, 6]", error="DLC207"),
        Example("rotary_positions: 0", "f32[batch, 5, 6]", error="DLC104"),
    )

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        need_float(x, self.word)
        if x.rank not in (3, 4):
            expected = "(batch, time, heads, size) or (batch, time, size)"
            raise RuleViolation("DLC204", "`rotary_positions` takes 3 or 4 axes", found=str(x), expected=expected)
        if known_size(x, -1, self.word) % 2:
            raise RuleViolation("DLC205", "`rotary_positions` rotates pairs", found=str(x), expected="an even size")
        return Signature(x, flops=3 * x.size)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """The rotated pairs, positions counted from 0."""
        heads = x if x.ndim == 4 else x[:, :, None]  # (B, T, H, size)
        return rotate(heads, ctx.positions(x.shape[1]), self.base).reshape(x.shape)


class ClassToken(Layer):
    """(batch, time, d) -> (batch, time + 1, d): a learned vector before the first position.

    Its result represents the whole sequence (Devlin et al. 2018, arXiv:1810.04805; Dosovitskiy et al. 2020,
    arXiv:2010.11929). It is drawn from a normal distribution of deviation 0.02.
    """

    word = "class_token"
    masks = "used"

    examples = (
        Example("class_token", "f32[batch, 4, 3]", "f32[batch, 5, 3]", params=3),
        Example("class_token", "f32[batch, time, 3] masked", "f32[batch, (time + 1), 3] masked", params=3),
        Example("class_token", "f32[batch, 3]", error="DLC204"),
        Example("class_token", "f32[batch, 4, width]", error="DLC203"),
        Example("class_token", "i32[batch, 4, 3]", error="DLC207"),
        Example("class_token: 3", "f32[batch, 4, 3]", error="DLC106"),
    )

    def infer(self, x: TensorType) -> Signature:
        """One position more."""
        need_rank(x, 3, self.word, _SEQUENCE)
        need_float(x, self.word)
        size = known_size(x, -1, self.word)
        output = x.resized(x.shape[0], shifted(x.shape[1], 1), size).masked(x.mask)
        return Signature(output, {"token": ParamSpec((size,), _SMALL, ("channels",))})

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Outcome:
        """The vector, then the values; it is not padding."""
        token = jnp.broadcast_to(weights["token"], (x.shape[0], 1, x.shape[2])).astype(x.dtype)
        mask = ctx.mask
        if mask is not None:
            mask = jnp.concatenate([jnp.ones((x.shape[0], 1), bool), mask], axis=1)
        return Outcome(jnp.concatenate([token, x], axis=1), mask=mask)


class Tie(Layer):
    """(*lead, d) -> (*lead, vocabulary): the products with the rows of an embedding, x @ embedding.T.

    It has no weights of its own, and is written with the name of the embedding's item: `tie: tokens` (Press and Wolf
    2016, arXiv:1608.05859).
    """

    word = "tie"
    masks = "pointwise"
    decoding = "pointwise"
    ties_weights = True
    item: str = main(min_length=1, description="the name of the embedding's item")

    examples = (
        Example("tie: tokens", "f32[batch, time, 4]", "f32[batch, time, 5]", params=20),
        Example("tie: tokens", "f32[batch, 4]", "f32[batch, 5]", params=20),
        Example("tie: tokens", "f32[batch, time, 3]", error="DLC205"),
        Example("tie: tokens", "f32[batch]", error="DLC204"),
        Example("tie: tokens", "i32[batch, time, 4]", error="DLC207"),
        Example("tie", "f32[batch, time, 4]", error="DLC102"),
    )

    def infer(self, x: TensorType, *, tied: Mapping[str, ParamSpec]) -> Signature:
        """The last axis becomes as long as the table."""
        if set(tied) != {"embedding"}:
            own = ", ".join(f"{name} {list(spec.shape)}" for name, spec in tied.items()) or "no weights of its own"
            hint = "give the `embedding` item a `name:` and write that"
            message = f"`{self.item}` is not an embedding"
            raise RuleViolation(
                "DLC211", message, found=own, expected="embedding [vocabulary, size]", hint=hint, option="item"
            )
        need_float(x, self.word)
        if x.rank < 2:
            raise RuleViolation("DLC204", "`tie` takes at least 2 axes", found=str(x), expected="f32[batch, ..., d]")
        vocabulary, size = tied["embedding"].shape
        if x.shape[-1] != size:
            message = f"the last axis must be as long as the vectors of `{self.item}`"
            hint = f"bring it to {size} with `dense: {size}`"
            raise RuleViolation("DLC205", message, found=str(x), expected=f"f32[..., {size}]", hint=hint)
        return Signature(x.resized(*x.shape[:-1], vocabulary), dict(tied), flops=2 * x.size * vocabulary)

    def apply(self, weights: Mapping[str, Array], x: Array, *, ctx: Context) -> Array:
        """X @ embedding.T."""
        return jnp.matmul(x, weights["embedding"].T)
