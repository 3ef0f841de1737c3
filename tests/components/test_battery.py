"""Every example of every component of every kind, in each element type and mode that it has."""

from __future__ import annotations

import pytest

from dlc.components.registry import KINDS, Kind
from dlc.ir import Example
from tests.components.battery import CHECKS, LAYER_CHECKS, check_component
from tests.components.layer_battery import ROUNDING, case_of, check_eager

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


@pytest.mark.parametrize("word", ALONE)
def test_a_layer_computes_eagerly_what_it_computes_compiled(word: str) -> None:
    """The first example in float32; the others are slow: each operation is compiled by itself."""
    case = case_of(right(word)[0], "f32")
    assert case is not None
    check_eager(case)


@pytest.mark.slow  # `test_a_layer_computes_eagerly_what_it_computes_compiled` runs the first examples
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("word", ALONE)
def test_all_examples_of_a_layer_compute_eagerly(word: str, dtype: str) -> None:
    for example in right(word)[1 if dtype == "f32" else 0 :]:
        case = case_of(example, dtype)
        if case is not None:
            check_eager(case)
