"""Tables in files."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any, Self

from dlc.diagnostics import listing
from dlc.lazy import np
from dlc.options import Wrong, main, option
from dlc.sources.source import Columns, Source


class FileSource(Source):
    """What sources in one file share."""

    path: str = main(min_length=1, description="the file; relative to the spec's folder")

    def rooted(self, base: Path) -> Self:
        """The same source with an absolute path."""
        return self.model_copy(update={"path": str((base / Path(self.path).expanduser()).resolve())})

    def file(self, base: Path) -> Path:
        """The file's full path.

        Raises:
            Wrong: DLC401 when there is no such file.
        """
        path = base / Path(self.path).expanduser()
        if not path.is_file():
            kind = "is a directory" if path.is_dir() else "does not exist"
            raise Wrong("DLC401", f"the data file `{path}` {kind}", option="path")
        return path


class Npz(FileSource):
    """Arrays of a numpy archive: one column for each, records along the first axis. Pickled objects are refused."""

    word = "npz"
    examples = ("npz: data/train.npz",)

    def load(self, base: Path) -> Columns:
        """Read all arrays."""
        path = self.file(base)
        try:
            with np.load(path, allow_pickle=False) as archive:
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise Wrong("DLC401", f"`{path}` holds a single array, not an archive", expected="a file of np.savez")
                columns: dict[str, Any] = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise Wrong("DLC401", f"`{path}` is not a numpy archive: {_first_line(error)}", option="path") from None
        return same_length(columns, path)


class Csv(FileSource):
    """A table of text in UTF-8, with the column names in its first row; without `header` they are `column_0`, `column_1`, ..."""

    word = "csv"
    header: bool = option(True, description="whether the first row names the columns")
    delimiter: str = option(",", min_length=1, max_length=1, description="what separates the fields")
    examples = ("csv: data/train.csv", "csv: {path: data/iris.csv, header: false}")

    def load(self, base: Path) -> Columns:
        """Read all rows as text; the features parse them."""
        path = self.file(base)
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                rows = [row for row in csv.reader(file, delimiter=self.delimiter, strict=True) if row]
        except UnicodeDecodeError:
            raise Wrong("DLC401", f"`{path}` is not UTF-8 text", option="path") from None
        except (OSError, csv.Error) as error:
            raise Wrong("DLC401", f"`{path}` is not a table: {_first_line(error)}", option="path") from None
        if not rows:
            raise Wrong("DLC401", f"`{path}` is empty", option="path")
        names = [name.strip() for name in rows[0]] if self.header else [f"column_{i}" for i in range(len(rows[0]))]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Wrong("DLC401", f"`{path}` names columns twice: {listing(twice)}", option="path")
        records = rows[1:] if self.header else rows
        for number, row in enumerate(records, 1):
            if len(row) != len(names):
                raise Wrong(
                    "DLC401",
                    f"row {number} of `{path}` has {len(row)} fields",
                    expected=f"{len(names)} fields",
                    hint="`delimiter:` names what separates the fields" if len(names) == 1 else None,
                )
        table = np.array(records, dtype=object).reshape(len(records), len(names))
        return {name: table[:, index] for index, name in enumerate(names)}


def same_length(columns: dict[str, Any], path: Path) -> Columns:
    """The columns, if all have one entry a record.

    Raises:
        Wrong: DLC401 when they don't.
    """
    lengths = {name: column.shape[0] if column.ndim else None for name, column in columns.items()}
    if not columns or len(set(lengths.values())) != 1 or None in lengths.values():
        found = ", ".join(f"`{name}` {length}" for name, length in lengths.items()) or "no arrays"
        raise Wrong("DLC401", f"the arrays of `{path}` have no common length", found=found, expected="one entry a record")
    return columns


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
