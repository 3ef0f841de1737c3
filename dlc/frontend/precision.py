"""The section `precision`: the element type, how matrices are multiplied, and the scale of the loss."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dlc.diagnostics import did_you_mean, one_of
from dlc.ir import TypedGraph
from dlc.language.options import OptionError, Options, main, option, reject, spell

DYNAMIC = "dynamic"
MOST = 2**24  # a larger factor overflows

Matmul = Literal["default", "high", "highest", "bfloat16", "tensorfloat32", "float32"]
"""The ways to multiply float32 matrices, as named by `jax.default_matmul_precision`."""


_MEANT = {
    **dict.fromkeys(("half", "fp16", "f16", "mixed_float16"), "float16"),
    **dict.fromkeys(("bf16", "brain", "mixed_bfloat16"), "bfloat16"),
    **dict.fromkeys(("single", "full", "fp32", "f32"), "float32"),
}


def _dtype(value: Any) -> Any:
    known = ("float32", "bfloat16", "float16")
    if value in known:
        return value
    meant = _MEANT.get(value) if isinstance(value, str) else None
    hint = f"dlc calls it `{meant}`" if meant else did_you_mean(value, known) if isinstance(value, str) else None
    message = "not a valid element type"
    raise reject(OptionError((), "DLC104", message, found=spell(value), expected=one_of(known), hint=hint))


def _loss_scale(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MOST:
        return float(value)
    if value == DYNAMIC:
        return value
    hint = did_you_mean(value, (DYNAMIC,)) if isinstance(value, str) else None
    expected = f"`{DYNAMIC}`, or a number above 0, up to {MOST:,}"
    raise reject(OptionError((), "DLC104", "not a valid loss scale", found=spell(value), expected=expected, hint=hint))


class Precision(Options):
    """The precision of a network. Weights, statistics, losses and outputs stay float32."""

    dtype: Annotated[Literal["float32", "bfloat16", "float16"], BeforeValidator(_dtype)] = main(
        "float32", description="the element type of items without their own `dtype`"
    )
    matmul: Matmul = option(
        "default", description="how float32 matrix products and convolutions are computed, if the device has a choice"
    )
    loss_scale: Annotated[float | Literal["dynamic"] | None, BeforeValidator(_loss_scale)] = option(
        None,
        description="factor of the loss in float16, divided out of the gradients; default: `dynamic`",
    )


def loss_scale_of(graph: TypedGraph, precision: Precision) -> float | Literal["dynamic"] | None:
    """The scale of the loss: None if nothing computes in float16, as only its gradients need one."""
    if not any(node.dtype == "f16" for node, _ in graph.walk()):
        return None
    return precision.loss_scale if precision.loss_scale is not None else "dynamic"
