"""The callbacks of `train.callbacks`: what they see of a run, and what happens when one of them fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TextIO

from dlc.components.callbacks.callback import Callback, RunView
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.ir.guard import ComponentError, raised
from dlc.training.active_run import ActiveRun, Stop
from dlc.training.callbacks.loop_callback import Chunk, Epoch, LoopCallback


class UserCallbacks(LoopCallback):
    """Calls the callbacks of the spec, in their order, each with a view of the run.

    Args:
        plan: the spec's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stores: list[dict[str, Any]] = [{} for _ in plan.train.callbacks]
        self.requests: list[tuple[Callback, str]] = []  # to end the run, with the reason
        self.begun: ActiveRun | None = None
        self.test: Mapping[str, float] = {}

    def on_begin(self, run: ActiveRun) -> None:
        """Call `on_begin`."""
        self.begun = run
        self._call(run, "before the first step", {}, "on_begin")

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Call `on_chunk`."""
        figures = {f"train/{name}": value for name, value in run.figures.items()}
        self._call(run, f"in epoch {run.epoch}", figures, "on_chunk")

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Call `on_epoch`; end the run if one of the callbacks asked for it since the epoch began."""
        when = f"after epoch {run.epoch}"
        self._call(run, when, epoch.record, "on_epoch")
        if self.requests and run.progress.stop is None:
            callback, why = self.requests[0]
            stop = Stop(callback.word, repr(callback), why, self.plan.train.epochs)
            run.progress.stop, run.ending = asdict(stop), True
            run.note(f"`{callback.word}` ends the run after epoch {run.epoch}: {why}")

    def on_finish(self, run: ActiveRun, test: Mapping[str, float]) -> None:
        """Keep the metrics of the test split for `on_end`."""
        self.test = run.test_record(test)

    def close(self) -> None:
        """Call `on_end`. An exception of a run that failed is a note: the error that ended the run is the one to see.

        Raises:
            SpecError: DLC511 when a callback of a run that is finished or interrupted fails.
        """
        run = self.begun
        if run is None:
            return
        if run.status == "training":
            run.status = "failed"
        ended, before = run.status != "failed", run.failure
        run.failure = None
        self._call(run, "at the end", self.test, "on_end")
        failure, run.failure = run.failure, before
        if failure is not None and ended:
            raise failure
        if failure is not None:
            run.note(failure.report.diagnostics[0].message)

    def _call(self, run: ActiveRun, when: str, metrics: Mapping[str, float], hook: str) -> None:
        """Call a hook of all callbacks. The first failure ends the run as soon as its state is saved.

        Standard output belongs to the command, which may print JSON: what a callback prints goes to standard error.
        """
        for index, callback in enumerate(self.plan.train.callbacks):
            view = self._view(run, index, metrics)
            try:
                with redirect_stdout(sys.stderr):
                    getattr(callback, hook)(view)
            except ComponentError as error:
                run.failure = run.failure or self._failure(run, index, when, error)
            except SpecError as error:
                run.failure = run.failure or error
            except (Exception, SystemExit) as error:
                failure = raised(callback, "callback", hook, error)
                run.failure = run.failure or self._failure(run, index, when, failure)

    def _view(self, run: ActiveRun, index: int, metrics: Mapping[str, float]) -> RunView:
        callback, steps = self.plan.train.callbacks[index], run.setup.horizon.steps
        return RunView(
            name=self.plan.name,
            folder=run.folder.path if run.folder is not None else None,
            epoch=run.epoch,
            epochs=self.plan.train.epochs,
            step=run.step,
            steps=steps,
            metrics=MappingProxyType(dict(metrics)),
            learning_rate=run.learning_rate(max(run.step - 1, 0)),
            history=tuple(MappingProxyType(record) for record in run.history),
            status=run.status,
            store=self.stores[index],
            stop=lambda reason: self.requests.append((callback, str(reason))),
            note=_printing(run.note, sys.stdout),
        )

    def _failure(self, run: ActiveRun, index: int, when: str, error: ComponentError) -> SpecError:
        """The diagnostic of a callback that failed at a time, as in "after epoch 3"."""
        word, places, path = self.plan.train.callbacks[index].word, self.plan.places, ("train", "callbacks")
        span = places.key_span((*path, index, word)) or places.key_span(path)
        fix = error.hint or "correct the callback"
        saved = f"nothing was lost: {fix}, then continue with `--resume`"
        hint = saved if run.folder is not None else f"{fix}; a run without a folder is not kept"
        failure = SpecError.of("DLC511", error.when(when), span, found=error.found, hint=hint)
        failure.__cause__ = error.__cause__
        return failure


def _printing(note: Callable[[str], None], output: TextIO) -> Callable[[str], None]:
    """A function that prints notes where they would be printed outside of a callback."""

    def to_user(text: str) -> None:
        with redirect_stdout(output):
            note(text)

    return to_user
