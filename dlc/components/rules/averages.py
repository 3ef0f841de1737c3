"""Averages of weights that exclude each other, or begin too late."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.rules.optimization import BEGIN, EPOCHS, averages_weights
from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample
from dlc.components.schedules.schedule import Run
from dlc.diagnostics import plural


class TwoAverages(Rule):
    """Finds two settings that both decide which weights are evaluated: `ema`, `swa`, `lookahead`, or the optimizer.

    Only one of them can be evaluated and kept. `lookahead` excludes only an optimizer that keeps averages itself.
    """

    word = "two_averages"
    code = "DLC303"
    examples = (
        RuleExample(
            wrong=BEGIN + "optimizer: {adam: 0.01, ema: 0.99, swa: 75%}",
            right=BEGIN + "optimizer: {adam: 0.01, ema: 0.99}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for the averages, one for `lookahead`."""
        item = spec.document.optimizer
        if item is None:
            return
        keys, optimizer, own = item.modifiers, item.thing, averages_weights(item.thing)
        averages = [name for name in ("ema", "swa") if getattr(keys, name) is not None]
        if len(averages) == 2 or (own and averages):
            other = "`ema`" if len(averages) == 2 else f"`{optimizer.word}`"
            message = f"`{averages[-1]}` and {other} both choose the weights to evaluate"
            yield Finding(message, spec.source.key_span((*item.path, averages[-1])), hint="remove one of them")
        if own and keys.lookahead is not None:
            message = f"`lookahead` and `{optimizer.word}` both choose the weights to evaluate"
            yield Finding(message, spec.source.key_span((*item.path, "lookahead")), hint="remove it")


class LateSwa(Rule):
    """Finds an `swa` that begins when the run is over.

    There would be no weights to average.
    """

    word = "late_swa"
    code = "DLC303"
    otherwise = "warning"
    examples = (
        RuleExample(
            wrong=BEGIN + "optimizer: {adam: 0.01, swa: 10 epochs}\ntrain: {epochs: 10}",
            right=BEGIN + "optimizer: {adam: 0.01, swa: 75%}\ntrain: {epochs: 10}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """At most one finding."""
        item, epochs = spec.document.optimizer, spec.document.train.epochs
        if item is None or item.modifiers.swa is None:
            return
        begin = item.modifiers.swa.start
        start = Run(float(epochs)).position(begin)
        if start is not None and start >= epochs:
            path = (*item.path, "swa")
            given = (*path, "start") in spec.source.values
            span = spec.source.span((*path, "start")) if given else None
            message, expected = "`swa` begins when the run is over", f"before the end of {plural(epochs, 'epoch')}"
            at = span or spec.source.key_span(path)
            yield Finding(message, at, found=f"`{begin}`", expected=expected, because=(path, EPOCHS))
