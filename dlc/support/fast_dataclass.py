"""Records: dataclasses whose methods are shared.

`dataclasses.dataclass` writes and compiles up to six functions for every class, which takes longer than the rest of
the class; a record's methods are the same few functions for all. Fields, defaults, `replace`, `fields` and matching
work as they do for a dataclass, and a type checker treats a record as one. Keyword-only fields (`kw_only`) are
rejected, `inspect.signature` does not list the fields, and a plain dataclass can't inherit from a frozen record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["fast_dataclass"]

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass as fast_dataclass
else:

    def fast_dataclass(cls: type[T] | None = None, /, *, frozen: bool = False) -> Any:
        """Make a class a record, as `dataclasses.dataclass` does.

        Args:
            cls: the class.
            frozen: whether its fields can't be set after `__init__`; it then has a hash of its fields.

        >>> @fast_dataclass(frozen=True)
        ... class Point:
        ...     "A point in the plane."
        ...     x: int
        ...     y: int = 0
        >>> Point(1), Point(1) == Point(1, y=0)
        (Point(x=1, y=0), True)
        """
        return _made(cls, frozen) if cls is not None else lambda cls: _made(cls, frozen)


def _made(cls: type[T], frozen: bool) -> type[T]:
    made: Any = dataclass(init=False, repr=False, eq=False)(cls)
    known = fields(made)
    if any(field.kw_only for field in known):
        raise TypeError(f"{cls.__name__}: a record can't have keyword-only fields")
    made.__record_names__ = tuple(field.name for field in known if field.init)
    made.__record_set__ = frozenset(made.__record_names__)
    made.__record_defaults__ = {field.name: field.default for field in known if field.default is not MISSING}
    made.__record_factories__ = [(f.name, f.default_factory) for f in known if f.default_factory is not MISSING]
    made.__record_compared__ = tuple(field.name for field in known if field.compare)
    methods = {"__init__": _init, "__repr__": _repr, "__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        methods |= {"__setattr__": _frozen, "__delattr__": _frozen}
    for name, method in methods.items():
        if cls.__dict__.get(name) is None:  # Python sets it to None where `__eq__` is defined
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _init(self: Any, *values: Any, **named: Any) -> None:
    """Set the fields, in their order or by name."""
    cls = type(self)
    names = cls.__record_names__
    state = {**cls.__record_defaults__, **dict(zip(names, values, strict=False)), **named}
    for name, factory in cls.__record_factories__:
        if name not in state:
            state[name] = factory()
    known = cls.__record_set__
    fitting = not named or (named.keys() <= known and named.keys().isdisjoint(names[: len(values)]))
    if not fitting or len(values) > len(names) or not state.keys() >= known:
        missing = [name for name in names if name not in state]
        given = f"{len(values)} values and {_listed(named)}"
        raise TypeError(f"{cls.__name__} takes {_listed(names)}; given {given}: missing {_listed(missing)}")
    self.__dict__.update(state)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _listed(names: Iterable[str]) -> str:
    """Names separated by commas."""
    return ", ".join(names) or "nothing"


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in type(self).__record_compared__])


def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _frozen(self: Any, name: str, *_: Any) -> None:
    raise FrozenInstanceError(f"{type(self).__name__}.{name} can't be set or deleted: {type(self).__name__} is frozen")
