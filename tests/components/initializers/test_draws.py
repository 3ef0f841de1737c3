"""A draw of initial values depends on the seed, the path and the declaration only."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from dlc.components.initializers.initializer import draw, path_hash
from dlc.ir import ONES, ZEROS, Init, ParamSpec


def test_a_path_hashes_to_the_same_everywhere() -> None:
    """Saved runs depend on these numbers."""
    assert path_hash("dense/kernel") == 0x0E2906D9
    assert len({path_hash(f"layer_{index}/kernel") for index in range(2000)}) == 2000


def test_glorot_uniform() -> None:
    spec = ParamSpec((200, 300), Init("glorot_uniform", 200, 300))
    value = draw(spec, 0, "dense/kernel")
    limit = math.sqrt(6 / 500)
    assert value.dtype == np.float32 and value.shape == (200, 300) and value.flags.c_contiguous
    assert np.abs(value).max() <= limit and np.abs(value).max() > 0.999 * limit
    assert value.var() == pytest.approx(2 / 500, rel=0.02)  # 60,000 draws: the deviation of the variance is 0.4%
    assert abs(value.mean()) < 5 * math.sqrt(2 / 500 / value.size)


def test_a_draw_depends_on_seed_path_and_declaration_alone() -> None:
    spec = ParamSpec((3, 4), Init("glorot_uniform", 3, 4))
    first = draw(spec, 7, "a/kernel")
    draw(spec, 8, "b/kernel")
    np.random.default_rng(0).random(5)
    np.testing.assert_array_equal(draw(spec, 7, "a/kernel"), first)
    assert np.any(draw(spec, 8, "a/kernel") != first)
    assert np.any(draw(spec, 7, "b/kernel") != first)
    np.testing.assert_array_equal(draw(spec, 2**32 - 1, "a").shape, (3, 4))


def test_constant_first_values() -> None:
    np.testing.assert_array_equal(draw(ParamSpec((3,), ZEROS), 0, "a"), np.zeros(3, np.float32))
    np.testing.assert_array_equal(draw(ParamSpec((3,), ONES, dtype="i32"), 0, "a"), np.ones(3, np.int32))


def test_triangular() -> None:
    value = draw(ParamSpec((20_000,), Init("triangular", options=(("limit", 0.3),))), 0, "lstm/bias")
    assert scipy.stats.kstest(value, scipy.stats.triang(0.5, -0.3, 0.6).cdf).pvalue > 0.01
