"""Annotations of options mean what pydantic takes them for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dlc.language.options import Options


class Size(Options):
    """A class of the module."""

    height: int


class OfModule(Options):
    """Names, unions of names and other texts."""

    size: Size
    maybe: Size | None = None
    many: tuple[Size, ...] = ()


def test_names_are_those_of_the_module() -> None:
    fields = OfModule.model_fields
    assert fields["size"].annotation is Size
    assert fields["maybe"].annotation == Size | None
    assert fields["many"].annotation == tuple[Size, ...]
    assert OfModule.model_validate({"size": {"height": 3}}).size == Size(height=3)


def test_a_local_class_is_meant_where_it_hides_one_of_the_module() -> None:
    class Size(Options):
        """Hides the other."""

        width: int

    class Local(Options):
        """Means the one beside it."""

        size: Size

    assert Local.model_fields["size"].annotation is Size
    assert list(Size.model_fields) == ["width"]


def test_a_module_that_is_not_registered_may_define_options(tmp_path: Path) -> None:
    path = tmp_path / "words.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dlc.language.options import Options\n\nclass Word(Options):\n    a: int\n"
    )
    found = importlib.util.spec_from_file_location("words_of_a_test", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert module.Word.model_validate({"a": 1}).a == 1
