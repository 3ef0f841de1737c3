"""Records behave as dataclasses do."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import pytest

from dlc.support.fast_dataclass import fast_dataclass


def _pair(make: Any, frozen: bool) -> type[Any]:
    """The same class made by `dataclass` and by `fast_dataclass`."""

    @make(frozen=frozen)
    class Thing:
        """A thing."""

        name: str
        size: int = 3
        parts: list[int] = field(default_factory=list)
        cache: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

        @cached_property
        def twice(self) -> int:
            return 2 * self.size

    return Thing


@pytest.mark.parametrize("frozen", [False, True])
def test_a_record_is_as_a_dataclass(frozen: bool) -> None:
    ours, theirs = _pair(fast_dataclass, frozen), _pair(dataclass, frozen)
    for values, named in [
        (("a",), {}),
        (("a", 4), {"parts": [1]}),
        ((), {"name": "b", "size": 1}),
        (("c", 1, [2]), {}),
    ]:
        mine, other = ours(*values, **named), theirs(*values, **named)
        assert vars(mine) == vars(other)
        assert repr(mine).split(">.")[1] == repr(other).split(">.")[1]
        assert mine == ours(*values, **named)
        assert (mine == replace(mine, size=9), mine == replace(mine)) == (False, True)
        assert mine != other
        assert mine.twice == other.twice
    assert [part.name for part in fields(ours)] == [part.name for part in fields(theirs)]
    assert ours.__match_args__ == theirs.__match_args__
    assert dataclasses.asdict(ours("a")) == dataclasses.asdict(theirs("a"))
    one, two = ours("a"), ours("a")
    assert one.parts is not two.parts
    one.cache["x"] = 1
    assert one == two


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), (("a", 1, [], {}), {}), (("a",), {"name": "b"}), (("a",), {"other": 1}), (("a",), {"cache": {}})],
)
def test_wrong_values_are_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    for make in (fast_dataclass, dataclass):
        with pytest.raises(TypeError):
            _pair(make, True)(*values, **named)


def test_a_frozen_record_stays() -> None:
    ours = _pair(fast_dataclass, True)
    thing = ours("a")
    with pytest.raises(FrozenInstanceError, match=r"Thing\.size can't be set or deleted"):
        thing.size = 4
    with pytest.raises(FrozenInstanceError):
        del thing.size
    with pytest.raises(FrozenInstanceError):
        thing.new = 1
    changed = _pair(fast_dataclass, False)("a")
    changed.size = 4
    assert changed.size == 4


def test_frozen_records_have_a_hash_of_their_fields() -> None:
    @fast_dataclass(frozen=True)
    class Point:
        """A point."""

        x: int
        y: int = 0

    assert hash(Point(1)) == hash(Point(1, 0)) == hash((1, 0))
    assert len({Point(1), Point(1, 0), Point(2)}) == 2

    @fast_dataclass
    class Loose:
        """No hash: it can change."""

        x: int

    with pytest.raises(TypeError, match="unhashable"):
        hash(Loose(1))


def test_what_a_class_defines_stays_and_subclasses_add_fields() -> None:
    @fast_dataclass(frozen=True)
    class Base:
        """A base."""

        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("negative")

        def __repr__(self) -> str:
            return f"<{self.x}>"

    @fast_dataclass(frozen=True)
    class More(Base):
        """A subclass."""

        y: int = 2

    assert repr(Base(1)) == "<1>"
    assert (More(1).x, More(1, 5).y) == (1, 5)
    assert More(1) != Base(1)
    with pytest.raises(ValueError, match="negative"):
        More(-1)


def test_a_field_that_is_not_an_argument() -> None:
    @fast_dataclass(frozen=True)
    class Kept:
        """A record with a cache."""

        x: int
        cache: dict[str, int] = field(default_factory=dict, init=False)

    assert Kept(1).cache == {} and Kept(x=1) == Kept(1)
    for values, named in (((1, {}), {}), ((1,), {"cache": {}}), ((), {})):
        with pytest.raises(TypeError):
            Kept(*values, **named)


def test_what_records_do_beside_plain_fields() -> None:
    @fast_dataclass(frozen=True)
    class Own:  # noqa: PLW1641 - the hash is a record's
        """Equal by its size alone."""

        name: str
        link: Any = None

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own) and self.name == other.name

    assert hash(Own("a")) == hash(("a", None))
    ring: list[Any] = []
    loop = Own("a", ring)
    ring.append(loop)
    assert repr(loop).endswith("Own(name='a', link=[...])")
    with pytest.raises(TypeError, match="keyword-only fields"):

        @fast_dataclass
        class Named:
            """Refused."""

            x: int = field(kw_only=True)
