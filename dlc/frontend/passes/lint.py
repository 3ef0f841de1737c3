"""lint: what is valid but can't be meant. Each finding comes from a rule of `dlc.components.rules`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dlc.components.features.feature import Feature
from dlc.components.registry import KINDS
from dlc.components.rules.learning import AugmentUse, LearningRule, LossUse, ScheduleUse, Training
from dlc.components.rules.rule import Finding, LintContext, Rule
from dlc.components.schedules.schedule import Run
from dlc.diagnostics import Problems, Span, SpecError
from dlc.frontend.document import Document, Item
from dlc.frontend.passes.match import Objectives, used_targets
from dlc.frontend.passes.sizes import graph_of_sizes
from dlc.frontend.plan import AugmentTerm, LossTerm, Plan, UpdateRule
from dlc.ir import Graph, TensorType, TypedGraph
from dlc.language.source import Path, Places, Source


def lint(
    document: Document,
    graph: Graph,
    problems: Problems,
    typed: TypedGraph | None = None,
    objectives: Objectives | None = None,
    augment: Sequence[AugmentTerm] = (),
    update: UpdateRule | None = None,
) -> None:
    """Run all rules. Finds DLC208, DLC209, DLC217, DLC303-DLC305, DLC32x and the codes of rules of plugins.

    Args:
        document: the sections.
        graph: the network, its names resolved.
        problems: what findings are added to.
        typed: the network with inferred shapes, if they are known.
        objectives: the losses and metrics that were paired.
        augment: the augmentations that were paired.
        update: the optimizer with its groups.
    """
    context = context_of(document, graph, typed, objectives, augment, update)
    for rule in _rules():
        for finding in rule.check(context):
            written = all(document.source.is_literal(path) for path in finding.because)
            severity = "error" if written else rule.otherwise
            if severity is not None:
                _add(problems, rule, finding, severity)


def context_of(
    document: Document,
    graph: Graph,
    typed: TypedGraph | None = None,
    objectives: Objectives | None = None,
    augment: Sequence[AugmentTerm] = (),
    update: UpdateRule | None = None,
) -> LintContext:
    """What rules look at; the arguments are those of `lint`."""
    training = None
    if typed is not None:
        training = _training_of(document, typed, objectives or Objectives(), augment, update)
    return LintContext(document, graph, frozenset(used_targets(document)), training)


def _rules() -> list[Rule]:
    kind = KINDS["rule"]
    return [kind.load(word)() for word in kind.table]


def _add(problems: Problems, rule: Rule, finding: Finding, severity: str = "error") -> None:
    message, span, found, expected, hint, notes, code, _ = finding
    problems.add(
        code or rule.code, message, span, found=found, expected=expected, hint=hint, notes=notes, severity=severity
    )


def _training_of(
    document: Document,
    typed: TypedGraph,
    objectives: Objectives,
    augment: Sequence[AugmentTerm],
    update: UpdateRule | None,
) -> Training | None:
    """What a spec trains; None while a part of it is unknown."""
    source, losses = document.source, objectives.losses
    complete = len(losses) == len(document.losses) and len(augment) == len(document.augment)
    if not complete or None in document.inputs.values() or None in document.targets.values():
        return None
    trains = document.optimizer is not None or "optimizer" not in source.tree
    size, optimizer = document.train.batch_size, document.optimizer
    batch = size if isinstance(size, int) else None
    accumulate = optimizer.modifiers.accumulate if optimizer is not None else 1
    features = {"inputs": document.inputs, "targets": document.targets}
    path = ("train", "batch_size")
    return Training(
        typed,
        {name: feature for name, feature in document.inputs.items() if feature is not None},
        _losses(losses, features, typed.types, [_span(source, item) for item in document.losses]) if trains else (),
        [
            AugmentUse(term.augmentation, term.on, term.path, _span(source, item))
            for term, item in zip(augment, document.augment, strict=True)
        ],
        _schedules(update, optimizer.path, Places(source.values, source.keys)) if update and optimizer else (),
        Run(float(document.train.epochs)),
        batch,
        batch * accumulate if batch is not None else None,
        span=source.span(path) if path in source.values else None,
    )


def _span(source: Source, item: Item[Any, Any]) -> Span | None:
    """The name of a component."""
    return source.key_span((*item.path, item.thing.word))


def _losses(
    terms: Sequence[LossTerm],
    features: Mapping[str, Mapping[str, Feature | None]],
    outputs: Mapping[str, TensorType],
    spans: Sequence[Any],
) -> list[LossUse]:
    found = []
    for term, span in zip(terms, spans, strict=True):
        compared, target = None, None
        if term.against is not None and term.against.section == "outputs":
            compared, target = term.against.name, outputs.get(term.against.name)
        elif term.against is not None:
            feature = features[term.against.section][term.against.name]
            target = feature.value_type() if feature is not None else None
        found.append(LossUse(term.loss, term.output, compared, target, span))
    return found


def _schedules(update: UpdateRule, path: Path, places: Places) -> list[ScheduleUse]:
    """The schedules of the optimizer and of its groups; none if the rate of some weights is constant.

    `path` leads to the optimizer.
    """
    found = []
    for label in ((), *((index,) for index in range(len(update.groups)))):
        optimizer = update.for_label(label)
        if not optimizer.schedules():
            return []
        for name, schedule in optimizer.schedules().items():
            own = not label or name in update.groups[label[0]].options
            inside: Path = (*path, "groups", *label, name) if label else (*path, optimizer.word, name)
            if own:
                found.append(ScheduleUse(schedule, partial(_setting, places, (*inside, schedule.word))))
    return found


def _setting(places: Places, schedule: Path, name: str) -> Span | None:
    return places.span((*schedule, name)) if (*schedule, name) in places.values else places.key_span(schedule)


def need_something_to_learn(
    plan: Plan, sizes: Mapping[str, int], batch: int, accumulate: int, evaluated: Mapping[str, int], run: Run
) -> None:
    """Check what only the data show: the rules about training again, with their sizes.

    Args:
        plan: the plan of a spec that trains.
        sizes: the sizes of the data, by symbol.
        batch: the examples that are computed together.
        accumulate: the batches of a step.
        evaluated: the number of examples of each split that is evaluated.
        run: the length of the run.

    Raises:
        SpecError: the findings of the rules.
    """
    typed = graph_of_sizes(plan, sizes)
    features: dict[str, Mapping[str, Feature | None]] = {"inputs": plan.inputs, "targets": plan.targets}
    training = Training(
        typed,
        plan.inputs,
        _losses(plan.losses, features, typed.types, [None] * len(plan.losses)),
        [AugmentUse(term.augmentation, term.on, term.path) for term in plan.augment],
        _schedules(plan.update, ("optimizer",), plan.places) if plan.update is not None else (),
        run,
        batch,
        batch * accumulate,
        evaluated,
        plan.places.span(("train", "batch_size")),
    )
    problems = Problems()
    for rule in _rules():
        if isinstance(rule, LearningRule):
            for finding in rule.learn(training):
                _add(problems, rule, finding)
    if not problems.ok:
        raise SpecError(problems.report({}))


def late_settings(plan: Plan, run: Run) -> list[str]:
    """A note for each setting of a schedule that takes effect only after the end of a trial.

    Args:
        plan: the plan of a spec that trains.
        run: the length of the run, with the steps of an epoch.

    Raises:
        SpecError: DLC303 for the first one, unless the run is a trial.
    """
    update = plan.update
    labels = ((), *((index,) for index in range(len(update.groups)))) if update is not None else ()
    notes: list[str] = []
    for label in labels:
        assert update is not None
        for schedule in update.for_label(label).schedules().values():
            for error in schedule.late(run):
                if error.code != "DLC303" or not plan.trial:
                    raise SpecError.of(
                        error.code, error.message, found=error.found, expected=error.expected, hint=error.hint
                    )
                notes.append(f"{error.message}, {error.found}" if error.found else error.message)
    return list(dict.fromkeys(notes))
