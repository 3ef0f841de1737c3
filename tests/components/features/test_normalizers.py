"""Normalizers and limits, compared with scikit-learn and numpy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from dlc.components.features.feature import encoded, encoded_on_host, fitted
from dlc.components.features.normalizers import KNOTS, NORMALIZED
from dlc.data.fitted import device_stats
from dlc.frontend.pipeline import check_text
from dlc.language.options import RuleViolation
from tests.common import codes
from tests.components.building import feature

RAW = np.random.default_rng(0).gamma([1.0, 0.7, 2.0], [1.0, 100.0, 1e6], (1500, 3))
LATER = np.concatenate([RAW[:20] * 1.37, RAW.min(0)[None], RAW.max(0)[None], RAW.max(0)[None] * 3, [[0.0, 0, 0]]])
SPEC = "inputs: {{x: {}}}\ntargets: {{y: {}}}\nnetwork: [dense: 1]\nloss: mse\n"


def transformed(how: str, count: int = 1500) -> Any:
    """scikit-learn's transformer, fitted to the first records."""
    quantiles = min(count, KNOTS)
    made = {
        "robust": RobustScaler(),
        "log": StandardScaler(),
        "quantile": QuantileTransformer(n_quantiles=quantiles, output_distribution="normal", subsample=None),
        "quantile_uniform": QuantileTransformer(n_quantiles=quantiles, subsample=None),
    }[how]
    if how == "log":
        made.fit(np.log1p(RAW[:count]))
        return lambda rows: made.transform(np.log1p(rows))
    return made.fit(RAW[:count]).transform


@pytest.mark.parametrize("how", ["robust", "log", "quantile", "quantile_uniform"])
def test_normalizers_against_scikit_learn(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = feature(f"tensor: {{shape: [3], normalize: {how}}}")
    for count in (1500, 40):
        stats = fitted(made, "x", RAW[:count])
        for rows in (RAW, LATER):
            found = encoded_on_host(made, "x", rows, stats)["x"]
            np.testing.assert_allclose(found, transformed(how, count)(rows), rtol=2e-6, atol=2e-6)
    monkeypatch.setattr("dlc.components.features.feature._BLOCK", 10)
    monkeypatch.setattr("dlc.components.features.feature._GATHERED", 2000)
    for name, value in fitted(made, "x", RAW[:40]).items():
        np.testing.assert_allclose(value, stats[name], rtol=1e-12)


@pytest.mark.parametrize("how", list(NORMALIZED))
def test_values_come_back_and_a_program_computes_the_same(how: str) -> None:
    made = feature(f"number: {how}")
    raw = RAW[:, :1].astype(np.float32)
    stats = fitted(made, "x", raw)
    value = encoded_on_host(made, "x", raw, stats)["x"]
    np.testing.assert_allclose(made.decode(value.astype(np.float64), stats), raw, rtol=1e-4, atol=1e-4)
    narrow = device_stats({"x": stats})["x"]

    def there_and_back(raw: Any, stats: Any) -> Any:
        value = encoded(made, "x", raw, stats)["x"]
        return value, made.decode(value, stats)

    found, back = jax.jit(there_and_back)(jnp.asarray(raw), narrow)
    np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(back, raw, rtol=1e-3, atol=1e-3)


def test_equal_values_have_the_middle_of_their_ranks() -> None:
    made = feature("number: quantile_uniform")
    raw = np.array([0.0] * 60 + [1.0] * 41)[:, None]
    value = encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"]
    np.testing.assert_allclose(value[[0, -1], 0], [0.295, 0.8], atol=1e-6)
    constant = np.full((10, 1), 7.0)
    for how in ("robust", "log", "quantile"):
        made = feature(f"number: {how}")
        assert not encoded_on_host(made, "x", constant, fitted(made, "x", constant))["x"].any()


def test_half_of_the_values_equal_is_no_scale_of_zero() -> None:
    """The quartiles are equal: the standard deviation is the scale, where scikit-learn divides by 1."""
    raw = np.array([0.0] * 90 + [1e6] * 10)[:, None]
    made = feature("number: robust")
    value = encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"]
    np.testing.assert_allclose(value[[0, -1], 0], [0, 1e6 / raw.std()], rtol=1e-6)


def test_a_logarithm_takes_no_negative_numbers() -> None:
    with pytest.raises(RuleViolation, match="row 2 of column `x` has a negative value") as caught:
        feature("number: log").read([np.array([1.0, -2.0, -3.0])], "x")
    assert caught.value.code == "DLC403" and caught.value.option == "normalize"
    made = feature("number: {normalize: log, clip: [0, null]}")
    assert made.read([np.array([1.0, -2.0])], "x").shape == (2, 1)


def test_values_are_clipped_before_they_are_fitted() -> None:
    raw = np.array([-50.0, 1, 2, 3, 1000])[:, None]
    for limits, low, high in (("[0, 10]", 0, 10), ("[null, 10]", None, 10), ("[0, null]", 0, None)):
        made = feature(f"number: {{normalize: standard, clip: {limits}}}")
        wanted = StandardScaler().fit_transform(np.clip(raw, low, high))
        np.testing.assert_allclose(encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"], wanted, rtol=1e-6)
    made = feature("tensor: {shape: [1], normalize: robust, clip: 2.5}")
    wanted = np.clip(RobustScaler().fit_transform(raw), -2.5, 2.5)
    np.testing.assert_allclose(encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"], wanted, rtol=1e-6)
    gaps = feature("number: {clip: [0, 10], missing: mean, missing_indicator: true}")
    found = encoded_on_host(gaps, "x", np.array([[20.0], [np.nan], [4]]), {"fill": np.array([12.0])})["x"]
    np.testing.assert_array_equal(found, [[10, 0], [10, 1], [4, 0]])


def test_clipped_ranges_are_known() -> None:
    assert feature("number: {clip: [0, 10]}").encoded_range() == (0, 10)
    assert feature("number: {clip: [0, null], value_range: [-5, 5]}").encoded_range() == (0, 5)
    assert feature("number: {clip: [0, null]}").encoded_range() is None


def test_a_target_is_not_clipped() -> None:
    assert codes(SPEC.format("{number: {clip: [0, 1]}}", "number")) == ()
    report = check_text(SPEC.format("number", "{number: {clip: [0, 1]}}"))[1]
    assert report.codes == ("DLC104",)
    assert "a target can't be clipped" in report.diagnostics[0].message


def test_a_negative_replacement_has_no_logarithm() -> None:
    for spec, wrong in (("{normalize: log, missing: -1}", True), ("{normalize: log, missing: 0}", False)):
        text = f"inputs: {{x: {{number: {spec}}}}}\nnetwork: [dense: 1]\n"
        assert ("DLC104" in codes(text)) == wrong
