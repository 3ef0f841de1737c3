"""TensorBoard events of a run: the same figures as `metrics.jsonl`, never a step twice."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dlc.support.files import cannot_write
from dlc.support.optional import require


class Events:
    """A folder of event files.

    A resumed run writes it anew from the records that it kept: what a killed run had written past its last checkpoint
    would stand there twice.

    Args:
        folder: the folder; what is in it is replaced.
        records: the epochs so far.

    Raises:
        SpecError: DLC506 when TensorBoard is not installed; DLC507, also from `add`, when a file can't be written.
    """

    def __init__(self, folder: Path, records: Iterable[Mapping[str, float]]) -> None:
        self._folder = folder
        writer = require("tensorboard", "tensorboard.summary").Writer
        try:
            if folder.is_symlink() or folder.is_file():
                folder.unlink()
            shutil.rmtree(folder, ignore_errors=True)
            self._writer = writer(str(folder))
        except OSError as error:
            raise cannot_write(folder, error) from None
        for record in records:
            self.add(record)

    def add(self, record: Mapping[str, float]) -> None:
        """Add an epoch's figures, at its step; a metric without value has no point."""
        try:
            for name, value in record.items():
                if name not in ("epoch", "step") and math.isfinite(value):
                    self._writer.add_scalar(name, value, int(record["step"]))
            self._writer.flush()
        except OSError as error:
            raise cannot_write(self._folder, error) from None

    def close(self) -> None:
        """Finish the file. What it could not hold it has said already."""
        with suppress(OSError):
            self._writer.close()
