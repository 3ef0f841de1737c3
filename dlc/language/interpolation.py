"""Variables and arithmetic in values: `$name`, `$(2 * width)`, `$$`. An explicit grammar, never `eval`.

    expression := term (("+" | "-") term)*
    term       := factor (("*" | "/" | "//" | "%") factor)*
    factor     := ("-" | "+") factor | number | name | call | "(" expression ")"
    call       := function "(" expression ("," expression)* ")"

`/` of integers that divide evenly gives an integer, so that `$(width / 2)` can be a number of filters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from dlc.diagnostics import did_you_mean, listing, nearest

MAX_LENGTH = 400
MAX_NESTING = 32
MAX_TEXT = 10_000
NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$(?:(\$)|({NAME})|(\())")
_BRACES = re.compile(rf"\$\{{({NAME})\}}")
_TOKEN = re.compile(
    rf"\s*(?:([0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)|({NAME})|(//|[-+*/%(),]))"
)


class ExpressionError(Exception):
    """What is wrong in a string, and where in it: start and length in characters.

    `meant` is the variable that a misspelt name probably refers to: it counts as used. `unknown` is the name of an
    unknown variable.
    """

    def __init__(
        self,
        code: str,
        message: str,
        start: int,
        length: int,
        hint: str | None = None,
        meant: str | None = None,
        unknown: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.start, self.length, self.hint = code, message, start, length, hint
        self.meant, self.unknown = meant, unknown


_NO_POWERS = "powers are not supported: write `x * x`"


class _Token(NamedTuple):
    kind: str  # number, name, symbol, end
    text: str
    start: int


FUNCTIONS: Mapping[str, tuple[int | None, Callable[..., float]]] = {
    "min": (None, min),
    "max": (None, max),
    "abs": (1, abs),
    "round": (1, round),
    "floor": (1, math.floor),
    "ceil": (1, math.ceil),
}


def names_in(text: str) -> Iterator[tuple[str, int]]:
    """The variables that a string refers to, each with its position.

    >>> list(names_in("$width and $(2 * depth)"))
    [('width', 1), ('depth', 17)]
    """
    for match, end in _references(text):
        if match.group(2):
            yield match.group(2), match.start(2)
        elif match.group(3):
            tokens = _tokens(text, match.end(), end - 1)
            for token, after in pairwise(tokens):
                if token.kind == "name" and after.text != "(":
                    yield token.text, token.start


def mentioned(text: str) -> list[str]:
    """The variables that a string refers to, as far as it can be read."""
    names: dict[str, None] = {}
    try:
        for name, _ in names_in(text):
            names[name] = None
    except ExpressionError:
        pass  # reported when the value is computed
    return list(names)


def substitute(text: str, variables: Mapping[str, Any]) -> Any:
    """The value of a string with its references replaced; a single reference keeps the type of its value.

    Raises:
        ExpressionError: DLC107 for an unknown variable, DLC108 for anything else that is wrong.

    >>> width = {"width": 8}
    >>> substitute("$width", width), substitute("$(width / 2)", width), substitute("a-$width", width)
    (8, 4, 'a-8')
    >>> substitute("$$5", {})
    '$5'
    """
    pieces: list[str] = []
    position = length = 0
    for match, end in _references(text):
        pieces.append(text[position : match.start()])
        position = end
        if match.group(1):
            pieces.append("$")
            continue
        if match.group(2):
            value = _lookup(match.group(2), match.start(2), variables)
        else:
            value = _Parser(text, match.end(), end - 1, variables).value()
        if match.start() == 0 and end == len(text):
            return value
        if isinstance(value, (dict, list)):
            raise ExpressionError(
                "DLC108", "a list or mapping can't be part of a string", match.start(), end - match.start()
            )
        pieces.append(_spell(value))
        length += len(pieces[-1])
        if length > MAX_TEXT:
            message = f"the string grows longer than {MAX_TEXT:,} characters"
            raise ExpressionError("DLC108", message, match.start(), end - match.start())
    return "".join([*pieces, text[position:]])


def _spell(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _references(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each reference in a string, with its end."""
    position = 0
    while (start := text.find("$", position)) >= 0:
        match = _REFERENCE.match(text, start)
        if match is None:
            braces = _BRACES.match(text, start)
            hint = f"write `${braces.group(1)}`" if braces else "write `$name`, `$( ... )`, or `$$` for a dollar sign"
            raise ExpressionError("DLC108", "`$` must be followed by a variable name", start, 1, hint)
        position = match.end() if not match.group(3) else _closing(text, match.end())
        yield match, position


def _closing(text: str, start: int) -> int:
    depth = 1
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index + 1
    raise ExpressionError("DLC108", "the `(` is never closed", start - 1, 1)


def _lookup(name: str, start: int, variables: Mapping[str, Any]) -> Any:
    if name not in variables:
        close = nearest(name, variables)
        hint = f"did you mean `{close}`?" if close else f"defined here: {listing(variables)}"
        if not variables:
            hint = "none are defined here"
        raise ExpressionError("DLC107", f"unknown variable `{name}`", start, len(name), hint, close, name)
    return variables[name]


