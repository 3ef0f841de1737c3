"""The result of a run, and how it is read from the folder of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from dlc.data.dataset import Dataset
from dlc.diagnostics import SpecError
from dlc.frontend.decisions import THRESHOLDS
from dlc.frontend.plan import Plan
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import Log, figures, history_of
from dlc.support.records import read_record
from dlc.training.active_run import Stop
from dlc.training.callbacks.early_stopping import Stopping
from dlc.training.records import ResultRecord
from dlc.training.run_folder import RunFolder


@fast_dataclass(frozen=True)
class Result:
    """The result of a run.

    Args:
        folder: the run folder, or None.
        history: the epochs' records, as `metrics.jsonl` has them.
        best_epoch: the epoch whose weights were kept.
        test: metrics of the best weights on the test split; empty without one.
        variables: the best weights, nested by path.
        steps: steps done.
        seconds: time of all chunks of steps but the first, which compiles.
        first_step_seconds: time from the call to the first finished step.
        data: the records that it was trained on; None of a run that was finished before.
        thresholds: those that were fitted with the best weights, one for each label, by target.
        input_seconds: how long of `seconds` the device waited for records.
        spent: seconds by part of the run, see `Profile`; empty of a run that was finished before.
    """

    folder: RunFolder | None
    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    test: Mapping[str, float]
    variables: Mapping[str, Any] = field(repr=False, default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    first_step_seconds: float = 0.0
    data: Dataset | None = field(repr=False, default=None)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    input_seconds: float = 0.0
    spent: Mapping[str, float] = field(repr=False, default_factory=dict)


def finished(run: RunFolder) -> Result:
    """The result of a finished run, from its folder.

    Raises:
        SpecError: DLC503 when its files are damaged.
    """
    record = read_result(run)
    history = _history(run, record)
    if not run.weights.is_file():
        message, hint = f"`{run.weights}` is missing", "put it back, or train again in another folder with `--run`"
        raise SpecError.of("DLC503", message, hint=hint)
    weights = run.load_weights()
    own = len(THRESHOLDS)
    fitted = {name[own:]: value.tolist() for name, value in weights.items() if name.startswith(THRESHOLDS)}
    test, steps = figures(record.test), record.steps
    return Result(run, history, record.best_epoch, test, steps=steps, thresholds=fitted)


def extended(run: RunFolder, plan: Plan) -> bool:
    """Whether a finished run is asked for more than it did: more epochs, or to stop later.

    Raises:
        SpecError: DLC503 when its files are damaged.
    """
    record = read_result(run)
    if record.stop is not None:
        asked = not Stop(**record.stop.plain()).holds(plan) and plan.train.epochs > record.epochs
        return asked and not Stopping(plan, _history(run, record)).due
    if record.stopped_early:
        return not Stopping(plan, _history(run, record)).due
    return plan.train.epochs > record.epochs


def _history(run: RunFolder, record: ResultRecord) -> tuple[Mapping[str, float], ...]:
    """The epochs' records, checked against `result.json`."""
    data = Log(run.metrics).check(record.metrics.plain(), last=True)
    try:
        history = tuple(line for line in history_of(data) if "train/loss" in line)
        if len(history) != record.epochs or record.best_epoch > record.epochs:
            raise ValueError("epochs are missing")
    except ValueError as error:
        raise SpecError.of("DLC503", f"`{run.metrics}` or `{run.result}` is damaged: {error}") from None
    return history


def read_result(run: RunFolder) -> ResultRecord:
    """The contents of `result.json`.

    Raises:
        SpecError: DLC502 or DLC503 when it is missing or damaged.
    """
    return read_record(run.result, ResultRecord, signed="digest")
