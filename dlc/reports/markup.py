"""HTML and SVG as text. Everything but `Markup` is user text and is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

VOID = {"meta", "img", "br", "hr", "col"}
Child = "str | int | Iterable[Child] | None"


class Markup(str):
    """Text that is already markup."""

    __slots__ = ()


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An element. Children and attributes that are None are omitted; `class_` is `class`, `data_x` is `data-x`.

    >>> element("p", "a < b", element("b", 3), class_="note", id=None)
    '<p class="note">a &lt; b<b>3</b></p>'
    >>> element("img", src="x.png", alt='"')
    '<img src="x.png" alt="&quot;">'
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        written.append(f" {label}" if value is True else f' {label}="{escape(_text(value))}"')
    start = f"<{name}{''.join(written)}>"
    return Markup(start if name in VOID else f"{start}{concatenated(children)}</{name}>")


def concatenated(children: Iterable[object]) -> Markup:
    """Concatenated children: markup as it is, lists item by item, everything else escaped."""
    parts = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, (list, tuple)):
            parts.append(concatenated(child))
        elif child is not None:
            parts.append(escape(_text(child), quote=False))
    return Markup("".join(parts))


def _text(value: object) -> str:
    return coordinate(value) if isinstance(value, float) else str(value)


def coordinate(value: float) -> str:
    """A coordinate, rounded to a tenth of a unit.

    >>> coordinate(3.0), coordinate(2.25), coordinate(-0.04)
    ('3', '2.2', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def number(value: float | None, digits: int = 4) -> str:
    """A readable number with `digits` digits and thousands separators; a dash for None and NaN.

    >>> [number(value) for value in (0.98765, 1234.5678, 3.0, 2.5e-7, 25557032, float("nan"), None)]
    ['0.9877', '1,235', '3', '2.5e-07', '25,557,032', '\u2013', '\u2013']
    """
    if value is None or not math.isfinite(value):
        return "\u2013"
    if float(value).is_integer() and abs(value) < 1e12:
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.{digits - 1}e}"
    if abs(value) < 1e-3:
        return f"{value:.{digits}g}"
    whole = max(1, math.floor(math.log10(abs(value))) + 1)
    return f"{value:,.{max(0, digits - whole + (abs(value) < 1))}f}"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], **attributes: object) -> Markup:
    """A table whose first column names its rows; cells that are not elements become `td`."""
    top = element("thead", element("tr", [element("th", cell, scope="col") for cell in head]))
    body = []
    for row in rows:
        first, *others = row
        cells = [
            cell if str(cell).startswith("<td") and isinstance(cell, Markup) else element("td", cell) for cell in others
        ]
        body.append(element("tr", element("th", first, scope="row"), cells))
    return element("div", element("table", top, element("tbody", body), **attributes), class_="scroll")
