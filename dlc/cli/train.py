"""`dlc train`: a run from the command line, its report, and how it stops."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dlc
from dlc.cli.console import EXIT_CLEAN, EXIT_RESUME
from dlc.cli.interruption import Interruption
from dlc.cli.reporters import Json, Plain, Quiet
from dlc.diagnostics import SpecError
from dlc.support.gc_pause import gc_paused

if TYPE_CHECKING:
    from dlc.training.result import Result
    from dlc.training.run_folder import RunFolder

REPORT_FLOPS = 5e10  # of the predictions in the report at the end of a run: seconds on a slow CPU


def train_file(
    file: Path,
    run: Path | None,
    *,
    resume: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    autotune: bool,
    profile: bool,
    sets: Sequence[str],
) -> int:
    """Train a spec file, or continue a run folder; the exit code."""
    if quiet and as_json:
        hint = "the lines of JSON are for programs, and are all that is printed"
        raise SpecError.of("DLC510", "`--quiet` has no effect beside `--json`", hint=hint)
    if dry_run and (resume or run is not None):
        given = "--resume" if resume else "--run"
        raise SpecError.of("DLC510", f"`{given}` has no effect beside `--dry-run`", hint="a dry run writes nothing")
    if dry_run and profile:
        message = "`--profile` has no effect beside `--dry-run`"
        raise SpecError.of("DLC510", message, hint="one step tells little: train some epochs")
    if autotune and resume:
        message = "`--autotune` has no effect beside `--resume`"
        raise SpecError.of("DLC510", message, hint="a run goes on with the forms it began with")
    if file.is_dir():
        if not resume or run is not None:
            raise SpecError.of(
                "DLC001",
                f"`{file}` is a directory",
                expected="a YAML file",
                hint=f"`dlc train {file} --resume` continues a run",
            )
        run, file = file, file / "resolved.yaml"
        if not file.is_file():
            raise SpecError.of("DLC502", f"`{run}` is not a run folder", expected="a folder that `dlc train` made")
    with gc_paused():
        spec = dlc.load(file, sets)
        from dlc.backend.jax_config import configure

        configure()
        from dlc.frontend.trainable import need_trainable
        from dlc.training.loop import Stopped
        from dlc.training.train import train

    need_trainable(spec.plan)
    folder = None if dry_run else choose_folder(spec.name, run, resume)
    reporter = choose_reporter(quiet, as_json)
    try:
        with Interruption(reporter.asked_to_stop) as stop:
            result = train(
                spec,
                run=folder,
                resume=resume,
                reporter=reporter,
                dry_run=dry_run,
                autotune=autotune,
                profile=profile,
                stop=stop.asked,
            )
    except Stopped as stopped:
        reporter.stopped(stopped.step, folder.path if folder else None)
        return EXIT_RESUME
    except SpecError as error:
        reporter.failed(error)
        raise
    if dry_run:
        reporter.tried(result)
    else:
        if profile and result.spent:
            reporter.profiled(result)
        reporter.finished(result, written_report(result, reporter))
    return EXIT_CLEAN


def choose_folder(name: str, run: Path | None, resume: bool) -> RunFolder:
    """The folder that a command means: the named one, the last one to resume, or a new one."""
    from dlc.training.run_folder import RunFolder, last_run_folder, new_run_folder

    if run is not None:
        return RunFolder(run)
    last = last_run_folder(name) if resume else None
    return last or new_run_folder(name)


def choose_reporter(quiet: bool, as_json: bool) -> Plain:
    """Who prints: JSON or only the result when asked for, a panel on a terminal that can draw one, else plain lines."""
    if as_json:
        return Json()
    if quiet:
        return Quiet()
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from dlc.cli.live import Live

        return Live()
    return Plain()


def written_report(result: Result, reporter: Plain) -> Path | None:
    """Write the report of a run that came to its end. The run is whole without it: what goes wrong is a note."""
    assert result.folder is not None
    if result.data is None and result.folder.report.is_file():  # it was finished before
        return result.folder.report
    try:
        from dlc.reports.page import write_report

        return write_report(result.folder, data=result.data, most_flops=REPORT_FLOPS)[0]
    except SpecError as error:
        reason = error.report.diagnostics[0].message
    except KeyboardInterrupt:
        reason = "interrupted"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    reporter.note(f"the report was not written ({reason}); `dlc report {result.folder.path}` tries again")
    return None
