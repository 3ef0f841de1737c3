"""The training run: from a checked spec to the best weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import jax

from dlc.backend.update import plateau_of
from dlc.diagnostics import SpecError, human, quoting
from dlc.frontend.memory import least_memory
from dlc.frontend.pipeline import Spec
from dlc.frontend.plan import Plan
from dlc.frontend.resolved import resolved_text
from dlc.frontend.trainable import need_trainable
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import Log, cannot_use
from dlc.support.gc_pause import gc_paused
from dlc.support.optional import require
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.best_weights import BestWeights
from dlc.training.callbacks.checkpointing import Checkpointing, policy_of
from dlc.training.callbacks.early_stopping import EarlyStopping
from dlc.training.callbacks.events import Events
from dlc.training.callbacks.history import History
from dlc.training.callbacks.loop_callback import LoopCallback
from dlc.training.callbacks.plateau import PlateauRate
from dlc.training.callbacks.profile import Profile
from dlc.training.callbacks.progress import Reporter, Reporting, Silent, info_of
from dlc.training.callbacks.recovery import Recovery
from dlc.training.callbacks.result_file import ResultFile
from dlc.training.callbacks.timing import Timing
from dlc.training.callbacks.user_callbacks import UserCallbacks
from dlc.training.callbacks.warnings import Warnings
from dlc.training.checkpoint import Writer
from dlc.training.checkpoint import found as checkpoints_of
from dlc.training.chunks import Chunks
from dlc.training.loop import Loop
from dlc.training.result import Result, extended, finished
from dlc.training.resume import begin, fitted_before
from dlc.training.resume import resume as resume_from
from dlc.training.run_folder import RunFolder, SpecTexts, identity
from dlc.training.setup import initial_state, set_up


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
        reporter: displays the progress.
        dry_run: compile, do one step, stop; nothing is written.
        autotune: time the variants of operations first, and use the fastest; a resumed run keeps its own.
        profile: write a trace of some steps to `profile/` in the run folder.
        chunk_iterations: steps of a chunk, for tests; adapted to the speed when None. It can't change the result.
        stop: asked after every chunk, also of evaluation, whether to stop; the run then writes a checkpoint first.

    Raises:
        Stopped: when `stop` returned true.
        SpecError: DLC115, DLC217, DLC218, DLC320, DLC321, DLC401-DLC406, DLC501, DLC503-DLC505, DLC507, DLC508, DLC512.
    """
    began = time.perf_counter()
    reporter = reporter or Silent()
    with quoting(spec.texts), noticing_exhaustion(lambda: _least_memory(spec.plan)):
        need_trainable(spec.plan)
        if resume and run is None:
            raise SpecError.of("DLC510", "there is nothing to resume without a run folder", hint="name the folder")
        if spec.plan.train.tensorboard:
            require("tensorboard")  # before anything is written
        if run is None or dry_run:
            with gc_paused() as started:
                request = Request(reporter, began, chunk_iterations, stop or _never, started, autotune)
                return request.dry_run(spec.plan) if dry_run else request.train(spec.plan)
        run.lock()
        try:
            for name in ("profile", "events"):
                run.need_own(run.path / name)
            texts = SpecTexts(spec.given, resolved_text(spec))
            found = _opened(run, spec.plan, texts, resume, reporter)
            if found is not None:
                return found
            with gc_paused() as started:
                request = Request(reporter, began, chunk_iterations, stop or _never, started, autotune, profile)
                return request.train(spec.plan, run, texts)
        except BrokenPipeError:  # of the output, not of a file
            raise
        except OSError as error:
            raise cannot_use(error, run.path) from None
        finally:
            run.unlock()


def _least_memory(plan: Plan) -> str:
    """What training needs at least, in words."""
    need = least_memory(plan)
    return f"at least {human(need.total, 'B', 1024)}: {need}"


def _never() -> bool:
    return False


