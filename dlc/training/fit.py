"""The training run: from a checked spec to the best weights, in chunks of steps."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import jax
import numpy as np

from dlc.diagnostics import SpecError
from dlc.extras import need
from dlc.lower import loss_scale, tally
from dlc.lower.evaluating import make_evaluate
from dlc.lower.optimizing import make_updater, plateau_of
from dlc.lower.program import Program, lower
from dlc.lower.steps import Trainer, TrainState, make_trainer
from dlc.objectives.optimizers import Optimizer
from dlc.objectives.plateau import Plateau
from dlc.objectives.schedules import rate_at
from dlc.pipeline import Spec
from dlc.sources.dataset import Dataset, load_dataset
from dlc.sources.reading import allowed_memory
from dlc.spec import Item, OptimizerKeys
from dlc.training.checkpoint import Checkpoint, Writer, flatten_state, newest, restore_state
from dlc.training.checkpoint import found as checkpoints_of
from dlc.training.early import Early
from dlc.training.evaluation import better, evaluate_rows, monitored
from dlc.training.events import Events
from dlc.training.feeding import Feeder, evaluated_together, horizon_of, make_sampler
from dlc.training.files import Log, figures, read_json, to_json, write_atomic
from dlc.training.progress import Moment, Plan, Reporter, Silent
from dlc.training.run_folder import RunFolder, environment

CHUNK_SECONDS = 0.5  # progress moves about twice a second


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A run was asked to stop, and did so at a checkpoint: nothing is lost."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Args:
        folder: the run folder, or None.
        history: the epochs' records, as `metrics.jsonl` has them.
        best_epoch: the epoch whose weights were kept.
        test: metrics of the best weights on the test split; empty without one.
        variables: the best weights, nested by path.
        steps: steps done.
        seconds: time of all chunks of steps but the first, which compiles.
        first_step_seconds: time from the call to the first finished step.
        input_seconds: how long of `seconds` the device waited for records.
    """

    folder: RunFolder | None
    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    test: Mapping[str, float]
    variables: Mapping[str, Any] = field(repr=False, default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    first_step_seconds: float = 0.0
    input_seconds: float = 0.0


@dataclass
class _Progress:
    """The plain values that a checkpoint keeps beside the arrays."""

    epoch: int = 0
    best_epoch: int = 0
    best_step: int = 0
    best_value: float | None = None
    stale: int = 0  # epochs without improvement, for early stopping
    watched: float | None = None  # the best that early stopping saw
    stopped: bool = False
    data: int = 0  # the records' checksum
    rate: float = 1.0  # what a plateau has made of the learning rate
    plateau_best: float | None = None
    plateau_waited: int = 0
    plateau_cooling: int = 0


def need_trainable(spec: Spec) -> Item[Optimizer, OptimizerKeys]:
    """The optimizer of a spec that has all that training needs.

    Raises:
        SpecError: DLC115, naming the first section that is missing.
    """
    document = spec.document
    missing = [
        name
        for name, there in (
            ("data", document.data),
            ("loss", spec.losses),
            ("optimizer", document.optimizer),
        )
        if not there
    ]
    if missing or document.optimizer is None:
        names = ", ".join(f"`{name}`" for name in missing)
        raise SpecError.of(
            "DLC115",
            f"the spec can't be trained: it has no {names}",
            hint="`dlc init` writes a whole spec to start from",
        )
    return document.optimizer


def fit(
    spec: Spec,
    *,
    run: RunFolder | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    dry_run: bool = False,
    chunk_turns: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Train a spec.

    Args:
        spec: a checked spec with data, targets, loss and optimizer.
        run: the folder to keep everything in; nothing is written without one.
        resume: continue the run in the folder; one that has not begun begins.
        reporter: who is told of the progress.
        dry_run: compile, do one step, stop; nothing is written.
        chunk_turns: steps a chunk, for tests; adapted to the speed when None. It can't change the result.
        stop: asked after every chunk whether to stop; the run then writes a checkpoint first.

    Raises:
        Stopped: when `stop` said so.
        SpecError: DLC115, DLC401-DLC406, DLC501, DLC503-DLC505, DLC507, DLC508.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    need_trainable(spec)
    if resume and run is None:
        raise SpecError.of("DLC510", "there is nothing to resume without a run folder", hint="name the folder")
    if spec.document.train.tensorboard:
        need("tensorboard")  # before anything is written
    if run is None or dry_run:
        return Training(spec, None, reporter, began, chunk_turns, stop).run(dry_run)
    run.lock()
    try:
        if run.exists and not resume:
            raise SpecError.of(
                "DLC501",
                f"`{run.path}` holds a run already",
                hint="continue it with `--resume`, or choose another folder with `--run`",
            )
        if not run.exists and checkpoints_of(run):
            message = f"`{run.path}` holds checkpoints, but its `resolved.yaml` is missing"
            raise SpecError.of("DLC503", message, hint="put it back, or choose another folder with `--run`")
        if run.exists:
            run.continue_with(spec)
            if run.finished and not _extended(run, spec):
                return finished(run)
        return Training(spec, run, reporter, began, chunk_turns, stop).run(dry_run=False)
    finally:
        run.unlock()


def finished(run: RunFolder) -> Result:
    """The result of a run that came to its end.

    Raises:
        SpecError: DLC503 when its files are damaged.
    """
    record = read_json(run.result)
    try:
        lines = [figures(json.loads(line)) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
        history = tuple(line for line in lines if "train/loss" in line)
        if len(history) != record["epochs"]:
            raise ValueError("epochs are missing")
        run.load_weights()
        return Result(run, history, record["best_epoch"], figures(record["test"]), steps=record["steps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError.of("DLC503", f"`{run.metrics}` or `{run.result}` is damaged: {error}") from None


def _extended(run: RunFolder, spec: Spec) -> bool:
    """Whether a finished run is asked for more than it did: more epochs, or more patience."""
    record, train = read_json(run.result), spec.document.train
    try:
        if record["stopped_early"]:
            return train.early_stopping is None or train.early_stopping.patience > record["stale"]
        return bool(train.epochs > record["epochs"])
    except (KeyError, TypeError):
        raise SpecError.of("DLC503", f"`{run.result}` is damaged") from None


def _restored(checkpoint: Checkpoint) -> _Progress:
    try:
        return _Progress(**checkpoint.progress)
    except TypeError:
        raise SpecError.of("DLC503", "the checkpoint was written by another version of dlc") from None


class Training:
    """One run in progress."""

    def __init__(
        self,
        spec: Spec,
        run: RunFolder | None,
        reporter: Reporter,
        began: float,
        chunk_turns: int | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        self.stop = stop
        self.spec, self.folder, self.reporter, self.began, self.chunk_turns = spec, run, reporter, began, chunk_turns
        self.program: Program = lower(spec.graph)
        early = Early(spec, self.program)
        self.data: Dataset = load_dataset(spec)
        self.train = spec.document.train
        self.sampler = make_sampler(spec, self.data.splits["train"])
        held_out = [len(rows) for name, rows in self.data.splits.items() if name != "train"]
        longest, together = max(held_out, default=1), evaluated_together(spec)
        self.feeder = Feeder(self.data.rows, self.sampler, longest, together, memory=allowed_memory(spec))
        self.horizon = horizon_of(spec, self.sampler)
        self.steps = self.horizon.steps
        optimizer = need_trainable(spec)
        self.rate = optimizer.thing.learning_rate
        self.plateau = plateau_of(optimizer.thing)
        self.stats = self.data.stats
        updater = make_updater(spec, self.program, self.horizon)
        trainer = make_trainer(spec, self.program, updater, self.stats)
        chunk = early.instead_of(trainer, self.feeder.portions, self.data.rows, self.stats, self.horizon)
        self.trainer: Trainer = replace(trainer, chunk=chunk)
        self.evaluator = make_evaluate(spec, self.program)
        self.monitor = monitored(spec)
        self.progress = _Progress(data=self.data.fingerprint if run is not None else 0)
        self.submitted = -1  # the step of the newest checkpoint
        self.best: dict[str, Any] | None = None
        self.gaps: set[str] = set()  # metrics without value that were told of
        self.history: list[dict[str, float]] = []
        self.events: Events | None = None
        self.noted = False
        self.seconds_per_step: float | None = None
        self.first_step_seconds = self.seconds = self.input_seconds = 0.0
        self.waiting = 0.0  # share of the last chunk's time that went by without records

    def evaluate(self, variables: Any, split: str) -> dict[str, float]:
        """Loss and metrics on a whole split."""
        return evaluate_rows(self.spec, self.evaluator, variables, self.feeder, self.data.splits[split], self.stats)

    def run(self, dry_run: bool) -> Result:
        """Train from the beginning or the newest checkpoint to the end."""
        variables = self.program.init(self.spec.document.seed)
        state = jax.device_put(self.trainer.start(variables, self.feeder.shapes()))
        writer: Writer | None = None
        if self.folder is not None:
            state = self._begin(state, self.folder)
            writer = Writer(self.folder, self.train.keep_checkpoints)
        start = int(state.step)
        self.reporter.begin(self._plan(start))
        try:
            if dry_run:
                state = self.chunk(state, 0, 1)
                shown = jax.device_get(self.trainer.shown(state))
                return Result(None, (), 0, {}, shown, 1, 0.0, self.first_step_seconds)
            while int_step(state) < self.steps and not self.progress.stopped:
                state = self.epoch(state, writer)
            return self._finish(state, writer)
        finally:
            self.feeder.close()
            if writer is not None:
                writer.close()
            if self.events is not None:
                self.events.close()
            self.reporter.end()

    def _plan(self, start: int) -> Plan:
        sizes = {name: len(rows) for name, rows in self.data.splits.items()}
        count = sum(slot.size for slot in self.program.params.values())
        folder = str(self.folder.path) if self.folder else None
        device = jax.devices()[0]
        name = device.device_kind if device.platform != "cpu" else "cpu"
        return Plan(
            self.spec.name, folder, self.train.epochs, self.steps, self.sampler.batch_size, sizes, count, name, start
        )

    def _begin(self, state: TrainState, folder: RunFolder) -> TrainState:
        """Open the run folder: the state of the newest checkpoint, or the given one for a new run."""
        checkpoint = newest(folder, self.reporter.note) if folder.exists else None
        if not folder.exists:
            folder.begin(self.spec, self.data.stats, environment())
        self.log = Log(folder.metrics)
        if checkpoint is None:
            self.log.begin()
        else:
            self.history = self.log.rewind(checkpoint.metrics)
        if self.train.tensorboard:
            self.events = Events(folder.path / "events", self.history)
        if checkpoint is None:
            return state
        self.progress = _restored(checkpoint)
        if self.progress.data != self.data.fingerprint:
            raise SpecError.of(
                "DLC504",
                f"the data changed since the run in `{folder.path}` began",
                hint="put the data back, or train in a new folder with `--run`",
            )
        stopping = self.train.early_stopping
        self.progress.stopped = stopping is not None and self.progress.stale >= stopping.patience
        self.best = dict(checkpoint.best) if checkpoint.best is not None else None
        folder.result.unlink(missing_ok=True)
        self.submitted = checkpoint.step
        restored: TrainState = jax.device_put(restore_state(state, checkpoint.state))
        self.reporter.note(f"resuming after epoch {self.progress.epoch}, step {checkpoint.step:,}")
        return restored

    def turns(self, left: int) -> int:
        """How many steps the next chunk does."""
        if self.chunk_turns is not None:
            return min(left, self.chunk_turns, self.feeder.max_turns)
        if self.seconds_per_step is None:
            return min(left, self.feeder.max_turns, 8)
        return min(left, self.feeder.max_turns, max(1, int(CHUNK_SECONDS / self.seconds_per_step)))

    def chunk(self, state: TrainState, step: int, turns: int, fresh: bool = True) -> TrainState:
        """Do some steps, and wait for them; the next chunk's batches are made meanwhile."""
        began, waited = time.perf_counter(), self.feeder.waited
        feed = self.feeder.training(step, turns)
        state = self.trainer.chunk(state, feed, np.int32(turns), np.bool_(fresh), self.stats)
        del feed  # else the batches would outlive their use
        self._prepare(step + turns)
        jax.block_until_ready(state.step)
        now = time.perf_counter()
        if self.first_step_seconds == 0.0:
            self.first_step_seconds = now - self.began
        else:
            self.seconds += now - began
            self.input_seconds += self.feeder.waited - waited
            self.waiting = (self.feeder.waited - waited) / (now - began)
            self.seconds_per_step = (now - began) / turns
        return state

    def _prepare(self, step: int) -> None:
        """Have the batches made that come next, up to the end of an epoch."""
        if step < self.steps:
            epoch = self.progress.epoch + 1
            ends = self.sampler.steps(epoch) if step < self.sampler.steps(epoch) else self.sampler.steps(epoch + 1)
            self.feeder.prepare(step, self.turns(ends - step))

    def epoch(self, state: TrainState, writer: Writer | None) -> TrainState:
        """Train to the end of the current epoch; evaluate, record, keep the best, checkpoint."""
        began = time.perf_counter()
        number = self.progress.epoch + 1
        first, last = self.sampler.steps(number - 1), self.sampler.steps(number)
        step = int_step(state)
        while step < last:
            turns = self.feeder.prepared(step) or self.turns(last - step)
            started = time.perf_counter()
            state = self.chunk(state, step, turns, fresh=step == first)
            step += turns
            sums = tally.settled(jax.device_get(state.sums))
            speed = turns * self.sampler.batch_size / (time.perf_counter() - started)
            values = tally.values(self.spec, sums)
            if step == last or sums[tally.COUNT]:  # in float16 the first steps may be left out
                values = self._finite(values, step, writer)
            self.reporter.moment(Moment(number, step, values, speed, self.waiting))
            if step < last and self.stop is not None and self.stop():
                self._halt(state, writer)
        record: dict[str, float] = {
            "epoch": number,
            "step": step,
            "learning_rate": rate_at(self.rate, self.horizon, step - 1) * self.progress.rate,
        }
        record |= {f"train/{name}": value for name, value in values.items()}
        self._scale_noted(state)
        shown = self.trainer.shown(state)
        if "validation" in self.data.splits:
            found = self._finite(self.evaluate(shown, "validation"), step, writer)
            record |= {f"validation/{name}": value for name, value in found.items()}
        self._note_gaps(record)
        improved = self._judge(record, number, step)
        state = self._lowered(state, record)
        if improved:
            self.best = self.program.to_flat(jax.tree.map(np.array, shown))
            if not all(np.isfinite(value).all() for value in self.best.values()):
                self._finite({"loss": math.nan}, step, writer)
        self.history.append(record)
        if writer is not None:
            self.log.append(record)
            if self.events is not None:
                self.events.add(record)
            last_epoch = step >= self.steps or self.progress.stopped
            if number % self.train.checkpoint_every == 0 or last_epoch:
                self._submit(writer, state)
        self.reporter.epoch(record, time.perf_counter() - began, improved)
        if self.stop is not None and step < self.steps and not self.progress.stopped and self.stop():
            self._halt(state, writer)
        return state

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
        name, higher = monitored(self.spec, self.plateau.monitored())
        known = Plateau(progress.rate, progress.plateau_best, progress.plateau_waited, progress.plateau_cooling)
        found = self.plateau.after(known, record[name], higher)
        if found.scale != progress.rate:
            rate = rate_at(self.rate, self.horizon, int(record["step"])) * found.scale
            self.reporter.note(f"{name} has stopped improving: the learning rate is {rate:g} from here on")
            state = state._replace(rate={"factor": jax.device_put(np.float32(found.scale))})
        progress.rate, progress.plateau_best, progress.plateau_waited, progress.plateau_cooling = found
        return state

    def _halt(self, state: TrainState, writer: Writer | None) -> NoReturn:
        """Write a checkpoint and stop. It may lie within an epoch: the sums over the epoch are part of the state."""
        if writer is not None:
            self._submit(writer, state)
            writer.flush()
        raise Stopped(int_step(state))

    def _submit(self, writer: Writer, state: TrainState) -> None:
        if self.submitted == int_step(state):
            return
        self.submitted = int_step(state)
        progress = dict(vars(self.progress))
        weights = (self.best, self._metadata()) if self.best is not None else None
        writer.submit(Checkpoint(int_step(state), flatten_state(state), progress, self.log.mark, self.best), weights)

    def _metadata(self) -> dict[str, str]:
        value = self.progress.best_value
        return {
            "spec": self.spec.name,
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
        stopping = self.train.early_stopping
        if stopping is not None:
            watch, rising = monitored(self.spec, stopping.monitor)
            if better(record[watch], progress.watched, rising, stopping.min_delta):
                progress.watched, progress.stale = record[watch], 0
            else:
                progress.stale += 1
            progress.stopped = progress.stale >= stopping.patience
        return improved

    def _note_gaps(self, record: Mapping[str, float]) -> None:
        """Say once of each metric that it has no value."""
        for name, value in record.items():
            if math.isnan(value) and name not in self.gaps:
                self.gaps.add(name)
                watched = {self.monitor[0], self.train.early_stopping.monitor if self.train.early_stopping else None}
                watched.add(self.plateau.monitored() if self.plateau else None)
                after = "; it is monitored, and counts as no improvement" if name in watched else ""
                self.reporter.note(f"`{name}` has no value in epoch {record['epoch']:.0f}: it is undefined{after}")

    def _finite(self, values: dict[str, float], step: int, writer: Writer | None) -> dict[str, float]:
        """The values, NaN for metrics that are not finite.

        Raises:
            SpecError: DLC508 when the loss is not finite.
        """
        if math.isfinite(values["loss"]):
            return {name: value if math.isfinite(value) else math.nan for name, value in values.items()}
        if writer is not None:
            writer.flush()
        kept = (
            f"`{self.folder.path}` keeps the weights and the checkpoint of epoch {self.progress.epoch}"
            if self.folder and self.progress.epoch
            else "no epoch was finished"
        )
        narrow = any(node.dtype == "f16" for node, _ in self.spec.graph.walk())
        wide = "float16 ends at 65,504: try `precision: bfloat16`, or " if narrow else ""
        raise SpecError.of(
            "DLC508",
            f"training diverged: the loss is {values['loss']} by step {step}",
            self.spec.document.source.key_span(("optimizer",)),
            hint=f"{wide}lower the learning rate, or add `clip_norm: 1.0` beside the optimizer; {kept}",
        )

    def _finish(self, state: TrainState, writer: Writer | None) -> Result:
        """Judge the best weights on the test split; close the run's files."""
        if writer is not None:
            writer.flush()
        variables = (
            self.program.from_flat(self.best) if self.best is not None else jax.device_get(self.trainer.shown(state))
        )
        test = self.evaluate(variables, "test") if "test" in self.data.splits else {}
        steps = int_step(state)
        if self.folder is not None:
            if test:
                record: dict[str, Any] = {"epoch": self.progress.best_epoch, "step": self.progress.best_step}
                self.log.append({**record, **{f"test/{name}": value for name, value in test.items()}})
            summary = {
                "epochs": self.progress.epoch,
                "steps": steps,
                "stopped_early": self.progress.stopped,
                "stale": self.progress.stale,
                "best_epoch": self.progress.best_epoch,
                "monitor": self.monitor[0],
                "best_value": self.progress.best_value,
                "test": test,
            }
            write_atomic(self.folder.result, to_json(summary))
        return Result(
            self.folder,
            tuple(self.history),
            self.progress.best_epoch,
            test,
            variables,
            steps,
            self.seconds,
            self.first_step_seconds,
            self.input_seconds,
        )


def int_step(state: TrainState) -> int:
    """The steps done, as a number of the host."""
    return int(state.step)
