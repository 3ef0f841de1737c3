"""lint: what is right in form but can't be meant: layers, inputs and targets that nothing uses, idle settings."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.components.optimizers.optimizer import Optimizer
from dlc.components.schedules.schedule import Run
from dlc.diagnostics import Problems, did_you_mean, listing, one_of
from dlc.frontend.document import Document
from dlc.frontend.passes.match import used_targets
from dlc.ir import Graph, Node, Ref, RepeatNode
from dlc.language.options import report_option_errors
from dlc.language.source import Path, Tree


def lint(document: Document, graph: Graph, problems: Problems) -> None:
    """Finds DLC208, DLC209, DLC303, DLC304 and DLC305."""
    _unused(document, graph, problems)
    if not _pointless(document, problems):
        _targets(document, problems)
    _training(document, problems)
    _precision(document, graph, problems)
    _optimizer(document, problems)
    _beside(document, problems)


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
    declared = tree.get("outputs", {"output": None})
    others = [*document.inputs, *(declared if isinstance(declared, dict) else ())]
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
    forms = {"optimizer": (dict, str), "augment": (dict, str, list), "train": (dict, str)}
    idle = [name for name, form in forms.items() if isinstance(source.tree.get(name), form)]
    if idle:
        names, have = listing(idle), "has" if len(idle) == 1 else "have"
        span = source.key_span((idle[0],))
        problems.add("DLC303", f"{names} {have} no effect without a `loss`", span, hint="declare a `loss:`")
    return bool(idle)


def _training(document: Document, problems: Problems) -> None:
    source, train = document.source, document.train
    stopping = train.early_stopping
    _monitor(document, train.monitor, ("train", "monitor"), problems)
    many = isinstance(document.source.tree["train"].get("callbacks"), list) if train.callbacks else False
    for index, callback in enumerate(train.callbacks):
        item = ("train", "callbacks", *((index,) if many else ()), callback.word, "monitor")
        _monitor(document, callback.monitored(), item, problems)
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


def _optimizer(document: Document, problems: Problems) -> None:
    """An optimizer that another word names better, and settings of schedules that do nothing in so short a run."""
    if document.optimizer is None:
        return
    optimizer, path = document.optimizer.thing, (*document.optimizer.path, document.optimizer.thing.word)
    grouped = {name for group in document.optimizer.modifiers.groups for name in group}
    idle = [error for error in optimizer.idle() if not error.loc or error.loc[0] not in grouped]
    report_option_errors(idle, document.source, path, problems)
    plateaus = [name for name, schedule in optimizer.schedules().items() if schedule.plateau]
    own = type(optimizer).evaluated is not Optimizer.evaluated
    for name in plateaus if own else plateaus[1:]:
        message = f"`{plateaus[0]}` follows a plateau already, and lowers every rate"
        if own:
            message = f"a plateau can't lower the rate of `{optimizer.word}`, whose averages follow from it"
        problems.add(
            "DLC303", message, document.source.key_span((*path, name)), hint="give a number or another schedule"
        )
    for name, schedule in optimizer.schedules().items():
        place: Path = (*path, name, schedule.word)
        errors = list(schedule.late(Run(float(document.train.epochs))))
        for error in errors:
            given = (*place, *error.loc) in document.source.values
            report_option_errors(
                [error if given else error._replace(loc=(), at_key=True)], document.source, place, problems
            )
        _monitor(document, schedule.monitored(), (*place, "monitor"), problems)


def _beside(document: Document, problems: Problems) -> None:
    """Settings beside an optimizer that exclude each other, or do nothing in so short a run."""
    if document.optimizer is None:
        return
    source, path = document.source, document.optimizer.path
    keys, thing = document.optimizer.modifiers, document.optimizer.thing
    own = type(thing).evaluated is not Optimizer.evaluated
    averages = [name for name in ("ema", "swa") if getattr(keys, name) is not None]
    if len(averages) == 2 or (own and averages):
        other = "`ema`" if len(averages) == 2 else f"`{thing.word}`"
        message = f"`{averages[-1]}` and {other} both say which weights are evaluated"
        problems.add("DLC303", message, source.key_span((*path, averages[-1])), hint="remove one of them")
    if own and keys.lookahead is not None:
        message = f"`lookahead` and `{thing.word}` both say which weights are evaluated"
        problems.add("DLC303", message, source.key_span((*path, "lookahead")), hint="remove it")
    if keys.accumulate > 1 and document.train.batch_size == "full":
        message = "`accumulate` has no effect on a batch of the whole split"
        hint = "give `batch_size` a number: `accumulate` of these make one step"
        problems.add("DLC303", message, source.key_span((*path, "accumulate")), hint=hint)
    if keys.swa is None:
        return
    start = Run(float(document.train.epochs)).place(keys.swa.start)
    if start is not None and start >= document.train.epochs:
        span = source.span((*path, "swa", "start")) if (*path, "swa", "start") in source.values else None
        message, expected = "`swa` begins when the run is over", f"before the end of {document.train.epochs} epochs"
        span = span or source.key_span((*path, "swa"))
        problems.add("DLC303", message, span, found=f"`{keys.swa.start}`", expected=expected)


def _precision(document: Document, graph: Graph, problems: Problems) -> None:
    """Settings of a precision that no layer is there for. Nothing is said while a layer is unknown."""
    precision, source = document.precision, document.source
    nodes = [node for node in _flat(graph.nodes) if isinstance(node, Node)]
    if not nodes or any(node.layer is None for node in nodes):
        return
    computed = {_dtype(node) for node in nodes}
    if precision.matmul != "default" and "f32" not in computed:
        message = "`matmul` has no effect: no layer computes in float32"
        span, hint = source.key_span(("precision", "matmul")), "delete it: it is for float32 alone"
        problems.add("DLC303", message, span, hint=hint)
    if precision.loss_scale is not None:
        span, hint = source.key_span(("precision", "loss_scale")), "delete it"
        if "f16" not in computed:
            message = "`loss_scale` has no effect: no layer computes in float16"
            hint = "delete it: only gradients in float16 become too small without one"
            problems.add("DLC303", message, span, hint=hint)
        elif "loss" not in source.tree:
            problems.add("DLC303", "`loss_scale` has no effect without a `loss`", span, hint=hint)


def _dtype(node: Node) -> str:
    """The type that a node computes in: what the innermost item around it says."""
    said = [str(level.values["dtype"]) for level in node.settings if "dtype" in level.values]
    return said[-1] if said else "f32"


def _monitor(document: Document, monitor: str | None, path: Path, problems: Problems) -> None:
    """Report a monitored value that will not exist. Nothing is said while the metrics or splits are unknown."""
    tree = document.source.tree
    unread = document.data is None and "data" in tree
    if monitor is None or unread or not _complete(tree.get("metrics"), len(document.metrics)):
        return
    reported = document.objectives if len(document.losses) > 1 else document.metrics
    names = ["loss", *(item.modifiers.name or item.thing.word for item in reported)]
    late = {item.modifiers.name or item.thing.word for item in document.metrics if item.thing.collected}
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
