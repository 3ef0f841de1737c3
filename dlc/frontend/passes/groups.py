"""groups: weights with their own optimizer options, and frozen weights. Finds DLC1xx and DLC303."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlc.components.optimizers.optimizer import Optimizer, with_options
from dlc.components.schedules.schedule import Run
from dlc.diagnostics import Problems, Span, nearest
from dlc.frontend.document import Document
from dlc.frontend.passes.freeze import weight_paths
from dlc.frontend.plan import Label
from dlc.ir import TypedGraph
from dlc.ir.weight_patterns import matches, pattern_error
from dlc.language.options import OptionError, report_option_errors, wrong_type
from dlc.language.source import Path
from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class Group:
    """Options of the optimizer for the weights that match a pattern."""

    patterns: tuple[str, ...]
    options: Mapping[str, Any]
    path: Path

    def has(self, weight: str) -> bool:
        """Whether a weight is in the group."""
        return any(matches(pattern, weight) for pattern in self.patterns)


@fast_dataclass(frozen=True)
class Grouping:
    """The groups of weights of an optimizer. A weight in several groups gets the options of all.

    Args:
        groups: the groups; if several set an option of a weight, the last one counts.
        frozen: patterns of weights that are not trained.
    """

    groups: tuple[Group, ...] = ()
    frozen: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.groups or self.frozen)

    def label(self, weight: str) -> Label:
        """The groups of a weight."""
        return tuple(index for index, group in enumerate(self.groups) if group.has(weight))

    def freezes(self, weight: str) -> bool:
        """Whether a weight is frozen."""
        return any(matches(pattern, weight) for pattern in self.frozen)

    def group_of(self, weight: str) -> tuple[bool, Label]:
        """What the optimizer distinguishes: iterations of a repeat that differ in it can't be one scan."""
        return self.freezes(weight), self.label(weight)

    def options(self, label: Label) -> dict[str, Any]:
        """The combined options of a weight's groups."""
        return {name: value for index in label for name, value in self.groups[index].options.items()}


def read_groups(document: Document, problems: Problems) -> Grouping:
    """The groups and frozen patterns of a document, each checked separately."""
    optimizer = document.optimizer
    if optimizer is None:
        return Grouping()
    reader = _Reader(document, problems)
    groups = [
        reader.group(tree, (*optimizer.path, "groups", index)) for index, tree in enumerate(optimizer.modifiers.groups)
    ]
    frozen = reader.patterns(optimizer.modifiers.freeze, (*optimizer.path, "freeze"))
    return Grouping(tuple(group for group in groups if group is not None), frozen)


class _Reader:
    def __init__(self, document: Document, problems: Problems) -> None:
        assert document.optimizer is not None
        self.source, self.optimizer, self.problems = document.source, document.optimizer.thing, problems

    def patterns(self, tree: Any, path: Path) -> tuple[str, ...]:
        """The valid patterns."""
        many = isinstance(tree, (list, tuple))
        found: list[str] = []
        for index, pattern in enumerate(tree if many else [tree]):
            error = pattern_error(pattern)
            if error is not None:
                location = (*path, index) if (*path, index) in self.source.values else path
                report_option_errors([error], self.source, location, self.problems)
            else:
                found.append(pattern)
        return tuple(found)

    def group(self, tree: Mapping[str, Any], path: Path) -> Group | None:
        """Read one group; None after its errors were added."""
        options = {name: value for name, value in tree.items() if name != "match"}
        if "match" not in tree:
            near = next((name for name in options if nearest(name, ("match",))), None)
            hint = f"did you mean `match` instead of `{near}`?" if near else "for example `match: encoder/**`"
            self.problems.add("DLC102", "a group needs `match`", self.source.span(path), hint=hint)
            return None
        if not isinstance(tree["match"], (str, list)):
            error = wrong_type("match", tree["match"], "a pattern, or a list of them")
            report_option_errors([error], self.source, (*path, "match"), self.problems)
            return None
        patterns = self.patterns(tree["match"], (*path, "match"))
        if not options:
            hint = f"for example `learning_rate: 1e-4`; `freeze: {patterns[0] if patterns else 'PATTERN'}` beside the "
            hint += "optimizer freezes weights"
            message = "the group sets no options"
            self.problems.add("DLC303", message, self.source.span(path), hint=hint)
            return None
        made = with_options(self.optimizer, options)
        if isinstance(made, list):
            report_option_errors(_placed(made, options), self.source, path, self.problems)
            return None
        return Group(patterns, options, path) if patterns else None


def _placed(errors: Sequence[OptionError], options: Mapping[str, Any]) -> list[OptionError]:
    """Errors in an optimizer's options, moved to those of a group; others point at the whole group."""
    return [error if error.loc and error.loc[0] in options else error._replace(loc=()) for error in errors]


