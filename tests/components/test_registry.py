"""The registry: every kind is complete, and everything that handles components asks it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import dlc.components
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


UNLISTED = {"FormulaActivation", "ResidualSum"}  # made by other components, never named in a spec


def test_every_component_is_in_its_table() -> None:
    """Every class under `dlc/components` with a name of its own: nothing else notices that a line was forgotten."""
    for module in pkgutil.walk_packages(dlc.components.__path__, "dlc.components."):
        importlib.import_module(module.name)
    listed = {place for kind in KINDS.values() for place in kind.table.values()}
    forgotten = {
        f"{cls.__module__}:{cls.__name__} ({kind.table_name})"
        for kind in KINDS.values()
        for cls in subclasses(kind.base_class())
        if cls.__dict__.get("word")
        and cls.__module__.startswith("dlc.components.")
        and f"{cls.__module__}:{cls.__name__}" not in listed
        and cls.__name__ not in UNLISTED
    }
    assert not forgotten, "these classes are in no table: add a line to the one in parentheses"


def subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    """All subclasses of a class, and theirs."""
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_no_component_of_dlc_has_an_unknown_hook() -> None:
    """What is checked of a plugin's class holds for dlc's own."""
    for kind, word in ALL:
        cls = kind.load(word)
        if issubclass(cls, Options):
            cls.check_class()


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
