"""`dlc train --folds`: cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlc.cli.console import EXIT_CLEAN, EXIT_RESUME
from dlc.cli.interruption import Interruption
from dlc.cli.train import TrainOptions, check_options, choose_folder, choose_reporter, loaded
from dlc.diagnostics import SpecError
from dlc.frontend.folds import fold_settings
from dlc.support.gc_pause import gc_paused


def is_folds_folder(file: Path) -> bool:
    """Whether a folder was given that holds the runs of folds."""
    return (file / "fold_1" / "resolved.yaml").is_file() and not (file / "resolved.yaml").is_file()


def train_folds(file: Path, options: TrainOptions, sets: Sequence[str]) -> int:
    """Train a run for each fold of a spec file, or continue the runs of a folder; the exit code.

    Raises:
        SpecError: DLC510 when options don't fit together, DLC001 when a folder is given and its runs aren't to be
            continued, and what is wrong with the spec, its data or the runs.
    """
    check_options(options)
    settings: Sequence[str] = ()
    if file.is_dir():
        options, file = of_folder(file, options), file / "fold_1"
    else:
        assert options.folds is not None, "a file is trained with folds only if they are asked for"
        settings = fold_settings(file, sets, options.folds)
    with gc_paused():
        spec = loaded(file, [*sets, *settings])
        known = spec.plan.data.split.folds if spec.plan.data is not None else None
        if options.folds not in (None, known):
            message, hint = (
                f"the runs are those of {known} folds",
                "remove `--folds`, or cross-validate the spec in a new folder",
            )
            raise SpecError.of("DLC510", message, found=f"--folds {options.folds}", hint=hint)
        from dlc.serving.folds import cross_validate
        from dlc.training.loop import Stopped

    folder = choose_folder(spec.name, options.run, options.resume, "fold_1")
    reporter = choose_reporter(options)
    try:
        with Interruption(reporter.asked_to_stop) as stop:
            found = cross_validate(
                spec, folder, resume=options.resume, reporter=reporter, began=reporter.fold, stop=stop.asked
            )
    except Stopped as stopped:
        reporter.stopped(stopped.step, folder.path)
        return EXIT_RESUME
    except SpecError as error:
        reporter.failed(error)
        raise
    finally:
        folder.unlock()
    reporter.folded(found)
    return EXIT_CLEAN


def of_folder(folder: Path, options: TrainOptions) -> TrainOptions:
    """The options that continue the runs in a folder, which was given instead of a spec file.

    Raises:
        SpecError: DLC001 when they aren't to be continued.
    """
    if not options.resume or options.run is not None:
        hint = f"`dlc train {folder} --resume` continues its runs"
        raise SpecError.of("DLC001", f"`{folder}` is a directory", expected="a YAML file", hint=hint)
    return replace(options, run=folder)
