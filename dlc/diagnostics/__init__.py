"""Diagnostics: what dlc says about a user's mistake, as data. Renderers live in `dlc.diagnostics.render`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import lru_cache
from typing import NamedTuple

from dlc.records import record


class Span(NamedTuple):
    """A range of a text: file, first line and column, last line and column (1-based, end exclusive)."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def inside(self, start: int, length: int) -> Span:
        """The part of a one-line span that begins `start` characters in; the span itself when that leaves it."""
        if self.line != self.end_line or self.column + start + length > self.end_column:
            return self
        return Span(self.file, self.line, self.column + start, self.line, self.column + start + length)


def reason(error: BaseException) -> str:
    r"""What an exception says, in one line: a system's error without its number and path, a type where nothing is said.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a")), reason(ValueError("it broke\nlong ago"))
    ('no such file or directory', 'it broke')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [type(error).__name__])[0]


@lru_cache(maxsize=16)
def lines_of(text: str) -> list[str]:
    """The lines of a text as YAML counts them, which is not as `str.splitlines` does."""
    return _BREAK.split(text)


_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Note(NamedTuple):
    """A second place that helps to understand a diagnostic: where the other value came from, who used a block."""

    message: str
    span: Span | None = None


@record(frozen=True)
class Diagnostic:
    """One finding: a code of `dlc.diagnostics.codes`, one lower-case sentence, a place, and how to mend it."""

    code: str
    message: str
    span: Span | None = None
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    notes: tuple[Note, ...] = ()
    severity: str = "error"


@record(frozen=True)
class Report:
    """All findings about some files, with the texts that their spans point into."""

    diagnostics: tuple[Diagnostic, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; warnings do not count."""
        return not any(item.severity == "error" for item in self.diagnostics)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, in the order of the findings."""
        return tuple(item.code for item in self.diagnostics)

    def __add__(self, other: Report) -> Report:
        return Report(self.diagnostics + other.diagnostics, {**self.texts, **other.texts})


class Problems:
    """What a front-end stage appends its findings to; a finding made twice (a block used twice) is kept once."""

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
    def ok(self) -> bool:
        """Whether no error was found so far."""
        return not any(item.severity == "error" for item in self._items.values())

    def report(self, texts: Mapping[str, str]) -> Report:
        """The findings in reading order: by file as opened, then by position; those without a place come first."""
        order = {name: index for index, name in enumerate(texts)}

        def place(item: Diagnostic) -> tuple[int, int, int, str]:
            if item.span is None:
                return (-1, 0, 0, item.code)
            return (order.get(item.span.file, len(order)), item.span.line, item.span.column, item.code)

        return Report(tuple(sorted(self._items.values(), key=place)), dict(texts))


class SpecError(Exception):
    """A user's mistake, found before or while a command ran. Carries the report that says what and where."""

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
        """An error of a single finding."""
        return cls(Report((Diagnostic(code, message, span, found, expected, hint),)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a misspelt one, or None when nothing is close.

    >>> nearest("convd2", ["conv2d", "dense"])
    'conv2d'
    >>> nearest("adma", ["adamax", "adam"])  # two letters changed places
    'adam'
    """
    from difflib import get_close_matches

    choices = list(known)
    folded = {choice.lower().replace("-", "_"): choice for choice in reversed(choices)}
    plain = word.lower().replace("-", "_").replace(" ", "_")
    close = get_close_matches(plain, folded, n=3, cutoff=0.6)
    swapped = [choice for choice in close if sorted(choice) == sorted(plain)]
    return folded[(swapped or close)[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint for a misspelt word, or None.

    >>> did_you_mean("filtrs", ["filters", "kernel"])
    'did you mean `filters`?'
    """
    close = nearest(word, known)
    return f"did you mean `{close}`?" if close else None


def listing(words: Iterable[str], limit: int = 16) -> str:
    """A list of names for a message.

    >>> listing(["a", "b"])
    '`a`, `b`'
    """
    names = [f"`{word}`" for word in words]
    if len(names) > limit:
        return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
    return ", ".join(names)


def one_of(words: Iterable[str]) -> str:
    """What is expected where any of these names fits.

    >>> one_of(["a", "b"]), one_of(["a"])
    ('one of `a`, `b`', '`a`')
    """
    names = list(words)
    return f"one of {listing(names)}" if len(names) > 1 else listing(names)


def article(noun: str) -> str:
    """A noun with its article.

    >>> article("optimizer"), article("layer")
    ('an optimizer', 'a layer')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "error"), plural(2, "error")
    ('1 error', '2 errors')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
