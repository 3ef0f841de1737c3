"""The callbacks of `train.callbacks`: what they see of a run, and what happens when one of them fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dlc.components.callbacks.callback import Callback, RunView
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.training.active_run import ActiveRun, Stop
from dlc.training.callbacks.loop_callback import Chunk, Epoch, LoopCallback

Hook = Callable[[Callback, RunView], None]


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
        self._call(run, "before the first step", {}, lambda callback, view: callback.on_begin(view))

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Call `on_chunk`."""
        figures = {f"train/{name}": value for name, value in run.figures.items()}
        self._call(run, f"in epoch {run.epoch}", figures, lambda c, view: c.on_chunk(view))

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Call `on_epoch`; end the run if one of the callbacks asked for it since the epoch began."""
        when = f"after epoch {run.epoch}"
        self._call(run, when, epoch.record, lambda callback, view: callback.on_epoch(view))
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
        self._call(run, "at the end", self.test, lambda callback, view: callback.on_end(view))
        failure, run.failure = run.failure, before
        if failure is not None and ended:
            raise failure
        if failure is not None:
            run.note(failure.report.diagnostics[0].message)

    def _call(self, run: ActiveRun, when: str, metrics: Mapping[str, float], call: Hook) -> None:
        """Call a hook of all callbacks. The first failure ends the run as soon as its state is saved."""
        for index, callback in enumerate(self.plan.train.callbacks):
            try:
                call(callback, self._view(run, index, metrics))
            except SpecError as error:
                run.failure = run.failure or error
            except (Exception, SystemExit) as error:  # whatever a callback does, it is the callback's
                run.failure = run.failure or self._failure(run, index, when, error)

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
            note=run.note,
        )

    def _failure(self, run: ActiveRun, index: int, when: str, error: BaseException) -> SpecError:
        """The diagnostic of an exception."""
        callback = self.plan.train.callbacks[index]
        plugin = plugin_of(type(callback), self.plan.plugins)
        owner = f" of the plugin `{plugin}`" if plugin is not None else ""
        places, path = self.plan.places, ("train", "callbacks")
        span = places.key_span((*path, index, callback.word)) or places.key_span(path)
        saved = "nothing was lost: correct the callback, then continue with `--resume`"
        failure = SpecError.of(
            "DLC511",
            f"the callback `{callback.word}`{owner} failed {when}: {type(error).__name__}: {error}",
            span,
            found=_raised_at(error),
            hint=saved if run.folder is not None else "correct the callback; a run without a folder is not kept",
        )
        failure.__cause__ = error
        return failure


def plugin_of(cls: type[Any], plugins: tuple[str, ...]) -> str | None:
    """The plugin that a class comes from: as the plan names it, or its module; None for a class of dlc."""
    module = cls.__module__
    if module.partition(".")[0] == "dlc":
        return None
    file = str(getattr(sys.modules.get(module), "__file__", None))
    known = next((name for name in plugins if name in (module, file) or module.startswith(f"{name}.")), None)
    return Path(known).stem if known is not None and known.endswith(".py") else known or module


def _raised_at(error: BaseException) -> str | None:
    """The file and line that raised an exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}" if trace is not None else None
