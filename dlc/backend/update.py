"""The optimizer of a spec with its modifiers, as one update of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import optax

from dlc.backend import transformations
from dlc.backend.averaging import Averaging
from dlc.backend.hyperparameters import Hyperparameter, Hyperparameters, numbers_of, with_numbers
from dlc.backend.network import Program
from dlc.backend.train_step import Updater
from dlc.backend.tree import Tree, nest
from dlc.components.modifiers import OptimizerModifiers
from dlc.components.optimizers.optimizer import Optimizer
from dlc.components.schedules.plateau import ReduceOnPlateau
from dlc.components.schedules.schedule import Horizon
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Label, Plan, UpdateRule
from dlc.frontend.precision import loss_scale_of
from dlc.ir import instances


def make_updater(plan: Plan, program: Program, horizon: Horizon) -> Updater:
    """The update of a spec that has an optimizer, for a run of this length.

    Gradients are clipped by value, by the norm of each weight's gradient, by the global norm, then by the weights' own
    norms; they pass through the optimizer, and lookahead resets the resulting weights.
    """
    update = plan.update
    assert update is not None, "the spec has no optimizer"
    depths = nest({path: len(slot.around) for path, slot in program.params.items()})
    plateau = plateau_of(update.optimizer) is not None
    keys = update.modifiers
    if not plan.trial:
        _need_time(keys, horizon)
    labels = _labels(update, program)
    found = numbers_of(keys, "modifiers")
    for label in dict.fromkeys(labels.values()):
        found |= numbers_of(update.for_label(label), _prefix(label))
    numbers = Hyperparameters.of(found)

    def build(values: Any) -> optax.GradientTransformationExtraArgs:
        bound = numbers.bound(values)
        keys = with_numbers(update.modifiers, "modifiers", bound)
        clips = transformations
        chain = [
            clips.clip_value(keys.clip_value) if keys.clip_value is not None else None,
            clips.clip_weight_norm(keys.clip_weight_norm, depths) if keys.clip_weight_norm is not None else None,
            clips.clip_norm(keys.clip_norm) if keys.clip_norm is not None else None,
            clips.clip_adaptive(keys.clip_adaptive, depths=depths) if keys.clip_adaptive is not None else None,
            rule_of(update, labels, horizon, depths, bound),
            transformations.scaled() if plateau else None,
        ]
        steps = [part for part in chain if part is not None]
        made = optax.chain(*steps) if len(steps) > 1 else steps[0]
        if keys.lookahead is not None:
            made = transformations.lookahead(made, keys.lookahead.period, keys.lookahead.slow)
        return optax.with_extra_args_support(made)

    build(numbers.values)  # settings that don't fit the run's length are reported before tracing
    return Updater(
        build,
        numbers,
        transformations.evaluated,
        keys.accumulate,
        keys.sam,
        averaging_of(keys, horizon),
        plateau,
        loss_scale_of(plan.graph, plan.precision),
        plan.train.on_nan == "skip",
    )


def _labels(update: UpdateRule, program: Program) -> dict[str, Label]:
    """The label of each trained weight; iterations of a scanned repeat have the same."""
    names = {path: instances(path, slot.around)[0][1] for path, slot in program.params.items()}
    return {path: update.label(name) for path, name in names.items()}


def _prefix(label: Label) -> str:
    return f"optimizer/{_text(label)}"


def rule_of(
    update: UpdateRule,
    labels: Mapping[str, Label],
    horizon: Horizon,
    depths: Tree,
    numbers: Mapping[str, Hyperparameter],
) -> optax.GradientTransformation:
    """The optimizer of each group of weights.

    Args:
        update: the update rule.
        labels: the label of each weight, by its path.
        horizon: the length of the run.
        depths: the number of leading stack axes of each weight; rules that depend on a whole weight see one iteration
            at a time.
        numbers: the optimizers' hyperparameters.
    """
    stacked = any(jax.tree.leaves(depths))
    rules = {}
    for label in dict.fromkeys(labels.values()):
        optimizer = with_numbers(update.for_label(label), _prefix(label), numbers)
        rule = optimizer.build(horizon)
        rules[_text(label)] = transformations.per_iteration(rule, depths) if stacked and optimizer.per_weight else rule
    if len(rules) == 1:
        return next(iter(rules.values()))
    return transformations.grouped(rules, nest({path: _text(label) for path, label in labels.items()}))


def _text(label: tuple[int, ...]) -> str:
    return "+".join(map(str, label)) or "others"


def plateau_of(optimizer: Optimizer) -> ReduceOnPlateau | None:
    """The schedule of an optimizer that depends on validation, if it has one."""
    found = [schedule for schedule in optimizer.schedules().values() if isinstance(schedule, ReduceOnPlateau)]
    return found[0] if found else None


def _need_time(keys: OptimizerModifiers, horizon: Horizon) -> None:
    """Check that averages of weights begin before the end of the run.

    Raises:
        SpecError: DLC303.
    """
    if keys.lookahead is not None and keys.lookahead.period > horizon.steps:
        message, found = "the slow weights of `lookahead` would never change", f"`period` {keys.lookahead.period:,}"
        raise SpecError.of("DLC303", message, found=found, expected=f"at most {horizon.steps:,}, the steps of the run")
    averaging = averaging_of(keys, horizon)
    if averaging is not None and averaging.decay is None and averaging.start + averaging.every > horizon.steps:
        found = f"a start at step {averaging.start:,} and then every {averaging.every:,} steps"
        message, hint = "`swa` averages fewer than two steps of the run", "start it earlier, or average more often"
        raise SpecError.of("DLC303", message, found=f"{found}, in a run of {horizon.steps:,}", hint=hint)


def averaging_of(keys: OptimizerModifiers, horizon: Horizon) -> Averaging | None:
    """How a run of this length averages its weights."""
    if keys.ema is not None:
        return Averaging(decay=keys.ema)
    if keys.swa is None:
        return None
    start, every = max(1, keys.swa.start.in_steps(horizon)), max(1, keys.swa.every.in_steps(horizon))
    return Averaging(start=start, every=every)
