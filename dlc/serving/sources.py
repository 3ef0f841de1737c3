"""New data as a source: a file, a folder, pictures, a source as in a spec, or columns from Python."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from dlc.backend.loss import input_feature
from dlc.components.modifiers import NoModifiers
from dlc.components.registry import KINDS
from dlc.components.sources.files import Csv, FileSource
from dlc.components.sources.folders import IMAGES, FolderSource, ImageFolder
from dlc.components.sources.references import FileEntry
from dlc.components.sources.source import Opened, Source, kind_of_file
from dlc.components.sources.texts import Text
from dlc.diagnostics import Problems, SpecError, listing
from dlc.frontend.plugins import active
from dlc.language.item_syntax import read_item
from dlc.language.yaml_text import parse_yaml
from dlc.serving.model import Model
from dlc.support.machine import fitting_bytes
from dlc.support.regular_files import open_regular


def source_for(text: str | Path, like: Source | None = None) -> Source:
    """The source for new data.

    A folder is read by the source that recognizes it, else as pictures, unless the spec reads folders of another kind.
    A file is read by the source that recognizes its content, else by that of the spec if its files have the same
    ending, else by the one whose files have its ending, else by that of the spec. `*` in a path matches several files.
    Other sources are written as in a spec, such as `digits` or `csv: {path: new.txt, delimiter: ";"}`.

    Args:
        text: a path, or a source as in a spec.
        like: the source of the spec, whose format other files of its kind have.

    Raises:
        SpecError: DLC510 when no source reads such a file, DLC1xx when a source is wrong.
    """
    path, table = Path(text), KINDS["source"].table
    if isinstance(text, str) and (text in table or ": " in text) and not _exists(path):
        return read_source(text)
    classes = [cls for word in table if issubclass(cls := KINDS["source"].load(word), FileSource)]
    if _exists(path) and path.is_dir():
        found = next((cls for cls in classes if cls.recognizes_folder(path)), None)
        if found is None:
            return (like if isinstance(like, FolderSource) else ImageFolder(path=str(path))).for_folder(path)
        return _made(found, path, like)
    kind, head = kind_of_file(path), _head(path)
    found = next((cls for cls in classes if cls.recognizes(head)), None)
    if found is None and isinstance(like, FileSource) and like.fits(kind):
        return like.for_file(path)
    found = found or next((cls for cls in classes if kind in cls.suffixes), None)
    if found is None and isinstance(like, FileSource) and head:
        return like.for_file(path)
    if found is None:
        known = listing([ending for cls in classes for ending in cls.suffixes])
        raise SpecError.of(
            "DLC510",
            f"unknown file type of `{path}`",
            found=f"the extension `{path.suffix}`",
            expected=f"a file with the extension {known}, which may be compressed",
            hint=f"name its source, for example `csv: {path.name}`",
        )
    return _made(found, path, like)


def _made(cls: type[FileSource], path: Path, like: Source | None) -> Source:
    """A source of a class for a file, in the format of the spec if that has the same class."""
    return like.for_file(path) if isinstance(like, cls) else cls.model_validate({"path": str(path)})


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for the name of a file
        return False


def _head(path: Path) -> bytes:
    """The beginning of a file; empty if it can't be read, which is reported when the source reads it."""
    try:
        file, size = open_regular(path)
        with file:
            return file.read(min(size, 512))  # files of /proc have no size, and may block
    except (OSError, ValueError):
        return b""


def read_source(text: str) -> Source:
    """The source that a text names, with its options.

    Raises:
        SpecError: DLC1xx when it is wrong.
    """
    source = parse_yaml(f"data:\n  {text}\n", "--data")
    problems = Problems()
    table = KINDS["source"].table
    made = read_item(source.tree["data"], ("data",), source, table, Source, NoModifiers, "source", problems)
    if made is None:
        raise SpecError(problems.report(source.texts))
    return made.thing


TEXT = "text"
"""The column of a text file."""
FILE = "file"
"""The column of the names of files: a table of predictions for files begins with it."""


class GivenColumns(Source):
    """Columns that are in memory."""

    word = "columns"
    given: dict[str, Any]

    def open(self, base: Path, room: int) -> Opened:
        """The columns."""
        return self.given


def as_columns(inputs: Mapping[str, Any]) -> Source:
    """Columns given as arrays or lists, as a source.

    Raises:
        SpecError: DLC401 unless all have the same number of records, DLC405 when that is zero.
    """
    columns = {name: np.asarray(value) for name, value in inputs.items()}
    counts = {name: len(value) if value.ndim else None for name, value in columns.items()}
    if not columns or None in counts.values() or len(set(counts.values())) != 1:
        found = ", ".join(f"`{name}` {'a single value' if count is None else count}" for name, count in counts.items())
        raise SpecError.of("DLC401", "the columns have different lengths", found=found or "no columns")
    if not next(iter(counts.values())):
        raise SpecError.of("DLC405", "the columns have no records")
    return GivenColumns(given=columns)


