"""Records: the typed contents of JSON files that anybody may have written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from dlc.diagnostics import SpecError, reason
from dlc.support.files import digest, from_json, to_json
from dlc.support.regular_files import read_whole

MOST_BYTES = 64 << 20
"""A larger JSON file was not written by dlc."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
Text = Annotated[str, StringConstraints(max_length=100_000)]
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}$")]
Figure = Annotated[float, Field(allow_inf_nan=False)] | None
"""A finite number, or null for a value that there is none of."""


class Record(BaseModel):
    """A record: the keys and types are exactly those of its class, numbers are finite, strings are valid Unicode."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def of(cls, value: Any) -> Self:
        """The record of a plain value.

        Raises:
            ValueError: with one line that names the first key that is wrong.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))[:100]
            raise ValueError(f"`{place}`: {first['msg'].lower()}" if place else first["msg"].lower()) from None

    def plain(self) -> dict[str, Any]:
        """The plain value, without keys that have no value by default."""
        return self.model_dump(exclude_defaults=True)


R = TypeVar("R", bound=Record)


def read_record(path: Path, kind: type[R], signed: str | None = None) -> R:
    """The record in a JSON file.

    Args:
        path: the file.
        kind: the class of the record.
        signed: the key of the digest of all other keys, if there is one.

    Raises:
        SpecError: DLC502 when the file is missing, DLC503 when it is damaged.
    """
    value = read_value(path)
    try:
        if signed is not None:
            check_digest(value, signed)
        return kind.of(value)
    except ValueError as error:
        raise SpecError.of("DLC503", f"`{path}` is damaged: {reason(error)}") from None


def read_value(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        SpecError: DLC502 when the file is missing, DLC503 when it is too large or no valid JSON.
    """
    try:
        return from_json(read_whole(path, MOST_BYTES))
    except FileNotFoundError:
        raise SpecError.of("DLC502", f"`{path}` is missing") from None
    except OSError as error:
        raise SpecError.of("DLC503", f"`{path}` can't be read: {reason(error)}") from None
    except ValueError as error:
        raise SpecError.of("DLC503", f"`{path}` is damaged: {reason(error)}") from None


def check_digest(value: Any, key: str) -> None:
    """Check the digest that a plain value holds of its other keys.

    Raises:
        ValueError: when it differs.
    """
    if not isinstance(value, dict):
        raise ValueError("it is not a mapping")
    rest = {name: item for name, item in value.items() if name != key}
    if value.get(key) != digest(to_json(rest)):
        raise ValueError("its digest differs")
