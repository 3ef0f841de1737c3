"""Every example of every component of every kind."""

from __future__ import annotations

import pytest

from dlc.components.registry import KINDS
from dlc.ir import Example
from tests.components.layer_battery import case_of, check_eager, check_layer, check_states

LAYERS = {word: KINDS["layer"].load(word) for word in KINDS["layer"].table}
EXAMPLES = [(word, example) for word, cls in LAYERS.items() for example in cls.examples]
RIGHT = {word: [example for example in cls.examples if example.error is None] for word, cls in LAYERS.items()}
ALONE = [word for word, cls in LAYERS.items() if not cls.ties_weights]


@pytest.mark.parametrize(("word", "example"), EXAMPLES, ids=[f"{item.spec} | {item.inputs}" for _, item in EXAMPLES])
def test_an_example_of_a_layer_gives_what_it_states(word: str, example: Example) -> None:
    check_states(example)


@pytest.mark.parametrize("word", ALONE)
def test_a_layer_computes_in_each_type_and_mode(word: str) -> None:
    check_layer(RIGHT[word])


@pytest.mark.parametrize("word", ALONE)
def test_a_layer_computes_eagerly_what_it_computes_compiled(word: str) -> None:
    """The first example in float32: each operation is compiled by itself, which is slow."""
    case = case_of(RIGHT[word][0], "f32")
    assert case is not None
    check_eager(case)
