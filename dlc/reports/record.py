"""The contents of a run folder, of a finished or unfinished run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlc.diagnostics import SpecError, reason
from dlc.frontend.pipeline import Spec
from dlc.frontend.plan import Plan
from dlc.language.yaml_text import MAX_BYTES
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import history_of
from dlc.support.records import read_record as read_typed
from dlc.support.regular_files import read_whole
from dlc.training.callbacks.timing import read_sessions
from dlc.training.evaluation import better, monitored
from dlc.training.records import EnvironmentRecord
from dlc.training.result import finished, read_result
from dlc.training.run_folder import RunFolder


@fast_dataclass(frozen=True)
class Record:
    """A run as recorded in its files.

    Args:
        run: the folder.
        spec: its checked spec.
        text: the spec as written.
        history: the epochs' records.
        best_epoch: the epoch of the saved weights, 0 before the first.
        test: metrics of the best weights on the test split.
        result: `result.json`, None while the run is unfinished.
        environment: `environment.json`.
        sessions: `timing.json`, a session for each process.
    """

    run: RunFolder
    spec: Spec
    text: str
    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    test: Mapping[str, float]
    result: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    sessions: tuple[Mapping[str, Any], ...]

    @property
    def plan(self) -> Plan:
        """The plan of the spec."""
        return self.spec.plan

    @property
    def best(self) -> Mapping[str, float]:
        """The record of the best epoch."""
        return next((record for record in self.history if record["epoch"] == self.best_epoch), {})

    @property
    def measures(self) -> list[str]:
        """The names of loss and metrics in the records, without their split."""
        names = [
            name.partition("/")[2] for record in (*self.history[:1], self.test_record) for name in record if "/" in name
        ]
        return list(dict.fromkeys(names))

    @property
    def test_record(self) -> dict[str, float]:
        """The metrics of the test split, with the names of a record."""
        return {f"test/{name}": value for name, value in self.test.items()}


def read_record(run: RunFolder) -> Record:
    """Read the folder of a run.

    Raises:
        SpecError: DLC502 when it is not a run folder, DLC503 when a file is damaged.
    """
    spec = run.load_spec()
    environment = read_typed(run.path / "environment.json", EnvironmentRecord).model_dump()
    try:
        text = read_whole(run.path / "spec.yaml", MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        raise SpecError.of("DLC503", f"`{run.path / 'spec.yaml'}` can't be read: {reason(error)}") from None
    sessions = tuple(read_sessions(run))
    if run.finished:
        result = finished(run)
        kept = read_result(run).plain()
        return Record(run, spec, text, result.history, result.best_epoch, result.test, kept, environment, sessions)
    history = _history(run)
    return Record(run, spec, text, history, _best(spec.plan, history), {}, None, environment, sessions)


def _history(run: RunFolder) -> tuple[Mapping[str, float], ...]:
    """The epochs so far; an incomplete last line does not count."""
    if not run.metrics.exists():
        return ()
    try:
        whole = read_whole(run.metrics).rpartition(b"\n")[0]
        history = tuple(line for line in history_of(whole) if "train/loss" in line)
    except (OSError, ValueError) as error:
        raise SpecError.of("DLC503", f"`{run.metrics}` is damaged: {reason(error)}") from None
    return history


def _best(plan: Plan, history: tuple[Mapping[str, float], ...]) -> int:
    """The best epoch by the monitored value; the last one if none has a value."""
    name, higher = monitored(plan)
    best: float | None = None
    epoch = len(history)
    for line in history:
        if better(line.get(name, math.nan), best, higher):
            best, epoch = line[name], int(line["epoch"])
    return epoch
