"""The front end as one call: load -> parse -> expand -> resolve -> infer -> augment -> match -> lint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.diagnostics import Problems, Report, SpecError
from dlc.frontend.document import Document, parse
from dlc.frontend.passes.augment import AugmentTerm, augment
from dlc.frontend.passes.expand import expand
from dlc.frontend.passes.freeze import freeze
from dlc.frontend.passes.groups import Grouping, check_groups, read_groups
from dlc.frontend.passes.infer import infer
from dlc.frontend.passes.lint import lint
from dlc.frontend.passes.match import LossTerm, MetricTerm, match
from dlc.frontend.passes.resolve import resolve
from dlc.ir import Graph, TypedGraph, verify
from dlc.language.loader import load_source, source_of
from dlc.language.yaml_text import Source
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from dlc.frontend.plugins import Plugin


@fast_dataclass(frozen=True)
class Spec:
    """A checked spec: nothing in it is unknown, unproved or unused.

    Args:
        document: the sections.
        graph: the network, its shapes proved.
        losses: losses paired with outputs and targets.
        metrics: metrics paired likewise.
        untyped: the network before its shapes were proved, to prove them again for the sizes of data.
        grouping: which weights the optimizer treats apart.
        plugins: where words come from that are not dlc's own.
        augment: augmentations paired with the inputs and targets that they act on.
    """

    document: Document
    graph: TypedGraph
    losses: tuple[LossTerm, ...]
    metrics: tuple[MetricTerm, ...]
    untyped: Graph
    grouping: Grouping = field(default_factory=Grouping)
    plugins: tuple[Plugin, ...] = ()
    augment: tuple[AugmentTerm, ...] = ()

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.document.name

    @property
    def texts(self) -> Mapping[str, str]:
        """The files that it was read from."""
        return self.document.source.texts


def check_source(source: Source) -> tuple[Spec | None, Report]:
    """The checked spec of a source, and all findings; the spec is None when one of them is an error."""
    problems = Problems()
    plugins: Sequence[Plugin] = ()
    if "plugins" in source.tree:
        plugins = load_plugins(source, problems)
        if problems.count:  # its words are unknown: whatever else would be said may be wrong
            return None, problems.report(source.texts)
    if plugins:
        from dlc.frontend.plugins import active

        with active(plugins):
            return _checked(source, plugins, problems)
    return _checked(source, plugins, problems)


def load_plugins(source: Source, problems: Problems) -> Sequence[Plugin]:
    """The plugins that a source names."""
    from dlc.frontend.plugins import read_plugins

    return read_plugins(source, Path(source.main).parent if source.main else Path(), problems)


def _checked(source: Source, plugins: Sequence[Plugin], problems: Problems) -> tuple[Spec | None, Report]:
    document = parse(source, problems)
    steps = expand(document, problems)
    graph = resolve(document, steps, problems)
    verify(graph)
    grouping = read_groups(document, problems)
    typed = infer(graph, problems, grouping.group_of if grouping else None)
    if typed is not None and grouping:
        check_groups(document, grouping, typed, problems)
        typed = freeze(typed, grouping.freezes)
    if typed is not None:
        verify(typed)
    augmented = augment(document, problems)
    objectives = match(document, graph, typed.types if typed else None, problems)
    lint(document, graph, problems)
    report = problems.report(source.texts)
    if typed is None or not report.ok:
        return None, report
    losses, metrics = objectives.losses, objectives.metrics
    return Spec(document, typed, losses, metrics, graph, grouping, tuple(plugins), augmented), report


def check_file(path: Path | str, sets: Sequence[str] = ()) -> tuple[Spec | None, Report]:
    """`check_source` of a file; a file that can't be read gives a report, too."""
    try:
        source = load_source(path, sets)
    except SpecError as error:
        return None, error.report
    return check_source(source)


def check_text(text: str, name: str = "<text>", sets: Sequence[str] = ()) -> tuple[Spec | None, Report]:
    """`check_source` of a text."""
    try:
        source = source_of(text, name, sets)
    except SpecError as error:
        return None, error.report
    return check_source(source)
