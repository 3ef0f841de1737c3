"""The training run: from a checked spec to the best weights."""

from __future__ import annotations

import time
from collections.abc import Callable

from dlc.diagnostics import SpecError, quoting
from dlc.frontend.pipeline import Spec
from dlc.frontend.plan import Plan
from dlc.frontend.resolved import resolved_text
from dlc.frontend.trainable import need_trainable
from dlc.support.files import cannot_use
from dlc.support.gc_pause import gc_paused
from dlc.support.optional import require
from dlc.training.callbacks.progress import Reporter, Silent
from dlc.training.callbacks.timing import Timed
from dlc.training.checkpoint import found as checkpoints_of
from dlc.training.result import Result, extended, finished
from dlc.training.run import TrainingRun
from dlc.training.run_folder import RunFolder, SpecTexts


def train(
    spec: Spec,
    *,
    run: RunFolder | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    dry_run: bool = False,
    autotune: bool = False,
    profile: bool = False,
    chunk_iterations: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Train a spec.

    Args:
        spec: a checked spec with data, targets, loss and optimizer.
        run: the folder to keep everything in; nothing is written without one.
        resume: continue the run in the folder; one that has not begun begins.
        reporter: who is told of the progress.
        dry_run: compile, do one step, stop; nothing is written.
        autotune: time the equal forms of operations first, and take the fastest; a run that goes on keeps its own.
        profile: write a trace of some steps to `profile/` in the run folder.
        chunk_iterations: steps of a chunk, for tests; adapted to the speed when None. It can't change the result.
        stop: asked after every chunk, also of evaluation, whether to stop; the run then writes a checkpoint first.

    Raises:
        Stopped: when `stop` said so.
        SpecError: DLC115, DLC401-DLC406, DLC501, DLC503-DLC505, DLC507, DLC508.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    with quoting(spec.texts):
        need_trainable(spec.plan)
        if resume and run is None:
            raise SpecError.of("DLC510", "there is nothing to resume without a run folder", hint="name the folder")
        if spec.plan.train.tensorboard:
            require("tensorboard")  # before anything is written
        if run is None or dry_run:
            with gc_paused() as started:
                return TrainingRun(spec.plan, None, reporter, began, chunk_iterations, stop, started, autotune).run(
                    dry_run
                )
        run.lock()
        try:
            texts = SpecTexts(spec.given, resolved_text(spec))
            found = _opened(run, spec.plan, texts, resume, reporter)
            if found is not None:
                return found
            timed = Timed(reporter, run)
            with gc_paused() as started:
                return TrainingRun(
                    spec.plan, run, timed, began, chunk_iterations, stop, started, autotune, profile, texts
                ).run(dry_run=False)
        except BrokenPipeError:  # of the output, not of a file
            raise
        except OSError as error:
            raise cannot_use(error, run.path) from None
        finally:
            run.unlock()


def _opened(run: RunFolder, plan: Plan, texts: SpecTexts, resume: bool, reporter: Reporter) -> Result | None:
    """Check that a spec may train in a folder; the result of a run that came to its end there.

    Raises:
        SpecError: DLC501, DLC503, DLC504.
    """
    if not run.exists:
        if not checkpoints_of(run):
            return None
        message = f"`{run.path}` holds checkpoints, but its `resolved.yaml` is missing"
        raise SpecError.of("DLC503", message, hint="put it back, or choose another folder with `--run`")
    if not resume:
        raise SpecError.of(
            "DLC501",
            f"`{run.path}` holds a run already",
            hint="continue it with `--resume`, or choose another folder with `--run`",
        )
    run.need_spec(plan, texts)
    try:
        result = finished(run) if run.finished and not extended(run, plan) else None
    except SpecError as error:
        if not checkpoints_of(run):
            raise
        reporter.note(f"{error.report.diagnostics[0].message}; written anew from the newest checkpoint")
        return None
    if result is not None:
        run.need_epochs(plan, len(result.history))
        run.keep_spec(texts)
    return result
