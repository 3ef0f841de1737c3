"""lint: what is right in form but can't be meant: layers, inputs and targets that nothing uses, settings without effect."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.diagnostics import Note, Problems, did_you_mean, listing
from dlc.ir import Graph, Node, Ref, RepeatNode
from dlc.objectives.optimizers import Optimizer
from dlc.objectives.schedules import Cosine
from dlc.passes.match import used_targets
from dlc.source import Path
from dlc.spec import Document


def lint(document: Document, graph: Graph, problems: Problems) -> None:
    """Finds DLC208, DLC209, DLC303, DLC304 and DLC305."""
    complete = all(isinstance(ref, Ref) for ref in graph.outputs.values()) and bool(graph.outputs)
    if complete and (document.outputs is None or len(graph.outputs) == len(document.outputs)):
        _unused(document, graph, problems)
    _targets(document, problems)
    _training(document, problems)


def _unused(document: Document, graph: Graph, problems: Problems) -> None:
    used: set[str] = {ref.source for ref in graph.outputs.values()}
    _mark(graph.nodes, used)
    broken = any(node.layer is None for node in _flat(graph.nodes))
    for node in _flat(graph.nodes):
        hidden = {"residual", "parallel"}  # their last node carries the container's own name
        if node.path not in used and node.layer is not None and not broken:
            what = node.path if node.layer.word not in hidden else node.path
            hint = "name it and use it elsewhere, list it in `outputs:`, or delete it"
            problems.add(
                "DLC208", f"the result of `{what}` is never used", node.origin.span, hint=hint, notes=node.origin.uses
            )
    for name in document.inputs:
        if name not in used and not broken:
            problems.add(
                "DLC209",
                f"the input `{name}` is never used",
                document.source.key_span(("inputs", name)),
                hint=f"use it with `inputs: {name}`, or delete it",
            )


def _mark(nodes: Sequence[Node | RepeatNode], used: set[str]) -> None:
    """Add what used nodes read; nodes stand after what they read, so one walk backwards is enough."""
    for node in reversed(nodes):
        if node.path not in used:
            continue
        if isinstance(node, RepeatNode):
            used |= {node.input.source, node.output.source}
            _mark(node.body, used)
        else:
            used |= {ref.source for ref in node.inputs}


def _flat(nodes: Sequence[Node | RepeatNode]) -> list[Node]:
    flat: list[Node] = []
    for node in nodes:
        flat += _flat(node.body) if isinstance(node, RepeatNode) else [node]
    return flat


def _targets(document: Document, problems: Problems) -> None:
    names = list(document.targets)
    read = used_targets([*document.losses, *document.metrics], names)
    sections = [section for section in ("loss", "metrics") if section in document.source.tree]
    complete = len(document.losses) + len(document.metrics) > 0 or not sections
    for name in names:
        if name not in read and complete and problems.ok:
            hint = "compare an output with it in `loss:`, or delete it"
            problems.add(
                "DLC304", f"the target `{name}` is never used", document.source.key_span(("targets", name)), hint=hint
            )


def _training(document: Document, problems: Problems) -> None:
    source, train = document.source, document.train
    if document.optimizer is not None and not document.losses and "loss" not in source.tree:
        problems.add(
            "DLC303",
            "an `optimizer` has no effect without a `loss`",
            source.key_span(("optimizer",)),
            hint="declare a `loss:`",
        )
    stopping = train.early_stopping
    _monitor(document, train.monitor, ("train", "monitor"), problems)
    if stopping is not None:
        _monitor(document, stopping.monitor, ("train", "early_stopping", "monitor"), problems)
        if stopping.patience >= train.epochs:
            problems.add(
                "DLC303",
                f"early stopping can't happen: `patience` {stopping.patience} reaches past the {train.epochs} epochs",
                source.key_span(("train", "early_stopping", "patience")),
                hint="lower `patience`, raise `epochs`, or remove `early_stopping`",
            )
    rate = (
        document.optimizer.thing.learning_rate
        if document.optimizer is not None and isinstance(document.optimizer.thing, Optimizer)
        else None
    )
    if isinstance(rate, Cosine):
        epochs = {"epochs": rate.warmup.amount, "%": rate.warmup.amount * train.epochs / 100}.get(rate.warmup.unit)
        if epochs is not None and epochs >= train.epochs:
            path: Path = (
                (*document.optimizer.path, document.optimizer.thing.word, "learning_rate", "cosine", "warmup")
                if document.optimizer
                else ()
            )
            problems.add(
                "DLC303",
                f"the warm-up of {rate.warmup} is as long as the run",
                source.span(path),
                found=f"{train.epochs} epochs in all",
                hint="the rate would never fall",
            )


def _monitor(document: Document, monitor: str | None, path: Path, problems: Problems) -> None:
    if monitor is None or document.data is None:
        return
    names = ["loss", *(item.keys.name or item.thing.word for item in document.metrics)]
    splits = [split for split in document.data.splits() if split != "test"]
    known = [f"{split}/{name}" for split in splits for name in names]
    if monitor not in known:
        span = document.source.span(path)
        hint = did_you_mean(monitor, known)
        notes = []
        if monitor.startswith("validation/") and "validation" not in splits:
            notes.append(Note("there is no validation split: add `split: {validation: 0.1}` to `data`"))
        problems.add(
            "DLC305",
            f"there is no value `{monitor}` to monitor",
            span,
            expected=f"one of {listing(known)}",
            hint=hint,
            notes=notes,
        )