@fast_dataclass(frozen=True)
class Request:
    """How a spec is to be trained.

    Args:
        reporter: displays the progress.
        began: when training was asked for, on `time.perf_counter`.
        chunk_iterations: the steps of every chunk; adapted to the speed when None.
        stop: asked after every chunk whether to stop.
        started: called when the first chunk is done.
        autotune: whether to time the variants of operations first.
        profile: whether to write a trace.
    """

    reporter: Reporter
    began: float
    chunk_iterations: int | None = None
    stop: Callable[[], bool] = _never
    started: Callable[[], None] = lambda: None
    autotune: bool = False
    profile: bool = False

    def train(self, plan: Plan, folder: RunFolder | None = None, texts: SpecTexts | None = None) -> Result:
        """Train a plan; in its folder, begin a run or continue it. `texts` are kept in the folder."""
        note = self.reporter.note
        trace = folder.path / "profile" if folder is not None and self.profile else None
        timing = Timing(folder) if folder is not None else None
        profile = Profile(self.began, trace, note)
        lowering, fitted = None, None
        if folder is not None and folder.exists:
            lowering, fitted = folder.load_lowering(), fitted_before(folder, plan)
        setup = set_up(plan, lowering, self.autotune, note, profile.part, fitted)
        state = initial_state(setup, lowering, profile.part)
        chunks = Chunks(setup, self.began, self.chunk_iterations, self.started)
        run = ActiveRun(setup, folder, note, chunks, profile.part)
        if folder is None or texts is None:
            callbacks = callbacks_of(run, profile, self.reporter)
        else:
            log, digest = Log(folder.metrics), identity(plan, texts, setup.program.lowering.plain())
            callbacks = callbacks_of(run, profile, self.reporter, timing, log, digest)
            if folder.exists:
                state = resume_from(run, folder, texts, log, digest, state, callbacks)
            else:
                begin(run, folder, texts, log)
        result = Loop(run, self.stop).run(state, callbacks)
        return replace(result, spent=profile.final)

    def dry_run(self, plan: Plan) -> Result:
        """Compile, and do one step."""
        profile = Profile(self.began, None, self.reporter.note)
        setup = set_up(plan, None, self.autotune, self.reporter.note, profile.part)
        state = initial_state(setup, None, profile.part)
        chunks = Chunks(setup, self.began, self.chunk_iterations, self.started)
        try:
            self.reporter.begin(info_of(ActiveRun(setup, None, self.reporter.note, chunks, profile.part)))
            variables = jax.device_get(setup.compiled_steps.shown(chunks.run(state, 0, 1)))
            return Result(None, (), 0, {}, variables, 1, 0.0, chunks.first_step_seconds)
        finally:
            setup.feeder.close()
            self.reporter.end()


def callbacks_of(
    run: ActiveRun,
    profile: Profile,
    reporter: Reporter,
    timing: Timing | None = None,
    log: Log | None = None,
    identity: str = "",
) -> list[LoopCallback]:
    """What happens beside the steps of a run, in the order in which the loop calls it.

    Args:
        run: the run.
        profile: measures its parts.
        reporter: displays the progress.
        timing: keeps the times of a run with a folder.
        log: the log of metrics of a run with a folder.
        identity: the digest that its checkpoints get.
    """
    setup, folder, plan = run.setup, run.folder, run.setup.plan
    writer = Writer(folder, policy_of(plan, setup.sampler)) if folder is not None else None
    recovery = Recovery(setup, folder, writer.flush if writer is not None else lambda: None)
    best, stopping = BestWeights(plan), EarlyStopping(plan)
    schedule = plateau_of(need_trainable(plan).optimizer)
    watched = {best.monitor, stopping.stopping.monitor, schedule.monitored() if schedule is not None else None}
    watched |= {callback.monitored() for callback in plan.train.callbacks}
    return [
        recovery,
        Warnings(watched),
        best,
        stopping,
        *([PlateauRate(schedule, recovery)] if schedule is not None else []),
        History(log),
        *([Events(folder.path / "events")] if folder is not None and plan.train.tensorboard else []),
        *([UserCallbacks(plan)] if plan.train.callbacks else []),
        Checkpointing(recovery, best, writer, log, identity),
        *([ResultFile(log)] if log is not None else []),
        profile,
        *([timing] if timing is not None else []),
        Reporting(reporter, best),
    ]


def _opened(run: RunFolder, plan: Plan, texts: SpecTexts, resume: bool, reporter: Reporter) -> Result | None:
    """Check that a spec may train in a folder; the result of a run that is finished there.

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
        reporter.note(f"{error.report.diagnostics[0].message}; it is rewritten from the newest checkpoint")
        return None
    if result is not None:
        run.need_epochs(plan, len(result.history))
        run.keep_spec(plan, texts)
    return result
