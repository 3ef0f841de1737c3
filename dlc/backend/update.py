"""The optimizer of a spec with all the settings beside it, as one update of the weights."""

from __future__ import annotations

import optax

from dlc.backend import transformations
from dlc.backend.averaging import Averaging
from dlc.backend.network import Program
from dlc.backend.train_step import Updater
from dlc.backend.tree import Tree, nest
from dlc.components.optimizers.optimizer import Optimizer
from dlc.components.schedules.plateau import ReduceOnPlateau
from dlc.components.schedules.schedule import Horizon
from dlc.diagnostics import SpecError
from dlc.frontend.document import OptimizerModifiers
from dlc.frontend.plan import Plan, UpdateRule
from dlc.frontend.precision import loss_scale_of
from dlc.ir import instances


def make_updater(plan: Plan, program: Program, horizon: Horizon) -> Updater:
    """The update of a spec that has an optimizer, for a run of this length.

    Gradients are clipped by value, each weight's by norm, all by their common norm, then by the weights' own norms;
    they go through the optimizer, and lookahead moves the weights that it makes.
    """
    update = plan.update
    assert update is not None, "the spec has no optimizer"
    keys = update.modifiers
    depths = nest({path: len(slot.around) for path, slot in program.params.items()})
    chain = [
        transformations.clip_value(keys.clip_value) if keys.clip_value is not None else None,
        transformations.clip_weight_norm(keys.clip_weight_norm, depths) if keys.clip_weight_norm is not None else None,
        transformations.clip_norm(keys.clip_norm) if keys.clip_norm is not None else None,
        transformations.clip_adaptive(keys.clip_adaptive, depths=depths) if keys.clip_adaptive is not None else None,
        rule_of(update, program, horizon, depths),
        transformations.scaled() if plateau_of(update.optimizer) is not None else None,
    ]
    steps = [part for part in chain if part is not None]
    transformation = optax.chain(*steps) if len(steps) > 1 else steps[0]
    if keys.lookahead is not None:
        _far_enough(keys.lookahead.period, horizon)
        transformation = transformations.lookahead(transformation, keys.lookahead.period, keys.lookahead.slow)
    return Updater(
        optax.with_extra_args_support(transformation),
        transformations.evaluated,
        keys.accumulate,
        keys.sam,
        averaging_of(keys, horizon),
        plateau_of(update.optimizer) is not None,
        loss_scale_of(plan.graph, plan.precision),
        plan.train.on_nan == "skip",
    )


def rule_of(update: UpdateRule, program: Program, horizon: Horizon, depths: Tree) -> optax.GradientTransformation:
    """The optimizer itself, another for each group of weights; stacked weights one iteration at a time if it must."""
    names = {path: instances(path, slot.around)[0][1] for path, slot in program.params.items()}
    labels = {path: update.label(name) for path, name in names.items()}
    kinds = dict.fromkeys(labels.values())
    stacked = any(slot.around for slot in program.params.values())
    rules = {}
    for label in kinds:
        optimizer = update.for_label(label)
        rule = optimizer.build(horizon)
        rules[_text(label)] = transformations.per_iteration(rule, depths) if stacked and optimizer.per_weight else rule
    if len(rules) == 1:
        return next(iter(rules.values()))
    return transformations.grouped(rules, nest({path: _text(label) for path, label in labels.items()}))


def _text(label: tuple[int, ...]) -> str:
    return "+".join(map(str, label)) or "others"


def plateau_of(optimizer: Optimizer) -> ReduceOnPlateau | None:
    """The schedule of an optimizer that what is validated scales, if it has one."""
    found = [schedule for schedule in optimizer.schedules().values() if isinstance(schedule, ReduceOnPlateau)]
    return found[0] if found else None


def _far_enough(period: int, horizon: Horizon) -> None:
    if period > horizon.steps:
        message, found = "the slow weights of `lookahead` would never move", f"`period` {period:,}"
        raise SpecError.of("DLC303", message, found=found, expected=f"at most {horizon.steps:,}, the steps of the run")


def averaging_of(keys: OptimizerModifiers, horizon: Horizon) -> Averaging | None:
    """How a run of this length averages its weights.

    Raises:
        SpecError: DLC303 when averaging would begin behind the end.
    """
    if keys.ema is not None:
        return Averaging(decay=keys.ema)
    if keys.swa is None:
        return None
    start, every = max(1, keys.swa.start.in_steps(horizon)), max(1, keys.swa.every.in_steps(horizon))
    if start + every > horizon.steps:
        found = f"a start at step {start:,}, {every:,} steps apart, in a run of {horizon.steps:,}"
        message, hint = "`swa` averages no two steps of the run", "let it begin earlier, or average more often"
        raise SpecError.of("DLC303", message, found=found, hint=hint)
    return Averaging(start=start, every=every)
