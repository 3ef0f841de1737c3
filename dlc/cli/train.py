"""`dlc train`: train a spec or continue a run, and write the report."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dlc
from dlc.cli.console import EXIT_CLEAN, EXIT_RESUME
from dlc.cli.interruption import Interruption
from dlc.cli.reporters import Json, Plain, Quiet
from dlc.cli.usage import excludes
from dlc.diagnostics import SpecError
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.gc_pause import gc_paused

if TYPE_CHECKING:
    from dlc.frontend.pipeline import Spec
    from dlc.training.result import Result
    from dlc.training.run_folder import RunFolder

REPORT_FLOPS = 5e10  # of the predictions in the report at the end of a run: seconds on a slow CPU


@fast_dataclass(frozen=True)
class TrainOptions:
    """How `dlc train` trains, and what it prints.

    Args:
        run: the run folder; chosen by the spec's name when None.
        resume: continue the run in the folder, or start it.
        dry_run: compile, do one step and stop, without writing anything.
        quiet: print only the result.
        json: print JSON, one object per line.
        autotune: time the variants of operations first and use the fastest.
        profile: print where the time went and write a trace.
        folds: cross-validate with that many folds.
    """

    run: Path | None = None
    resume: bool = False
    dry_run: bool = False
    quiet: bool = False
    json: bool = False
    autotune: bool = False
    profile: bool = False
    folds: int | None = None


def train_file(file: Path, options: TrainOptions, sets: Sequence[str]) -> int:
    """Train a spec file, or continue a run folder; the exit code.

    Raises:
        SpecError: DLC510 when options don't fit together, and what is wrong with the spec, its data or the run.
    """
    check_options(options)
    if file.is_dir():
        options = of_run_folder(file, options)
    with gc_paused():
        spec = loaded(file, sets)
        from dlc.training.loop import Stopped

    folder = None if options.dry_run else choose_folder(spec.name, options.run, options.resume)
    reporter = choose_reporter(options)
    try:
        result = _trained(spec, folder, options, reporter)
    except Stopped as stopped:
        reporter.stopped(stopped.step, folder.path if folder else None)
        return EXIT_RESUME
    except SpecError as error:
        reporter.failed(error)
        raise
    finally:
        if folder is not None:
            folder.unlock()
    if options.dry_run:
        reporter.tried(result)
        return EXIT_CLEAN
    if options.profile and result.spent:
        reporter.profiled(result)
    reporter.finished(result, written_report(result, reporter))
    return EXIT_CLEAN


def check_options(options: TrainOptions) -> None:
    """Refuse options that don't fit together.

    Raises:
        SpecError: DLC510.
    """
    if options.quiet and options.json:
        raise excludes("--quiet", "--json", hint="`--json` prints nothing but JSON")
    if options.dry_run and (options.resume or options.run is not None):
        raise excludes("--resume" if options.resume else "--run", "--dry-run", hint="a dry run writes nothing")
    if options.dry_run and options.profile:
        raise excludes("--profile", "--dry-run", hint="one step is too short to profile: train some epochs")
    if options.autotune and options.resume:
        raise excludes("--autotune", "--resume", hint="a resumed run keeps the variants that it started with")
    if options.folds is not None:
        for name in [name for name in ("dry_run", "autotune", "profile") if getattr(options, name)]:
            raise excludes(f"--{name.replace('_', '-')}", "--folds", hint="train a single run for that")


def of_run_folder(folder: Path, options: TrainOptions) -> TrainOptions:
    """The options that continue the run in a folder, which was given instead of a spec file.

    Raises:
        SpecError: DLC001 when the run isn't to be continued, DLC502 when the folder holds no run.
    """
    if not options.resume or options.run is not None:
        raise SpecError.of(
            "DLC001",
            f"`{folder}` is a directory",
            expected="a YAML file",
            hint=f"`dlc train {folder} --resume` continues a run",
        )
    if not (folder / "resolved.yaml").is_file():
        raise SpecError.of("DLC502", f"`{folder}` is not a run folder", expected="a folder that `dlc train` created")
    return replace(options, run=folder)


def loaded(file: Path, sets: Sequence[str]) -> Spec:
    """The spec of a file or of a run folder. It can be trained."""
    if file.is_dir():
        from dlc.training.run_folder import RunFolder

        spec = RunFolder(file).load_spec(sets)
    else:
        spec = dlc.load(file, sets)
    from dlc.backend.jax_config import configure

    configure()
    from dlc.frontend.trainable import need_trainable

    need_trainable(spec.plan)
    return spec


def _trained(spec: Spec, folder: RunFolder | None, options: TrainOptions, reporter: Plain) -> Result:
    """Train until the end, or until a signal asks to stop."""
    from dlc.training.train import train

    with Interruption(reporter.asked_to_stop) as stop:
        return train(
            spec,
            run=folder,
            resume=options.resume,
            reporter=reporter,
            dry_run=options.dry_run,
            autotune=options.autotune,
            profile=options.profile,
            stop=stop.asked,
        )


def choose_folder(name: str, run: Path | None, resume: bool, inside: str = "") -> RunFolder:
    """The run folder: the given one, the last one of that name to resume, or a new one.

    Args:
        name: the name of the spec.
        run: the given one.
        resume: whether to continue a run.
        inside: the folder in it that holds a run.
    """
    from dlc.training.run_folder import RunFolder, last_run_folder, new_run_folder

    if run is not None:
        return RunFolder(run)
    last = last_run_folder(name, inside=inside) if resume else None
    return last or new_run_folder(name)


def choose_reporter(options: TrainOptions) -> Plain:
    """What prints: JSON or only the result as asked for, a panel on a terminal that can draw one, else plain lines."""
    if options.json:
        return Json()
    if options.quiet:
        return Quiet()
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from dlc.cli.live import Live

        return Live()
    return Plain()


def written_report(result: Result, reporter: Plain) -> Path | None:
    """Write the report of a finished run. The run is complete without it, so whatever fails only prints a note."""
    assert result.folder is not None
    if result.data is None and result.folder.report.is_file():  # it was finished before
        return result.folder.report
    again = f"`dlc report {result.folder.path}` tries again"
    try:
        from dlc.reports.page import write_report

        path, notes = write_report(result.folder, data=result.data, most_flops=REPORT_FLOPS)
        for note in notes:
            reporter.note(f"the report is incomplete: {note}")
        return path
    except SpecError as error:
        reason = error.report.diagnostics[0].message
    except KeyboardInterrupt:
        reason = "interrupted"
    except SystemExit as error:  # from code of a plugin
        reason = f"SystemExit: {error}"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    reporter.note(f"the report was not written ({reason}); {again}")
    return None