def _tokens(text: str, start: int, end: int) -> list[_Token]:
    if end - start > MAX_LENGTH:
        raise ExpressionError("DLC108", f"the expression is longer than {MAX_LENGTH} characters", start, end - start)
    tokens = []
    position = start
    while position < end and text[position:end].strip():
        match = _TOKEN.match(text, position, end)
        if match is None:
            bad = position + len(text[position:end]) - len(text[position:end].lstrip())
            hint = _NO_POWERS if text.startswith("^", bad) else None
            raise ExpressionError("DLC108", f"`{text[bad]}` is not part of an expression", bad, 1, hint)
        kind = ("number", "name", "symbol")[(match.lastindex or 1) - 1]
        tokens.append(_Token(kind, match.group(match.lastindex or 0), match.start(match.lastindex or 0)))
        position = match.end()
    return [*tokens, _Token("end", "", end)]


class _Parser:
    """Recursive descent over one `$( ... )`; computes as it reads."""

    def __init__(self, text: str, start: int, end: int, variables: Mapping[str, Any]) -> None:
        self.tokens = _tokens(text, start, end)
        self.index = 0
        self.nesting = 0
        self.start = start
        self.length = end - start
        self.variables = variables

    def value(self) -> float:
        result = self.sum()
        if self.token.kind != "end":
            self.fail(f"unexpected `{self.token.text}`")
        return result

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, message: str) -> NoReturn:
        token = self.token
        if token.kind == "end":
            message = "the expression ends too early" if self.index else "the expression is empty"
            raise ExpressionError("DLC108", message, token.start, 1)
        before = self.tokens[self.index - 1].text if self.index else ""
        hint = _NO_POWERS if token.text == before == "*" else None
        raise ExpressionError("DLC108", message, token.start, max(1, len(token.text)), hint)

    def take(self, *symbols: str) -> str | None:
        if self.token.kind == "symbol" and self.token.text in symbols:
            self.index += 1
            return self.tokens[self.index - 1].text
        return None

    def expect(self, symbol: str) -> None:
        if self.take(symbol) is None:
            self.fail(f"expected `{symbol}` here")

    def sum(self) -> float:
        left = self.product()
        while symbol := self.take("+", "-"):
            left = self.compute(symbol, left, self.product())
        return left

    def product(self) -> float:
        left = self.factor()
        while symbol := self.take("*", "/", "//", "%"):
            left = self.compute(symbol, left, self.factor())
        return left

    def compute(self, symbol: str, left: float, right: float) -> float:
        if symbol in ("/", "//", "%") and right == 0:
            raise ExpressionError("DLC108", "division by zero", self.start, self.length)
        exact = isinstance(left, int) and isinstance(right, int) and symbol == "/" and left % right == 0
        try:
            result = {
                "+": lambda: left + right,
                "-": lambda: left - right,
                "*": lambda: left * right,
                "/": lambda: left // right if exact else left / right,
                "//": lambda: left // right,
                "%": lambda: left % right,
            }[symbol]()
        except OverflowError:
            result = math.inf
        return self.bounded(result)

    def bounded(self, result: float) -> float:
        """The result, unless it is out of range: neither time nor memory may grow with it."""
        huge = result.bit_length() > 256 if isinstance(result, int) else not abs(result) <= 1e300
        if huge:
            raise ExpressionError("DLC108", "the result is out of range", self.start, self.length)
        return result

    def factor(self) -> float:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise ExpressionError("DLC108", f"nested more than {MAX_NESTING} levels deep", self.start, self.length)
        try:
            return self.atom()
        finally:
            self.nesting -= 1

    def atom(self) -> float:
        if symbol := self.take("-", "+"):
            inner = self.factor()
            return -inner if symbol == "-" else inner
        if self.take("("):
            inner = self.sum()
            self.expect(")")
            return inner
        token = self.token
        if token.kind == "number":
            self.index += 1
            return self.bounded(int(token.text) if token.text.isdigit() else float(token.text))
        if token.kind == "name":
            self.index += 1
            return self.call(token) if self.token.text == "(" else self.variable(token)
        return self.fail(f"unexpected `{token.text}`")

    def variable(self, token: _Token) -> float:
        if token.text in FUNCTIONS and token.text not in self.variables:
            hint = f"write `{token.text}( ... )`"
            raise ExpressionError("DLC108", f"`{token.text}` is a function", token.start, len(token.text), hint)
        value = _lookup(token.text, token.start, self.variables)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ExpressionError(
                "DLC108", f"`{token.text}` is not a number", token.start, len(token.text), "arithmetic takes numbers"
            )
        return self.bounded(value)

    def call(self, token: _Token) -> float:
        if token.text not in FUNCTIONS:
            hint = did_you_mean(token.text, FUNCTIONS) or f"known: {listing(FUNCTIONS)}"
            raise ExpressionError("DLC108", f"unknown function `{token.text}`", token.start, len(token.text), hint)
        arity, function = FUNCTIONS[token.text]
        self.expect("(")
        arguments = [self.sum()]
        while self.take(","):
            arguments.append(self.sum())
        self.expect(")")
        if len(arguments) != (arity or max(len(arguments), 2)):
            needed = "at least two arguments" if arity is None else "one argument"
            raise ExpressionError("DLC108", f"`{token.text}` takes {needed}", token.start, len(token.text))
        try:
            return self.bounded(function(*arguments))
        except (OverflowError, ValueError):
            raise ExpressionError("DLC108", "the result is out of range", self.start, self.length) from None
