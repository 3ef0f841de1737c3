"""Formats of lines: which parts of a line are columns, as `{label}:{kind} {text}`."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple
from unicodedata import normalize


class LineFormat(NamedTuple):
    """A format: literal strings, and a field between each two of them.

    Args:
        fields: the names of the fields.
        literals: what stands before, between and after the fields; only the first and the last one may be empty.
    """

    fields: tuple[str, ...]
    literals: tuple[str, ...]

    def text(self) -> str:
        """The string that describes it.

        >>> parse_format("<{a}> {{{b}}}").text()
        '<{a}> {{{b}}}'
        """
        plain = [literal.replace("{", "{{").replace("}", "}}") for literal in self.literals]
        return plain[0] + "".join(f"{{{name}}}{after}" for name, after in zip(self.fields, plain[1:], strict=True))

    def split(self, line: str) -> list[str] | None:
        """The fields of a line; None if it does not have the format.

        A field ends at the first occurrence of the literal after it, and the last one where the line ends with the last
        literal. Each literal is searched for once, so that the time grows with the length of the line only.

        >>> parse_format("{label}:{kind} {text}").split("NUM:date When: 1914 ?")
        ['NUM', 'date', 'When: 1914 ?']
        """
        first, *inner, last = self.literals
        at, end = len(first), len(line) - len(last)
        if at > end or not line.startswith(first) or not line.endswith(last):
            return None
        found = []
        for literal in inner:
            stop = line.find(literal, at, end)
            if stop < 0:
                return None
            found.append(line[at:stop])
            at = stop + len(literal)
        return [*found, line[at:end]]


def parse_format(text: str) -> LineFormat:
    """The format that a string describes; `{{` and `}}` are braces of the line.

    Raises:
        ValueError: with what is wrong with it.

    >>> parse_format("<{a}> {{{b}}}")
    LineFormat(fields=('a', 'b'), literals=('<', '> {', '}'))
    """
    fields: list[str] = []
    literals = [""]
    at = 0
    while at < len(text):
        if text[at : at + 2] in ("{{", "}}"):
            literals[-1] += text[at]
            at += 2
        elif text[at] == "{":
            end = text.find("}", at)
            if end < 0:
                raise ValueError("a `{` is not closed; write `{{` for a brace of the line")
            fields.append(normalize("NFC", text[at + 1 : end].strip()))
            literals.append("")
            at = end + 1
        elif text[at] == "}":
            raise ValueError("a `}` has no `{` before it; write `}}` for a brace of the line")
        else:
            literals[-1] += text[at]
            at += 1
    _check(fields, literals)
    return LineFormat(tuple(fields), tuple(literals))


def _check(fields: list[str], literals: list[str]) -> None:
    if not fields:
        raise ValueError("it has no field, such as `{text}`")
    for name in fields:
        if not name or "{" in name:
            raise ValueError(f"`{{{name}}}` is not a field; a field is a name in braces")
    twice = [name for name, count in Counter(fields).items() if count > 1]
    if twice:
        raise ValueError(f"two fields have the name `{twice[0]}`")
    for index, literal in enumerate(literals[1:-1]):
        if not literal:
            names = f"`{{{fields[index]}}}` and `{{{fields[index + 1]}}}`"
            raise ValueError(f"nothing separates {names}")
