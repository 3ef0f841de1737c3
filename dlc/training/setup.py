"""What a run computes with: the program, the records and the compiled steps of a spec."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import jax

from dlc.backend.autotune import tuned
from dlc.backend.evaluate import Evaluate, make_evaluate
from dlc.backend.lowering import Lowering, platform
from dlc.backend.lowering_checks import need_as_before, need_platform
from dlc.backend.memory import predicted
from dlc.backend.network import Program, lower
from dlc.backend.train_step import CompiledSteps, TrainState, Updater, make_compiled_steps
from dlc.backend.update import make_updater
from dlc.components.schedules.schedule import Horizon, Run
from dlc.data.balance import with_class_weights
from dlc.data.batching import horizon_of
from dlc.data.dataset import Dataset, Sampler, data_sizes, load_dataset
from dlc.data.feeder import Feeder, evaluated_together, make_sampler
from dlc.data.fitted import FittedData, Stats
from dlc.data.ranges import with_ranges
from dlc.data.tables import allowed_memory
from dlc.diagnostics import SpecError
from dlc.frontend.decisions import starting_thresholds, with_thresholds
from dlc.frontend.memory import need_memory
from dlc.frontend.passes.lint import late_settings, need_something_to_learn
from dlc.frontend.plan import Plan
from dlc.frontend.trainable import need_trainable
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.machine import address_space_left
from dlc.training.compile_ahead import CompileAhead, Known

_RESERVED = 128 << 20  # bytes for compilation and threads
Timed = Callable[[str], AbstractContextManager[None]]  # counts the time of a block for a part of the run


@fast_dataclass(frozen=True)
class Setup:
    """What a run computes with. Nothing in it changes during the run, except for the feeder's threads.

    Args:
        plan: the spec's plan.
        program: its network.
        data: its records.
        sampler: the order of the training split.
        feeder: what makes batches of the records.
        horizon: the length of the run.
        updater: how weights are updated.
        compiled_steps: the compiled steps.
        evaluate: the compiled evaluation.
        stats: what the features learned from the training split, with the thresholds to fit as they begin.
    """

    plan: Plan
    program: Program
    data: Dataset
    sampler: Sampler
    feeder: Feeder
    horizon: Horizon
    updater: Updater
    compiled_steps: CompiledSteps
    evaluate: Evaluate
    stats: Stats

    def start(self) -> TrainState:
        """The state before the first step, on the host."""
        variables = self.program.init(self.plan.seed)
        shapes = self.compiled_steps.batch_statistics(variables, self.feeder.shapes())
        return self.compiled_steps.start(variables, shapes)


def _ignore(text: str) -> None:
    """Print nothing."""


def untimed(part: str) -> AbstractContextManager[None]:  # noqa: ARG001 - a `Timed`
    """Count no time."""
    return nullcontext()


def set_up(
    plan: Plan,
    lowering: Lowering | None = None,
    autotune: bool = False,
    note: Callable[[str], None] = _ignore,
    timed: Timed = untimed,
    fitted: FittedData | None = None,
) -> Setup:
    """Read the records of a plan and make its compiled steps. They compile on a thread while the records are read.

    Args:
        plan: a plan that can be trained.
        lowering: how the run's program was lowered before; None for a new run.
        autotune: whether to time the variants of operations first. It has no effect with a `lowering`.
        note: prints a note to the user.
        timed: counts the time of reading the records.
        fitted: what a resumed run learned about its data; None for a new run.

    Raises:
        SpecError: DLC115, DLC217, DLC218, DLC303, DLC320, DLC321, DLC401-DLC406, DLC504.
    """
    if lowering is not None:
        need_platform(lowering)
    limit = _device_memory()
    need_memory(plan, limit)
    need_address_space(plan)
    program = lower(plan.graph, lowering, platform())
    tuning = autotune and lowering is None
    compile_ahead = None if tuning else CompileAhead(with_ranges(plan, {}, {}), program)
    with timed("data"):
        data = load_dataset(plan, fitted)
    plan = with_ranges(plan, data.fitted.ranges, data.fitted.stats)
    plan = with_class_weights(plan, data.fitted.class_weights)
    for text in data.notes if fitted is None else ():
        note(text)
    sampler = make_sampler(plan, data.splits["train"], data.targets)
    horizon = horizon_of(plan, sampler.batching)
    late = _need_something_to_learn(plan, data, sampler, horizon)
    for text in late if fitted is None else ():
        note(text)
    need_memory(plan, limit, sampler.batch_size // _accumulated(plan))
    longest = max((len(rows) for name, rows in data.splits.items() if name != "train"), default=1)
    feeder = Feeder(data.rows, sampler, longest, evaluated_together(plan), memory=allowed_memory(plan))
    need_trainable(plan)
    stats = with_thresholds(data.stats, starting_thresholds(plan))
    updater = make_updater(plan, program, horizon)
    if tuning:
        trial = make_compiled_steps(plan, program, updater, stats)
        trial.batch_statistics(program.declared(), feeder.shapes())  # finds the operations that there are to time
        program = lower(plan.graph, tuned(program, note), platform())
    compiled_steps = make_compiled_steps(plan, program, updater, stats)
    if compile_ahead is not None:
        known = Known.of(feeder.portions, data.rows, stats, horizon)
        compiled_steps = compile_ahead.instead_of(compiled_steps, known)
    evaluate = make_evaluate(plan, program)
    return Setup(plan, program, data, sampler, feeder, horizon, updater, compiled_steps, evaluate, stats)


def need_address_space(plan: Plan) -> None:
    """Check that training fits into the address space that the limit of this process leaves.

    XLA may wait forever for an allocation that fails in one of its threads.

    Raises:
        SpecError: DLC512.
    """
    left = address_space_left()
    if left is None:
        return
    need = predicted(plan).peak * 5 // 4 + _RESERVED
    if need > left:
        raise SpecError.of(
            "DLC512",
            "training needs more memory than the limit of this process leaves",
            found=f"{left / 2**30:.2f} GiB of address space left",
            expected=f"at least {need / 2**30:.2f} GiB, as predicted",
            hint="use a smaller network or batch, or raise the limit (`ulimit -v`); `dlc show --memory` has details",
        )


def _device_memory() -> int | None:
    """The memory of the device in bytes; None if it has none of its own, as a CPU."""
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    return int(limit) if limit is not None else None


def _accumulated(plan: Plan) -> int:
    """The batches of a step."""
    return plan.update.modifiers.accumulate if plan.update is not None else 1


def _need_something_to_learn(plan: Plan, data: Dataset, sampler: Sampler, horizon: Horizon) -> list[str]:
    """Check the batches, splits and lengths that only the data show. Returns notes."""
    accumulate = _accumulated(plan)
    evaluated = {name: len(rows) for name, rows in data.splits.items() if name != "train"}
    sizes = data_sizes(plan, data.rows)
    run = Run(horizon.steps / horizon.steps_per_epoch, horizon.steps_per_epoch)
    need_something_to_learn(plan, sizes, sampler.batch_size // accumulate, accumulate, evaluated, run)
    return late_settings(plan, run)


def initial_state(setup: Setup, lowering: Lowering | None = None, timed: Timed = untimed) -> TrainState:
    """The state before the first step, on the device.

    Raises:
        SpecError: DLC504 when the program is no longer lowered as `lowering` says.
    """
    with timed("compile"):
        state: TrainState = jax.device_put(setup.start())
    if lowering is not None:
        need_as_before(setup.program, lowering)
    return state
