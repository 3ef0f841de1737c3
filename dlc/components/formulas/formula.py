"""Formulas over arrays: `x * sigmoid(x)`. An explicit grammar, never `eval`; a string is parsed once into a small tree.

    formula    := sum
    condition  := sum ("<" | "<=" | ">" | ">=" | "==" | "!=") sum      only as the first argument of `where`
    sum        := product (("+" | "-") product)*
    product    := sign (("*" | "/") sign)*
    sign       := ("-" | "+") sign | power
    power      := atom ("**" ("-" | "+")? number)?
    atom       := number | name | function "(" argument ("," argument)* ")" | "(" sum ")"

The caller defines the names; `pi` and `e` always exist. Functions come as a table, so that a caller can add its own,
such as means.
"""

# ruff: noqa: PLW0108 - without the lambdas, reading the table would import jax
from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from dlc.diagnostics import did_you_mean, listing, plural
from dlc.language.interpolation import NAME, ExpressionError
from dlc.support.lazy import jax, jnp, lax

MAX_LENGTH = 400
MAX_NESTING = 32
MAX_EXPONENT = 64
MAX_NUMBER = 1e30  # within float32, with room for one product

CONSTANTS = {"pi": math.pi, "e": math.e}
_TOKEN = re.compile(
    rf"\s*(?:([0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)|({NAME})|(\*\*|[<>=!]=|[-+*/(),<>]))"
)
_HINTS = {
    "^": "for powers write `x ** 2`",
    "=": "write only the value, without a name and `=`; for equality write `==`",
    ".": "attributes are not supported: write only the name of a function, `exp(x)`",
    "[": "indexing is not supported: a formula works element by element",
    "'": "strings are not supported in formulas",
    '"': "strings are not supported in formulas",
    "$": "`$name` is replaced before the formula is read; formulas contain no dollar signs",
}


class Function(NamedTuple):
    """A function of formulas.

    Args:
        arity: the number of arguments.
        make: the function of arrays and numbers.
        cost: floating-point operations per element, roughly.
        condition: whether the first argument is a comparison.
    """

    arity: int
    make: Callable[..., Any]
    cost: int = 1
    condition: bool = False


ELEMENTWISE: Mapping[str, Function] = {
    "abs": Function(1, lambda x: jnp.abs(x)),
    "exp": Function(1, lambda x: jnp.exp(x), 3),
    "log": Function(1, lambda x: jnp.log(x), 3),
    "log1p": Function(1, lambda x: jnp.log1p(x), 4),
    "expm1": Function(1, lambda x: jnp.expm1(x), 4),
    "sqrt": Function(1, lambda x: jnp.sqrt(x)),
    "rsqrt": Function(1, lambda x: lax.rsqrt(jnp.asarray(x)), 2),
    "square": Function(1, lambda x: jnp.square(x)),
    "sign": Function(1, lambda x: jnp.sign(x)),
    "sin": Function(1, lambda x: jnp.sin(x), 3),
    "cos": Function(1, lambda x: jnp.cos(x), 3),
    "tan": Function(1, lambda x: jnp.tan(x), 5),
    "tanh": Function(1, lambda x: jnp.tanh(x), 5),
    "sigmoid": Function(1, lambda x: jax.nn.sigmoid(x), 4),
    "softplus": Function(1, lambda x: jax.nn.softplus(x), 4),
    "relu": Function(1, lambda x: jax.nn.relu(x)),
    "erf": Function(1, lambda x: lax.erf(jnp.asarray(x)), 6),
    "floor": Function(1, lambda x: jnp.floor(x)),
    "ceil": Function(1, lambda x: jnp.ceil(x)),
    "round": Function(1, lambda x: jnp.round(x)),
    "minimum": Function(2, lambda x, y: jnp.minimum(x, y)),
    "maximum": Function(2, lambda x, y: jnp.maximum(x, y)),
    "clip": Function(3, lambda x, low, high: jnp.clip(x, low, high), 2),
    "where": Function(3, lambda condition, x, y: jnp.where(condition, x, y), 1, condition=True),
}

_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "negative": lambda a: -a,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


class Number(NamedTuple):
    """A number."""

    value: float


class Variable(NamedTuple):
    """A name of an array."""

    name: str


class Call(NamedTuple):
    """A function or an operator with its arguments."""

    function: str
    arguments: tuple[Any, ...]


