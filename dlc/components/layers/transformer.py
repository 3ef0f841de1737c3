"""The transformer's two blocks, made of the layers that a file would make them of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from dlc.components.layers.activations import Activation, Relu
from dlc.ir import CompositeBlock, Example, TensorType, need_rank
from dlc.language.options import OptionError, RuleViolation, main, option, reject


class Transformer(CompositeBlock):
    """What both blocks share: sublayers, each with dropout, an addition and a normalization."""

    size: int = main(ge=1, description="size of the vectors, in and out")
    heads: int = option(8, ge=1, description="heads of attention")
    hidden: int | None = option(None, ge=1, description="size between the two dense layers; 4 * size when left out")
    norm: Literal["post", "pre"] = option(
        "post", description="normalize after each addition, as in the paper, or before each sublayer"
    )
    activation: Activation = option(Relu(), description="activation between the two dense layers")
    dropout: float = option(0.0, ge=0, lt=1, description="share dropped of each sublayer's result, and of attention")
    epsilon: float = option(1e-5, gt=0, description="added to the variance of layer_norm")
    kv_heads: int | None = option(None, ge=1, description="heads of keys and values; as many as heads when left out")
    rotary: bool = option(False, description="rotary positions in self-attention")
    window: int | None = option(None, ge=1, description="self-attention sees only positions less than this far away")
    use_bias: bool = option(True, description="biases in attention and dense layers")

    @model_validator(mode="after")
    def _divides(self) -> Transformer:
        if self.size % self.heads:
            expected = f"a divisor of {self.size}"
            message = f"`heads` must divide the size {self.size}"
            raise reject(OptionError(("heads",), "DLC205", message, found=f"`{self.heads}`", expected=expected))
        return self

    def check_inputs(self, *inputs: TensorType) -> None:
        """Vectors of its size, one for each position."""
        x = inputs[0]
        need_rank(x, 3, self.word, "(batch, time, size)", "give it a sequence of vectors, as `embedding` makes them")
        if x.shape[-1] != self.size:
            hint = f"set `size: {x.shape[-1]}`" if isinstance(x.shape[-1], int) else None
            message, found = f"`{self.word}` takes vectors of its `size`", f"`size: {self.size}` for {x}"
            raise RuleViolation("DLC205", message, found=found, hint=hint, option="size")

    def attention(self, **options: Any) -> dict[str, Any]:
        """The options of one attention."""
        given = {"heads": self.heads, "kv_heads": self.kv_heads, "dropout": self.dropout, "use_bias": self.use_bias}
        return {**given, "head_size": self.size // self.heads, "output_size": self.size, **options}

    def self_attention(self, causal: bool) -> dict[str, Any]:
        """The options of attention to the block's own input."""
        return self.attention(causal=causal, rotary=self.rotary, window=self.window)

    def sublayer(self, name: str, body: list[dict[str, Any]], start: str) -> list[dict[str, Any]]:
        """`start` + body(start), normalized: items that begin with the item `start` and end with one called `name`."""
        norm = {"layer_norm": {"epsilon": self.epsilon}, "name": f"{name}_norm"}
        dropout = [{"dropout": self.dropout, "name": f"{name}_dropout"}] if self.dropout else []
        if self.norm == "pre":
            return [{**norm, "inputs": start}, *body, *dropout, {"add": ["previous", start], "name": f"{name}_sum"}]
        return [*body, *dropout, {"add": ["previous", start], "name": f"{name}_sum"}, norm]

    def feed_forward(self, start: str) -> list[dict[str, Any]]:
        """Two dense layers."""
        wide = {"units": self.hidden or 4 * self.size, "activation": self.activation, "use_bias": self.use_bias}
        body = [
            {"dense": wide, "name": "expand"},
            {"dense": {"units": self.size, "use_bias": self.use_bias}, "name": "contract"},
        ]
        return self.sublayer("feed_forward", body, start)

    def end(self, name: str) -> str:
        """What the item is called that ends a sublayer."""
        return f"{name}_sum" if self.norm == "pre" else f"{name}_norm"


class TransformerEncoder(Transformer):
    """(batch, time, size) -> (batch, time, size): self-attention, then two dense layers (Vaswani et al. 2017).

    arXiv:1706.03762. With `causal: true` it is the block of a language model (GPT). With
    `norm: pre`, put a `layer_norm` after the stack (Xiong et al. 2020, arXiv:2002.04745).
    """

    word = "transformer_encoder"
    names = ("x",)
    causal: bool = option(False, description="a position attends only to itself and earlier ones")

    examples = (
        Example("transformer_encoder: {size: 8, heads: 2}", "f32[batch, time, 8]", "f32[batch, time, 8]", params=872),
        Example(
            "transformer_encoder: {size: 8, heads: 2, hidden: 4, norm: pre, causal: true, dropout: 0.1}",
            "f32[batch, 5, 8] masked",
            "f32[batch, 5, 8] masked",
            params=396,
        ),
        Example("transformer_encoder: {size: 8, heads: 3}", "f32[batch, 5, 8]", error="DLC205"),
        Example("transformer_encoder: {size: 8, heads: 2}", "f32[batch, 5, 6]", error="DLC205"),
        Example("transformer_encoder: {heads: 2}", "f32[batch, 5, 8]", error="DLC102"),
    )

    def items(self) -> list[Any]:
        """Attention and feed-forward, the input called `x`."""
        body = [{"attention": self.self_attention(self.causal), "name": "attention"}]
        return [*self.sublayer("attention", body, "x"), *self.feed_forward(self.end("attention"))]


class TransformerDecoder(Transformer):
    """(batch, time, size), (batch, time', d) -> (batch, time, size): causal self-attention, attention to the second.

    Then two dense layers (Vaswani et al. 2017, arXiv:1706.03762). The second input is the encoder's result.
    """

    word = "transformer_decoder"
    names = ("x", "memory")

    examples = (
        Example(
            "transformer_decoder: {size: 8, heads: 2}",
            ("f32[batch, time, 8]", "f32[batch, 7, 6]"),
            "f32[batch, time, 8]",
            params=1144,
        ),
        Example(
            "transformer_decoder: {size: 8, heads: 2, norm: pre, activation: gelu}",
            ("f32[batch, 5, 8]", "f32[batch, 7, 8] masked"),
            "f32[batch, 5, 8]",
            params=1176,
        ),
        Example("transformer_decoder: {size: 8, heads: 2}", "f32[batch, 5, 8]", error="DLC206"),
    )

    def items(self) -> list[Any]:
        """Self-attention, cross-attention and feed-forward, the inputs called `x` and `memory`."""
        first = [{"attention": self.self_attention(causal=True), "name": "self_attention"}]
        if self.norm == "post":
            first[0]["inputs"] = "x"
        begin = "previous" if self.norm == "pre" else self.end("self_attention")
        cross = [{"attention": self.attention(), "name": "cross_attention", "inputs": [begin, "memory"]}]
        return [
            *self.sublayer("self_attention", first, "x"),
            *self.sublayer("cross_attention", cross, self.end("self_attention")),
            *self.feed_forward(self.end("cross_attention")),
        ]