def check_groups(document: Document, grouping: Grouping, typed: TypedGraph, problems: Problems) -> None:
    """Report patterns that match no weight, groups without effect, and a network without trained weights."""
    optimizer = document.optimizer
    if optimizer is None or not grouping:
        return
    source, weights = document.source, weight_paths(typed)
    tree = optimizer.modifiers.freeze
    locations = [(*optimizer.path, "freeze", index) for index in range(len(tree))]
    spans = [
        source.span(location) if location in source.values else source.span(location[:-1]) for location in locations
    ]
    for pattern, span in zip(tree, spans, strict=True):
        if pattern_error(pattern) is None:
            _fits_some(pattern, weights, span, problems)
    left = [weight for weight in weights if not grouping.freezes(weight)]
    if weights and not left:
        span, hint = source.key_span((*optimizer.path, "freeze")), "leave some weights to train"
        problems.add("DLC303", "`freeze` leaves no weight to train", span, hint=hint)
        return
    for group in grouping.groups:
        location = (*group.path, "match")
        for index, pattern in enumerate(group.patterns):
            inner = (*location, index)
            _fits_some(pattern, left, source.span(inner if inner in source.values else location), problems)
    if problems.ok:
        _changes(document, grouping, left, problems)
        _schedules(document, grouping, problems)


def _fits_some(pattern: str, weights: Sequence[str], span: Span | None, problems: Problems) -> None:
    if any(matches(pattern, weight) for weight in weights):
        return
    begin = pattern.partition("/")[0]
    inside = [weight for weight in weights if weight.startswith(f"{begin}/")]
    hint = None
    if pattern in {weight.rpartition("/")[0] for weight in weights} or (inside and "*" not in pattern):
        hint = f"write `{pattern}/**` for all of its weights"
    elif "/" not in pattern and any(weight.endswith(f"/{pattern}") for weight in weights):
        hint = f"write `**/{pattern}`"
    shown = ", ".join(f"`{weight}`" for weight in weights[:4]) + (", ..." if len(weights) > 4 else "")
    message = f"no trained weight matches the pattern `{pattern}`"
    problems.add("DLC303", message, span, found=f"weights {shown}" if shown else "no trained weights", hint=hint)


def _changes(document: Document, grouping: Grouping, weights: Sequence[str], problems: Problems) -> None:
    """Check that each group changes options of its weights, and that combined options are valid."""
    made: dict[Label, Optimizer | list[OptionError]] = {}
    for label in sorted({grouping.label(weight) for weight in weights}):
        for size in range(len(label) + 1):
            made.setdefault(label[:size], _built(document, grouping, label[:size]))
        found = made[label]
        if isinstance(found, list):
            group = grouping.groups[label[-1]]
            report_option_errors(_placed(found, group.options), document.source, group.path, problems)
            return
    for index, group in enumerate(grouping.groups):
        labels = [label for label in made if index in label]
        same = all(made[label] == _built(document, grouping, _without(label, index)) for label in labels)
        if same and document.source.is_literal(group.path) and document.source.is_literal(_options(document)):
            message, hint = "the group has no effect", "remove it: its weights have these options anyway"
            problems.add("DLC303", message, document.source.span(group.path), hint=hint)


def _schedules(document: Document, grouping: Grouping, problems: Problems) -> None:
    """Check that the schedules of groups fit the run."""
    for group in grouping.groups:
        made = _built(document, Grouping((group,)), (0,))
        schedules = made.schedules() if isinstance(made, Optimizer) else {}
        for name, schedule in schedules.items():
            if name not in group.options:
                continue
            location: Path = (*group.path, name, schedule.word)
            if schedule.plateau:
                message = "`reduce_on_plateau` can't be set for one group: it lowers the rates of all weights"
                hint = "set it on the optimizer itself; groups keep their share of its rate"
                problems.add("DLC303", message, document.source.key_span((*group.path, name)), hint=hint)
                continue
            written = document.source.is_literal(("train", "epochs"))
            for error in schedule.late(Run(float(document.train.epochs))):
                given = (*location, *error.loc) in document.source.values
                placed = error if given else error._replace(loc=(), at_key=True)
                severity = "warning" if error.code == "DLC303" and not written else "error"
                report_option_errors([placed], document.source, location, problems, severity=severity)


def _options(document: Document) -> Path:
    """The path of the options of the optimizer."""
    assert document.optimizer is not None
    return (*document.optimizer.path, document.optimizer.thing.word)


def _without(label: Label, index: int) -> Label:
    return tuple(other for other in label if other != index)


def _built(document: Document, grouping: Grouping, label: Label) -> Optimizer | list[OptionError]:
    assert document.optimizer is not None
    return with_options(document.optimizer.thing, grouping.options(label))