Tree = Number | Variable | Call


class Formula(NamedTuple):
    """A parsed formula.

    Args:
        tree: its syntax tree.
        names: the arrays that it uses, in the order of their first use.
        cost: floating-point operations per element, roughly.
        functions: the functions that it may call.
    """

    tree: Tree
    names: tuple[str, ...]
    cost: int
    functions: Mapping[str, Function]

    def value(self, arrays: Mapping[str, Any]) -> Any:
        """Its value for arrays by name."""
        return _value(self.tree, arrays, self.functions)


def _value(tree: Tree, arrays: Mapping[str, Any], functions: Mapping[str, Function]) -> Any:
    if isinstance(tree, Number):
        return tree.value
    if isinstance(tree, Variable):
        return arrays[tree.name]
    made = [_value(part, arrays, functions) for part in tree.arguments]
    if tree.function != "negative" and all(isinstance(part, (int, float)) for part in made):
        made = [jnp.asarray(part) for part in made]  # plain numbers follow the rules of arrays: 1 / 0 is infinite
    return (_OPERATORS.get(tree.function) or functions[tree.function].make)(*made)


@lru_cache(maxsize=256)
def _elementwise(text: str, names: tuple[str, ...] | str) -> Formula:
    return _Parser(text, names, ELEMENTWISE).formula()


def parse(text: str, names: Collection[str] | str, functions: Mapping[str, Function] = ELEMENTWISE) -> Formula:
    """Read a formula.

    Args:
        text: the formula.
        names: the arrays that it may use, or one name that may also be numbered: `x` for x, x1, x2, ...
        functions: the functions that it may call.

    Raises:
        ExpressionError: DLC108, with the position of the error.

    >>> parse("x * sigmoid(2 * x)", "x").names
    ('x',)
    >>> float(parse("where(a > b, a - b, b ** 2)", ("a", "b")).value({"a": 1.0, "b": 3.0}))
    9.0
    """
    known = names if isinstance(names, str) else tuple(names)
    return _elementwise(text, known) if functions is ELEMENTWISE else _Parser(text, known, functions).formula()


class _Token(NamedTuple):
    kind: str  # number, name, symbol, end
    text: str
    start: int


def _tokens(text: str) -> Iterator[_Token]:
    if len(text) > MAX_LENGTH:
        raise ExpressionError("DLC108", f"the formula is longer than {MAX_LENGTH} characters", 0, len(text))
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            bad = position + len(text[position:]) - len(text[position:].lstrip())
            raise ExpressionError("DLC108", f"`{text[bad]}` is not part of a formula", bad, 1, _HINTS.get(text[bad]))
        kind = ("number", "name", "symbol")[(match.lastindex or 1) - 1]
        yield _Token(kind, match.group(match.lastindex or 0), match.start(match.lastindex or 0))
        position = match.end()
    yield _Token("end", "", len(text))


