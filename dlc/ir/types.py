"""Types of values: sizes, element type, mask."""

from __future__ import annotations

import re
from math import prod

from dlc.support.fast_dataclass import fast_dataclass

Dim = int | str
MASK = ".mask"  # suffix: the mask of a value is stored beside it, under its name with this suffix
DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i32": "int32", "u8": "uint8", "bool": "bool"}
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "i32": 4, "u8": 1, "bool": 1}  # of an element
_TYPE = re.compile(r"(f32|f16|bf16|i32|u8|bool)(?:\[([^\]]*)\])?(?:<(\d+))?( masked)?\Z")


@fast_dataclass(frozen=True)
class TensorType:
    """The type of a value: sizes, element type, whether it has a mask, and the bound of class numbers.

    Args:
        shape: sizes with the batch axis first; a string is a symbol whose size is known when the program runs.
        dtype: a key of `DTYPES`.
        mask: whether it has a mask, bool[batch, time], time being axis 1: false where the value is padding.
        bound: integers lie in [0, bound); None if unknown.

    >>> TensorType.parse("f32[batch, 8, 8, 1]")
    TensorType(shape=('batch', 8, 8, 1), dtype='f32', mask=False, bound=None)
    >>> str(TensorType(("batch", "time"), "i32", mask=True, bound=10))
    'i32[batch, time]<10 masked'
    """

    shape: tuple[Dim, ...]
    dtype: str = "f32"
    mask: bool = False
    bound: int | None = None

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """Parse what `str` returns for a type."""
        match = _TYPE.match(text)
        if match is None:
            raise ValueError(f"not a tensor type: {text!r}")
        parts = [part.strip() for part in (match.group(2) or "").split(",") if part.strip()]
        shape = tuple(int(part) if part.isdigit() else part for part in parts)
        bound = int(match.group(3)) if match.group(3) else None
        return cls(shape, match.group(1), match.group(4) is not None, bound)

    def __str__(self) -> str:
        bound = f"<{self.bound}" if self.bound is not None else ""
        mask = " masked" if self.mask else ""
        return f"{self.dtype}[{', '.join(str(dim) for dim in self.shape)}]{bound}{mask}"

    @property
    def rank(self) -> int:
        """The number of axes, including the batch axis."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements of one example; symbols count as one."""
        return prod(dim for dim in self.shape if isinstance(dim, int))

    @property
    def is_float(self) -> bool:
        """Whether the elements are real numbers."""
        return self.dtype in ("f32", "f16", "bf16")

    def resized(self, *shape: Dim) -> TensorType:
        """The same elements in another shape; a mask follows axis 1."""
        kept = self.rank > 1 and len(shape) > 1 and shape[1] == self.shape[1]
        return TensorType(shape, self.dtype, self.mask and kept, self.bound)

    def masked(self, mask: bool) -> TensorType:
        """The same type with or without a mask."""
        return self if mask == self.mask else TensorType(self.shape, self.dtype, mask, self.bound)

    def of(self, dtype: str) -> TensorType:
        """The same type with another element type."""
        return self if dtype == self.dtype else TensorType(self.shape, dtype, self.mask, self.bound)
