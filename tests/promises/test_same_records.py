"""The same records in another order, format or place give the same answers.

This is `benchmarks/same_records.py` in a short form.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks import same_records


@pytest.mark.few(1)
@pytest.mark.parametrize("seed", range(8))
def test_the_same_records_give_the_same_answers(seed: int) -> None:
    found = same_records.battery(10, seed, each=10)
    assert [item for item in found if item.outcome == same_records.WRONG] == []
    assert {item.outcome for item in found} == {same_records.SAME, same_records.REFUSED}


def test_a_difference_is_noticed() -> None:
    """The battery can fail: other numbers, another shape, another record."""
    wanted = {"y": np.array([1.0, 2.0, 3.0]), "bytes": b"same"}
    assert same_records.same({"y": np.array([1.0, 2.0, 3.00001]), "bytes": b"same"}, wanted, list("abc"))
    assert not same_records.same({"y": np.array([1.0, 2.0, 3.01]), "bytes": b"same"}, wanted, list("abc"))
    assert not same_records.same({"y": np.array([1.0, 2.0]), "bytes": b"same"}, wanted, list("abc"))
    assert not same_records.same({"y": np.array([1.0, 2.0, 3.0]), "bytes": b"other"}, wanted, list("abc"))
    assert same_records.same({"y": np.array([1.0, 3.0]), "#ids": ["a", "c"]}, {"y": wanted["y"]}, list("abc"))
    assert not same_records.same({"y": np.array([1.0, 2.0]), "#ids": ["a", "c"]}, {"y": wanted["y"]}, list("abc"))


def test_records_are_drawn_by_seed() -> None:
    assert same_records.drawn(random.Random(5)) == same_records.drawn(random.Random(5))
