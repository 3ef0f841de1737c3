"""Tables in files of Apache Arrow: Parquet, IPC (Feather), and data sets of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlc.components.sources.blocks import limited, same_columns
from dlc.components.sources.files import TableSource
from dlc.components.sources.paths import full_path
from dlc.components.sources.source import Columns
from dlc.diagnostics import listing, reason
from dlc.language.options import RuleViolation
from dlc.support.optional import require
from dlc.support.regular_files import read_whole

_MOST_ROWS = 1 << 16  # of a block
_MOST_BYTES = 1 << 26  # of a file that describes a data set


class Parquet(TableSource):
    """Parquet files. A column inside a struct is named after both, as `user.age`.

    Categories and dates become strings (ISO 8601), durations seconds, and lists of equally many numbers arrays. Nulls
    are missing values. Pictures that a file holds are read by `image`.
    """

    word = "parquet"
    suffixes = (".parquet", ".pq")
    examples = ("parquet: train.parquet", "parquet: {path: 'train/*.parquet', rows: 2}")

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        sink = require("pyarrow").BufferOutputStream()
        require("pyarrow", "pyarrow.parquet").write_table(_sample(), sink)
        written: bytes = sink.getvalue().to_pybytes()
        return written

    @classmethod
    def recognizes(cls, head: bytes) -> bool:
        """The first four bytes."""
        return head.startswith(b"PAR1")

    def count(self, base: Path) -> int | None:
        """The number of rows, which each file holds."""
        total = 0
        for path in self.files(base):
            with _parquet(path) as file:
                total += file.metadata.num_rows
        return total if self.rows is None else min(total, self.rows)

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The rows of a file."""
        from dlc.components.sources.arrow_columns import arrow_errors, bytes_per_row, class_names, columns_of, need_room

        with _parquet(path) as file:
            about = file.metadata
            groups = (about.row_group(index) for index in range(about.num_row_groups))
            size = sum(group.total_byte_size for group in groups)
            need_room(path, about.num_rows, about.num_columns, size, limit)
            row = bytes_per_row(size, about.num_rows, about.num_columns)
            most = max(1, about.num_rows) if room is None else max(1, min(_MOST_ROWS, room // max(1, row)))
            batches = file.iter_batches(batch_size=most)
            classes = class_names(file.schema_arrow.metadata)
            whole = True
            while True:
                with arrow_errors(path):
                    batch = next(batches, None)
                    if batch is None and not whole:
                        return
                    found = columns_of(file.schema_arrow.empty_table() if batch is None else batch, path, classes)
                yield found
                whole = False


class Arrow(TableSource):
    """Files of Arrow (IPC, Feather), or a data set of Hugging Face that `save_to_disk` wrote: its folder.

    Numbers of classes that the data set names become these names. Otherwise as `parquet`.
    """

    word = "arrow"
    suffixes = (".arrow", ".feather", ".ipc")
    examples = ("arrow: train.arrow", "arrow: 'saved/data-*.arrow'")

    @classmethod
    def sample(cls) -> bytes:
        """Two columns of three records."""
        pyarrow, sink = require("pyarrow"), require("pyarrow").BufferOutputStream()
        with require("pyarrow", "pyarrow.ipc").new_file(sink, _sample().schema) as writer:
            writer.write_table(_sample())
        assert isinstance(sink, pyarrow.BufferOutputStream)
        written: bytes = sink.getvalue().to_pybytes()
        return written

    @classmethod
    def recognizes(cls, head: bytes) -> bool:
        """The first six bytes of a file; a stream has no mark."""
        return head.startswith(b"ARROW1")

    @classmethod
    def recognizes_folder(cls, folder: Path) -> bool:
        """A folder that `save_to_disk` wrote."""
        return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))

    def files(self, base: Path) -> list[Path]:
        """The full paths of the files: those that the state of a data set lists, in order."""
        folder = full_path(base, self.path)
        try:
            saved = folder.is_dir()
        except (OSError, ValueError):
            saved = False
        return _data_files(folder) if saved else super().files(base)

    def read(self, base: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The rows of all files, in blocks; a data set declares its classes once for all of them."""
        from dlc.components.sources.arrow_columns import named_classes

        found, folder = self.files(base), full_path(base, self.path)
        described = _described(folder, "dataset_info.json", {}) if folder.is_dir() else {}
        classes = named_classes(described.get("features") or {})
        return limited(same_columns((file, self._of(file, room, limit, classes)) for file in found), self.rows)

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The rows of a file."""
        return self._of(path, room, limit, {})

    def _of(self, path: Path, room: int | None, limit: int | None, classes: dict[str, list[str]]) -> Iterator[Columns]:
        from dlc.components.sources.arrow_columns import arrow_errors, bytes_per_row, class_names, columns_of, need_room

        whole = True
        with _stream(path) as (schema, batches):
            names = {**class_names(schema.metadata), **classes}
            while True:
                with arrow_errors(path):
                    batch = next(batches, None)
                    if batch is None:
                        break
                    batch.validate(full=True)  # in a damaged file strings may begin outside of it
                need_room(path, batch.num_rows, batch.num_columns, batch.nbytes, limit)
                row = bytes_per_row(batch.nbytes, batch.num_rows, batch.num_columns)
                most = max(1, batch.num_rows) if room is None else max(1, min(_MOST_ROWS, room // max(1, row)))
                for start in range(0, batch.num_rows, most):
                    with arrow_errors(path):
                        found = columns_of(batch.slice(start, most), path, names)
                    yield found
                    whole = False
            if whole:
                yield columns_of(schema.empty_table(), path, names)


def _sample() -> Any:
    return require("pyarrow").table({"x": [1, 2, 3], "y": ["one", "two", None]})


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """A Parquet file, open for reading.

    Raises:
        RuleViolation: DLC401 when it isn't one.
    """
    from dlc.components.sources.arrow_columns import arrow_errors

    with arrow_errors(path):
        file = require("pyarrow", "pyarrow.parquet").ParquetFile(str(path), memory_map=False)
    with file:
        yield file


@contextmanager
def _stream(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema and the batches of a file or a stream of Arrow.

    Raises:
        RuleViolation: DLC401 when it is neither.
    """
    from dlc.components.sources.arrow_columns import arrow_errors

    ipc = require("pyarrow", "pyarrow.ipc")
    with arrow_errors(path):
        opened = require("pyarrow").OSFile(str(path))
    with opened:
        with arrow_errors(path):
            head = opened.read(6)
            opened.seek(0)
            reader = ipc.open_file(opened) if head == b"ARROW1" else ipc.open_stream(opened)
        if head == b"ARROW1":
            yield reader.schema, (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            yield reader.schema, iter(reader)


def _described(folder: Path, name: str, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON file of a data set.

    Raises:
        RuleViolation: DLC401 when it is damaged, or missing while there is nothing to use otherwise.
    """
    path = folder / name
    if otherwise is not None and not path.is_file():
        return otherwise
    try:
        found = json.loads(read_whole(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}", option="path") from None
    if not isinstance(found, dict):
        raise RuleViolation("DLC401", f"`{path}` is damaged", expected="a JSON object", option="path")
    return found


def _data_files(folder: Path) -> list[Path]:
    """The files of a data set of Hugging Face, in order.

    Raises:
        RuleViolation: DLC401 when the folder is none, holds several of them, or names files outside of it.
    """
    if not (folder / "state.json").is_file():
        splits = _described(folder, "dataset_dict.json", {}).get("splits", [])
        if splits:
            message = f"`{folder}` holds several data sets"
            hint = f"name one, such as `arrow: {folder.name}/{splits[0]}`"
            raise RuleViolation("DLC401", message, found=listing(splits, 6), hint=hint, option="path")
        message = f"`{folder}` is not a data set that `save_to_disk` of Hugging Face's `datasets` wrote"
        hint = "for the files of a folder use a pattern, such as `folder/*.arrow`"
        raise RuleViolation("DLC401", message, found="no `state.json`", hint=hint, option="path")
    state = _described(folder, "state.json")
    if state.get("_indices_data_files") or state.get("_indices_files"):
        message, hint = f"`{folder}` is a selection of other records", "save `dataset.flatten_indices()`"
        raise RuleViolation("DLC401", message, hint=hint, option="path")
    listed = state.get("_data_files")
    names = [str(each.get("filename")) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    root = folder.resolve()
    for name in names:
        inside = name not in ("", ".", "..") and Path(name).name == name
        if not inside or (folder / name).resolve().parent != root:
            message = f"`{folder / 'state.json'}` names a file outside of its folder"
            raise RuleViolation("DLC401", message, found=f"`{name}`", option="path")
    if not names:
        raise RuleViolation("DLC401", f"`{folder}` has no records", option="path")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        message = f"`{folder}` is incomplete: a file is missing"
        raise RuleViolation("DLC401", message, found=listing(missing, 6), option="path")
    return [folder / name for name in names]
