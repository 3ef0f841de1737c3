"""Formulas over arrays: what they compute, and what everything hostile gets told."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import dlc
from dlc.components.formulas.formula import ELEMENTWISE, MAX_LENGTH, Function, parse
from dlc.frontend.pipeline import check_text
from dlc.language.interpolation import ExpressionError

X = np.linspace(0.1, 2.5, 7).astype(np.float32)

VALUES = {
    "x": X,
    "-x": -X,
    "+x": X,
    "--x": X,
    "x + 1 - 2": X - 1,
    "8 / 4 / 2 * x": X,
    "1 - x - 1": -X,
    "2 * x + 3 * (x - 1)": 5 * X - 3,
    "-x ** 2": -(X**2),
    "(-x) ** 3": -(X**3),
    "x ** -2": X**-2.0,
    "x ** 0.5": np.sqrt(X),
    "x ** 0": np.ones_like(X),
    "2 ** 3 * x": 8 * X,
    "pi * x + e": np.pi * X + np.e,
    ".5 * x + 1.": 0.5 * X + 1,
    "1e-1 * x": 0.1 * X,
    "abs(x - 1)": np.abs(X - 1),
    "exp(x)": np.exp(X),
    "log(x)": np.log(X),
    "log1p(x)": np.log1p(X),
    "expm1(x)": np.expm1(X),
    "sqrt(x)": np.sqrt(X),
    "rsqrt(x)": 1 / np.sqrt(X),
    "square(x)": X**2,
    "sign(x - 1)": np.sign(X - 1),
    "sin(x)": np.sin(X),
    "cos(x)": np.cos(X),
    "tan(x / 2)": np.tan(X / 2),
    "tanh(x)": np.tanh(X),
    "sigmoid(x)": scipy.special.expit(X),
    "softplus(x)": np.log1p(np.exp(X)),
    "relu(x - 1)": np.maximum(X - 1, 0),
    "erf(x)": scipy.special.erf(X),
    "floor(x)": np.floor(X),
    "ceil(x)": np.ceil(X),
    "round(x)": np.round(X),
    "minimum(x, 1)": np.minimum(X, 1),
    "maximum(1, x)": np.maximum(1, X),
    "clip(x, 0.5, 1)": np.clip(X, 0.5, 1),
    "where(x > 1, x, -x)": np.where(X > 1, X, -X),
    "where(x * 2 <= 1 + 1, 0, 1) + 0 * x": np.where(X <= 1, 0.0, 1.0),
    "where(x == x, 1, 2) * x": X,
    "where(x != x, 1, 2) * x": 2 * X,
    "where(x < 1, where(x >= 0.5, 1, 2), 3) * x": np.where(X < 1, np.where(X >= 0.5, 1.0, 2.0), 3.0) * X,
    "exp(1) * x": np.e * X,
    " x*  sigmoid( x ) ": X * scipy.special.expit(X),
}


@pytest.fixture(scope="module")
def computed() -> dict[str, np.ndarray]:
    formulas = {text: parse(text, "x") for text in VALUES}
    run = jax.jit(lambda x: {text: formula.value({"x": x}) for text, formula in formulas.items()})
    return run(jnp.asarray(X))


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str, computed: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(computed[text], VALUES[text], rtol=2e-6, atol=1e-6)


def test_every_function_is_tested() -> None:
    assert {name for name in ELEMENTWISE if not any(f"{name}(" in text for text in VALUES)} == set()


WRONG = [
    ("", "the formula is empty", 0, None),
    ("x +", "the formula ends too early", 2, None),
    ("x x", "unexpected `x`", 2, None),
    ("(x", "the formula ends too early", 1, None),
    ("x)", "unexpected `)`", 1, None),
    ("prediction * x", "unknown name `prediction`", 0, "known: `x`, `x1`, `x2`, `pi`, `e`"),
    ("x0 + x", "unknown name `x0`", 0, None),
    ("x.shape", "`.` is not part of a formula", 1, "attributes are not supported"),
    ("x[0]", "`[` is not part of a formula", 1, "indexing is not supported"),
    ("__import__('os')", "`'` is not part of a formula", 11, "strings are not supported"),
    ("__import__(x)", "unknown function `__import__`", 0, "known: "),
    ("eval(x)", "unknown function `eval`", 0, None),
    ("lambda x: x", "`:` is not part of a formula", 8, None),
    ("sigmiod(x)", "unknown function `sigmiod`", 0, "did you mean `sigmoid`?"),
    ("sigmoid * x", "`sigmoid` is a function", 0, "write `sigmoid( ... )`"),
    ("x(2)", "unknown function `x`", 0, None),
    ("exp(x, x)", "`exp` takes 1 argument", 0, "it has 2"),
    ("exp()", "`exp` takes 1 argument", 0, "it has 0"),
    ("clip(x, 1)", "`clip` takes 3 arguments", 0, "it has 2"),
    ("x ** x", "the exponent must be a number", 5, "for other exponents write"),
    ("x ** (2)", "the exponent must be a number", 5, None),
    ("x ** 1000", "the exponent is larger than 64", 5, None),
    ("9 ** 9 ** 9 * x", "two powers in a row", 7, "write parentheses"),
    ("x ^ 2", "`^` is not part of a formula", 2, "for powers write `x ** 2`"),
    ("x / 0", "division by zero", 4, None),
    ("x * 1e400", "the number is larger than 1e+30", 4, None),
    ("x > 1", "unexpected comparison `>`", 2, "use comparisons only as the first argument of `where`"),
    ("exp(x > 1)", "unexpected comparison `>`", 6, None),
    ("(x > 1) * x", "unexpected comparison `>`", 3, None),
    ("where(x, 1, 2)", "expected a comparison here", 7, "for example"),
    ("where(0 < x < 1, 1, 2)", "unexpected comparison `<`", 12, None),
    ("x = 2", "`=` is not part of a formula", 2, "write only the value"),
    ("x // 2", "unexpected `/`", 3, None),
    ("x; x", "`;` is not part of a formula", 1, None),
    ("x\n+ 1 @ 2", "`@` is not part of a formula", 6, None),
]


@pytest.mark.parametrize(("text", "message", "start", "hint"), WRONG, ids=[text for text, *_ in WRONG])
def test_errors(text: str, message: str, start: int, hint: str | None) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, "x")
    error = caught.value
    assert (error.code, str(error), error.start) == ("DLC108", message, start)
    assert hint is None or (error.hint or "").startswith(hint)


def test_hostile_sizes_are_refused_at_once() -> None:
    began = time.perf_counter()
    for text in ("(" * 300 + "x" + ")" * 60, "-" * 300 + "x", "x" + "+x" * MAX_LENGTH, "exp(" * 90 + "x" + ")" * 30):
        with pytest.raises(ExpressionError):
            parse(text, "x")
    assert time.perf_counter() - began < 1


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.text("x12 .+-*/()<>=!,^ewhrabs[]'\\\n", max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        formula = parse(text, "x")
    except ExpressionError as error:
        assert 0 <= error.start <= len(text)
        assert error.length >= 1
    else:
        assert all(name.startswith("x") for name in formula.names)


def test_names_may_be_given_and_functions_added() -> None:
    more = {**ELEMENTWISE, "mean": Function(1, lambda x: jnp.mean(x, -1))}
    found = parse("mean(abs(prediction - target) ** 1.5)", ("prediction", "target"), more)
    assert found.names == ("prediction", "target")
    a, b = np.array([1.0, 5.0]), np.array([2.0, 1.0])
    np.testing.assert_allclose(found.value({"prediction": a, "target": b}), (1 + 8) / 2, rtol=1e-6)
    with pytest.raises(ExpressionError) as caught:
        parse("predition - target", ("prediction", "target"))
    assert caught.value.hint == "did you mean `prediction`?"
    with pytest.raises(ExpressionError):
        parse("mean(x)", "x")


def test_the_caret_stands_inside_the_formula() -> None:
    text = 'inputs: {x: {tensor: [4]}}\nnetwork:\n  - formula: "2 * sigmiod(x)"\n'
    (item,) = check_text(text)[1].diagnostics
    assert item.span is not None
    assert (item.span.line, item.span.column, item.span.end_column) == (3, 19, 26)
    (item,) = check_text(text.replace('"2 * sigmiod(x)"', "{formula: x * (1 + )}"))[1].diagnostics
    assert item.span is not None
    assert item.span.column == len("  - formula: {formula: x * (1 + ") + 1


@pytest.mark.parametrize(
    "text", ["x + 1e30 ** 64", "x + 1 / (1 - 1)", "x + 0 ** -1", "x + (0 - 8) ** 0.5", "where(0 ** -1 > 0, x, 0)"]
)
def test_numbers_alone_follow_the_rules_of_arrays(text: str) -> None:
    """Infinite or no number, as in the program: never an exception, never a complex number."""
    value = parse(text, "x").value({"x": jnp.ones(2)})
    assert jnp.asarray(value).dtype == jnp.float32 and not jnp.iscomplexobj(value)


def test_a_formula_as_an_activation() -> None:
    text = """
