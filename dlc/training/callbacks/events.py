"""TensorBoard events of a run: the same figures as `metrics.jsonl`, never a step twice."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlc.support.files import cannot_write
from dlc.support.optional import require
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Epoch, LoopCallback


class Events(LoopCallback):
    """A folder of event files. It begins when a run does.

    A resumed run replaces it, using the records that it kept. Otherwise the epochs that a killed run wrote after its
    last checkpoint would appear twice.

    Args:
        folder: the folder; what is in it is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_begin(self, run: ActiveRun) -> None:
        """Write the epochs so far."""
        self.begin(run.history)

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Write an epoch."""
        self.add(epoch.record)

    def begin(self, records: Iterable[Mapping[str, float]]) -> None:
        """Replace the folder by one with the figures of some epochs.

        Raises:
            SpecError: DLC506 when TensorBoard is not installed; DLC507, also from `add`, when a file can't be written.
        """
        writer = require("tensorboard", "tensorboard.summary").Writer
        try:
            if self._folder.is_symlink() or self._folder.is_file():
                self._folder.unlink()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._writer = writer(str(self._folder))
        except OSError as error:
            raise cannot_write(self._folder, error) from None
        for record in records:
            self.add(record)

    def add(self, record: Mapping[str, float]) -> None:
        """Add an epoch's figures, at its step; a metric without a value has no point."""
        try:
            for name, value in record.items():
                if name not in ("epoch", "step") and math.isfinite(value):
                    self._writer.add_scalar(name, value, int(record["step"]))
            self._writer.flush()
        except OSError as error:
            raise cannot_write(self._folder, error) from None

    def close(self) -> None:
        """Finish the file. What could not be written was reported by `add`."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
