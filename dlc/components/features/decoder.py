"""The interface of decoders: how the file of a record becomes an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Decoder(Protocol):
    """How the file of a record becomes an array.

    It is a pure function of the bytes of the file, and may run on any thread. Its results are kept on disk under `key`.
    """

    @property
    def key(self) -> str:
        """Everything that the arrays depend on besides the file: options, and versions of what decodes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of a record."""

    @property
    def dtype(self) -> str:
        """The type of its elements, as numpy calls it."""

    @property
    def wrong(self) -> str:
        """What is wrong with a file that can't be decoded: `is not a picture that can be read`."""

    @property
    def expected(self) -> str:
        """What the file should be."""

    def decode(self, data: bytes) -> NDArray[Any]:
        """The array of a file.

        Raises:
            ValueError: when it can't be decoded, with the reason.
        """
