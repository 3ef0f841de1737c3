"""Arrays in the IDX format of the MNIST database."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.components.sources.paths import plain_file
from dlc.components.sources.source import Columns, Source
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import np
from dlc.support.machine import fitting_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""The element types by the third byte of a file."""


class Idx(Source):
    """Arrays in the IDX format, such as those of MNIST: `image`, and `label` if there is a file of labels.

    The files may be compressed with gzip, bzip2 or xz (Y. LeCun, C. Cortes, C. Burges: The MNIST database of
    handwritten digits, "FILE FORMATS FOR THE MNIST DATABASE").
    """

    word = "idx"
    locations: ClassVar[tuple[str, ...]] = ("images", "labels")
    images: str = main(min_length=1, description="the file of the arrays; relative to the spec's folder")
    labels: str | None = option(None, min_length=1, description="the file of the labels, if there is one")
    examples = (
        "idx: train-images-idx3-ubyte.gz",
        "idx: {images: train-images-idx3-ubyte.gz, labels: train-labels-idx1-ubyte.gz}",
    )

    def columns(self) -> tuple[str, ...] | None:
        """`image`, and `label` if there is a file of labels."""
        return ("image", "label") if self.labels is not None else ("image",)

    def find(self, base: Path) -> None:
        """Check that the files exist."""
        self._files(base)

    def write_sample(self, base: Path) -> None:
        """Write two pictures of 1 x 2 pixels, and their labels."""
        base.joinpath(self.images).write_bytes(b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x01\xfe\xff")
        if self.labels is not None:
            base.joinpath(self.labels).write_bytes(b"\0\0\x08\x01\0\0\0\x02\0\x01")

    def load(self, base: Path) -> Columns:
        """Read the arrays."""
        names = {"images": "image", "labels": "label"}
        found = {names[name]: _array(path, name) for name, path in self._files(base).items()}
        lengths = {name: len(array) for name, array in found.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{count:,} entries of `{name}`" for name, count in lengths.items())
            raise RuleViolation("DLC401", "the files have different lengths", found=counts, option="labels")
        return found

    def _files(self, base: Path) -> dict[str, Path]:
        """The full path of each file, by its option.

        Raises:
            RuleViolation: DLC401 when there is no such file.
        """
        return {
            name: plain_file(base, text, name, empty="is empty, not an IDX file")
            for (name,), text in self.places().items()
        }


def _array(path: Path, option: str) -> NDArray[Any]:
    """The array of a file.

    Raises:
        RuleViolation: DLC401 when it is not an IDX file, or damaged.
    """
    from dlc.components.sources.packed import reported, unpacked

    try:
        with reported(path), unpacked(path, fitting_bytes()) as file:
            head = file.read(4)
            rank = head[3] if len(head) == 4 else 0
            dims = np.frombuffer(file.read(4 * rank), ">u4").tolist()
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or len(dims) != rank or not rank:
                raise RuleViolation("DLC401", f"`{path}` is not an IDX file", found=f"the first bytes {head.hex(' ')}")
            dtype = np.dtype(TYPES[head[2]])
            size = prod(dims) * dtype.itemsize
            data = file.read(size + 1) if size <= fitting_bytes() else b""
            if len(data) != size:
                message = f"`{path}` is damaged: its header declares {' x '.join(map(str, dims))} elements"
                raise RuleViolation("DLC401", message, found=f"{len(data):,} bytes", expected=f"{size:,} bytes")
    except RuleViolation as wrong:
        wrong.option = option
        raise
    found: NDArray[Any] = np.frombuffer(data, dtype).reshape(dims)
    return found.astype(dtype.newbyteorder("="))
