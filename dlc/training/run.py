"""One run in progress, in chunks of steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, field
from typing import Any, NoReturn

import jax
import numpy as np

from dlc.backend import loss_scale, statistics
from dlc.backend.autotune import tuned
from dlc.backend.evaluate import make_evaluate
from dlc.backend.lowering import platform
from dlc.backend.lowering_checks import need_as_before, need_platform
from dlc.backend.network import Program, lower
from dlc.backend.train_step import CompiledSteps, TrainState, make_compiled_steps
from dlc.backend.update import make_updater, plateau_of
from dlc.components.schedules.plateau import Plateau
from dlc.components.schedules.schedule import rate_at
from dlc.data.dataset import Dataset, load_dataset
from dlc.data.feeder import Feeder, evaluated_together, horizon_of, make_sampler
from dlc.data.tables import allowed_memory
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.frontend.trainable import need_trainable
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import Log, digest, to_json, write_atomic
from dlc.training.callbacks.early_stopping import Stopping
from dlc.training.callbacks.events import Events
from dlc.training.callbacks.profile import Profile
from dlc.training.callbacks.progress import Moment, Reporter, RunInfo
from dlc.training.callbacks.recovery import Recovery
from dlc.training.checkpoint import Checkpoint, Policy, Writer, flatten_state, newest, restore_state
from dlc.training.compile_ahead import CompileAhead, Known
from dlc.training.evaluation import better, evaluate_rows, monitored
from dlc.training.result import Result
from dlc.training.run_folder import RunFolder, SpecTexts, environment, identity

NO_TEXTS = SpecTexts("", "")  # of a run that writes nothing
CHUNK_SECONDS = 0.5  # progress moves about twice a second


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A run was asked to stop, and did so at a checkpoint: nothing is lost."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


@fast_dataclass
class _Progress:
    """The plain values that a checkpoint keeps beside the arrays."""

    epoch: int = 0
    best_epoch: int = 0
    best_step: int = 0
    best_value: float | None = None
    data: int = 0  # the records' checksum
    rate: float = 1.0  # what a plateau has made of the learning rate
    plateau_best: float | None = None
    plateau_waited: int = 0
    plateau_cooling: int = 0
    recovery: Mapping[str, Any] = field(default_factory=dict)  # where a run goes back to that diverges


def _restored(checkpoint: Checkpoint) -> _Progress:
    try:
        return _Progress(**checkpoint.progress)
    except TypeError:
        raise SpecError.of("DLC503", "the checkpoint was written by another version of dlc") from None


class TrainingRun:
    """One run in progress."""

    def __init__(
        self,
        plan: Plan,
        run: RunFolder | None,
        reporter: Reporter,
        began: float,
        chunk_iterations: int | None,
        stop: Callable[[], bool] | None,
        started: Callable[[], None] = lambda: None,
        autotune: bool = False,
        profile: bool = False,
        texts: SpecTexts = NO_TEXTS,
    ) -> None:
        self.texts = texts
        self.started = started  # called when the first chunk is done
        self.stop = stop or (lambda: False)
        self.profile = Profile(began, run.path / "profile" if run is not None and profile else None, reporter.note)
        self.plan, self.folder, self.reporter, self.began, self.chunk_iterations = (
            plan,
            run,
            reporter,
            began,
            chunk_iterations,
        )
        self.lowering = run.load_lowering() if run is not None and run.exists else None
        if self.lowering is not None:
            need_platform(self.lowering)
        self.program: Program = lower(plan.graph, self.lowering, platform())
        tuning = autotune and self.lowering is None
        compile_ahead = None if tuning else CompileAhead(plan, self.program)
        with self.profile.part("data"):
            self.data: Dataset = load_dataset(plan)
        self.train = plan.train
        self.sampler = make_sampler(plan, self.data.splits["train"])
        held_out = [len(rows) for name, rows in self.data.splits.items() if name != "train"]
        longest, together = max(held_out, default=1), evaluated_together(plan)
        self.feeder = Feeder(self.data.rows, self.sampler, longest, together, memory=allowed_memory(plan))
        self.horizon = horizon_of(plan, self.sampler.batching)
        self.steps = self.horizon.steps
        optimizer = need_trainable(plan)
        self.rate = optimizer.optimizer.learning_rate
        self.plateau = plateau_of(optimizer.optimizer)
        self.stats = self.data.stats
        updater = make_updater(plan, self.program, self.horizon)
        if tuning:
            compiled_steps = make_compiled_steps(plan, self.program, updater, self.stats)
            compiled_steps.batch_statistics(
                self.program.declared(), self.feeder.shapes()
            )  # finds what there is to time
            self.program = lower(plan.graph, tuned(self.program, reporter.note), platform())
        self.compiled_steps: CompiledSteps = make_compiled_steps(plan, self.program, updater, self.stats)
        if compile_ahead is not None:
            known = Known.of(self.feeder.portions, self.data.rows, self.stats, self.horizon)
            self.compiled_steps = compile_ahead.instead_of(self.compiled_steps, known)
        self.recovery = Recovery(
            plan, self.program, updater, self.compiled_steps, self.feeder, self.stats, run, self.reporter.note
        )
        self.evaluator = make_evaluate(plan, self.program)
        self.monitor = monitored(plan)
        self.stopping = Stopping(plan)
        self.progress = _Progress(data=self.data.fingerprint if run is not None else 0)
        self.submitted = (-1, -1)  # steps and epochs done at the newest checkpoint
        self.best: dict[str, Any] | None = None
        self.written: dict[str, Any] | None = None  # the best weights that the folder holds, or soon will
        self.gaps: set[str] = set()  # metrics without value that were told of
        self.history: list[dict[str, float]] = []
        self.events: Events | None = None
        self.noted = False
        self.seconds_per_step: float | None = None
        self.first_step_seconds = self.seconds = self.input_seconds = 0.0
        self.waiting = 0.0  # share of the last chunk's time that went by without records

    def evaluate(self, variables: Any, split: str) -> dict[str, float] | None:
        """Loss and metrics on a whole split; nothing for one that there isn't, None when asked to stop meanwhile."""
        if split not in self.data.splits:
            return {}
        rows = self.data.splits[split]
        with self.profile.part("evaluation"):
            return evaluate_rows(self.plan, self.evaluator, variables, self.feeder, rows, self.stats, self.stop)

    def run(self, dry_run: bool) -> Result:
        """Train from the beginning or the newest checkpoint to the end."""
        variables = self.program.init(self.plan.seed)
        with self.profile.part("compile"):
            state = jax.device_put(
                self.compiled_steps.start(
                    variables, self.compiled_steps.batch_statistics(variables, self.feeder.shapes())
                )
            )
        if self.lowering is not None:
            need_as_before(self.program, self.lowering)
        if self.folder is not None:
            state = self._begin(state, self.folder)
        start = int(state.step)
        with ExitStack() as closing:  # all of it, the last first
            closing.callback(self.reporter.end)
            closing.callback(self.profile.end)
            closing.callback(self.feeder.close)
            if self.events is not None:
                closing.callback(self.events.close)
            writer = Writer(self.folder, self._policy()) if self.folder is not None else None
            if writer is not None:
                closing.callback(writer.close)
            self.reporter.begin(self._info(start))
            if dry_run:
                state = self.chunk(state, 0, 1)
                shown = jax.device_get(self.compiled_steps.shown(state))
                return Result(None, (), 0, {}, shown, 1, 0.0, self.first_step_seconds)
            while self.progress.epoch < self.train.epochs and not self.stopping.due:
                state = self.epoch(state, writer)
            return self._finish(state, writer)

    def _policy(self) -> Policy:
        keep = self.train.keep_checkpoints
        lasting = range(keep.every, self.train.epochs + 1, keep.every) if keep.every is not None else ()
        return Policy(keep.last, keep.best, frozenset(self.sampler.steps(epoch) for epoch in lasting))

    def _info(self, start: int) -> RunInfo:
        sizes = {name: len(rows) for name, rows in self.data.splits.items()}
        count = sum(slot.size for slot in self.program.params.values())
        folder = str(self.folder.path) if self.folder else None
        device = jax.devices()[0]
        name = device.device_kind if device.platform != "cpu" else "cpu"
        batch, epochs = self.sampler.batch_size, self.train.epochs
        rate, monitor = self.learning_rate, self.monitor[0]
        return RunInfo(self.plan.name, folder, epochs, self.steps, batch, sizes, count, name, start, monitor, rate)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return rate_at(self.rate, self.horizon, step) * self.progress.rate

    def _begin(self, state: TrainState, folder: RunFolder) -> TrainState:
        """Open the run folder: the state of the newest checkpoint, or the given one for a new run."""
        lowering = self.program.lowering.plain()
        self.identity = identity(self.texts, lowering)
        self.log = Log(folder.metrics)
        if not folder.exists:
            folder.begin(self.texts, self.data.stats, environment(), lowering)
            self.log.begin()
        else:
            state = self._resume(state, folder)
        if self.train.tensorboard:
            self.events = Events(folder.path / "events", self.history)
        return state

    def _resume(self, state: TrainState, folder: RunFolder) -> TrainState:
        """The state of the newest checkpoint. Nothing is written before all that may refuse it is known.

        Raises:
            SpecError: DLC503, DLC504.
        """
        found = newest(folder, self.identity)
        checkpoint = found.checkpoint
        if checkpoint is not None:
            self.progress = _restored(checkpoint)
            if self.progress.data != self.data.fingerprint:
                raise SpecError.of(
                    "DLC504",
                    f"the data changed since the run in `{folder.path}` began",
                    hint="put the data back, or train in a new folder with `--run`",
                )
            inside = self.sampler.steps(self.progress.epoch) < checkpoint.step
            folder.need_epochs(self.plan, self.progress.epoch + inside)
            state = jax.device_put(restore_state(state, checkpoint.state))
            self.log.check(checkpoint.metrics)
        found.set_aside(self.reporter.note)
        folder.keep_spec(self.texts)
        if folder.restore(self.data.stats):
            self.reporter.note(f"`{folder.features}` did not hold what the features fitted: it is written anew")
        folder.result.unlink(missing_ok=True)
        if checkpoint is None:
            self.reporter.note("there is no checkpoint: the run begins again")
            self.log.begin()
            return state
        self.history = self.log.rewind(checkpoint.metrics)
        self.stopping = Stopping(self.plan, self.history)
        self.best = dict(checkpoint.best) if checkpoint.best is not None else None
        if self.best is not None:  # those in the folder may be of an epoch that is not done yet, or damaged
            folder.save_weights(self.best, self._metadata())
            self.written = self.best
        self.submitted = (checkpoint.step, self.progress.epoch)
        self.recovery.resume(checkpoint)
        self.reporter.note(f"resuming after epoch {self.progress.epoch}, step {checkpoint.step:,}")
        if self.stopping.due:
            name, stale = self.stopping.monitor, self.stopping.stale
            self.reporter.note(f"{name} has not improved in {stale} epochs: early stopping ends the run here")
        return state

    def iterations(self, left: int) -> int:
        """How many steps the next chunk does."""
        if self.chunk_iterations is not None:
            return min(left, self.chunk_iterations, self.feeder.max_iterations)
        if self.seconds_per_step is None:  # the first step compiles, the next ones show the speed
            return min(left, self.feeder.max_iterations, 1 if self.first_step_seconds == 0.0 else 8)
        return min(left, self.feeder.max_iterations, max(1, int(CHUNK_SECONDS / self.seconds_per_step)))

    def chunk(self, state: TrainState, step: int, iterations: int, fresh: bool = True) -> TrainState:
        """Do some steps, and wait for them; the next chunk's batches are made meanwhile."""
        began, waited = time.perf_counter(), self.feeder.waited
        feed = self.feeder.training(step, iterations)
        state = self.compiled_steps.chunk(state, feed, np.int32(iterations), np.bool_(fresh), self.stats)
        del feed  # else the batches would outlive their use
        self._prepare(step + iterations)
        jax.block_until_ready(state.step)
        now = time.perf_counter()
        if self.first_step_seconds == 0.0:
            self.first_step_seconds = now - self.began
            self.started()
            self.profile.seconds["compile"] += now - began
        else:
            self.seconds += now - began
            self.input_seconds += self.feeder.waited - waited
            self.profile.seconds |= {"steps": self.seconds - self.input_seconds, "input": self.input_seconds}
            self.waiting = (self.feeder.waited - waited) / (now - began)
            self.seconds_per_step = (now - began) / iterations
        self.profile.trace()
        return state

    def _prepare(self, step: int) -> None:
        """Have the batches made that come next, up to the end of an epoch."""
        if step < self.steps:
            epoch = self.progress.epoch + 1
            ends = self.sampler.steps(epoch) if step < self.sampler.steps(epoch) else self.sampler.steps(epoch + 1)
            self.feeder.prepare(step, self.iterations(ends - step))

    def epoch(self, state: TrainState, writer: Writer | None) -> TrainState:
        """Train to the end of the current epoch; evaluate, record, keep the best, checkpoint."""
        began = time.perf_counter()
        number = self.progress.epoch + 1
        step = self.sampler.steps(number)
        while True:
            state, values = self._steps(state, number, writer)
            shown = self.compiled_steps.shown(state)
            found = self.evaluate(shown, "validation")
            if found is None:
                self._halt(state, number, writer)
            loss = found.get("loss", 0.0)
            weight = self.recovery.tracer.weight(state.variables)
            if math.isfinite(loss) and weight is None:
                break
            what = f"`{weight.name}` is not finite" if weight else f"the loss of the validation split is {loss}"
            rows = (shown, self.data.splits["validation"]) if found else None
            state = self._after(state, number, what, writer, rows)
        self.recovery.skipped(state, number)
        record: dict[str, float] = {
            "epoch": number,
            "step": step,
            "learning_rate": self.learning_rate(step - 1),
        }
        record |= {f"train/{name}": value for name, value in values.items()}
        self._scale_noted(state)
        record |= {f"validation/{name}": value for name, value in _finite(found).items()}
        self._note_gaps(record)
        improved = self._judge(record, number, step)
        state = self._lowered(state, record)
        if improved:
            self.best = self.program.to_flat(jax.tree.map(np.array, shown))
        self.history.append(record)
        if writer is not None:
            self.log.append(record)
            if self.events is not None:
                self.events.add(record)
        due = number % self.train.checkpoint_every == 0
        wanted = step >= self.steps or self.stopping.due or (improved and self.train.keep_checkpoints.best)
        if due or (wanted and writer is not None):
            self._checkpoint(state, writer, due)
        self.reporter.epoch(record, time.perf_counter() - began, improved)
        if step < self.steps and not self.stopping.due and self.stop():
            self._halt(state, number, writer)
        return state

    def _steps(self, state: TrainState, epoch: int, writer: Writer | None) -> tuple[TrainState, dict[str, float]]:
        """The state at the end of an epoch, and the values over it: NaN when all its steps were undone."""
        step, first, last = int_step(state), self.sampler.steps(epoch - 1), self.sampler.steps(epoch)
        # a run that was stopped while it evaluated has done all steps
        values = statistics.values(self.plan, statistics.to_host(jax.device_get(state.sums))) if step == last else {}
        while step < last:
            iterations = self.feeder.prepared(step) or self.iterations(last - step)
            started = time.perf_counter()
            state = self.chunk(state, step, iterations, fresh=step == first)
            step += iterations
            sums = statistics.to_host(jax.device_get(state.sums))
            speed = iterations * self.sampler.batch_size / (time.perf_counter() - started)
            values = statistics.values(self.plan, sums)
            if self.recovery.diverged(values["loss"], sums, state, step == last):
                state = self._after(state, epoch, f"the loss is {values['loss']}", writer)
                step, values = int_step(state), statistics.values(self.plan, {statistics.COUNT: 0})
            self.reporter.moment(Moment(epoch, step, iterations, _finite(values), speed, self.waiting))
            if step < last and self.stop():
                self._halt(state, epoch, writer)
        return state, _finite(values)

    def _scale_noted(self, state: TrainState) -> None:
        """Say once that no loss scale is small enough for float16."""
        if state.scale and not self.noted and float(state.scale["loss"].scale) <= loss_scale.LEAST:
            self.noted = True
            self.reporter.note("gradients overflow in float16 at any loss scale; bfloat16 has the range of float32")

    def _lowered(self, state: TrainState, record: Mapping[str, float]) -> TrainState:
        """The state with a lower rate when the schedule says that the validated value has stopped improving."""
        if self.plateau is None:
            return state
        progress = self.progress
        name, higher = monitored(self.plan, self.plateau.monitored())
        known = Plateau(progress.rate, progress.plateau_best, progress.plateau_waited, progress.plateau_cooling)
        found = self.plateau.after(known, record[name], higher)
        if found.scale != progress.rate:
            rate = rate_at(self.rate, self.horizon, int(record["step"])) * found.scale
            self.reporter.note(f"{name} has stopped improving: the learning rate is {rate:g} from here on")
            state = state._replace(rate={"factor": jax.device_put(np.float32(found.scale))})
            self.recovery.lowered(int(record["step"]), found.scale)
        progress.rate, progress.plateau_best, progress.plateau_waited, progress.plateau_cooling = found
        return state

    def _halt(self, state: TrainState, epoch: int, writer: Writer | None) -> NoReturn:
        """Write a checkpoint and stop.

        It may lie within an epoch, or behind its steps and before its evaluation: the sums over the epoch are part of
        the state.
        """
        weight = self.recovery.tracer.weight(state.variables)
        if weight is not None:
            state = self._after(state, epoch, f"`{weight.name}` is not finite", writer)
        if writer is not None:
            self._checkpoint(state, writer, due=False)
            writer.flush()
        raise Stopped(int_step(state))

    def _checkpoint(self, state: TrainState, writer: Writer | None, due: bool) -> None:
        """Write a checkpoint. One that is due is also where a run goes back to that diverges."""
        step = int_step(state)
        if self.submitted == (step, self.progress.epoch):
            return
        self.submitted = (step, self.progress.epoch)
        with self.profile.part("checkpoints"):
            arrays = flatten_state(state)
            good = self.recovery.beside(arrays, step, due)
            if writer is None:
                return
            progress = {**vars(self.progress), "recovery": asdict(self.recovery.memory)}
            weights = (self.best, self._metadata()) if self.best is not None and self.best is not self.written else None
            self.written = self.best
            writer.submit(Checkpoint(step, arrays, progress, self.log.mark, self.best, self.identity, good), weights)

    def _after(
        self, state: TrainState, epoch: int, what: str, writer: Writer | None, evaluated: Any = None
    ) -> TrainState:
        """The state to go on with when a loss or weights are not finite.

        Raises:
            SpecError: DLC508 when the run stops.
        """
        if writer is not None:
            writer.flush()
        kept = (
            f"`{self.folder.path}` keeps the weights and the checkpoint of epoch {self.progress.epoch}"
            if self.folder and self.progress.epoch
            else "no epoch was finished"
        )
        last = self.sampler.steps(epoch)
        return self.recovery.after(state, last, self.progress.rate, what, kept, evaluated)

    def _metadata(self) -> dict[str, str]:
        value = self.progress.best_value
        return {
            "spec": self.plan.name,
            "epoch": str(self.progress.best_epoch),
            "step": str(self.progress.best_step),
            "monitor": self.monitor[0],
            "value": repr(value),
        }

    def _judge(self, record: Mapping[str, float], epoch: int, step: int) -> bool:
        """Note an epoch's monitored values; whether its weights are the best so far."""
        progress = self.progress
        progress.epoch = epoch
        name, higher = self.monitor
        improved = better(record[name], progress.best_value, higher)
        if improved:
            progress.best_value = record[name]
        elif progress.best_value is None:  # no epoch had a value: the newest weights are kept
            improved = True
        if improved:
            progress.best_epoch, progress.best_step = epoch, step
        self.stopping.see(record)
        return improved

    def _note_gaps(self, record: Mapping[str, float]) -> None:
        """Say once of each metric that it has no value."""
        for name, value in record.items():
            if math.isnan(value) and name not in self.gaps:
                self.gaps.add(name)
                watched = {self.monitor[0], self.stopping.monitor, self.plateau.monitored() if self.plateau else None}
                after = "; it is monitored, and counts as no improvement" if name in watched else ""
                self.reporter.note(f"`{name}` has no value in epoch {record['epoch']:.0f}: it is undefined{after}")

    def _finish(self, state: TrainState, writer: Writer | None) -> Result:
        """Judge the best weights on the test split; close the run's files."""
        if writer is not None:
            with self.profile.part("checkpoints"):
                writer.flush()
        variables = (
            self.program.from_flat(self.best)
            if self.best is not None
            else jax.device_get(self.compiled_steps.shown(state))
        )
        test = self.evaluate(variables, "test")
        if test is None:
            self._halt(state, self.progress.epoch, writer)
        steps = int_step(state)
        if self.folder is not None:
            if test:
                record: dict[str, Any] = {"epoch": self.progress.best_epoch, "step": self.progress.best_step}
                self.log.append({**record, **{f"test/{name}": value for name, value in test.items()}})
            summary = {
                "epochs": self.progress.epoch,
                "steps": steps,
                "stopped_early": self.stopping.due,
                "best_epoch": self.progress.best_epoch,
                "monitor": self.monitor[0],
                "best_value": self.progress.best_value,
                "test": test,
                "metrics": self.log.mark,
            }
            write_atomic(self.folder.result, to_json({**summary, "digest": digest(to_json(summary))}))
        return Result(
            self.folder,
            tuple(self.history),
            self.progress.best_epoch,
            test,
            variables,
            steps,
            self.seconds,
            self.first_step_seconds,
            self.data,
            self.input_seconds,
            self.profile.spent(),
        )


def int_step(state: TrainState) -> int:
    """The steps done, as a number of the host."""
    return int(state.step)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values, NaN for those that are not finite."""
    return {name: value if math.isfinite(value) else math.nan for name, value in values.items()}
