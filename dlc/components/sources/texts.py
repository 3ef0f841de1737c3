"""Text in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator

from dlc.components.sources.blocks import limited, same_columns
from dlc.components.sources.files import TableSource, read_paths
from dlc.components.sources.line_formats import LineFormat, parse_format
from dlc.components.sources.paths import plain_files
from dlc.components.sources.source import Columns
from dlc.components.sources.text_encodings import Encoding
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell

if TYPE_CHECKING:
    from dlc.components.sources.text_files import Numbered

_SHOWN = 60  # characters of a line in a message


def _format(value: Any) -> Any:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            parse_format(value)
            return value
        wrong = "it is not a string"
    except ValueError as error:
        wrong = str(error)
    expected = "names in braces and what stands between them, such as `{label}: {text}`"
    raise reject(OptionError((), "DLC104", f"not a valid format: {wrong}", found=spell(value), expected=expected))


class Text(TableSource):
    """Text files, which may be compressed (gzip, bzip2, xz, or the only file of a zip archive): the column `text`.

    A record is a line, a paragraph (lines up to a blank one) or a whole file. Blank lines and paragraphs are skipped.
    With a mapping of classes to files, `{positive: pos.txt, negative: neg.txt}`, the column `label` is the class. With
    `format`, each field is a column: in `"{label}: {text}"` a field ends at the first occurrence of what stands after
    it. Line n of files that are `parallel` is record n, with a column for each name.
    """

    word = "text"
    suffixes = (".txt",)
    content = "a text"
    path: Annotated[str | dict[str, str], BeforeValidator(read_paths)] = main(  # type: ignore[assignment]
        description="the file, a pattern with `*` for several, or a mapping of names to these; relative to the spec's "
        "folder"
    )
    records: Literal["line", "paragraph", "file"] = option("line", description="what a record is")
    format: Annotated[str | None, BeforeValidator(_format)] = option(
        None, description='how columns stand in a record, such as `"{label}: {text}"`'
    )
    parallel: bool = option(False, description="whether the names of the files are columns, not classes")
    encoding: Encoding = option("auto", description="the encoding of the text")
    examples = (
        "text: questions.txt",
        "text: {path: {positive: rt.pos, negative: rt.neg}, encoding: cp1252}",
        'text: {path: TREC.train, format: "{label}:{kind} {text}", encoding: latin-1}',
        "text: {path: {en: train.en.gz, de: train.de.gz}, parallel: true}",
        "text: {path: book.txt, records: paragraph, rows: 1}",
        "text: {path: {ham: 'ham/*.txt', spam: 'spam/*.txt'}, records: file}",
    )

    @model_validator(mode="after")
    def _check(self) -> Text:
        if self.parallel and isinstance(self.path, str):
            hint = "name each file: `path: {en: train.en, de: train.de}`"
            message = "`parallel` has no effect on a single path"
            raise reject(OptionError(("parallel",), "DLC303", message, hint=hint, at_key=True))
        if self.parallel and self.records != "line":
            message = "a record of parallel files is a line"
            raise reject(OptionError(("records",), "DLC104", message, found=spell(self.records), expected="`line`"))
        if self.parallel and self.format is not None:
            message, hint = "`format` has no effect on parallel files", "remove it, or `parallel`"
            raise reject(OptionError(("format",), "DLC303", message, hint=hint, at_key=True))
        if isinstance(self.path, dict) and "label" in self._fields():
            message = "both `format` and the names of the files give a column `label`"
            hint = "rename the field, or name one file"
            raise reject(OptionError(("format",), "DLC104", message, hint=hint))
        return self

    @classmethod
    def sample(cls) -> bytes:
        """Two lines."""
        return b"NUM:date When was it ?\nHUM:ind Who was it ?\n"

    def columns(self) -> tuple[str, ...]:
        """`text` or the fields of the format, and `label` if there are classes; the names of parallel files."""
        if self.parallel:
            return tuple(self.path)
        return (*self._fields(), *(("label",) if isinstance(self.path, dict) else ()))

    def classes(self, column: str) -> tuple[str, ...] | None:
        """The names of the files."""
        return tuple(self.path) if column == "label" and isinstance(self.path, dict) and not self.parallel else None

    def for_file(self, path: Path) -> Self:
        """A file without classes, or with the first column of parallel files."""
        other: Any = {next(iter(self.path)): str(path)} if self.parallel else str(path)
        return self.model_copy(update={"path": other, "rows": None})

    def files(self, base: Path) -> list[Path]:
        """The full paths of all files."""
        return [file for group in self._groups(base).values() for file in group]

    def read(self, base: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The records of all files, in blocks."""
        groups = self._groups(base)
        if self.parallel:
            return limited(self._side_by_side(groups, room, limit), self.rows)
        tables = (
            (file, self._labelled(self.blocks(file, room, limit), name))
            for name, group in groups.items()
            for file in group
        )
        return limited(same_columns(tables), self.rows)

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The records of a file."""
        from dlc.components.sources.text_files import as_column, in_blocks, records_of, text_lines

        lines = text_lines(path, self.encoding, limit)
        for block in in_blocks(records_of(lines, self.records, path, limit), room):
            if self.format is None:
                yield {"text": as_column(text for _, text in block)}
                continue
            form = parse_format(self.format)
            rows = [_split(form, record, path) for record in block]
            yield _columns(form.fields, rows)

    def origin(self, base: Path, row: int) -> tuple[Path, int] | None:
        """The file that holds a record, and its number there; None for parallel files."""
        return None if self.parallel else super().origin(base, row)

    def _fields(self) -> tuple[str, ...]:
        return ("text",) if self.format is None else parse_format(self.format).fields

    def _groups(self, base: Path) -> dict[str, list[Path]]:
        """The full paths of the files of each name; of all under an empty name if they have none.

        Raises:
            RuleViolation: DLC401 when there is none.
        """
        paths = {"": self.path} if isinstance(self.path, str) else self.path
        return {
            name: plain_files(base, path, part=(name,) if name else (), empty=self.empty, content=self.content)
            for name, path in paths.items()
        }

    def _labelled(self, blocks: Iterator[Columns], name: str) -> Iterator[Columns]:
        from dlc.components.sources.text_files import as_column

        for block in blocks:
            count = len(next(iter(block.values())))
            yield {**block, "label": as_column([name] * count)} if name else block

    def _side_by_side(self, groups: Mapping[str, list[Path]], room: int | None, limit: int | None) -> Iterator[Columns]:
        """The lines of parallel files, but for those that are blank in all of them.

        Raises:
            RuleViolation: DLC401 when they have different numbers of lines.
        """
        from dlc.components.sources.arrow_text import FIELD_BYTES
        from dlc.components.sources.text_files import need_counts, text_lines

        counts = dict.fromkeys(groups, 0)

        def counted(name: str) -> Iterator[str]:
            for _, line in chain.from_iterable(text_lines(file, self.encoding, limit) for file in groups[name]):
                counts[name] += 1
                yield line.removesuffix("\n")

        rows, size, whole = list[tuple[str, ...]](), 0, True
        for row in zip_longest(*map(counted, groups)):
            if None in row or not "".join(row).strip():  # the rest of a longer file is only counted
                continue
            rows.append(row)
            size += sum(map(len, row)) + FIELD_BYTES * len(row)
            if room is not None and size >= room:
                yield _columns(groups, rows)
                rows, size, whole = [], 0, False
        need_counts(counts, "path")
        if rows or whole:
            yield _columns(groups, rows)


def _columns(names: Iterable[str], rows: Sequence[Sequence[str]]) -> Columns:
    """Rows of strings as columns."""
    from dlc.components.sources.text_files import as_column

    return {name: as_column(row[index] for row in rows) for index, name in enumerate(names)}


def _split(form: LineFormat, record: Numbered, path: Path) -> list[str]:
    """The fields of a record.

    Raises:
        RuleViolation: DLC401, with the line, when it does not have the format.
    """
    number, text = record
    found = form.split(text)
    if found is None:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        message = f"line {number} of `{path}` does not have the format"
        raise RuleViolation("DLC401", message, found=spell(shown), expected=spell(form.text()), option="format")
    return found
