"""Variables and arithmetic: types kept, `$$`, and the grammar against a reference made from the same tree."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.diagnostics import Report
from dlc.frontend.pipeline import Spec, check_text
from dlc.language.interpolation import ExpressionError, mentioned, substitute
from tests.common import examples

VARIABLES: dict[str, Any] = {
    "n": 8,
    "rate": 0.5,
    "flag": True,
    "none": None,
    "word": "relu",
    "sizes": [1, 2],
    "table": {"a": 1},
    "max": 7,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$n", 8),
        ("$rate", 0.5),
        ("$flag", True),
        ("$none", None),
        ("$word", "relu"),
        ("$sizes", [1, 2]),
        ("$table", {"a": 1}),
        ("$(n)", 8),
        ("$( n * 2 )", 16),
        ("$(n / 2)", 4),
        ("$(n / 3)", 8 / 3),
        ("$(n // 3)", 2),
        ("$(n % 3)", 2),
        ("$(-n)", -8),
        ("$(- - n)", 8),
        ("$(2 - -3)", 5),
        ("$(1 + 2 * 3)", 7),
        ("$((1 + 2) * 3)", 9),
        ("$(10 - 2 - 3)", 5),
        ("$(16 / 4 / 2)", 2),
        ("$(-7 // 2)", -4),
        ("$(1e2)", 100.0),
        ("$(.5 + 1.)", 1.5),
        ("$(min(n, 3, 5))", 3),
        ("$(max(n, rate))", 8),
        ("$(max + 1)", 8),
        ("$max", 7),
        ("$(abs(-3))", 3),
        ("$(round(2.6))", 3),
        ("$(floor(2.6))", 2),
        ("$(ceil(2.1))", 3),
        ("a-$n-b", "a-8-b"),
        ("$n$n", "88"),
        ("$word/$flag/$none", "relu/true/null"),
        ("$$", "$"),
        ("$$n", "$n"),
        ("$$$n", "$8"),
        ("100$$", "100$"),
        ("no reference", "no reference"),
        ("", ""),
    ],
)
def test_value(text: str, value: Any) -> None:
    found = substitute(text, VARIABLES)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "code", "start", "length"),
    [
        ("$m", "DLC107", 1, 1),
        ("ab $(2 * wide)", "DLC107", 9, 4),
        ("$", "DLC108", 0, 1),
        ("5$", "DLC108", 1, 1),
        ("$(", "DLC108", 1, 1),
        ("$()", "DLC108", 2, 1),
        ("$(1 +)", "DLC108", 5, 1),
        ("$(1 2)", "DLC108", 4, 1),
        ("$(word)", "DLC108", 2, 4),
        ("$(flag)", "DLC108", 2, 4),
        ("$(sizes)", "DLC108", 2, 5),
        ("a$sizes", "DLC108", 1, 6),
        ("$(1 / 0)", "DLC108", 2, 5),
        ("$(1 ; 2)", "DLC108", 4, 1),
        ("$(n.real)", "DLC108", 3, 1),
        ("$(n[0])", "DLC108", 3, 1),
        ("$(2 ** 3)", "DLC108", 5, 1),
        ("$(abs())", "DLC108", 6, 1),
        ("$(abs(1, 2))", "DLC108", 2, 3),
        ("$(1e999)", "DLC108", 2, 5),
        ("$(9e299 * 9e299)", "DLC108", 2, 13),
        ("$(٣)", "DLC108", 2, 1),
    ],
)
def test_error(text: str, code: str, start: int, length: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        substitute(text, VARIABLES)
    assert (caught.value.code, caught.value.start, caught.value.length) == (code, start, length)


def test_mentioned() -> None:
    assert mentioned("$a $(b * min(c, 2) + max) $$d $a") == ["a", "b", "c", "max"]
    assert mentioned("$a $(b +) $(c ^ d)") == ["a", "b"]


# ---- the grammar against a reference ----

Node = tuple[Any, ...]
NUMBERS = st.one_of(
    st.integers(0, 50).map(lambda value: ("number", value)),
    st.floats(0, 50, allow_nan=False).map(lambda value: ("number", round(value, 3))),
    st.sampled_from(["n", "rate"]).map(lambda name: ("name", name)),
)
NODES: st.SearchStrategy[Node] = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner, inner),
        st.tuples(st.just("negate"), inner),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner),
        st.tuples(st.sampled_from(["abs", "round", "floor", "ceil"]), inner),
    ),
    max_leaves=8,
)
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}


def spell(node: Node, space: str) -> str:
    """The text of a tree, with no more parentheses than it needs."""
    kind = node[0]
    if kind in ("number", "name"):
        return repr(node[1]) if kind == "number" else str(node[1])
    if kind == "negate":
        return f"-{wrap(node[1], 3, space)}"
    if kind in PRECEDENCE:
        own = PRECEDENCE[kind]
        return f"{wrap(node[1], own, space)}{space}{kind}{space}{wrap(node[2], own + 1, space)}"
    return f"{kind}({f',{space}'.join(spell(item, space) for item in node[1:])})"


def wrap(node: Node, level: int, space: str) -> str:
    text = spell(node, space)
    return f"({text})" if PRECEDENCE.get(node[0], 3) < level else text


def compute(node: Node) -> float:
    """What Python makes of the tree, with the rule that `/` of integers without rest is an integer."""
    kind, *rest = node
    if kind == "number":
        return rest[0]  # type: ignore[no-any-return]
    if kind == "name":
        return VARIABLES[rest[0]]  # type: ignore[no-any-return]
    values = [compute(item) for item in rest]
    if kind == "/":
        left, right = values
        if isinstance(left, int) and isinstance(right, int) and left % right == 0:
            return left // right
        return left / right
    functions: dict[str, Any] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "//": lambda a, b: a // b,
        "%": lambda a, b: a % b,
        "negate": lambda a: -a,
        "min": min,
        "max": max,
        "abs": abs,
        "round": round,
        "floor": math.floor,
        "ceil": math.ceil,
    }
    return functions[kind](*values)  # type: ignore[no-any-return]


@given(NODES, st.sampled_from(["", " ", "  "]))
@settings(deadline=None, max_examples=500)
def test_grammar_agrees_with_reference(node: Node, space: str) -> None:
    text = f"$({spell(node, space)})"
    try:
        wanted = compute(node)
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="division by zero"):
            substitute(text, VARIABLES)
        return
    try:
        found = substitute(text, VARIABLES)
    except ExpressionError as error:
        assert "out of range" in error.message or "deep" in error.message or "longer" in error.message
        assert abs(wanted) > 1e60 or len(text) > 60
        return
    assert found == wanted
    assert type(found) is type(wanted)


NOISE = st.text(st.sampled_from("$()nmax,+-*/%. 0123456789eE_\"'{}[]\n²٣é\\"), max_size=80)


@given(st.one_of(NOISE, NOISE.map(lambda text: f"$({text})"), st.text(max_size=80)))
@settings(deadline=None, max_examples=examples(100))
def test_hostile_text_only_raises_errors(text: str) -> None:
    try:
        substitute(text, VARIABLES)
    except ExpressionError as error:
        assert error.code in ("DLC107", "DLC108")
        assert 0 <= error.start <= len(text)
        assert error.length >= 1


@pytest.mark.parametrize(
    "text",
    [
        "$(" * 100_000,
        "$(" + "(" * 300_000 + ")" * 300_000 + ")",
        "$(" + "1 " * 300_000 + ")",
        "$(" + "-" * 390 + "1)",
        "$(" + "9" * 399 + ")",
        "$(" + "*".join(["9" * 70] * 5) + ")",
        "$(" + "9e99 * " * 50 + "1)",
        "$n" * 300_000,
        "$word" * 3000,
        "$(floor(1e300) * floor(1e300))",
        "$(1e308 // 1e-308)",
    ],
)
def test_hostile_sizes_are_refused_quickly(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ExpressionError):
        substitute(text, VARIABLES)
    assert time.perf_counter() - start < 1


# ---- variables of a spec ----


def checked(variables: str, network: str, *sets: str) -> tuple[Spec | None, Report]:
    return check_text(f"vars: {variables}\ninputs: {{x: {{tensor: [4]}}}}\nnetwork: {network}", sets=sets)


def units(spec: Spec | None) -> list[Any]:
    assert spec is not None
    return [dict(node.layer).get("units", dict(node.layer).get("rate")) for node, _ in spec.graph.walk()]


def test_types_are_kept() -> None:
    spec, _ = checked("{n: 8, rate: 0.5}", "[dense: $n, dropout: $rate, dense: $(n / 2)]")
    assert units(spec) == [8, 0.5, 4]


def test_variables_use_each_other_in_any_order() -> None:
    report = checked("{a: $(b + 1), b: $c, c: 3, d: [$a, $(b * 2)]}", "[dense: $a, reshape: $d]")[1]
    assert "as [4, 6]" in report.diagnostics[0].message


def test_whole_options_can_be_a_variable() -> None:
    spec, _ = checked("{head: {units: 3, activation: relu}}", "[dense: $head]")
    assert units(spec) == [3]


def test_dollar_in_texts() -> None:
    spec, report = check_text("name: cost-$$5\ninputs: {x: {tensor: [4]}}\nnetwork: [dense: 2]")
    assert spec is not None, report
    assert spec.name == "cost-$5"


def test_values_are_not_read_again() -> None:
    """A value that a variable gave is data: a dollar in it is not looked at twice."""
    spec, report = check_text('vars: {a: "x$$y"}\nname: $a\ninputs: {x: {tensor: [4]}}\nnetwork: [dense: 2]')
    assert spec is not None, report
    assert spec.name == "x$y"


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_places_in_values(quote: str) -> None:
    line = f"network: [{{dense: {quote}$(2 * wide){quote}}}]"
    report = check_text(f"inputs: {{x: {{tensor: [4]}}}}\n{line}")[1]
    (item,) = report.diagnostics
    assert item.span is not None
    assert item.span[1:] == (2, line.index("wide") + 1, 2, line.index("wide") + 5)


def test_place_with_an_escape_is_the_whole_value() -> None:
    line = 'network: [{dense: "\\x24(2 * wide)"}]'
    (item,) = check_text(f"inputs: {{x: {{tensor: [4]}}}}\n{line}")[1].diagnostics
    assert item.span is not None
    assert item.span[1:] == (2, 19, 2, len(line) - 1)
