"""`result.json`: the result of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.support.files import Log, digest, to_json, write_atomic
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import LoopCallback
from dlc.training.evaluation import monitored


class ResultFile(LoopCallback):
    """Writes the metrics of the test split into the log, then `result.json`.

    Args:
        log: the log of metrics.
    """

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_finish(self, run: ActiveRun, test: Mapping[str, float]) -> None:
        """Write both."""
        assert run.folder is not None, "only a run in a folder has files"
        progress = run.progress
        if record := run.test_record(test):
            self.log.append(record)
        summary: dict[str, Any] = {
            "epochs": progress.epoch,
            "steps": run.step,
            "stopped_early": run.ending,
            "best_epoch": progress.best_epoch,
            "monitor": monitored(run.setup.plan)[0],
            "best_value": progress.best_value,
            "test": test,
            "metrics": self.log.mark,
        }
        if progress.stop is not None:
            summary["stop"] = progress.stop
        write_atomic(run.folder.result, to_json({**summary, "digest": digest(to_json(summary))}))
