"""Renderers of a `Report`: text for people, json, sarif and github for machines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from dlc.diagnostics import Diagnostic, Report, Span, lines_of, plural
from dlc.diagnostics.codes import CODES

_RED, _YELLOW, _BLUE, _BOLD, _RESET = "\x1b[31;1m", "\x1b[33;1m", "\x1b[34m", "\x1b[1m", "\x1b[0m"
MAX_EXCERPT = 160


def text(report: Report, *, color: bool = False) -> str:
    """The report as compilers print it: message, position, excerpt with carets, found, expected, hint."""

    def paint(style: str, words: str) -> str:
        return f"{style}{words}{_RESET}" if color else words

    blocks: list[str] = []
    for item in report.diagnostics:
        style = _RED if item.severity == "error" else _YELLOW
        lines = [f"{paint(style, f'{item.severity}[{item.code}]')}: {paint(_BOLD, clean(item.message))}"]
        if item.span is not None:
            lines += _excerpt(item.span, report, paint, style)
        facts = {"found": item.found, "expected": item.expected, "hint": item.hint}
        lines += [f"  = {paint(_BOLD, name)}: {clean(value)}" for name, value in facts.items() if value is not None]
        for note in item.notes:
            location = f" ({clean(str(note.span))})" if note.span is not None else ""
            lines.append(f"  = {paint(_BOLD, 'note')}: {clean(note.message)}{location}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def summary(report: Report, files: int) -> str:
    """The closing line of `dlc check`."""
    errors = sum(item.severity == "error" for item in report.diagnostics)
    parts = [plural(errors, "error")] if errors else []
    for severity in ("warning", "note"):
        count = sum(item.severity == severity for item in report.diagnostics)
        parts += [plural(count, severity)] if count else []
    return f"{', '.join(parts) or 'no problems'} in {plural(files, 'file')}"


def _excerpt(span: Span, report: Report, paint: Callable[[str, str], str], style: str) -> list[str]:
    gutter = len(str(span.line))
    location = f"{' ' * gutter}{paint(_BLUE, '-->')} {clean(str(span))}"
    lines = lines_of(report.texts.get(span.file, ""))
    if not 0 < span.line <= len(lines) or not lines[span.line - 1]:
        return [location]
    line = _masked_line(lines[span.line - 1])
    whole = span.end_line == span.line
    end = span.end_column if whole else len(line.split(" #")[0].rstrip()) + 1
    start, end = span.column - 1, max(end - 1, span.column)
    before, culprit, after = line[:start], line[start:end], line[end:]
    if len(line) > MAX_EXCERPT:  # show a window around the span
        culprit = culprit if len(culprit) <= MAX_EXCERPT // 2 else f"{culprit[: MAX_EXCERPT // 2]}..."
        before = before if len(before) <= MAX_EXCERPT // 3 else f"...{before[-MAX_EXCERPT // 3 :]}"
        after = after if len(after) <= MAX_EXCERPT // 3 else f"{after[: MAX_EXCERPT // 3]}..."
    shown = _escaped(before + culprit + after)
    pad = "".join("\t" if character == "\t" else " " * _width(_escaped(character)) for character in before)
    carets = "^" * max(1, _width(_escaped(culprit)))
    bar = paint(_BLUE, "|")
    return [
        location,
        f"{' ' * gutter} {bar}",
        f"{paint(_BLUE, str(span.line))} {bar} {shown}",
        f"{' ' * gutter} {bar} {pad}{paint(style, carets)}",
    ]


def _width(words: str) -> int:
    """The width of a string in terminal columns."""
    if words.isascii():
        return len(words)
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in words
    )


def clean(words: str) -> str:
    r"""A string that is safe to print on a terminal: control characters become visible escapes.

    >>> print(clean("a\x1b[2Jb\u202e"))
    a\x1b[2Jb\u202e
    """
    return _escaped(masked(words))


def _escaped(words: str) -> str:
    """A string whose control characters are visible escapes."""
    if words.isprintable():
        return words
    return "".join(
        character if character.isprintable() or character == "\t" else repr(character)[1:-1] for character in words
    )


_PASSWORD = re.compile(r"(://[^\s/:@]*:)([^\s/]{1,200}|[^\s@]{1,200})(?=@)")


def masked(words: str) -> str:
    """A string without the passwords in addresses; it keeps its length.

    >>> masked("url: postgresql://me:secret@server/shop")
    'url: postgresql://me:******@server/shop'
    """
    return _PASSWORD.sub(lambda found: found[1] + "*" * len(found[2]), words) if "://" in words else words


@lru_cache(maxsize=8)
def _masked_line(line: str) -> str:
    """`masked` of a line, which may be long and have many findings."""
    return masked(line)


def as_dicts(report: Report) -> list[dict[str, object]]:
    """The findings as plain data, as in `--format json`."""
    return [
        {
            "code": item.code,
            "severity": item.severity,
            "message": masked(item.message),
            "file": item.span.file if item.span else None,
            "range": _range(item.span) if item.span else None,
            "found": None if item.found is None else masked(item.found),
            "expected": item.expected,
            "hint": None if item.hint is None else masked(item.hint),
            "notes": [
                {
                    "message": note.message,
                    "file": note.span.file if note.span else None,
                    "range": _range(note.span) if note.span else None,
                }
                for note in item.notes
            ],
        }
        for item in report.diagnostics
    ]


def _range(span: Span) -> dict[str, dict[str, int]]:
    return {
        "start": {"line": span.line, "column": span.column},
        "end": {"line": span.end_line, "column": span.end_column},
    }


def json(report: Report) -> str:
    """The findings as one JSON document: `{"diagnostics": [...]}`."""
    from json import dumps

    return dumps({"diagnostics": as_dicts(report)}, indent=2)


def sarif(report: Report) -> str:
    """SARIF 2.1.0, which code hosts read (docs.oasis-open.org/sarif)."""
    from json import dumps

    from dlc._version import __version__

    rules = sorted(set(report.codes))
    results = []
    for item in report.diagnostics:
        result: dict[str, object] = {
            "ruleId": item.code,
            "ruleIndex": rules.index(item.code),
            "level": item.severity,
            "message": {"text": _sentence(item)},
        }
        if item.span is not None:
            result["locations"] = [_location(item.span)]
        related = [
            {**_location(note.span), "message": {"text": note.message}} for note in item.notes if note.span is not None
        ]
        if related:
            result["relatedLocations"] = related
        results.append(result)
    driver = {
        "name": "dlc",
        "version": __version__,
        "rules": [_described(code) for code in rules],
    }
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return dumps(log, indent=2)


def _described(code: str) -> dict[str, object]:
    """A code with its explanation; the lint rule of a plugin may have a code without one."""
    if code not in CODES:
        return {"id": code}
    return {"id": code, "shortDescription": {"text": CODES[code].title}, "fullDescription": {"text": CODES[code].text}}


def _location(span: Span) -> dict[str, object]:
    from urllib.parse import quote

    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    uri = quote(span.file.replace("\\", "/"), errors="replace")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}


def _sentence(item: Diagnostic) -> str:
    parts = [item.message]
    parts += [f"found {item.found}"] if item.found else []
    parts += [f"expected {item.expected}"] if item.expected else []
    parts += [item.hint] if item.hint else []
    return masked("; ".join(parts))


def github(report: Report) -> str:
    """Workflow commands, which GitHub Actions shows beside the changed lines."""

    def data(words: str) -> str:
        return words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def value(words: str) -> str:
        return data(words).replace(":", "%3A").replace(",", "%2C")

    lines = []
    for item in report.diagnostics:
        location = ""
        if item.span is not None:
            span = item.span
            location = f"file={value(span.file)},line={span.line},endLine={span.end_line},col={span.column},"
            if span.line == span.end_line:
                location += f"endColumn={span.end_column},"
        level = "notice" if item.severity == "note" else item.severity
        lines.append(f"::{level} {location}title={value(item.code)}::{data(_sentence(item))}")
    return "\n".join(lines)


FORMATS: dict[str, Callable[[Report], str]] = {"text": text, "json": json, "sarif": sarif, "github": github}