def source_of(model: Model, text: str | Path) -> Source:
    """The source for new data of a run: as by `source_for`, pictures that a path or a pattern with `*` names, or `-`.

    A run whose only input is a text reads the lines of any text file. `-` is standard input.

    Raises:
        SpecError: as by `source_for`, DLC401 when no file matches a pattern.
    """
    data = model.plan.data
    if text == "-":
        return standard_input(model)
    files = picture_files(text)
    if files is not None:
        return picture_source(model, files)
    with active(model.plugins):
        found = source_for(text, data.source if data is not None else None)
    column = _text_column(model)
    path = Path(text)
    if column is None or kind_of_file(path) not in Text.suffixes:
        return found
    first = _head(path).decode(errors="replace").partition("\n")[0]
    if not isinstance(found, Text) and column not in [name.strip(' "\r') for name in re.split("[,;\t|]", first)]:
        found = Text(path=str(path))  # no table: its first line does not name the column
    if isinstance(found, Text) and found.columns() == (TEXT,):
        return Renamed(source=found, name=column)
    return found


def standard_input(model: Model) -> Source:
    """The records on standard input: a text on each line, or a table in the format of the spec's source.

    Raises:
        SpecError: DLC401 when it is empty, DLC510 when the run reads neither texts nor tables.
    """
    data = sys.stdin.buffer.read(fitting_bytes() + 1)
    if len(data) > fitting_bytes():
        raise SpecError.of("DLC512", "standard input is larger than the memory for data", hint="write it to a file")
    if not data.strip():
        raise SpecError.of("DLC401", "standard input is empty")
    column = _text_column(model)
    if column is not None:
        own = model.plan.data.source if model.plan.data is not None else None
        encoding = own.encoding if isinstance(own, Text) and own.encoding != "auto" else "utf-8-sig"
        try:
            lines = re.split("\r\n|\n|\r", data.decode(encoding))  # as in text files
        except UnicodeDecodeError as error:
            place, named = data[: error.start].count(b"\n") + 1, encoding.removesuffix("-sig").upper()
            raise SpecError.of("DLC401", f"line {place} of standard input is not {named}") from None
        return as_columns({column: np.array([line for line in lines if line.strip()], object)})
    like = model.plan.data.source if model.plan.data is not None else None
    if not isinstance(like, Csv):
        raise SpecError.of("DLC510", "the run reads neither texts nor a CSV table from standard input")
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(data)
        file.flush()
        columns = like.for_file(Path(file.name)).load(Path())
    return GivenColumns(given=dict(columns))


class Renamed(Source):
    """A text file whose column has the name that a run reads.

    Args:
        source: the file.
        name: the name.
    """

    word = "columns"
    source: Any
    name: str

    def open(self, base: Path, room: int) -> Opened:
        """The records, in blocks."""
        opened = self.source.open(base, room)
        blocks = (opened,) if isinstance(opened, Mapping) else opened
        return ({self.name: block[TEXT]} for block in blocks)


def _text_column(model: Model) -> str | None:
    """The column of the only input of a run, if that is a text."""
    names = list(model.plan.graph.inputs)
    if len(names) != 1 or not input_feature(model.plan, names[0]).reads_texts:
        return None
    return model.fitted.columns[names[0]][0]


def picture_files(text: str | Path) -> list[Path] | None:
    """The files that a path or a pattern of pictures names, in the order of their names; None if it is none.

    Raises:
        SpecError: DLC401 when no file matches a pattern.
    """
    path = Path(text)
    if path.suffix.lower() not in IMAGES:
        return None
    if _exists(path) or "*" not in str(text):
        return [path]
    found = sorted(Path(name) for name in glob(str(text), recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise SpecError.of("DLC401", f"no file matches `{text}`")
    return found


def picture_source(model: Model, files: Sequence[Path]) -> Source:
    """Pictures as the column that the only input of pictures of a run reads, and their names as the column `file`.

    Raises:
        SpecError: DLC510 when the run has no such input, or several.
    """
    names = [name for name in model.plan.graph.inputs if input_feature(model.plan, name).reads_files]
    if len(names) != 1:
        message = "the run has no input that reads pictures" if not names else "the run has several inputs of pictures"
        hint = "give a table that names the files of each" if names else "give a table with its inputs"
        raise SpecError.of("DLC510", message, found=f"`{files[0]}`", hint=hint)
    (column,) = model.fitted.columns[names[0]]
    entries = np.empty(len(files), object)
    entries[:] = [FileEntry(str(file), str(file)) for file in files]
    return GivenColumns(given={column: entries, FILE: np.array([str(file) for file in files], object)})
