"""Attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.diagnostics import plural
from dlc.ir import (
    ZEROS,
    Context,
    Example,
    Init,
    Layer,
    Normalized,
    Outcome,
    ParamSpec,
    Signature,
    TensorType,
    known_size,
    need_float,
    refused_decoding,
)
from dlc.kernels.products import product
from dlc.kernels.rotary import rotate
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


class Attention(Layer):
    """(batch, time, d) -> (batch, time, d): multi-head attention (Vaswani et al. 2017, arXiv:1706.03762).

    softmax(q k^T / sqrt(head_size)) v for each head, q, k, v affine maps of the input, the heads' results joined by
    another. With a second input, (batch, time', d'), keys and values come from that one (cross-attention). Fewer
    `kv_heads` than heads share keys and values (Ainslie et al. 2023, arXiv:2305.13245). Masked positions are not
    attended to.
    """

    word = "attention"
    hyperparameters = ("dropout",)
    arity = (1, 2)
    random = True
    masks = "used"
    decoding = "cached"
    heads: int = main(ge=1, description="how many heads")
    head_size: int | None = option(None, ge=1, description="size of a head; d / heads when left out")
    kv_heads: int | None = option(None, ge=1, description="heads of keys and values; as many as heads when left out")
    output_size: int | None = option(None, ge=1, description="size of the result; d when left out")
    causal: bool = option(False, description="a position attends only to itself and earlier ones")
    window: int | None = option(None, ge=1, description="a position attends only to those less than this far away")
    rotary: bool = option(False, description="rotate queries and keys by their positions (arXiv:2104.09864)")
    rotary_base: float | None = option(None, gt=1, description="base of the rotary waves; 10000 when left out")
    dropout: float = option(0.0, ge=0, lt=1, description="share of the attention weights dropped in training")
    use_bias: bool = option(True, description="add learned vectors to queries, keys, values and the result")

    examples = (
        Example("attention: 2", "f32[batch, time, 8]", "f32[batch, time, 8]", params=288),
        Example(
            "attention: {heads: 2, window: 2}", "f32[batch, time, 8] masked", "f32[batch, time, 8] masked", params=288
        ),
        Example(
            "attention: {heads: 2, causal: true}", "f32[batch, 5, 8] masked", "f32[batch, 5, 8] masked", params=288
        ),
        Example(
            "attention: {heads: 2, head_size: 3, use_bias: false}", "f32[batch, 5, 8]", "f32[batch, 5, 8]", params=192
        ),
        Example("attention: {heads: 4, kv_heads: 2, rotary: true}", "f32[batch, 5, 8]", "f32[batch, 5, 8]", params=216),
        Example("attention: {heads: 2, causal: true, window: 2}", "f32[batch, 5, 8]", "f32[batch, 5, 8]", params=288),
        Example("attention: {heads: 2, dropout: 0.5, window: 2}", "f32[batch, 5, 8]", "f32[batch, 5, 8]", params=288),
        Example("attention: {heads: 1, output_size: 3}", "f32[batch, 5, 4]", "f32[batch, 5, 3]", params=75),
        Example("attention: 2", ("f32[batch, 5, 8]", "f32[batch, 7, 6] masked"), "f32[batch, 5, 8]", params=256),
        Example("attention: 3", "f32[batch, 5, 8]", error="DLC205"),
        Example("attention: {heads: 4, kv_heads: 3}", "f32[batch, 5, 8]", error="DLC205"),
        Example("attention: {heads: 2, head_size: 3, rotary: true}", "f32[batch, 5, 8]", error="DLC205"),
        Example("attention: {heads: 2, rotary_base: 100.0}", "f32[batch, 5, 8]", error="DLC303"),
        Example("attention: {heads: 2, causal: true}", ("f32[batch, 5, 8]", "f32[batch, 7, 6]"), error="DLC104"),
        Example("attention: 2", "f32[batch, 8, 8, 3]", error="DLC204"),
        Example("attention: 2", "i32[batch, 5, 8]", error="DLC207"),
        Example("attention: 2", "f32[batch, 5, channels]", error="DLC203"),
    )

    def infer(self, x: TensorType, *memory: TensorType) -> Signature:
        """The shape stays but for `output_size`."""
        for value in (x, *memory):
            if value.rank != 3:
                hint = "flatten the image to (batch, positions, channels) with `reshape`, or use `patches`"
                hint = hint if value.rank == 4 else "a sequence of vectors: `embedding` makes one of token numbers"
                raise RuleViolation("DLC204", "`attention` takes 3 axes", found=str(value), expected=_AXES, hint=hint)
            need_float(value, self.word)
        d, source = known_size(x, -1, self.word), known_size((memory or (x,))[0], -1, self.word)
        if self.head_size is None and d % self.heads:
            message = f"`heads` must divide the {plural(d, 'channel')}"
            hint = "or set the size of a head with `head_size`"
            expected = f"a divisor of {d}"
            raise RuleViolation(
                "DLC205", message, found=f"`{self.heads}`", expected=expected, hint=hint, option="heads"
            )
        size, heads, shared = self.head_size or d // self.heads, self.heads, self.kv_heads or self.heads
        if heads % shared:
            message, expected = f"`kv_heads` must divide the {heads} heads", f"a divisor of {heads}"
            raise RuleViolation("DLC205", message, found=f"`{shared}`", expected=expected, option="kv_heads")
        self._need_positions(size, bool(memory))
        out = self.output_size or d
        params: dict[str, ParamSpec] = {}
        for name, inner, count in (("query", d, heads), ("key", source, shared), ("value", source, shared)):
            init = Init("glorot_uniform", inner, count * size)
            params[f"{name}/kernel"] = ParamSpec((inner, count, size), init, ("in", "heads", "out"), kernel=True)
            if self.use_bias:
                params[f"{name}/bias"] = ParamSpec((count, size), ZEROS, ("heads", "out"))
        init = Init("glorot_uniform", heads * size, out)
        params["output/kernel"] = ParamSpec((heads, size, out), init, ("heads", "in", "out"), kernel=True)
        if self.use_bias:
            params["output/bias"] = ParamSpec((out,), ZEROS, ("out",))
        times = [value.shape[1] if isinstance(value.shape[1], int) else 1 for value in (x, *(memory or (x,)))]
        flops = 2 * times[0] * heads * size * (d + out) + 4 * times[1] * shared * size * source
        flops += 4 * times[0] * times[1] * heads * size
        cache = {}
        if self.causal:
            past = TensorType((*x.shape[:2], shared, size), x.dtype)
            cache = {"key": past, "value": past}
            cache |= {"real": TensorType(x.shape[:2], "bool")} if x.mask else {}
        return Signature(TensorType((*x.shape[:2], out), x.dtype, x.mask), params, flops=flops, cache=cache)

    def normalized(self, *inputs: TensorType) -> Normalized:
        """The positions of keys and values."""
        hint = "write `dense`: queries and keys have no effect, and are not trained"
        positions = (1,) if self.window == 1 else inputs[-1].shape[1:2]  # a window of 1 holds the position itself
        return Normalized(positions, "the value of that element, whatever the query", hint)

    def most_positions(self, inputs: Sequence[TensorType]) -> int | None:
        """As many as its input has, if that is known: the cache of self-attention holds no more."""
        time = inputs[0].shape[1]
        return time if len(inputs) == 1 and isinstance(time, int) else None

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """Self-attention must be causal; cross-attention must have its whole second input at every step."""
        if len(inputs) == 2:
            if stepped[1]:
                raise refused_decoding(self.word, "it reads all of its second input at every position")
        elif not self.causal:
            raise refused_decoding(self.word, "a position attends to later ones", hint="set `causal: true`")

    def _need_positions(self, size: int, cross: bool) -> None:
        if self.rotary and size % 2:
            message, expected = "rotary positions rotate pairs: a head must have an even size", "an even `head_size`"
            raise RuleViolation("DLC205", message, found=f"`{size}`", expected=expected, option="rotary")
        if self.rotary_base is not None and not self.rotary:
            hint = "set `rotary: true`, or remove it"
            message, because = "`rotary_base` has no effect without `rotary`", ("rotary",)
            raise RuleViolation("DLC303", message, hint=hint, option="rotary_base", because=because)
        for name, used in (("causal", self.causal), ("window", self.window), ("rotary", self.rotary)):
            if used and cross:
                message = f"`{name}` compares positions of one sequence, and this attention reads another"
                raise RuleViolation("DLC104", message, hint="remove it, or give one input", option=name)

    def apply(self, weights: Mapping[str, Any], x: Array, *memory: Array, ctx: Context) -> Any:
        """Heads side by side, then the output's affine map."""
        source = memory[0] if memory else x
        q, k, v = (
            self._project(weights[name], value) for name, value in (("query", x), ("key", source), ("value", source))
        )
        if self.rotary:
            base, positions = self.rotary_base or 10000.0, ctx.positions(x.shape[1])
            q, k = rotate(q, positions, base), rotate(k, positions, base)
        if ctx.decode and not memory:
            return self._step(weights, q, k, v, ctx)
        hidden = ctx.masks[-1] if ctx.masks else None
        seen = None if hidden is None else hidden[:, None, None, :]  # (batch, 1, 1, time')
        if self.window is not None:
            place = jnp.arange(x.shape[1])
            near = abs(place[:, None] - place) < self.window  # (time, time)
            seen = near[None, None] if seen is None else seen & near
        dropped = ctx.train and bool(self.dropout)
        assert not dropped or ctx.key is not None, "dropout needs a key in training"
        y = self._attend(q, k, v, seen, self.causal, ctx.key if dropped else None)
        return self._output(weights, y)

    def _step(self, weights: Mapping[str, Any], q: Array, k: Array, v: Array, ctx: Context) -> Outcome:
        """The next positions, which attend to themselves and to the cached keys and values of those before them."""
        assert ctx.cache is not None, "decoding needs a cache"
        positions = ctx.positions(q.shape[1])  # (time,) or (batch, time)
        cache = {"key": _written(ctx.cache["key"], k, positions), "value": _written(ctx.cache["value"], v, positions)}
        length = cache["key"].shape[1]
        distance = positions[..., None] - jnp.arange(length)  # (time, length) or (batch, time, length)
        seen = distance >= 0 if self.window is None else (distance >= 0) & (distance < self.window)
        seen = seen[None, None] if seen.ndim == 2 else seen[:, None]
        if "real" in ctx.cache:
            real = jnp.ones(q.shape[:2], bool) if ctx.mask is None else ctx.mask
            cache["real"] = _written(ctx.cache["real"], real, positions)
            seen = seen & cache["real"][:, None, None, :]
        y = self._output(weights, self._attend(q, cache["key"], cache["value"], seen, False, None))
        return Outcome(jnp.where(positions[..., None] < length, y, jnp.nan), cache=cache)  # NaN: the cache is full

    def _output(self, weights: Mapping[str, Any], y: Array) -> Array:
        """(batch, time, heads, head_size) -> (batch, time, d)."""
        kernel = weights["output"]["kernel"]  # (heads, head_size, d)
        y = product(y.reshape(*y.shape[:2], -1), kernel.reshape(-1, kernel.shape[-1]))
        return y + weights["output"]["bias"] if self.use_bias else y

    def _attend(self, q: Array, k: Array, v: Array, seen: Array | None, causal: bool, key: Array | None) -> Array:
        """The values, averaged by the shares of attention; with a key some shares are dropped."""
        if key is not None or q.dtype == jnp.float16:  # JAX's own function lacks it on CPUs (keras-hub PR 2354)
            return self._plain(q, k, v, seen, causal, key)
        y: Array = jax.nn.dot_product_attention(q, k, v, mask=seen, is_causal=causal)
        return y

    def _project(self, weights: Mapping[str, Array], x: Array) -> Array:
        """(batch, time, d) -> (batch, time, heads, head_size)."""
        y = product(x, weights["kernel"])
        return y + weights["bias"] if self.use_bias else y

    def _plain(self, q: Array, k: Array, v: Array, seen: Array | None, causal: bool, key: Array | None) -> Array:
        """The same as `dot_product_attention`, which has no dropout of its weights. Scores are float32."""
        group = q.shape[2] // k.shape[2]
        k, v = jnp.repeat(k, group, axis=2), jnp.repeat(v, group, axis=2)
        scores = jnp.einsum("bthd,bshd->bhts", q, k, preferred_element_type=jnp.float32) / self._root(q)
        if causal:
            place = jnp.arange(q.shape[1])
            past = place <= place[:, None]
            seen = past[None, None] if seen is None else seen & past
        if seen is not None:
            scores = jnp.where(seen, scores, _FAR)
        shares = jax.nn.softmax(scores, axis=-1)
        if key is not None:
            kept = jax.random.bernoulli(key, 1 - self.dropout, shares.shape)
            shares = jnp.where(kept, shares / (1 - self.dropout), 0.0)
        return jnp.einsum("bhts,bshd->bthd", shares.astype(q.dtype), v)

    def _root(self, q: Array) -> float:
        root: float = q.shape[-1] ** 0.5
        return root


def _written(cache: Array, new: Array, positions: Array) -> Array:
    """The cache (batch, length, ...) with new values (batch, time, ...) at their positions."""
    rows = slice(None) if positions.ndim == 1 else jnp.arange(cache.shape[0])[:, None]
    return cache.at[rows, positions].set(new.astype(cache.dtype))


_AXES = "(batch, time, channels)"
_FAR = -3.0e38  # the score of a position that is not seen: its share is exactly 0
