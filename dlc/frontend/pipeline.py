"""The front end as one call: load -> parse -> expand -> resolve -> infer -> augment -> match -> lint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.diagnostics import Problems, Report, SpecError, bounded_suggestions
from dlc.frontend.document import Document, parse
from dlc.frontend.passes.augment import augment
from dlc.frontend.passes.expand import expand
from dlc.frontend.passes.freeze import freeze
from dlc.frontend.passes.groups import Grouping, check_groups, read_groups
from dlc.frontend.passes.infer import infer
from dlc.frontend.passes.lint import lint
from dlc.frontend.passes.match import match
from dlc.frontend.passes.resolve import resolve
from dlc.frontend.plan import Plan, UpdateRule, WeightGroup
from dlc.ir import TypedGraph, verify
from dlc.language.loader import load_source, source_of
from dlc.language.source import SET_FILE, Source
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from dlc.frontend.plugins import Plugin


PLACED = ("data", "inputs", "targets", "optimizer", "train")  # the sections whose places later messages name


@fast_dataclass(frozen=True)
class Spec:
    """A checked spec: the document as written, and the plan that it means.

    Args:
        document: the sections.
        plan: what everything after the front end works from.
        plugins: the loaded plugins, whose components are known only while they are active.
    """

    document: Document
    plan: Plan
    plugins: tuple[Plugin, ...] = ()

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.plan.name

    @property
    def graph(self) -> TypedGraph:
        """The network with inferred shapes."""
        return self.plan.graph

    @property
    def texts(self) -> Mapping[str, str]:
        """The text of each file that it was read from."""
        return self.document.source.texts

    @property
    def given(self) -> str:
        """The spec as it was written, with the settings of the command line as comments at the top."""
        source = self.document.source
        settings = source.texts.get(SET_FILE, "")
        return "".join(f"# --set {line}\n" for line in settings.splitlines()) + source.texts.get(source.main, "")


ASSUMED = frozenset({("train", "epochs")})
"""What a run may have been given by `--set`: a setting that takes effect after its end is no error in it."""


def check_source(source: Source) -> tuple[Spec | None, Report]:
    """The checked spec of a source, and all findings; the spec is None when one of them is an error."""
    problems = Problems()
    plugins: Sequence[Plugin] = ()
    with bounded_suggestions():
        if "plugins" in source.tree:
            plugins = load_plugins(source, problems)
            if problems.count:  # its words are unknown: whatever else would be said may be wrong
                return None, problems.report(source.texts).merged()
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
    group_of, freezes = (grouping.group_of, grouping.freezes) if grouping else (None, None)
    typed = infer(graph, problems, group_of, freezes)
    if typed is not None and grouping:
        before = problems.count
        check_groups(document, grouping, typed, problems)
        if problems.count == before:
            typed = freeze(typed, grouping.freezes)
    if typed is not None:
        verify(typed)
    augmented = augment(document, problems)
    objectives = match(document, graph, typed.types if typed else None, problems)
    update = _update_rule(document, grouping)
    lint(document, graph, problems, typed, objectives, augmented, update if problems.ok else None)
    report = problems.report(source.texts).merged()
    if typed is None or not report.ok:
        return None, report
    plan = Plan(
        name=document.name,
        seed=document.seed,
        graph=typed,
        inputs={name: feature for name, feature in document.inputs.items() if feature is not None},
        targets={name: feature for name, feature in document.targets.items() if feature is not None},
        losses=objectives.losses,
        metrics=objectives.metrics,
        augment=augmented,
        update=update,
        data=document.data,
        folder=str(document.folder),
        train=document.train,
        precision=document.precision,
        untyped=graph,
        plugins=tuple(plugin.name for plugin in plugins),
        trial=not source.is_literal(("train", "epochs")),
        places=source.places(PLACED),
    )
    return Spec(document, plan, tuple(plugins)), report


def _update_rule(document: Document, grouping: Grouping) -> UpdateRule | None:
    optimizer = document.optimizer
    if optimizer is None:
        return None
    groups = tuple(WeightGroup(group.patterns, group.options) for group in grouping.groups)
    return UpdateRule(optimizer.thing, optimizer.modifiers, groups, grouping.frozen)


def check_file(path: Path | str, sets: Sequence[str] = (), *, resolved: bool = False) -> tuple[Spec | None, Report]:
    """`check_source` of a file, or of the resolved spec of a run; a file that can't be read gives a report, too."""
    try:
        source = load_source(path, sets)
    except SpecError as error:
        return None, error.report
    return check_source(replace(source, assumed=ASSUMED) if resolved else source)


def check_text(
    text: str, name: str = "<text>", sets: Sequence[str] = (), *, resolved: bool = False
) -> tuple[Spec | None, Report]:
    """`check_source` of a text, or of the resolved spec of a run."""
    try:
        source = source_of(text, name, sets)
    except SpecError as error:
        return None, error.report
    return check_source(replace(source, assumed=ASSUMED) if resolved else source)
