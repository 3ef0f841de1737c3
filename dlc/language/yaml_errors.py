"""libyaml's errors, with messages and hints of our own."""

from __future__ import annotations

import re
import unicodedata

import yaml

from dlc.diagnostics import Note, Problems, Span, lines_of


def report_syntax(error: Exception, text: str, name: str, problems: Problems) -> None:
    """Add libyaml's error as a finding with our own message and hint."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        _unreadable(text, name, problems)
        return
    lines = lines_of(text)
    problem, context = error.problem or "the text is not YAML", error.context or ""
    span = _span(name, error.problem_mark)
    start = _span(name, error.context_mark) if context and error.context_mark is not None else None
    line = lines[span.line - 1] if span.line <= len(lines) else ""
    tab = line.find("\t")
    if tab >= 0 and (not line[:tab].strip(" -?:") or line[span.column - 1 : span.column] == "\t"):
        message = "this line is indented with a tab; YAML requires spaces"
        hint = "configure the editor to indent YAML files with spaces"
        problems.add("DLC006", message, Span(name, span.line, tab + 1, span.line, tab + 2), hint=hint)
        return
    complaint = f"{problem} {context}"
    unknown: tuple[str, str | None] = (problem, None)
    message, fix = next((words for key, words in _MESSAGES.items() if key in complaint), unknown)
    if span.line > len(lines) or not line.strip():  # the end of the file does not help; the start of the construct does
        span, start = start or span, None
    if "mapping values" in complaint and span.line > 1 and _BARE_WORD.match(lines[span.line - 2]):
        word = lines[span.line - 2].strip(" -")
        fix = f"write `{word}:` with a colon if other keys follow"
    inside = any(word in context for word in ("flow", "block", "quoted"))
    notes = [Note("it starts here", start)] if inside and start is not None and start != span else []
    problems.add("DLC005", f"not valid YAML: {message}", span, hint=fix, notes=notes)


_BARE_WORD = re.compile(r" *- +[\w-]+ *\Z")


def _span(name: str, mark: yaml.Mark) -> Span:
    return Span(name, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)


def _unreadable(text: str, name: str, problems: Problems) -> None:
    """Report the character that libyaml rejects; libyaml does not give its position."""
    allowed = "\n\t\r\x85"
    bad = next((at for at, char in enumerate(text) if char not in allowed and unicodedata.category(char)[0] == "C"), 0)
    line, column = text.count("\n", 0, bad) + 1, bad - text.rfind("\n", 0, bad)
    what = f"the file contains the character U+{ord(text[bad]):04X}" if text else "the file can't be read"
    position = Span(name, line, column, line, column + 1)
    problems.add(
        "DLC002", what, position, expected="printable text", hint="remove it, or write it as an escape in double quotes"
    )


# libyaml's message -> what it means, and the likely fix
_MESSAGES: dict[str, tuple[str, str | None]] = {
    "mapping values are not allowed": (
        "a second `: ` on this line",
        "quote strings that contain `: `, or check the indentation",
    ),
    "did not find expected ',' or '}'": ("a `,` or `}` is missing here", "close the `{`, or put a comma before this"),
    "did not find expected ',' or ']'": ("a `,` or `]` is missing here", "close the `[`, or put a comma before this"),
    "did not find expected '-' indicator": ("a `-` is missing here", "indent all items of a list equally"),
    "did not find expected key": ("a key is missing here", "indent all keys of a mapping equally"),
    "could not find expected ':'": ("a `:` is missing here", "a key needs a colon and a space after it"),
    "found unexpected ':'": ("a space is missing after this `:`", "write `key: value`"),
    "unexpected end of stream": ("a quote is never closed", None),
    "cannot start any token": ("a value can't start with this character", "quote the value"),
    "unexpected document indicator": ("a quote is never closed", None),
    "found unknown escape character": ("unknown escape sequence", "write `\\\\` or use single quotes"),
}
