"""The training loop. It does steps, epochs and evaluations; everything else is a callback."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, NoReturn

import jax

from dlc.backend import statistics
from dlc.backend.train_step import TrainState
from dlc.data.fitted import Stats
from dlc.frontend.decisions import read_thresholds, with_thresholds
from dlc.training.active_run import ActiveRun, finite
from dlc.training.callbacks.loop_callback import Chunk, Epoch, Evaluation, LoopCallback
from dlc.training.evaluation import Measured, SplitEvaluation
from dlc.training.result import Result


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A run was asked to stop, and did so at a checkpoint: nothing is lost."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


class Sent(NamedTuple):
    """What was sent to the device at the end of an epoch.

    Args:
        state: the state after the epoch, by identity.
        variables: its variables to evaluate and to save.
        evaluating: the evaluation of the validation split, if there is one.
    """

    state: TrainState
    variables: Any
    evaluating: SplitEvaluation | None


class Loop:
    """Trains a run to its end.

    Args:
        run: the run.
        asked: asked after every chunk, also of evaluation, whether to stop.
    """

    def __init__(self, run: ActiveRun, asked: Callable[[], bool]) -> None:
        self.active, self.asked = run, asked
        self.callbacks: Sequence[LoopCallback] = ()
        self.sent: Sent | None = None

    def run(self, state: TrainState, callbacks: Sequence[LoopCallback]) -> Result:
        """Train to the last epoch, or until a callback ends the run, and evaluate the best weights.

        Args:
            state: the state before the next step.
            callbacks: what else happens, in the order in which they are called and closed.

        Raises:
            Stopped: when the run was asked to stop.
            SpecError: of a callback, or DLC401 when the records can no longer be read.
        """
        run, train = self.active, self.active.setup.plan.train
        self.callbacks = callbacks
        run.state, run.step, run.epoch = state, int(state.step), run.progress.epoch
        with ExitStack() as closing:
            closing.callback(run.setup.feeder.close)
            closing.callback(run.chunks.close)
            for callback in reversed(callbacks):
                closing.callback(callback.close)
            for callback in callbacks:
                callback.on_begin(run)
            if run.failure is not None:
                raise run.failure
            while run.progress.epoch < train.epochs and not run.ending:
                self.train_epoch()
                self._stop_if_asked(run.step >= run.setup.horizon.steps or run.ending)
            return self.finish()

    def train_epoch(self) -> None:
        """Train to the end of an epoch, and evaluate it."""
        run, began = self.active, time.perf_counter()
        run.epoch = run.progress.epoch + 1
        while True:
            self.train_steps()
            if self.sent is None or self.sent.state is not run.state:
                self.sent = self.send(run.state)
            variables, evaluating = self.sent.variables, self.sent.evaluating
            self.sent = None
            evaluation = Evaluation(variables, self.values_of(evaluating, "validation"))
            state = run.state
            for callback in self.callbacks:
                callback.on_evaluation(run, evaluation)
            if run.state is state:
                break  # otherwise the run went back, and the rest of the epoch is done again
        record: dict[str, float] = {
            "epoch": run.epoch,
            "step": run.step,
            "learning_rate": run.learning_rate(run.step - 1),
        }
        record |= {f"train/{name}": value for name, value in run.figures.items()}
        record |= {f"validation/{name}": value for name, value in finite(evaluation.values).items()}
        run.progress.epoch = run.epoch
        for callback in self.callbacks:
            callback.on_epoch(run, Epoch(record, variables, began))

    def train_steps(self) -> None:
        """Do the steps that are left of an epoch, in chunks."""
        run, setup = self.active, self.active.setup
        first, last = setup.sampler.steps(run.epoch - 1), run.epoch_end
        if run.step == last:  # a run that was stopped while it was evaluated has done all steps
            run.values = self._values(run.state)[1]
        while run.step < last:
            iterations = run.chunks.next_length(run.step, last - run.step)
            compiles, began = run.chunks.compiling, time.perf_counter()
            begun = run.chunks.begin(run.state, run.step, iterations, fresh=run.step == first)
            if run.step + iterations == last and not compiles:
                self.sent = self.send(begun.state)
                run.chunks.begin_ahead(begun.state, last)
            run.state = run.chunks.end(begun)
            run.step += iterations
            sums, run.values = self._values(run.state)
            chunk = Chunk(iterations, time.perf_counter() - began, compiles, sums)
            for callback in self.callbacks:
                callback.on_chunk(run, chunk)  # may make the run go back: `run.step` is then another
            self._stop_if_asked(run.step >= last)

    def send(self, state: TrainState) -> Sent:
        """Send what follows the steps of an epoch to the device, which may still compute them."""
        variables = self.active.setup.compiled_steps.shown(state)
        return Sent(state, variables, self.evaluation(variables, "validation"))

    def _values(self, state: TrainState) -> tuple[dict[str, Any], dict[str, float]]:
        """The sums over the epoch so far, and the loss and metrics that follow from them."""
        sums = statistics.to_host(jax.device_get(state.sums))
        return sums, statistics.values(self.active.setup.plan, sums)

    def evaluation(self, variables: Any, split: str, stats: Stats | None = None) -> SplitEvaluation | None:
        """The evaluation of a whole split, its first part sent to the device; None if there is no such split.

        Args:
            variables: the weights.
            split: its name.
            stats: the statistics of the features, with thresholds; the newest if None.
        """
        run, setup = self.active, self.active.setup
        if split not in setup.data.splits:
            return None
        rows = setup.data.splits[split]
        with run.timed("evaluation"):
            newest = run.chunks.stats
            return SplitEvaluation(setup.plan, setup.evaluate, variables, setup.feeder, rows, stats or newest)

    def values_of(self, evaluation: SplitEvaluation | None, split: str) -> dict[str, float]:
        """Loss and metrics of an evaluation; empty if there is none. Thresholds are fitted to the validation split."""
        if evaluation is None:
            return {}
        found = self._measured(evaluation)
        if split == "validation" and found.thresholds:
            self.active.decide(found.thresholds)
            again = self.evaluation(evaluation.variables, split)
            assert again is not None, "it was evaluated before"
            found = self._measured(again)
        for name, text in found.notes(split).items():
            self.active.note_once(f"{split}/{name}", text)
        return found.values

    def _measured(self, evaluation: SplitEvaluation) -> Measured:
        """What an evaluation finds."""
        with self.active.timed("evaluation"):
            found = evaluation.values(self.asked)
        if found is None:
            self.interrupt()
        return found

    def finish(self) -> Result:
        """Evaluate the best weights on the test split; return the result of the run."""
        run, setup = self.active, self.active.setup
        if run.best is not None:
            variables = setup.program.from_flat(run.best)
        else:
            variables = jax.device_get(setup.compiled_steps.shown(run.state))
        thresholds = read_thresholds(setup.plan, run.best) if run.best is not None else {}
        stats = with_thresholds(run.chunks.stats, thresholds)
        test = self.values_of(self.evaluation(variables, "test", stats), "test")
        for callback in self.callbacks:
            callback.on_finish(run, test)
        run.status = "finished"
        return Result(
            folder=run.folder,
            history=tuple(run.history),
            best_epoch=run.progress.best_epoch,
            test=test,
            variables=variables,
            steps=run.step,
            seconds=run.chunks.seconds,
            first_step_seconds=run.chunks.first_step_seconds,
            data=setup.data,
            thresholds={name: values.tolist() for name, values in thresholds.items()},
            input_seconds=run.chunks.input_seconds,
        )

    def interrupt(self) -> NoReturn:
        """Stop where the run stands, once the callbacks have saved it.

        Raises:
            SpecError: the failure of a callback.
            Stopped: when the run was asked to stop.
        """
        run = self.active
        for callback in self.callbacks:
            callback.on_interrupt(run)
        if run.failure is not None:
            raise run.failure
        run.status = "interrupted"
        raise Stopped(int(run.state.step))

    def _stop_if_asked(self, over: bool) -> None:
        """Stop after the failure of a callback, or when the run was asked to and what it does is not over anyway."""
        if self.active.failure is not None or (not over and self.asked()):
            self.interrupt()
