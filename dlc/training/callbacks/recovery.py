"""What a run does when its loss or its weights are not finite: `train.on_nan`.

A step is a pure function of the state and the batch. So nothing is watched while training goes well: the steps since
the newest good state are done again, and the one that failed once more with checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend import skipped_steps, statistics
from dlc.backend.nonfinite import NonfiniteTracer, NonfiniteValue, loss_name
from dlc.backend.train_step import TrainState
from dlc.data.feed import Rows
from dlc.diagnostics import SpecError, plural
from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Chunk, Epoch, Evaluation, LoopCallback
from dlc.training.checkpoint import Checkpoint, flatten_state, load, restore_state
from dlc.training.checkpoint import found as checkpoints_of
from dlc.training.run_folder import RunFolder
from dlc.training.setup import Setup

RETURNS = 5  # to the same state, before a run gives up
WINDOW = 64  # steps that are repeated between two checks of the weights


class Finding(NamedTuple):
    """Where a run diverged: the step, counted from 0, and the first value of it that is not finite, where known."""

    step: int | None = None
    cause: NonfiniteValue | None = None


@fast_dataclass
class Memory:
    """What a run knows of its newest good state, in plain values that a checkpoint keeps.

    Args:
        good: its step.
        onward: the step that the run went on with from it: another one when it went back.
        returns: how often it did.
        rates: what a plateau has made of the learning rate since, by step.
    """

    good: int = 0
    onward: int = 0
    returns: int = 0
    rates: dict[str, float] = field(default_factory=dict)


class Recovery(LoopCallback):
    """Finds where a run diverged, and goes back to a good state when the spec asks for it.

    Args:
        setup: what the run computes with.
        folder: the run folder, or None.
        flush: waits until all checkpoints are written.
    """

    def __init__(self, setup: Setup, folder: RunFolder | None, flush: Callable[[], None]) -> None:
        self.setup, self.folder, self.flush = setup, folder, flush
        self.mode = setup.plan.train.on_nan
        self.may_skip = setup.updater.may_skip
        self.tracer = NonfiniteTracer(setup.plan, setup.program, setup.updater)
        self.kept: Mapping[str, Any] | None = None  # the newest good state, where no folder has it
        self.memory = Memory()

    # ---- hooks ----

    def on_resume(self, run: ActiveRun, checkpoint: Checkpoint) -> None:
        """Take over the good state of a checkpoint."""
        memory = Memory(**checkpoint.progress["recovery"])
        if self.mode == "rollback" and memory.good != checkpoint.step:
            self.kept, self.memory = checkpoint.good, memory
        else:
            self.keep(checkpoint.state, checkpoint.step)

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Go back if the loss is not finite.

        Raises:
            SpecError: DLC508 when the run stops.
        """
        loss = run.values["loss"]
        if self._diverged(loss, chunk.sums, run.state, run.step == run.epoch_end):
            self._return(run, f"the loss is {loss}")

    def on_evaluation(self, run: ActiveRun, evaluation: Evaluation) -> None:
        """Go back if the loss of the validation split or a weight is not finite.

        Raises:
            SpecError: DLC508 when the run stops.
        """
        loss = evaluation.values.get("loss", 0.0)
        weight = self.tracer.weight(run.state.variables)
        if math.isfinite(loss) and weight is None:
            return
        what = f"`{weight.name}` is not finite" if weight else f"the loss of the validation split is {loss}"
        rows = (evaluation.variables, self.setup.data.splits["validation"]) if evaluation.values else None
        self._return(run, what, rows)

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Note how many steps of the epoch were skipped."""
        count = int(run.state.skipped.epoch)
        if self.mode == "skip" and count:
            steps = f"{plural(count, 'step')} {'was' if count == 1 else 'were'}"
            run.note(f"{steps} left out in epoch {run.epoch}: the loss or gradients were not finite")

    def on_interrupt(self, run: ActiveRun) -> None:
        """Go back if a weight is not finite: a checkpoint must not hold it.

        Raises:
            SpecError: DLC508 when the run stops.
        """
        weight = self.tracer.weight(run.state.variables)
        if weight is not None:
            self._return(run, f"`{weight.name}` is not finite")

    # ---- what checkpointing and the plateau call ----

    def keep(self, arrays: Mapping[str, Any], step: int) -> None:
        """Take a state, all of it finite, as the one to go back to."""
        if self.folder is None or self.mode == "rollback":
            self.kept = arrays
        self.memory = Memory(step, step)

    def beside(self, arrays: Mapping[str, Any], step: int, due: bool) -> Mapping[str, Any] | None:
        """What a checkpoint keeps beside its state.

        A run goes back only to checkpoints that were due: when it was stopped must not change where it goes back to.
        """
        if due or self.mode != "rollback":
            self.keep(arrays, step)
            return None
        return self.kept if self.memory.good != step else None

    def passed(self, state: TrainState, step: int) -> None:
        """A checkpoint was due but left out, because the last one is recent.

        A run that may go back to this state keeps it: time must not decide where a run goes back to.
        """
        if self.mode == "rollback":
            self.keep(flatten_state(state), step)

    def lowered(self, step: int, factor: float) -> None:
        """A plateau changed the learning rate."""
        self.memory.rates[str(step)] = factor

    # ---- whether and how a run goes back ----

    def _diverged(self, loss: float, sums: Mapping[str, Any], state: TrainState, ends: bool) -> bool:
        """Whether a run can't continue from a state as it is.

        Args:
            loss: over the epoch so far.
            sums: the statistics that it comes from.
            state: after the newest chunk.
            ends: whether the epoch is over. Of one in which no step counted there is nothing to record.
        """
        if not self.may_skip:
            return not math.isfinite(loss)
        if int(state.skipped.row) >= skipped_steps.LIMIT:
            return True
        return not math.isfinite(loss) if sums[statistics.COUNT] else ends

    def _return(self, run: ActiveRun, what: str, evaluated: Any = None) -> None:
        """Make the run continue from the newest good state.

        Args:
            run: the run, whose state is not finite.
            what: what was seen, as in "the loss is nan".
            evaluated: weights and rows, where it was seen in an evaluation.

        Raises:
            SpecError: DLC508 when the run is to stop, or has gone back too often.
        """
        self.flush()
        state = run.state
        finding = self.find(state)
        if finding.step is None and evaluated is not None:
            variables, rows = evaluated
            finding = Finding(None, self.tracer.evaluation(variables, self._batches(rows), self.setup.stats))
        if self.mode != "rollback" or self.memory.returns >= RETURNS:
            raise self.error(finding, int(state.step), what, _kept(run))
        run.go_back(self._back(run, finding, what))

    def _batches(self, chosen: Any) -> Iterator[Rows]:
        for feed, _, iterations in self.setup.feeder.evaluation(chosen):
            for iteration in range(iterations):
                yield feed.batch(iteration)

    # ---- where it began ----

    def find(self, state: TrainState) -> Finding:
        """The step in which a run diverged, and its first value that is not finite."""
        row = int(state.skipped.row)
        if row:  # nothing has moved since
            step = int(state.step) - row
            return Finding(step, self._look(state, step))
        start = self._start(state)
        return self._replayed(start, int(state.step)) if start is not None else Finding()

    def _start(self, like: TrainState) -> TrainState | None:
        """The newest good state: kept in memory, in the run folder, or that of step 0; at the step that followed it."""
        paths = checkpoints_of(self.folder) if self.folder is not None and self.mode != "rollback" else []
        if self.kept is not None:
            state = _restored(like, self.kept)
        elif paths:
            try:
                state = _restored(like, load(paths[0]).state)
            except SpecError:
                return None  # what happened since an older one is not known
        else:
            state = _copy(self.setup.start())
        return state._replace(step=jnp.int32(self.memory.onward))

    def _replayed(self, state: TrainState, end: int) -> Finding:
        """Do steps again until one of them is not finite."""
        step, window = int(state.step), min(WINDOW, self.setup.feeder.max_iterations)
        rates = {int(at): factor for at, factor in self.memory.rates.items()}
        while step < end:
            passed = [at for at in rates if at <= step]
            if passed:
                state = state._replace(rate={"factor": jnp.float32(rates[max(passed)])})
            iterations = min(window, min([end, *(at for at in rates if at > step)]) - step)
            before, after = state, self._chunk(state, step, iterations)
            if self._good(after):
                state, step = after, step + iterations
            elif iterations > 1:
                window = 1
            else:
                return Finding(step, self._look(before, step) or self._updated(after))
        return Finding()

    def _chunk(self, state: TrainState, step: int, iterations: int) -> TrainState:
        feed = self.setup.feeder.training(step, iterations)
        held = jax.device_put(_copy(state))  # its buffers are donated, those of `state` are not
        return _copy(
            self.setup.compiled_steps.chunk(held, feed, np.int32(iterations), np.bool_(True), self.setup.stats)
        )

    def _good(self, state: TrainState) -> bool:
        sums = statistics.to_host(state.sums)
        counted = bool(sums[statistics.COUNT]) or self.may_skip
        loss = statistics.values(self.setup.plan, sums)["loss"] if sums[statistics.COUNT] else 0.0
        return counted and math.isfinite(loss) and self.tracer.weight(state.variables) is None

    def _look(self, state: TrainState, step: int) -> NonfiniteValue | None:
        batch = self.setup.feeder.training(step, 1).batch(0)
        return self.tracer.step(state._replace(step=jnp.int32(step)), batch, self.setup.stats)

    def _updated(self, state: TrainState) -> NonfiniteValue | None:
        weight = self.tracer.weight(state.variables)
        return weight._replace(kind="update") if weight is not None else None

    # ---- what follows ----

    def _back(self, run: ActiveRun, finding: Finding, what: str) -> TrainState:
        """The newest good state, at the step after the one that failed; where none was found, after the epoch."""
        start = self._start(run.state)
        assert start is not None, "a run that goes back keeps the state in memory"
        last = run.epoch_end
        on = last
        if finding.step is not None:
            on = min(last, finding.step + (skipped_steps.LIMIT if int(run.state.skipped.row) else 1))
        self.memory.returns += 1
        self.memory.onward = on
        where = f"step {finding.step + 1:,}: {_said(finding.cause, what)}" if finding.step is not None else what
        run.note(f"{where}; back to the weights of step {self.memory.good:,}, going on with step {on + 1:,}")
        back: TrainState = jax.device_put(
            start._replace(
                step=jnp.int32(on),
                sums=jax.tree.map(np.zeros_like, start.sums),
                rate={"factor": jnp.float32(run.progress.rate)} if start.rate else {},
                skipped=skipped_steps.start(),
            )
        )
        return back

    def error(self, finding: Finding, step: int, what: str, kept: str) -> SpecError:
        """The diagnostic of a run that diverged: DLC508."""
        at, cause = finding
        message = f"training diverged: {what} by step {step:,}"
        if at is not None:
            message = f"training diverged at step {at + 1:,}: {_said(cause, what)}"
        elif cause is not None:
            message = f"{message}; {_said(cause, what)}"
        if self.mode == "skip" and self.may_skip and at is not None and step - at > 1:
            message = f"{message}; all {step - at:,} steps from it on were left out"
        if self.mode == "rollback" and self.memory.returns:
            message = f"{message}; the run returned {plural(self.memory.returns, 'time')} to the same weights"
        span = cause.span if cause is not None else None
        return SpecError.of(
            "DLC508",
            message,
            span or self.setup.plan.places.key_span(("optimizer",)),
            hint=f"{self._hint(finding)}; {kept}",
        )

    def _hint(self, finding: Finding) -> str:
        at, cause = finding
        kind = cause.kind if cause is not None else None
        narrow = any(node.dtype == "f16" for node, _ in self.setup.plan.graph.walk())
        wide = "float16 ends at 65,504: try `precision: bfloat16`; or " if narrow else ""
        if kind == "input":
            return "look at the data and at `augment`"
        if at == 0 and kind in ("layer", "loss"):
            return f"{wide}no update came before it: look at the data and the network rather than at the learning rate"
        if kind == "gradient":
            return (
                f"{wide}roots, logarithms and divisions are infinitely steep at 0; `on_nan: skip` leaves such steps out"
            )
        return f"{wide}lower the learning rate, or add `clip_norm: 1.0` beside the optimizer"


def _kept(run: ActiveRun) -> str:
    """What is left of a run that diverged."""
    if run.folder is None or not run.progress.epoch:
        return "no epoch was finished"
    best, kept = run.progress.best_epoch, run.kept_epoch
    if best == kept or not kept:
        return f"`{run.folder.path}` keeps the weights{' and the checkpoint' if kept else ''} of epoch {best}"
    return f"`{run.folder.path}` keeps the weights of epoch {best} and the checkpoint of epoch {kept}"


def _said(cause: NonfiniteValue | None, what: str) -> str:
    """A cause in words; what was seen where there is none."""
    if cause is None:
        return what
    said = {
        "input": f"the input `{cause.name}` is not finite",
        "layer": f"the output of `{cause.name}` is the first value that is not finite",
        "loss": f"{loss_name(cause.name)} is not finite, though every layer's output is",
        "gradient": f"the gradient of `{cause.name}` is the first that is not finite, though the loss is",
        "update": f"the update made `{cause.name}` infinite, though its gradient is finite",
        "weight": f"`{cause.name}` is not finite before it",
    }
    return said[cause.kind]


def _restored(like: TrainState, arrays: Mapping[str, Any]) -> TrainState:
    state: TrainState = restore_state(like, arrays)
    return state


def _copy(state: TrainState) -> TrainState:
    """A copy of a state on the host, which no donated buffer can overwrite."""
    copied: TrainState = jax.tree.map(np.array, state)
    return copied
