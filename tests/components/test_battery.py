"""Every example of every component of every kind, in each element type and mode that it has."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from dlc.components.registry import KINDS, Kind
from dlc.ir import ONES, Context, Example, Layer, ParamSpec, Signature, TensorType
from dlc.language.options import main
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


BROKEN = (
    "an overflow in float16",
    "another element type",
    "another shape",
    "other values in training",
    "other values when traced",
    "a weight without gradient",
)


@pytest.mark.parametrize("mistake", ["", *BROKEN])
def test_the_battery_notices(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    monkeypatch.setitem(KINDS["layer"].table, "broken", f"{__name__}:Broken")
    params = 1 if mistake == "a weight without gradient" else 0
    example = Example(f"broken: '{mistake}'", "f32[batch, 3, 2]", "f32[batch, 3, 2]", params=params)
    check_states(example)

    if mistake:
        with pytest.raises(AssertionError):
            check_layer([example])
    else:
        check_layer([example])
