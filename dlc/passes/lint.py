"""lint: what is right in form but can't be meant: layers, inputs and targets that nothing uses, idle settings."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.diagnostics import Problems, did_you_mean, listing, one_of
from dlc.ir import Graph, Node, Ref, RepeatNode
from dlc.objectives.schedules import Cosine
from dlc.passes.match import used_targets
from dlc.source import Path, Tree
from dlc.spec import Document


def lint(document: Document, graph: Graph, problems: Problems) -> None:
    """Finds DLC208, DLC209, DLC303, DLC304 and DLC305."""
    _unused(document, graph, problems)
    if not _pointless(document, problems):
        _targets(document, problems)
    _training(document, problems)
    _warmup(document, problems)


def _unused(document: Document, graph: Graph, problems: Problems) -> None:
    """Layers and inputs that reach no output. Nothing is said while a name or a layer is unknown: it might use them.

    Only the last layer of an unused part is reported: the others are used, but for nothing.
    """
    declared = document.source.tree.get("outputs", {"output": None})
    if not isinstance(declared, dict) or len(graph.outputs) != len(declared):
        return
    nodes = _flat(graph.nodes)
    if any(isinstance(node, Node) and node.layer is None for node in nodes):
        return
    used = {ref.source for ref in graph.outputs.values()}
    used |= {ref.source for node in nodes for ref in _reads(node)}
    for node in nodes:
        if node.path not in used:
            hint = "name it and use it elsewhere, list it in `outputs:`, or delete it"
            message, span = f"the result of `{node.path}` is never used", node.origin.span
            problems.add("DLC208", message, span, hint=hint, notes=node.origin.uses)
        elif isinstance(node, RepeatNode) and f"{node.path}/*" not in used:
            message = "no iteration of this repeat takes the result of the one before: only the last counts"
            hint = "let an item of the body take `previous`"
            problems.add("DLC208", message, node.origin.span, hint=hint, notes=node.origin.uses)
    for name in document.inputs:
        if name not in used and name not in used_targets(document):
            span, hint = document.source.key_span(("inputs", name)), f"use it with `inputs: {name}`, or delete it"
            problems.add("DLC209", f"the input `{name}` is never used", span, hint=hint)


def _reads(node: Node | RepeatNode) -> tuple[Ref, ...]:
    return (node.input, node.output) if isinstance(node, RepeatNode) else node.inputs


def _flat(nodes: Sequence[Node | RepeatNode]) -> list[Node | RepeatNode]:
    flat: list[Node | RepeatNode] = []
    for node in nodes:
        flat += [*_flat(node.body), node] if isinstance(node, RepeatNode) else [node]
    return flat


def _complete(tree: Tree, read: int) -> bool:
    """Whether every item of a section could be read."""
    items = tree if isinstance(tree, list) else [] if tree is None else [tree]
    return len(items) == read


def _targets(document: Document, problems: Problems) -> None:
    """Targets that nothing reads. Nothing is said while a loss or metric is unknown: it might read them."""
    tree = document.source.tree
    if not _complete(tree.get("loss"), len(document.losses)) or not _complete(
        tree.get("metrics"), len(document.metrics)
    ):
        return
    names = list(document.targets)
    read = used_targets(document)
    others = [*document.inputs, *document.source.tree.get("outputs", {"output": None})]
    if any(name and name not in names and name not in others for name in read):
        return  # a misspelt name was reported
    for name in names:
        if name not in read and "" not in read:
            span, hint = (
                document.source.key_span(("targets", name)),
                "compare an output with it in `loss:`, or delete it",
            )
            problems.add("DLC304", f"the target `{name}` is never used", span, hint=hint)


def _pointless(document: Document, problems: Problems) -> bool:
    """Whether a file has sections that only training reads, but no loss: that is one mistake, reported once."""
    source = document.source
    if "loss" in source.tree:
        return False
    idle = [name for name in ("optimizer", "train") if isinstance(source.tree.get(name), (dict, str))]
    if idle:
        names, have = listing(idle), "has" if len(idle) == 1 else "have"
        span = source.key_span((idle[0],))
        problems.add("DLC303", f"{names} {have} no effect without a `loss`", span, hint="declare a `loss:`")
    return bool(idle)


def _training(document: Document, problems: Problems) -> None:
    source, train = document.source, document.train
    stopping = train.early_stopping
    _monitor(document, train.monitor, ("train", "monitor"), problems)
    if stopping is None:
        return
    path: Path = ("train", "early_stopping")
    _monitor(document, stopping.monitor, (*path, "monitor"), problems)
    if stopping.patience >= train.epochs:
        given = (*path, "patience") in source.values
        problems.add(
            "DLC303",
            f"early stopping can't happen within {train.epochs} epochs",
            source.span((*path, "patience")) if given else source.key_span(path),
            found=f"`patience` {stopping.patience}{'' if given else ' (its default)'}",
            expected=f"below {train.epochs}",
            hint="lower `patience`, raise `epochs`, or remove `early_stopping`",
        )


def _warmup(document: Document, problems: Problems) -> None:
    optimizer, epochs = document.optimizer, document.train.epochs
    rate = optimizer.thing.learning_rate if optimizer is not None else None
    if optimizer is None or not isinstance(rate, Cosine):
        return
    warmup = {"epochs": rate.warmup.amount, "%": rate.warmup.amount * epochs / 100}.get(rate.warmup.unit)
    if warmup is not None and warmup >= epochs:
        span = document.source.span((*optimizer.path, optimizer.thing.word, "learning_rate", "cosine", "warmup"))
        message, hint = f"the warm-up of {rate.warmup} is as long as the run", "the rate would never fall"
        problems.add("DLC303", message, span, found=f"{epochs} epochs in all", hint=hint)


def _monitor(document: Document, monitor: str | None, path: Path, problems: Problems) -> None:
    """Report a monitored value that will not exist. Nothing is said while the metrics or splits are unknown."""
    tree = document.source.tree
    unread = document.data is None and "data" in tree
    if monitor is None or unread or not _complete(tree.get("metrics"), len(document.metrics)):
        return
    told = document.objectives if len(document.losses) > 1 else document.metrics
    names = ["loss", *(item.keys.name or item.thing.word for item in told)]
    late = {item.keys.name or item.thing.word for item in document.metrics if item.thing.collected}
    splits = (
        [split for split in document.data.splits() if split != "test"] if document.data else ["train", "validation"]
    )
    known = [f"{split}/{name}" for split in splits for name in names if split != "train" or name not in late]
    if monitor in known:
        return
    hint = did_you_mean(monitor, known)
    if monitor.startswith("train/") and monitor.removeprefix("train/") in late:
        word = monitor.removeprefix("train/")
        hint = f"`{word}` needs all answers at once: it has no value on the training split"
        hint += f"; write `validation/{word}`" if "validation" in splits else ""
    elif monitor.startswith("validation/") and "validation" not in splits:
        hint = "there is no validation split: add `split: {validation: 0.1}` to `data`"
    elif "/" not in monitor and monitor in names:
        hint = f"write `{splits[-1]}/{monitor}`"
    message = f"there is no value `{monitor}` to monitor"
    problems.add("DLC305", message, document.source.span(path), expected=one_of(known), hint=hint)