inputs: {x: {tensor: [5, 4]}}
network:
  - dense: {units: 3, activation: ONE}
  - gru: {units: 3, recurrent_activation: TWO, activation: {formula: "sin(x)"}, return_sequences: true}
  - residual: {layers: [dense: 3], activation: ONE}
    dtype: DTYPE
"""
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)

    def outputs(one: str, two: str, dtype: str) -> np.ndarray:
        spec = check_text(text.replace("ONE", one).replace("TWO", two).replace("DTYPE", dtype))[0]
        assert spec is not None
        program = dlc.compile(spec)
        return np.asarray(program.apply(program.init(0), {"x": x})[0]["output"], np.float32)

    for dtype, rtol in (("float32", 1e-5), ("bfloat16", 2e-2)):
        found = outputs('{formula: "x * sigmoid(x)"}', '{formula: "1 / (1 + exp(-x))"}', dtype)
        np.testing.assert_allclose(found, outputs("silu", "sigmoid", dtype), rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x1 * 2", "the formula mentions `x1`"),
        ("x + x2", "the formula mentions `x2`"),
        ("1 + 1", "the formula mentions no input"),
        ("x.real", "`.` is not part of a formula"),
        ("sigmiod(x)", "unknown function `sigmiod`"),
    ],
)
def test_a_formula_that_is_no_activation(text: str, message: str) -> None:
    given = f'inputs: {{x: {{tensor: [4]}}}}\nnetwork:\n  - dense: {{units: 2, activation: {{formula: "{text}"}}}}\n'
    (item,) = check_text(given)[1].diagnostics
    assert (item.code, item.message) == ("DLC108", message)
    assert item.span is not None and item.span.line == 3
