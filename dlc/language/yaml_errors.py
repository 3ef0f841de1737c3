"""libyaml's errors, with messages and hints of our own."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

import yaml

from dlc.diagnostics import Note, Problems, Span, lines_of


class Oddity(NamedTuple):
    """A character that only looks like one of YAML's: where it stands in a line, and what to write."""

    message: str
    start: int
    length: int
    hint: str


def oddity(line: str) -> Oddity | None:
    """The first character of a line that only looks like a space, a dash, a quote or a colon; None if there is none.

    Comments and quoted strings may contain them, and so may the inside of a plain string.

    >>> oddity("  \u2013 flatten").message
    '`\u2013` (en dash) does not begin an item of a list'
    >>> oddity("  - dense: 3  # \u201cthree\u201d")
    """
    if match := _ODD_SPACE.match(line):
        at = match.start(1)
        message = f"U+{ord(line[at]):04X} ({_name(line[at])}) is not a space of YAML"
        hint = "remove it" if unicodedata.category(line[at]) == "Cf" else "replace it by spaces"
        return Oddity(message, at, len(match.group(1)), hint)
    if match := _ODD_DASH.match(line):
        message = f"`{match.group(1)}` ({_name(match.group(1))}) does not begin an item of a list"
        return Oddity(message, match.start(1), 1, "write `-`, the hyphen")
    if match := _ODD_QUOTE.search(line):
        message = f"`{match.group(1)[0]}` ({_name(match.group(1)[0])}) is not a quote of YAML: it is part of the string"
        return Oddity(message, match.start(1), len(match.group(1)), f"write `{match.group(2)}`, or use straight quotes")
    if match := _ODD_COLON.search(line):
        message = f"`{match.group(2)}` ({_name(match.group(2))}) does not separate a key from its value"
        return Oddity(message, match.start(2), 1, f"write `{match.group(1)}: `")
    if match := _ODD_MINUS.search(line):
        message = f"`{match.group(1)[0]}` ({_name(match.group(1)[0])}) is not a minus sign of YAML"
        return Oddity(message, match.start(1), len(match.group(1)), f"write `-{match.group(1)[1:]}`")
    return None


_SPACES = "\u00a0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_DASHES = "\u2010-\u2015\u2212\u2022\u00b7\u25cf\uff0d"
_ODD_SPACE = re.compile(rf"[-?: ]*+([{_SPACES}][{_SPACES} ]*)")
_ODD_DASH = re.compile(rf" *(?:- +)*([{_DASHES}])(?=[ {_SPACES}]|[a-z])")
_START = r"(?:^|[:,\[{-]) *"  # where a plain string begins
_ODD_QUOTE = re.compile(
    rf"^[^#\"']*?{_START}([\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]([^\u201c\u201d\u2018\u2019\u00ab\u00bb]*).)"
)
_ODD_COLON = re.compile(r"^[^#\"']*?(?:^|[ ,{])(\w+) ?([\uff1a\u2236\ufe55])")
_ODD_MINUS = re.compile(rf"^[^#\"']*?{_START}([\u2010-\u2015\u2212\uff0d][0-9.][0-9.eE]*) *(?:$|[,\]}}#])")


def _name(character: str) -> str:
    """The name of a character in a message.

    >>> _name("\u00a0")
    'no-break space'
    """
    return unicodedata.name(character, "an invisible character").lower()


def report_oddity(found: Oddity, name: str, line: int, problems: Problems) -> None:
    """Add a character that looks like one of YAML's as a finding."""
    span = Span(name, line, found.start + 1, line, found.start + 1 + found.length)
    problems.add("DLC005", f"not valid YAML: {found.message}", span, hint=found.hint)


def report_syntax(error: Exception, text: str, name: str, problems: Problems) -> None:
    """Add libyaml's error as a finding with our own message and hint."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        _unreadable(text, name, problems)
        return
    lines = lines_of(text)
    problem, context = error.problem or "the text is not YAML", error.context or ""
    span = _span(name, error.problem_mark)
    start = _span(name, error.context_mark) if context and error.context_mark is not None else None
    for number, line in enumerate(lines[: span.line], 1):  # what looks right is a likely cause of what follows
        if not line.isascii() and (odd := oddity(line)):
            report_oddity(odd, name, number, problems)
            return
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
    elif "could not find expected ':'" in complaint and start is not None and start.line < span.line:
        span, message, fix = _without_colon(lines[start.line - 1], start)
        start = None
    elif "did not find expected" in complaint and line.lstrip().startswith("-") and "flow" not in context:
        message, fix = "this item is not indented as the other items of its list", "indent all items of a list equally"
        start = None
    elif (
        "flow" in context and start is not None and start.line < span.line and _begins_anew(line, lines[start.line - 1])
    ):
        bracket = lines[start.line - 1][start.column - 1 : start.column]
        closing = "}" if bracket == "{" else "]"
        span, start, message, fix = start, None, f"this `{bracket}` is never closed", f"close it with `{closing}`"
    if match := next((found for text in (line, lines[span.line - 2]) if (found := _NO_SPACE.match(text))), None):
        message, fix, start = "a space is missing after the `-` of an item", f"write `- {match.group(1)}`", None
    elif braces := in_braces(line):
        (message, fix), start = braces, None
    inside = any(word in context for word in ("flow", "block", "quoted"))
    notes = [Note("it starts here", start)] if inside and start is not None and start != span else []
    problems.add("DLC005", f"not valid YAML: {message}", span, hint=fix, notes=notes)


def in_braces(line: str) -> tuple[str, str] | None:
    """The message and the hint for a variable in braces, as shells and templates write it; None if there is none.

    >>> in_braces("dense: {{ width }}")
    ('variables are written without braces', 'write `$width`')
    """
    match = _BRACES.search(line)
    return ("variables are written without braces", f"write `${match.group(1)}`") if match else None


def _begins_anew(line: str, first: str) -> bool:
    """Whether a line begins another item or key than the line in which brackets were opened."""
    indent = len(line) - len(line.lstrip())
    return indent <= len(first) - len(first.lstrip()) and bool(line.strip()) and line.lstrip()[0] not in "]}"


_NO_SPACE = re.compile(r" *-([A-Za-z][\w.]*.*)\Z")
_BRACES = re.compile(r"(?:\$\{|\{\{) *(\w+) *\}")


def _without_colon(line: str, start: Span) -> tuple[Span, str, str]:
    """The span, message and hint of a key without a colon, which starts at `start`."""
    word = line[start.column - 1 :].split(" #")[0].rstrip()
    span = Span(start.file, start.line, start.column, start.line, start.column + len(word))
    key, space, value = word.partition(" ")
    return span, f"a `:` is missing after `{key}`", f"write `{key}:{space}{value}`"


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