class _Parser:
    """Recursive descent over one formula."""

    def __init__(self, text: str, names: tuple[str, ...] | str, functions: Mapping[str, Function]) -> None:
        self.tokens = list(_tokens(text))
        self.names = names
        self.functions = functions
        self.index = 0
        self.nesting = 0
        self.cost = 0
        self.found: dict[str, None] = {}

    def formula(self) -> Formula:
        tree = self.sum()
        if self.token.text in _COMPARISONS:
            self.fail(
                f"unexpected comparison `{self.token.text}`", "use comparisons only as the first argument of `where`"
            )
        if self.token.kind != "end":
            self.fail(f"unexpected `{self.token.text}`")
        return Formula(tree, tuple(self.found), self.cost, self.functions)

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, message: str, hint: str | None = None, token: _Token | None = None) -> NoReturn:
        token = token or self.token
        if token.kind == "end":
            message = "the formula ends too early" if self.index else "the formula is empty"
            # the caret points at the last character
            raise ExpressionError("DLC108", message, max(0, token.start - 1), 1)
        raise ExpressionError("DLC108", message, token.start, max(1, len(token.text)), hint)

    def take(self, *symbols: str) -> str | None:
        if self.token.kind == "symbol" and self.token.text in symbols:
            self.index += 1
            return self.tokens[self.index - 1].text
        return None

    def expect(self, symbol: str) -> None:
        if self.take(symbol) is None:
            self.fail(f"expected `{symbol}` here")

    def call(self, function: str, *arguments: Tree) -> Call:
        self.cost += self.functions[function].cost if function in self.functions else 1
        return Call(function, arguments)

    def sum(self) -> Tree:
        left = self.product()
        while symbol := self.take("+", "-"):
            left = self.call(symbol, left, self.product())
        return left

    def product(self) -> Tree:
        left = self.sign()
        while symbol := self.take("*", "/"):
            token = self.token
            right = self.sign()
            if symbol == "/" and right == Number(0.0):
                self.fail("division by zero", token=token)
            left = self.call(symbol, left, right)
        return left

    def sign(self) -> Tree:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.fail(f"nested more than {MAX_NESTING} levels deep")
        symbol = self.take("-", "+")
        inner = self.sign() if symbol else self.power()
        self.nesting -= 1
        if symbol == "-":
            return Number(-inner.value) if isinstance(inner, Number) else self.call("negative", inner)
        return inner

    def power(self) -> Tree:
        base = self.atom()
        if not self.take("**"):
            return base
        sign = self.take("-", "+")
        token = self.token
        if token.kind != "number":
            self.fail("the exponent must be a number", "for other exponents write `exp(y * log(x))`")
        exponent = self.number()
        if exponent > MAX_EXPONENT:
            self.fail(f"the exponent is larger than {MAX_EXPONENT}", token=token)
        if self.token.text == "**":
            self.fail("two powers in a row", "write parentheses")
        whole = int(exponent) if exponent == int(exponent) else exponent  # integer exponents allow negative bases
        return self.call("**", base, Number(-whole if sign == "-" else whole))

    def number(self) -> float:
        token = self.token
        value = float(token.text)
        if not value <= MAX_NUMBER:
            self.fail(f"the number is larger than {MAX_NUMBER:g}")
        self.index += 1
        return value

    def atom(self) -> Tree:
        token = self.token
        if self.take("("):
            inner = self.sum()
            if self.token.text in _COMPARISONS:
                self.fail(
                    f"unexpected comparison `{self.token.text}`",
                    "use comparisons only as the first argument of `where`",
                )
            self.expect(")")
            return inner
        if token.kind == "number":
            return Number(self.number())
        if token.kind == "name":
            self.index += 1
            return self.function(token) if self.token.text == "(" else self.variable(token)
        hint = "for powers write `x ** 2`" if token.text == "**" else None
        return self.fail(f"unexpected `{token.text}`", hint)

    def variable(self, token: _Token) -> Tree:
        name = token.text
        if name in CONSTANTS:
            return Number(CONSTANTS[name])
        if name in self.functions:
            self.fail(f"`{name}` is a function", f"write `{name}( ... )`", token)
        if isinstance(self.names, str):
            good = re.fullmatch(rf"{self.names}([1-9][0-9]?)?", name) is not None
            known: tuple[str, ...] = (self.names, f"{self.names}1", f"{self.names}2")
        else:
            good, known = name in self.names, self.names
        if not good:
            hint = did_you_mean(name, [*known, *CONSTANTS]) or f"known: {listing([*known, *CONSTANTS])}"
            self.fail(f"unknown name `{name}`", hint, token)
        self.found[name] = None
        return Variable(name)

    def function(self, token: _Token) -> Tree:
        name = token.text
        if name not in self.functions:
            hint = did_you_mean(name, self.functions) or f"known: {listing(self.functions)}"
            self.fail(f"unknown function `{name}`", hint, token)
        function = self.functions[name]
        self.expect("(")
        arguments = [] if self.token.text == ")" else [self.condition(name) if function.condition else self.sum()]
        while arguments and self.take(","):
            arguments.append(self.sum())
        if self.token.text in _COMPARISONS:
            self.fail(
                f"unexpected comparison `{self.token.text}`", "use comparisons only as the first argument of `where`"
            )
        self.expect(")")
        if len(arguments) != function.arity:
            arity, given = plural(function.arity, "argument"), len(arguments)
            self.fail(f"`{name}` takes {arity}", f"it has {given}", token)
        return self.call(name, *arguments)

    def condition(self, name: str) -> Tree:
        left = self.sum()
        symbol = self.take(*_COMPARISONS)
        if symbol is None:
            self.fail("expected a comparison here", f"for example `{name}(x > 0, x, 0)`")
        return self.call(symbol, left, self.sum())
