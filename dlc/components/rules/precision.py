"""Settings of `precision` that no layer is affected by."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.ir import Node

BEGIN = "inputs: {x: {tensor: [4]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\n"


def element_types(spec: LintContext) -> set[str]:
    """The types that layers compute in; empty while a layer is unknown, or when there is none."""
    if not spec.layers_known:
        return set()
    return {_dtype(node) for node in spec.nodes if isinstance(node, Node)}


def _dtype(node: Node) -> str:
    """The type that a node computes in: the innermost item around it decides."""
    named = [str(level.values["dtype"]) for level in node.settings if "dtype" in level.values]
    return named[-1] if named else "f32"


class IdleMatmul(Rule):
    """Finds `precision: {matmul: ...}` in a network in which no layer computes in float32.

    The setting decides how float32 matrices are multiplied, so it has no effect.
    """

    word = "idle_matmul"
    code = "DLC303"
    fix = "delete `matmul`"
    examples = (
        RuleExample(
            wrong=BEGIN + "precision: {dtype: bfloat16, matmul: tensorfloat32}",
            right=BEGIN + "precision: {matmul: tensorfloat32}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """At most one finding."""
        computed = element_types(spec)
        if computed and "f32" not in computed and spec.document.precision.matmul != "default":
            message = "`matmul` has no effect: no layer computes in float32"
            span, hint = spec.source.key_span(("precision", "matmul")), "remove it: it is only for float32"
            yield Finding(message, span, hint=hint)


class IdleLossScale(Rule):
    """Finds a `loss_scale` in a network that doesn't compute in float16, or in a spec without a loss.

    Scaling the loss keeps gradients in float16 from becoming zero. Other types hold small gradients without it.
    """

    word = "idle_loss_scale"
    code = "DLC303"
    fix = "delete `loss_scale`"
    examples = (
        RuleExample(
            wrong=BEGIN + "precision: {dtype: bfloat16, loss_scale: dynamic}",
            right=BEGIN + "precision: {dtype: float16, loss_scale: dynamic}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """At most one finding."""
        computed = element_types(spec)
        if not computed or spec.document.precision.loss_scale is None:
            return
        span = spec.source.key_span(("precision", "loss_scale"))
        if "f16" not in computed:
            hint = "remove it: only gradients in float16 become too small without one"
            yield Finding("`loss_scale` has no effect: no layer computes in float16", span, hint=hint)
        elif "loss" not in spec.source.tree:
            yield Finding("`loss_scale` has no effect without a `loss`", span, hint="remove it")
