"""Every example of every component of every kind, in each element type and mode that it has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from dlc.components.registry import KINDS, Kind
from dlc.ir import ONES, Context, Example, Layer, ParamSpec, Signature, TensorType
from dlc.language.options import main
from tests.components import battery
from tests.components.battery import CHECKS, LAYER_CHECKS, check_component
from tests.components.layer_battery import ROUNDING, case_of, check_eager, check_layer, check_states

ALL = [(kind, word) for kind in KINDS.values() for word in kind.words()]
LAYERS = {word: KINDS["layer"].load(word) for word in KINDS["layer"].table}
ALONE = [word for word, cls in LAYERS.items() if not cls.ties_weights]


def right(word: str) -> list[Example]:
    return [example for example in LAYERS[word].examples if example.error is None]


def test_every_kind_has_a_check() -> None:
    """A new kind says in `tests/components/battery.py` how its examples are run."""
    assert {*CHECKS, *LAYER_CHECKS} == set(KINDS)


@pytest.mark.few(30)  # .ci/run runs all of them
@pytest.mark.parametrize(("kind", "word"), ALL, ids=[f"{kind.name}-{word}" for kind, word in ALL])
def test_a_component_passes_its_battery(kind: Kind, word: str) -> None:
    check_component(kind, word)


@pytest.mark.slow  # `test_a_component_passes_its_battery` computes the first example eagerly, too
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("word", ALONE)
def test_all_examples_of_a_layer_compute_eagerly(word: str, dtype: str) -> None:
    for example in right(word):
        case = case_of(example, dtype)
        if case is not None:
            check_eager(case)


# ---- the battery notices ----


def test_a_missing_docstring_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the base class does not count: it describes another component."""
    monkeypatch.setitem(KINDS["layer"].table, "broken", f"{__name__}:Broken")
    monkeypatch.setattr(Broken, "__doc__", None)
    with pytest.raises(AssertionError, match="`Broken` has no docstring"):
        check_component(KINDS["layer"], "broken")


def test_missing_examples_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS["layer"].table, "broken", f"{__name__}:Broken")
    with pytest.raises(AssertionError, match="`Broken` has no `examples`"):
        check_component(KINDS["layer"], "broken")


class Broken(Layer):
    """(*shape) -> (*shape): twice its input, but for one mistake."""

    word = "broken"
    mistake: str = main(description="what is wrong")

    def infer(self, x: TensorType) -> Signature:
        """The shape stays."""
        unused = {"unused": ParamSpec((1,), ONES, ("one",))} if self.mistake == "a weight without gradient" else {}
        return Signature(x, unused)

    def apply(self, weights: Any, x: Any, *, ctx: Context) -> Any:
        """2 x, or something else."""
        if self.mistake == "an overflow in float16":
            return x * 3e4 * 100 / 1.5e4 / 100
        if self.mistake == "another element type":
            return (2 * x).astype(jnp.bfloat16)
        if self.mistake == "another shape":
            return 2 * x[:1]
        if self.mistake == "other values in training":
            return x * (3 if ctx.train else 2)
        if self.mistake == "other values when traced":
            return x * (2 if isinstance(x, jax.core.Tracer) else 3)
        return 2 * x


BROKEN = {
    "an overflow in float16": "f16 gives a value that is not finite",
    "another element type": r"`apply` returned bfloat16 \(2, 3, 2\), `infer` declared float32 \(2, 3, 2\)",
    "another shape": r"`apply` returned float32 \(1, 3, 2\), `infer` declared float32 \(2, 3, 2\)",
    "other values in training": "nothing else depends on the mode",
    "other values when traced": "eager",
    "a weight without gradient": "the weight `layer/unused` of .* gets no gradient",
}
"""Mistakes, and what the battery says of each."""


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            Example("dense: 2", "f32[batch, 3]", "f32[batch, 3]", params=8),
            r"says f32\[batch, 3\], `infer` gave f32\[batch, 2\]",
        ),
        (Example("dense: 2", "f32[batch, 3]", "f32[batch, 2]", params=6), "says params=6, `infer` gave 8"),
        (
            Example("dense: 2", "i32[batch, 3]", "f32[batch, 2]", params=8),
            "has error=None, the layer gave DLC207: .* number",
        ),
        (Example("dense: 2", "f32[batch, 3]", error="DLC207"), "has error=DLC207, the layer gave no error"),
    ],
)
def test_a_wrong_example_is_explained(example: Example, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_states(example)


def test_the_battery_shows_what_it_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest rewrites its asserts, as those of test files: a failure without a message has the values compared."""
    monkeypatch.setattr("tests.components.battery.built", lambda kind, spec: [])
    with pytest.raises(AssertionError, match="assert 0 == 1"):
        battery._acts(KINDS["augmentation"], battery.AugmentExample("offset", "f32[batch, 3]"))


@pytest.mark.parametrize("mistake", ["", *BROKEN])
def test_the_battery_notices(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    monkeypatch.setitem(KINDS["layer"].table, "broken", f"{__name__}:Broken")
    params = 1 if mistake == "a weight without gradient" else 0
    example = Example(f"broken: '{mistake}'", "f32[batch, 3, 2]", "f32[batch, 3, 2]", params=params)
    check_states(example)

    if mistake:
        with pytest.raises(AssertionError, match=BROKEN[mistake]):
            check_layer([example])
    else:
        check_layer([example])
