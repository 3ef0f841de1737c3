"""The registry: every kind is complete, and everything that handles components asks it."""

from __future__ import annotations

import pytest

from dlc.components.registry import KINDS, PLUGIN_TABLES, Kind, kind_of, words_of
from dlc.frontend.containers import CONTAINERS
from dlc.language.loader import SECTIONS
from dlc.language.options import Options

ALL = [(kind, word) for kind in KINDS.values() for word in kind.words()]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_complete(kind: Kind) -> None:
    assert kind.table and kind.table_name.isupper() and PLUGIN_TABLES[kind.table_name] is kind
    assert kind.base_class().__doc__
    assert issubclass(kind.modifiers_class(), Options)
    assert not set(kind.modifiers_class().model_fields) & set(kind.table), "a key beside an item is also a component"
    assert set(kind.sections) <= set(SECTIONS)
    if kind.also is not None:
        assert kind.table.items() <= KINDS[kind.also].table.items()


@pytest.mark.parametrize(("kind", "word"), ALL, ids=[f"{kind.name}-{word}" for kind, word in ALL])
def test_a_component_is_documented(kind: Kind, word: str) -> None:
    cls = kind.load(word)
    assert issubclass(cls, kind.base_class()) and cls.word == word
    summary = (cls.__dict__.get("__doc__") or "").split("\n")[0]
    assert len(summary) > 10, "the first line of the docstring is the summary"
    assert cls.examples or kind.name in ("initializer",)
    assert all(isinstance(example, kind.example_class()) for example in cls.examples)
    for name, field in getattr(cls, "model_fields", {}).items():
        assert field.description, f"`{name}` of `{word}` has no description"


def test_words_of_a_section_are_unique() -> None:
    for section in SECTIONS:
        kinds = [kind for kind in KINDS.values() if section in kind.sections and kind.also is None]
        words = [word for kind in kinds for word in kind.table]
        assert len(words) == len(set(words)), section
        assert set(words_of(section)) == set(words)
    assert not set(words_of("network")) & set(CONTAINERS)
    assert KINDS["layer"].shares_words() == [KINDS["layer"], KINDS["activation"], KINDS["block"]]


def test_a_word_has_a_kind_in_its_section() -> None:
    assert kind_of("relu", "network") is KINDS["layer"]
    assert kind_of("transformer_encoder", "network") is KINDS["block"]
    assert kind_of("mse", "loss") is KINDS["loss"] and kind_of("mse", "metrics") is KINDS["metric"]
    assert kind_of("mse", "network") is None
    assert "relu" not in KINDS["layer"].words() and "relu" in KINDS["activation"].words()
