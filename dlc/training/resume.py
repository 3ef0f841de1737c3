"""How a run begins in its folder: with a new one, or with the newest checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from dlc.backend.train_step import TrainState
from dlc.data.bad_records import BAD_RECORDS, as_lines
from dlc.data.fitted import FittedData
from dlc.diagnostics import SpecError
from dlc.frontend.decisions import starting_thresholds
from dlc.frontend.plan import Plan
from dlc.support.files import Log
from dlc.training.active_run import ActiveRun, Progress, Stop
from dlc.training.callbacks.loop_callback import LoopCallback
from dlc.training.checkpoint import Checkpoint, newest, restore_state
from dlc.training.numerics import NAME, need_as_began, numerics
from dlc.training.run_folder import RunFolder, SpecTexts, environment


def fitted_before(folder: RunFolder, plan: Plan) -> FittedData | None:
    """What a run learned about its data; None if that is damaged: it is then learned again, and must be the same."""
    try:
        return folder.load_fitted(plan)
    except SpecError:
        return None


def begin(run: ActiveRun, folder: RunFolder, texts: SpecTexts, log: Log) -> None:
    """Write the files that describe a new run."""
    lowering = run.setup.program.lowering.plain()
    if bad_records := run.setup.data.bad_records:
        folder.keep(BAD_RECORDS, as_lines(bad_records))
    folder.begin(run.setup.plan, texts, run.setup.data.fitted, environment(), lowering, numerics().plain())
    log.begin()


def resume(
    run: ActiveRun,
    folder: RunFolder,
    texts: SpecTexts,
    log: Log,
    identity: str,
    state: TrainState,
    callbacks: Sequence[LoopCallback],
) -> TrainState:
    """Restore a run from its newest checkpoint. Nothing is written before all that may refuse it is known.

    Args:
        run: the run.
        folder: its folder.
        texts: the spec, whose settings may differ where that is allowed.
        log: the log of metrics.
        identity: the digest that a checkpoint must have.
        state: the state of a new run.
        callbacks: those of the loop; each restores its part.

    Returns:
        The state to continue with: the given one if there is no checkpoint.

    Raises:
        SpecError: DLC503, DLC504.
    """
    changed = need_as_began(folder.path)
    found = newest(folder, identity)
    checkpoint = found.checkpoint
    if checkpoint is not None:
        run.progress = _progress(run, folder, checkpoint)
        starting = starting_thresholds(run.setup.plan)
        thresholds = run.progress.thresholds or starting
        if {name: len(values) for name, values in thresholds.items()} != {n: len(v) for n, v in starting.items()}:
            raise SpecError.of("DLC503", f"the checkpoint of step {checkpoint.step:,} holds other thresholds")
        run.decide(thresholds)
        state = jax.device_put(restore_state(state, checkpoint.state))
        if int(state.step) != checkpoint.step:
            raise SpecError.of("DLC503", f"the checkpoint of step {checkpoint.step:,} holds the state of another step")
        log.check(checkpoint.metrics)
    found.set_aside(run.note)
    if changed is not None:
        run.note(changed)
    folder.keep(NAME, numerics().plain())
    folder.keep_spec(run.setup.plan, texts)
    for path in folder.restore(run.setup.data.fitted):
        run.note(f"`{path}` did not hold what the run learned about its data: it was rewritten")
    if bad_records := run.setup.data.bad_records:
        folder.keep(BAD_RECORDS, as_lines(bad_records))
    folder.result.unlink(missing_ok=True)
    if checkpoint is None:
        run.note("there is no checkpoint: the run begins again")
        log.begin()
        return state
    for callback in callbacks:
        callback.on_resume(run, checkpoint)
    run.note(f"resuming after epoch {run.progress.epoch}, step {checkpoint.step:,}")
    _stay_stopped(run)
    return state


def _progress(run: ActiveRun, folder: RunFolder, checkpoint: Checkpoint) -> Progress:
    """The plain values of a checkpoint, checked against the data and the spec.

    Raises:
        SpecError: DLC503, DLC504.
    """
    progress = Progress(**checkpoint.progress)
    if progress.data != run.setup.data.fingerprint:
        raise SpecError.of(
            "DLC504",
            f"the data changed since the run in `{folder.path}` began",
            hint="put the data back, or train in a new folder with `--run`",
        )
    inside = run.setup.sampler.steps(progress.epoch) < checkpoint.step
    folder.need_epochs(run.setup.plan, progress.epoch + inside)
    return progress


def _stay_stopped(run: ActiveRun) -> None:
    """End a run again that a callback has ended, unless the spec now asks for more."""
    if run.progress.stop is None:
        return
    stop = Stop(**run.progress.stop)
    if stop.holds(run.setup.plan):
        run.ending = True
        run.note(f"`{stop.callback}` has ended the run: {stop.reason}")
    else:
        run.progress.stop = None
