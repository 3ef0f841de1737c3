"""Lists of different lengths, as tables of Arrow and JSON have them, in `tokens` and `tensor`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.components.sources.python_values import object_column
from dlc.language.options import RuleViolation
from tests.components.building import built


def read(spec: str, *values: Any) -> Any:
    return built(spec, "feature").read([object_column(values)], "x", 5)


def test_shorter_lists_are_padded() -> None:
    spec = "tokens: {vocabulary: 9, padding: 8, length: LENGTH}"
    wanted = [[1, 2, 8], [8, 8, 8], [3, 4, 5], [8, 8, 8]]
    for length, more in (("time", 0), ("3", 0), ("5", 2)):
        found = read(spec.replace("LENGTH", length), [1, 2], [], [3, 4, 5], None)
        np.testing.assert_array_equal(found, np.pad(wanted, ((0, 0), (0, more)), constant_values=8))
        assert found.dtype == np.int32
    series = read("tensor: {shape: [time, 2], padding: -1}", [[1, 2.5]], [[3, 4], [5, 6]])
    np.testing.assert_array_equal(series, [[[1, 2.5], [-1, -1]], [[3, 4], [5, 6]]])
    gaps = read("tensor: {shape: [time, 1], padding: nan}", [1, 2], [3])
    np.testing.assert_array_equal(gaps, [[[1], [2]], [[3], [np.nan]]])
    np.testing.assert_array_equal(read("tensor: [2]", [1, 2], [3, 4]), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("spec", "values", "code", "said"),
    [
        ("tokens: 9", ([1], [2, 3]), "DLC406", "records of `x` have different lengths"),
        (
            "tokens: {vocabulary: 9, padding: 0, length: 2}",
            ([1], [1, 2, 3]),
            "DLC406",
            "row 6 of column `x` is too",
        ),
        ("tokens: {vocabulary: 9, padding: 0}", ([1], ["a"]), "DLC403", "row 6 of column `x` is not a list of numbers"),
        ("tokens: {vocabulary: 9, padding: 0}", ([1], [[1], [2, 3]]), "DLC403", "row 6 of column `x` is not a list"),
        ("tokens: {vocabulary: 9, padding: 0}", ([1], "1 2"), "DLC403", "row 6 of column `x` is not a list"),
        ("tensor: {shape: [time, 2], padding: 0}", ([[1, 2]], [[1], [2]]), "DLC406", "have different sizes"),
    ],
)
def test_lists_that_do_not_fit(spec: str, values: tuple[Any, ...], code: str, said: str) -> None:
    with pytest.raises(RuleViolation) as caught:
        read(spec, *values)
    assert caught.value.code == code and said in caught.value.message
