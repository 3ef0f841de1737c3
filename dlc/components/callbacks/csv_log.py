"""Metrics as a table of comma-separated values."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import field_validator

from dlc.components.callbacks.callback import Callback, RunView
from dlc.language.options import OptionError, main, reject, spell
from dlc.support.files import cannot_write, write_atomic


class CsvLog(Callback):
    """Writes the metrics of each epoch into a CSV file in the run folder: a row per epoch, a column per name.

    The columns are those of `metrics.jsonl`. A metric without a value has an empty cell. A resumed run continues the
    file. A run that is not kept in a folder writes none.
    """

    word = "csv_log"
    examples = ("csv_log", "csv_log: losses.csv")

    file: str = main("metrics.csv", description="name of the file, ending with `.csv`")

    @field_validator("file")
    @classmethod
    def _named(cls, value: str) -> str:
        if value.endswith(".csv") and value.isprintable() and not value.startswith(".") and not set(value) & set("/\\"):
            return value
        expected = "a name without folders that ends with `.csv`, such as `metrics.csv`"
        raise reject(OptionError((), "DLC104", "this does not name a CSV file", spell(value), expected))

    def on_begin(self, run: RunView) -> None:
        """Write the epochs so far: a run that was killed may have written some that it does again."""
        if run.folder is not None and run.history:
            write_atomic(run.folder / self.file, (_line(run.history[0]) + _lines(run.history)).encode())

    def on_epoch(self, run: RunView) -> None:
        """Append the epoch's line.

        Raises:
            SpecError: DLC507 when the file can't be written.
        """
        if run.folder is None:
            return
        path = run.folder / self.file
        if len(run.history) == 1:
            write_atomic(path, (_line(run.metrics) + _lines([run.metrics])).encode())
        else:
            _append(path, _lines([run.metrics]))


def _append(path: Path, text: str) -> None:
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(path, error) from None


def _line(names: Iterable[str]) -> str:
    """Cells as a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    return text.getvalue()


def _lines(records: Iterable[Mapping[str, float]]) -> str:
    cells = (["" if not math.isfinite(value) else repr(value) for value in record.values()] for record in records)
    return "".join(_line(row) for row in cells)
