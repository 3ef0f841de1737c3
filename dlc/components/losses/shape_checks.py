"""Whether an output and a target fit: checks shared by losses and metrics."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from dlc.diagnostics import plural
from dlc.ir import TensorType
from dlc.language.options import RuleViolation

if TYPE_CHECKING:
    from jax import Array


def need_classes(code: str, word: str, output: TensorType, target: TensorType) -> None:
    """Scores (batch, *axes, classes) beside class numbers (batch, *axes) or one-hot rows of the same shape."""
    need_real_output(code, word, output)
    if target.is_float:
        if target.shape != output.shape:
            raise RuleViolation(
                code,
                f"`{word}` compares scores with classes, or with rows of one probability per class",
                found=f"output {output}, target {target}",
                expected=f"a target {output}, or a `category`",
                hint="for a real-valued target use `mse`" if output.shape[1:] == (1,) else None,
            )
        if output.shape[-1] == 1 or output.rank < 2:
            raise RuleViolation(
                code,
                f"`{word}` compares the scores of several classes, but there is only one score",
                found=f"output {output}, target {target}",
                expected="at least two scores",
                hint="for a real-valued target use `mse`, for a probability `binary_cross_entropy`",
            )
        return
    if output.rank < 2 or output.shape[:-1] != target.shape:
        expected = f"an output f32[{', '.join(map(str, target.shape))}, classes]"
        hint = "reduce the output to one vector: `flatten` or `global_avg_pool2d` before the last `dense`"
        raise RuleViolation(
            code,
            f"`{word}` takes one score per class",
            found=f"output {output}, target {target}",
            expected=expected,
            hint=hint if output.rank > target.rank + 1 else None,
        )
    scores = output.shape[-1]
    if target.bound is not None and scores != target.bound:
        hint = f"end the network with `dense: {target.bound}`"
        if scores == 1 and target.bound == 2:
            hint = "for two classes with one score use `binary_cross_entropy`"
        returned = plural(scores, "score") if isinstance(scores, int) else f"{scores} scores"
        raise RuleViolation(
            code,
            f"the network returns {returned}, the target has {plural(target.bound, 'class')}",
            found=f"output {output}, target {target}",
            expected=plural(target.bound, "score"),
            hint=hint,
        )


def need_pairs(code: str, word: str, output: TensorType, target: TensorType) -> None:
    """Numbers of one shape, up to a last axis of size 1; class numbers count when there are two classes."""
    need_real_output(code, word, output)
    if target.bound is not None and target.bound > 2:
        raise RuleViolation(
            code,
            f"`{word}` compares numbers, but the target is a class",
            found=f"output {output}, target {target}",
            expected="a real-valued target, or two classes",
            hint="use `cross_entropy`, or `one_hot: true` on the target" if code == "DLC301" else "use `accuracy`",
        )
    if _trim(output) != _trim(target):
        size = target.shape[-1] if target.rank > 1 else 1
        hint = f"end the network with `dense: {size}`" if target.rank <= 2 else None
        raise RuleViolation(
            code,
            f"`{word}` takes an output and a target of one shape",
            found=f"output {output}, target {target}",
            expected=f"an output f32[{', '.join(map(str, target.shape))}]",
            hint=hint,
        )


def need_real_output(code: str, word: str, output: TensorType) -> None:
    """Raise `code` unless the output is real-valued."""
    if not output.is_float:
        raise RuleViolation(code, f"`{word}` takes a real-valued output", found=str(output), expected="f32[...]")


def _trim(x: TensorType) -> tuple[int | str, ...]:
    return x.shape[:-1] if x.rank > 1 and x.shape[-1] == 1 else x.shape


def rows(x: Array) -> Array:
    """(batch, *axes) -> (batch, n), n the elements of one example; -1 would fail without examples."""
    return x.reshape(x.shape[0], prod(x.shape[1:]))


def paired(output: Array, target: Array) -> tuple[Array, Array]:
    """Output and target as float32 rows: (batch, n) each, n the elements of one example."""
    return rows(output).astype("float32"), rows(target).astype("float32")
