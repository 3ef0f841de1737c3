"""Settings of the optimizer and its schedules that have no effect in this run."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.components.optimizers.optimizer import Optimizer
from dlc.components.rules.rule import Finding, LintContext, Rule, RuleExample, findings_of
from dlc.components.schedules.schedule import Run
from dlc.language.options import judged

BEGIN = "inputs: {x: {tensor: [4]}}\ntargets: {y: number}\nnetwork: [dense: 1]\nloss: mse\n"
BEGIN_DATA = "data: {source: diabetes, split: {validation: 0.2}}\ninputs: {features: {tensor: [10]}}\n"
BEGIN_DATA += "targets: {progression: number}\nnetwork: [dense: 1]\nloss: mse\n"


BATCH_SIZE, EPOCHS = ("train", "batch_size"), ("train", "epochs")


def averages_weights(optimizer: Optimizer) -> bool:
    """Whether the optimizer evaluates with averages that it keeps itself."""
    return type(optimizer).evaluated is not Optimizer.evaluated


class IdleOptimizerOption(Rule):
    """Finds an option of an optimizer that has no effect, such as `nesterov` without `momentum`.

    Options that a group of weights sets to another value are left out: there they may have an effect. So are those
    whose effect depends on the value of a variable.
    """

    word = "idle_optimizer_option"
    code = "DLC303"
    examples = (
        RuleExample(
            wrong=BEGIN + "optimizer: {adamw: {learning_rate: 0.01, weight_decay: 0}}",
            right=BEGIN + "optimizer: {adam: {learning_rate: 0.01}}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each option; the optimizer itself knows them."""
        item = spec.document.optimizer
        if item is not None:
            grouped = {name for group in item.modifiers.groups for name in group}
            path = (*item.path, item.thing.word)
            idle = [error for error in item.thing.idle() if not error.loc or error.loc[0] not in grouped]
            yield from findings_of([error for error in idle if judged(error, spec.source, path)], spec.source, path)


class SecondPlateau(Rule):
    """Finds a schedule that follows a plateau where another already does, or where the optimizer keeps averages.

    A plateau lowers every rate of the optimizer, so a second one has no effect. The averages of `schedule_free_adamw`
    and its relatives follow from the rate, which must not be lowered from outside.
    """

    word = "second_plateau"
    code = "DLC303"
    examples = (
        RuleExample(
            wrong=BEGIN_DATA + "optimizer: {schedule_free_adamw: {learning_rate: {reduce_on_plateau: 0.01}}}",
            right=BEGIN_DATA + "optimizer: {adamw: {learning_rate: {reduce_on_plateau: 0.01}, weight_decay: 0.01}}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each."""
        item = spec.document.optimizer
        if item is None:
            return
        optimizer, own = item.thing, averages_weights(item.thing)
        plateaus = [name for name, schedule in optimizer.schedules().items() if schedule.plateau]
        for name in plateaus if own else plateaus[1:]:
            message = f"`{plateaus[0]}` follows a plateau already, and lowers every rate"
            if own:
                message = f"a plateau can't lower the rate of `{optimizer.word}`, whose averages follow from it"
            span = spec.source.key_span((*item.path, optimizer.word, name))
            yield Finding(message, span, hint="give a number or another schedule")


class LateSchedule(Rule):
    """Finds a setting of a schedule that takes effect only after the run is over.

    For example a warm-up that is as long as the run, or a boundary after its end.
    """

    word = "late_schedule"
    code = "DLC303"
    otherwise = "warning"
    examples = (
        RuleExample(
            wrong=BEGIN
            + "optimizer: {adam: {learning_rate: {cosine: {peak: 0.1, warmup: 10 epochs}}}}\ntrain: {epochs: 5}",
            right=BEGIN + "optimizer: {adam: {learning_rate: {cosine: {peak: 0.1, warmup: 10%}}}}\ntrain: {epochs: 5}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """One finding for each setting; the schedule itself knows them."""
        item = spec.document.optimizer
        if item is None:
            return
        for name, schedule in item.thing.schedules().items():
            place = (*item.path, item.thing.word, name, schedule.word)
            for error in schedule.late(Run(float(spec.document.train.epochs))):
                given = (*place, *error.loc) in spec.source.values
                placed = error if given else error._replace(loc=(), at_key=True)
                for finding in findings_of([placed], spec.source, place):
                    yield finding._replace(because=(EPOCHS,)) if finding.code == self.code else finding


class IdleShuffle(Rule):
    """Finds `shuffle` beside `batch_size: full`.

    A batch of the whole split has no order.
    """

    word = "idle_shuffle"
    code = "DLC303"
    examples = (
        RuleExample(
            wrong=BEGIN + "optimizer: {adam: 0.01}\ntrain: {batch_size: full, shuffle: false}",
            right=BEGIN + "optimizer: {adam: 0.01}\ntrain: {batch_size: full}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """At most one finding."""
        given = spec.source.keys.get(("train", "shuffle"))
        if given is not None and spec.document.train.batch_size == "full":
            message = "`shuffle` has no effect on a batch of the whole split"
            hint = "remove it, or give `batch_size` a number"
            yield Finding(message, given, hint=hint, because=(BATCH_SIZE,))


class IdleAccumulate(Rule):
    """Finds `accumulate` beside `batch_size: full`.

    A batch of the whole split leaves nothing to accumulate.
    """

    word = "idle_accumulate"
    code = "DLC303"
    examples = (
        RuleExample(
            wrong=BEGIN + "optimizer: {adam: 0.01, accumulate: 4}\ntrain: {batch_size: full}",
            right=BEGIN + "optimizer: {adam: 0.01, accumulate: 4}\ntrain: {batch_size: 32}",
        ),
    )

    def check(self, spec: LintContext) -> Iterator[Finding]:
        """At most one finding."""
        item = spec.document.optimizer
        if item is not None and item.modifiers.accumulate > 1 and spec.document.train.batch_size == "full":
            message = "`accumulate` has no effect on a batch of the whole split"
            hint = "give `batch_size` a number: `accumulate` of these make one step"
            path = (*item.path, "accumulate")
            yield Finding(message, spec.source.key_span(path), hint=hint, because=(path, BATCH_SIZE))
