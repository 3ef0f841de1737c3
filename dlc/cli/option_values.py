"""The allowed values of an option, as its reference page names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dlc.components.registry import KINDS
from dlc.components.schedules.schedule import Length
from dlc.diagnostics import article
from dlc.language.options import Options

_PLAIN = {int: "integer", float: "number", str: "string", bool: "true or false", Length: "length of time"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def allowed_values(field: FieldInfo) -> str:
    """The values that an option may have; empty where its type doesn't say.

    >>> from pydantic import Field
    >>> allowed_values(FieldInfo(annotation=int, default=1, metadata=[]))
    'integer'
    >>> allowed_values(FieldInfo.from_annotated_attribute(Literal["mean", "sum"], "mean"))
    'mean, sum'
    >>> allowed_values(FieldInfo.from_annotated_attribute(float | None, Field(None, gt=0, le=1)))
    'number > 0, <= 1'
    """
    described = _described(field.annotation, field.metadata)
    if described == "list of integers" and isinstance(field.default, int):  # a size along all axes
        return "integer or list of integers"
    return described


def _described(kind: Any, facts: Iterable[Any] = ()) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    bounds = _bounds(facts)
    if origin is Annotated:
        return _described(parts[0], [*_metadata(parts[1:]), *facts])
    if origin in (Union, UnionType):
        described = (_described(part, facts) for part in parts if part is not type(None))
        said = [text for text in described if text]
        joint = ", or " if any("," in part for part in said) else " or "
        return joint.join(dict.fromkeys(said))
    if origin is Literal:
        return ", ".join(_spelled(part) for part in parts)
    if origin in (tuple, list):
        return _sequence(parts)
    if isinstance(origin, type) and issubclass(origin, (dict, Mapping)):
        return "mapping"
    return _plain(kind) + (f" {bounds}" if bounds and kind in (int, float) else "")


def _metadata(facts: Iterable[Any]) -> list[Any]:
    """The facts of an annotation; those within a pydantic field are unpacked."""
    return [part for fact in facts for part in (fact.metadata if isinstance(fact, FieldInfo) else (fact,))]


def _bounds(facts: Iterable[Any]) -> str:
    found = {name: getattr(fact, name) for fact in facts for name in _BOUNDS if getattr(fact, name, None) is not None}
    return ", ".join(f"{sign} {_number(found[name])}" for name, sign in _BOUNDS.items() if name in found)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _sequence(parts: tuple[Any, ...]) -> str:
    """A list; sizes along axes are tuples of one type, for which a single value may stand."""
    inner = {_described(part) for part in parts if part is not Ellipsis} - {""}
    each = inner.pop() if len(inner) == 1 else ""
    count = f"{len(parts)} " if parts and Ellipsis not in parts and len(parts) > 1 else ""
    return f"list of {count}{_plural(each)}".rstrip() if each else "list"


def _plural(text: str) -> str:
    word, space, rest = text.partition(" ")
    return f"{word}s{space}{rest}" if word in ("integer", "number", "string", "length", "list") else text


def _plain(kind: Any) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, Options):
        named = next((entry.name for entry in KINDS.values() if entry.base_class() is kind), None)
        return article(named) if named else "options"
    return ""


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
