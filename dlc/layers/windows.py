"""Arithmetic of windows that slide over an axis: what convolutions and pools share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dlc.ir import Dim, TensorType
from dlc.options import Fault, Wrong, reject, spell

Explicit = tuple[tuple[int, int], tuple[int, int]]


def _padding(value: Any) -> Any:
    if value in ("valid", "same"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return ((value, value), (value, value))
    pairs = value if isinstance(value, (list, tuple)) else ()
    rows = [tuple(pair) for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]
    whole = all(isinstance(part, int) and not isinstance(part, bool) and part >= 0 for row in rows for part in row)
    if len(rows) == len(pairs) == 2 and whole:
        return tuple(rows)
    from dlc.diagnostics import did_you_mean

    expected = "`valid`, `same`, an integer, or [[top, bottom], [left, right]]"
    hint = did_you_mean(value, ("valid", "same")) if isinstance(value, str) else None
    raise reject(Fault((), "DLC104", "this is no padding", found=spell(value), expected=expected, hint=hint))


Padding2 = Annotated[Literal["valid", "same"] | Explicit, BeforeValidator(_padding)]
"""`valid`, `same`, or explicit amounts for height and width."""


def window_size(
    size: Dim, kernel: int, stride: int, dilation: int, padding: str | tuple[int, int], word: str, axis: str
) -> Dim:
    """How many places a window takes on an axis.

    A symbolic size gives a symbol: itself where the size stays, else the formula.

    Raises:
        Wrong: DLC205 when the window is longer than the padded axis.

    >>> window_size(8, 3, 2, 1, "same", "conv2d", "height"), window_size("time", 3, 1, 1, "valid", "conv1d", "time")
    (4, '(time - 2)')
    """
    reach = (kernel - 1) * dilation + 1
    if padding == "same":
        if isinstance(size, int):
            return -(-size // stride)
        return size if stride == 1 else f"(({size} + {stride - 1}) // {stride})"
    extra = 0 if isinstance(padding, str) else sum(padding)
    if isinstance(size, int):
        if reach > size + extra:
            raise Wrong(
                "DLC205",
                f"the window of `{word}` is larger than what it slides over",
                found=f"{axis} {size + extra}, window {reach}",
                expected=f"a window of at most {size + extra}",
                hint="use a smaller window or `padding: same`",
            )
        return (size + extra - reach) // stride + 1
    if stride == 1:
        return _shifted(size, extra - reach + 1)
    return f"({_shifted(size, extra - reach)} // {stride} + 1)"


def _shifted(size: str, amount: int) -> str:
    return f"({size} {'+' if amount > 0 else '-'} {abs(amount)})" if amount else size


def window_sizes(
    x: TensorType,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    padding: str | Explicit,
    word: str,
) -> tuple[Dim, Dim]:
    """The new height and width of `(batch, height, width, channels)`."""

    def along(axis: int, name: str) -> Dim:
        pads = padding if isinstance(padding, str) else padding[axis]
        return window_size(x.shape[axis + 1], kernel[axis], strides[axis], dilation[axis], pads, word, name)

    return along(0, "height"), along(1, "width")


def lax_padding(padding: str | Explicit) -> str | list[tuple[int, int]]:
    """The padding as `jax.lax` takes it."""
    return padding.upper() if isinstance(padding, str) else list(padding)
