"""Sequences of token numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import Feature, FeatureExample, before_data, numbers_of, where_defined
from dlc.components.features.ragged import rectangular
from dlc.components.wrong_values import RecordColumns, raise_all
from dlc.diagnostics import plural
from dlc.ir import Dim, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_length(value: Any) -> Any:
    """A number of tokens, or a name; rejects anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if whole or (isinstance(value, str) and value.isidentifier() and value != "batch"):
        return value
    raise reject(OptionError((), "DLC104", "not a valid length", found=spell(value), expected="a number, or a name"))


class TokenValues(Feature):
    """Shared by features whose values are ids of a vocabulary."""

    def prediction_columns(self, name: str, sizes: Sequence[int]) -> list[str]:
        """A column for each position."""
        return super().prediction_columns(name, sizes[:-1] if len(sizes) == 2 else sizes)

    def present(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The most probable token at each position, a column each; none where a score is NaN."""
        return super().present(name, _best(prediction))

    def arrays(self, name: str, prediction: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The most probable tokens: (n, time)."""
        return {name: _best(prediction)}


class Tokens(TokenValues):
    """A sequence of numbers of a vocabulary: (batch, length) in int32.

    It reads one column of arrays or lists, or several columns of one token each. `padding` is the number that fills the
    end of shorter sequences: the value then has a mask, and padding never counts. `ignored` is the number at positions
    without a token to predict: a loss with this `ignore_index` skips them.
    """

    word = "tokens"
    vocabulary: int = main(ge=1, le=2**24, description="number of different tokens, numbered from 0")
    length: Annotated[Dim, BeforeValidator(read_length)] = option(
        "time", description="tokens per record; a name for a length that varies between data sets"
    )
    padding: int | None = option(None, ge=0, description="the number that fills the end of shorter sequences")
    ignored: int | None = option(
        None, ge=-(2**31), lt=2**31, description="the number in the data for no token; only for targets"
    )
    columns: tuple[str, ...] | None = option(None, description="columns of one token each; `token_*` matches several")

    examples = (
        FeatureExample("tokens: 5", "i32[batch, time]<5", [[0, 4, 2], [1, 1, 1]], [[0, 4, 2], [1, 1, 1]]),
        FeatureExample(
            "tokens: {vocabulary: 5, length: 3, padding: 0}",
            "i32[batch, 3]<5 masked",
            [[1, 4, 0], [1, 1, 1]],
            [[1, 4, 0], [1, 1, 1]],
        ),
        FeatureExample("tokens: {vocabulary: 4, ignored: -100}", "i32[batch, time]<4", [[0, -100, 2]], [[0, -100, 2]]),
        FeatureExample("tokens: {vocabulary: 4, ignored: 3}", "i32[batch, time]<4", [[0]], error="DLC104"),
        FeatureExample("tokens: 4", "i32[batch, time]<4", [[0, 4, 2]], error="DLC404"),
        FeatureExample("tokens: 4", "i32[batch, time]<4", [[0, -1, 2]], error="DLC404"),
        FeatureExample("tokens: 4", "i32[batch, time]<4", [[0, 1.5, 2]], error="DLC404"),
        FeatureExample("tokens: {vocabulary: 5, length: 2}", "i32[batch, 2]<5", [[0, 4, 2]], error="DLC406"),
        FeatureExample("tokens: {vocabulary: 5, padding: 0}", "i32[batch, time]<5 masked", [[0, 4, 2]], error="DLC404"),
        FeatureExample("tokens: {vocabulary: 5, padding: 5}", "i32[batch, time]<5", [[0]], error="DLC104"),
        FeatureExample("tokens: {vocabulary: 5, length: 0}", "i32[batch, time]<5", [[0]], error="DLC104"),
    )

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("columns"), (list, str)):
            columns = data["columns"]
            return {**data, "columns": (columns,) if isinstance(columns, str) else tuple(columns)}
        return data

    @model_validator(mode="after")
    def _check(self) -> Tokens:
        if self.columns and self.column:
            raise reject(OptionError(("column",), "DLC303", "`column` has no effect with `columns`", at_key=True))
        if self.columns == ():
            raise reject(OptionError(("columns",), "DLC104", "`columns` is empty", expected="at least one name"))
        if self.padding is not None and self.padding >= self.vocabulary:
            expected = f"a number below {self.vocabulary}"
            message = "`padding` is not in the vocabulary"
            raise reject(OptionError(("padding",), "DLC104", message, found=f"`{self.padding}`", expected=expected))
        if self.ignored is not None and 0 <= self.ignored < self.vocabulary:
            message, expected = (
                "`ignored` is a token",
                f"a number that is not a token, outside of 0 to {self.vocabulary - 1}",
            )
            raise reject(OptionError(("ignored",), "DLC104", message, found=f"`{self.ignored}`", expected=expected))
        return self

    @property
    def unlabelled(self) -> int | None:
        """The option `ignored`."""
        return self.ignored

    def reads(self, name: str) -> tuple[str, ...]:
        """The named columns, by default the column with the feature's name."""
        return self.columns or super().reads(name)

    def value_type(self) -> TensorType:
        """i32[batch, length]<vocabulary, masked if `padding` is set."""
        return TensorType(("batch", self.length), "i32", self.padding is not None, self.vocabulary)

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The tokens of each record, checked against the vocabulary."""
        labels = self.columns if self.columns and len(self.columns) == len(columns) else [name] * len(columns)
        columns = rectangular(columns, labels, first_row, self.padding, self.length)
        parts = numbers_of(columns, labels, first_row)
        source = RecordColumns(labels, [prod(part.shape[1:]) for part in parts], first_row)
        values = np.concatenate(
            [part.reshape(len(part), width) for part, width in zip(parts, source.widths, strict=True)], axis=1
        )
        if isinstance(self.length, int) and values.shape[1] != self.length:
            raise RuleViolation(
                "DLC406",
                f"records of `{name}` have a different length",
                found=plural(values.shape[1], "token"),
                expected=plural(self.length, "token"),
                option="length",
            )
        bad = (values < 0) | (values >= self.vocabulary) | (values % 1 != 0)
        if self.ignored is not None:
            bad &= values != self.ignored
        what, expected = "has a token that is not in the vocabulary", f"an integer from 0 to {self.vocabulary - 1}"
        wrong = source.wrong(bad, values, "DLC404", what, expected=expected, option="vocabulary")
        if self.padding is not None:
            wrong += source.wrong(
                before_data(values == self.padding),
                values,
                "DLC404",
                "has padding before data",
                expected="padding only after the sequence",
                hint="move the padding to the end, or use another number for padding",
                option="padding",
            )
        raise_all(wrong)
        return np.ascontiguousarray(values.astype(np.int32))

    def aligned(self, parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """All padded to the longest length, if `padding` is set."""
        if self.padding is None:
            return list(parts)
        longest = max(part.shape[1] for part in parts)
        return [np.pad(part, ((0, 0), (0, longest - part.shape[1])), constant_values=self.padding) for part in parts]

    def mask(self, raw: Any) -> Any:
        """True where a value is not padding."""
        return raw != self.padding


def _best(prediction: NDArray[Any]) -> NDArray[Any]:
    """Tokens of (n, time, vocabulary) scores, None where one is NaN; tokens as they are."""
    if prediction.ndim != 3:
        return prediction
    return where_defined(np.asarray(prediction.argmax(-1)), np.isnan(prediction).any(-1))
