"""Diagnostics: findings about a user's files, as data. Renderers live in `dlc.diagnostics.render`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from dlc.diagnostics.wording import plural


class Span(NamedTuple):
    """A range in a file: first line and column, last line and column (1-based, end exclusive)."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def inside(self, start: int, length: int) -> Span:
        """The part of a one-line span that starts `start` characters in; the span itself if that lies outside."""
        if self.line != self.end_line or self.column + start + length > self.end_column:
            return self
        return Span(self.file, self.line, self.column + start, self.line, self.column + start + length)


@lru_cache(maxsize=16)
def lines_of(text: str) -> list[str]:
    """The lines of a text as YAML counts them, which differs from `str.splitlines`."""
    return _BREAK.split(text)


_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Note(NamedTuple):
    """A second position that helps to understand a diagnostic: where another value is set or a block is used."""

    message: str
    span: Span | None = None


@dataclass(frozen=True)
class Diagnostic:
    """One finding: a code of `dlc.diagnostics.codes`, one lower-case sentence, a span, and the fix."""

    code: str
    message: str
    span: Span | None = None
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    notes: tuple[Note, ...] = ()
    severity: str = "error"


@dataclass(frozen=True)
class Report:
    """All findings about some files, with the texts of the files that their spans refer to."""

    diagnostics: tuple[Diagnostic, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings and notes do not count."""
        return not any(item.severity == "error" for item in self.diagnostics)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the order of the findings."""
        return tuple(item.code for item in self.diagnostics)

    def merged(self) -> Report:
        """The report with a wrong name that occurs several times as one finding."""
        return Report(tuple(_merged(self.diagnostics)), self.texts)

    def __add__(self, other: Report) -> Report:
        return Report(self.diagnostics + other.diagnostics, {**self.texts, **other.texts})


class Problems:
    """The findings of a front-end stage; a finding that occurs twice (in a block used twice) is kept once."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, Span | None], Diagnostic] = {}

    def add(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        notes: Iterable[Note] = (),
        severity: str = "error",
    ) -> None:
        """Append one finding."""
        self.append(Diagnostic(code, message, span, found, expected, hint, tuple(notes), severity))

    def append(self, item: Diagnostic) -> None:
        """Append a finding that already exists."""
        self._items.setdefault((item.code, item.message, item.span), item)

    @property
    def count(self) -> int:
        """How many findings there are so far."""
        return len(self._items)

    @property
    def errors(self) -> int:
        """How many errors there are so far."""
        return sum(item.severity == "error" for item in self._items.values())

    @property
    def ok(self) -> bool:
        """Whether no error was found so far."""
        return not self.errors

    def report(self, texts: Mapping[str, str]) -> Report:
        """The findings in reading order: by file as opened, then by position; those without a span come first."""
        order = {name: index for index, name in enumerate(texts)}

        def position(item: Diagnostic) -> tuple[int, int, int, str]:
            if item.span is None:
                return (-1, 0, 0, item.code)
            return (order.get(item.span.file, len(order)), item.span.line, item.span.column, item.code)

        return Report(tuple(sorted(self._items.values(), key=position)), dict(texts))


def _merged(items: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The findings, a wrong name that occurs several times as one: at its first position, the others as notes."""
    groups: dict[object, list[Diagnostic]] = {}
    for index, item in enumerate(items):
        name = (item.code, item.message, item.found, item.expected, item.hint) if item.code in WRONG_NAMES else index
        groups.setdefault(name, []).append(item)
    for first, *others in groups.values():
        notes = [Note("also here", item.span) for item in others[:MAX_ALSO]]
        if len(others) > MAX_ALSO:
            notes[-1] = Note(f"and {plural(len(others) - MAX_ALSO + 1, 'more time')}")
        yield replace(first, notes=(*first.notes, *notes)) if notes else first


WRONG_NAMES = ("DLC101", "DLC105", "DLC107", "DLC201", "DLC211")  # codes of names that don't exist
MAX_ALSO = 5


class SpecError(Exception):
    """A user's mistake, found before or while a command ran, with its report."""

    def __init__(self, report: Report) -> None:
        super().__init__("; ".join(f"{item.code}: {item.message}" for item in report.diagnostics))
        self.report = report

    @classmethod
    def of(
        cls,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> SpecError:
        """An error with a single finding."""
        return cls(Report((Diagnostic(code, message, span, found, expected, hint),)))


@contextmanager
def quoting(texts: Mapping[str, str]) -> Iterator[None]:
    """A context that adds to errors the texts their spans refer to, so that messages can quote them."""
    try:
        yield
    except SpecError as error:
        error.report = Report(error.report.diagnostics, {**texts, **error.report.texts})
        raise
