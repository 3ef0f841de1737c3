"""Values that decide when training ends, and which weights are kept."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.rules.rule import CheckedDocument, Finding, LintContext, Rule, RuleExample, complete, key_or_value
from dlc.diagnostics import did_you_mean, one_of, plural
from dlc.language.source import Path

BEGIN = "data: {source: iris, split: {validation: 0.2}}\ninputs: {x: {tensor: {shape: [4], column: features}}}\n"
BEGIN += "targets: {species: {category: [setosa, versicolor, virginica]}}\nnetwork: [dense: 3]\nloss: cross_entropy\n"
BEGIN += "metrics: [accuracy]\n"


class UnknownMonitor(Rule):
    """Finds a `monitor` that names a split or a metric that the spec doesn't have.

    The run would have no value to compare. A monitored value is `SPLIT/METRIC`, such as `validation/loss`.
    """

    word = "unknown_monitor"
    code = "DLC305"
    examples = (
        RuleExample(
            wrong=BEGIN + "train: {monitor: validation/acuracy}",
            right=BEGIN + "train: {monitor: validation/accuracy}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each. Silent while the metrics or splits are unknown."""
        document = spec.document
        if document.data is None and "data" in spec.source.tree:
            return
        if not complete(spec.source.tree.get("metrics"), len(document.metrics)):
            return
        for monitor, path in _monitored(document):
            known = _known(document)
            if monitor not in known:
                message = f"there is no value `{monitor}` to monitor"
                hint = _hint(monitor, known, document)
                yield Finding(message, spec.source.span(path), expected=one_of(known), hint=hint)


def _monitored(document: CheckedDocument) -> Iterator[tuple[str, Path]]:
    """The values that are monitored, and where each is named."""
    train = document.train
    if train.monitor is not None:
        yield train.monitor, ("train", "monitor")
    many = isinstance(document.source.tree["train"].get("callbacks"), list) if train.callbacks else False
    for index, callback in enumerate(train.callbacks):
        monitor = callback.monitored()
        if monitor is not None:
            yield monitor, ("train", "callbacks", *((index,) if many else ()), callback.word, "monitor")
    if train.early_stopping is not None and train.early_stopping.monitor is not None:
        yield train.early_stopping.monitor, ("train", "early_stopping", "monitor")
    if document.optimizer is not None:
        optimizer = document.optimizer.thing
        for name, schedule in optimizer.schedules().items():
            monitor = schedule.monitored()
            if monitor is not None:
                yield monitor, (*document.optimizer.path, optimizer.word, name, schedule.word, "monitor")


def _splits(document: CheckedDocument) -> list[str]:
    if document.data is None:
        return ["train", "validation"]
    return [split for split in document.data.splits() if split != "test"]


def _collected(document: CheckedDocument) -> set[str]:
    """The metrics that need all predictions at once."""
    return {item.modifiers.name or item.thing.default_name for item in document.metrics if item.thing.collected}


def _names(document: CheckedDocument) -> list[str]:
    reported = [*document.losses, *document.metrics] if len(document.losses) > 1 else document.metrics
    return ["loss", *(item.modifiers.name or item.thing.default_name for item in reported)]


def _known(document: CheckedDocument) -> list[str]:
    late = _collected(document)
    return [
        f"{split}/{name}"
        for split in _splits(document)
        for name in _names(document)
        if split != "train" or name not in late
    ]


def _hint(monitor: str, known: list[str], document: CheckedDocument) -> str | None:
    splits = _splits(document)
    split, slash, word = monitor.partition("/")
    if split == "train" and slash and word in _collected(document):
        hint = f"`{word}` needs all predictions at once: it has no value on the training split"
        return hint + (f"; write `validation/{word}`" if "validation" in splits else "")
    if split == "validation" and slash and "validation" not in splits:
        return "there is no validation split: add `split: {validation: 0.1}` to `data`"
    if not slash and monitor in _names(document):
        return f"write `{splits[-1]}/{monitor}`"
    return did_you_mean(monitor, known)


class LateEarlyStopping(Rule):
    """Finds an `early_stopping` whose patience is as long as the run.

    The run would always end before its patience does.
    """

    word = "late_early_stopping"
    code = "DLC303"
    otherwise = "warning"
    examples = (
        RuleExample(
            wrong=BEGIN + "train: {epochs: 5, early_stopping: {patience: 5}}",
            right=BEGIN + "train: {epochs: 50, early_stopping: {patience: 5}}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """At most one finding."""
        train = spec.document.train
        stopping, path = train.early_stopping, ("train", "early_stopping")
        if stopping is None or stopping.patience < train.epochs:
            return
        given = (*path, "patience") in spec.source.values
        yield Finding(
            f"early stopping can't happen within {plural(train.epochs, 'epoch')}",
            key_or_value(spec.source, path, "patience"),
            found=f"`patience` {stopping.patience}{'' if given else ' (its default)'}",
            expected=f"below {train.epochs}",
            hint="lower `patience`, raise `epochs`, or remove `early_stopping`",
            because=((*path, "patience"), ("train", "epochs")),
        )
