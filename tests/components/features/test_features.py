"""Features: what they read, what they refuse and how it is said, and the way there and back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dlc.components.features import FEATURES
from dlc.components.features.feature import (
    as_numbers,
    encoded,
    encoded_on_host,
    fitted,
)
from dlc.components.features.normalizers import fit_normalizer
from dlc.components.wrong_values import Violations, WrongValues
from dlc.data.fitted import Unpadded, device_stats, record_digests
from dlc.frontend.pipeline import check_text
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, load_class
from tests.components.building import built, feature
from tests.components.value_examples import column, has_type


def wrong(spec: str, values: Any, **facts: Any) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        feature(spec).read([column(values)], "x", **facts)
    return caught.value


@pytest.mark.parametrize("word", FEATURES)
def test_a_feature_is_documented(word: str) -> None:
    cls = load_class(FEATURES, word)
    assert cls.word == word
    assert "(batch" in (cls.__doc__ or "").split("\n\n")[0]
    assert any(example.error is None for example in cls.examples)
    for name, field in cls.model_fields.items():
        assert field.description, f"`{name}` of `{word}` has no description"


# ---- numbers ----


def test_numbers_of_every_kind_are_read_exactly() -> None:
    kinds = {np.int8: np.int8, np.uint8: np.uint8, np.uint16: np.uint16, np.float16: np.float32, np.float32: np.float32}
    wide = dict.fromkeys((np.int32, np.int64, np.uint64, np.float64, np.bool_), np.float64)
    for kind, wanted in {**kinds, **wide}.items():
        made = as_numbers(np.array([0, 1, 1], kind), "x", 1)
        assert made.dtype == wanted
        np.testing.assert_array_equal(made, [0, 1, 1])
    np.testing.assert_array_equal(as_numbers(np.array([2**53 - 1]), "x", 1), [2**53 - 1])
    assert as_numbers(np.array(["5412345.07"]), "x", 1)[0] == 5412345.07
    objects = np.array([1, 2.5, True, None, " 3 ", np.float64(4), b"5", np.bool_(False)], dtype=object)
    np.testing.assert_array_equal(as_numbers(objects, "x", 1, missing=-1.0), [1, 2.5, 1, -1, 3, 4, 5, 0])
    np.testing.assert_array_equal(as_numbers(np.array(["1", "2e3"]), "x", 1), [1, 2000])
    np.testing.assert_array_equal(as_numbers(np.array([b"1", b"2"]), "x", 1), [1, 2])
    assert feature("tensor: [3]").read([np.arange(6, dtype=np.uint8).reshape(2, 3)], "x").dtype == np.uint8


def test_large_data_are_not_copied() -> None:
    data = np.zeros((10, 4), np.float32)
    assert np.shares_memory(feature("tensor: [4]").read([data], "x"), data)


@pytest.mark.parametrize(
    ("values", "found", "row"),
    [
        (["1", "2", "n/a"], "the string `n/a`", 3),
        (["1", "", "2"], "an empty field", 2),
        ([1.0, None, 2.0], "an empty field", 2),
        ([1.0, 2.0, float("nan"), float("inf")], "`nan` (once), `inf` (once)", 3),
        (["1", "nan"], "`nan`", 2),
        ([1.0, float("-inf")], "`-inf`", 2),
        (["1", "1e400"], "`1e400`", 2),
        (["1", "1e39"], "`1e39`", 2),
        ([1.0, 1e39], "`1e+39`", 2),
        ([10**400, 1, None], f"`{10**400}`", 1),
    ],
)
def test_what_is_no_number_is_named_with_its_row(values: list[Any], found: str, row: int) -> None:
    objects = np.array(values, dtype=object if isinstance(values[0], int) else None)
    for data in (objects, np.array(values, dtype=object)):
        with pytest.raises(RuleViolation) as caught:
            as_numbers(data, "price", 1, missing=0.0 if 10**400 in values else None)
        assert caught.value.code == "DLC403"
        assert f"row {row} of column `price`" in caught.value.message
        assert caught.value.found == found


def test_rows_count_records_not_elements() -> None:
    values = np.array([["1", "2"], ["3", "x"]], dtype=object)
    with pytest.raises(RuleViolation, match="row 12 of column"):
        as_numbers(values, "x", first_row=11)
    with pytest.raises(RuleViolation, match="row 12 of column"):
        as_numbers(np.array([[1.0, 2], [3, np.nan]]), "x", first_row=11)


def test_infinity_is_not_missing() -> None:
    with pytest.raises(RuleViolation, match="row 3 "):
        as_numbers(np.array([np.nan, 1, np.inf]), "x", 1, missing=0.0)
    np.testing.assert_array_equal(as_numbers(np.array([np.nan, 1]), "x", 1, missing=0.5), [0.5, 1])


@pytest.mark.parametrize("kind", [np.complex64, "datetime64[s]", [("a", np.float32)]])
def test_types_that_are_no_numbers(kind: Any) -> None:
    with pytest.raises(RuleViolation, match="holds no numbers"):
        as_numbers(np.zeros(3, kind), "x", 1)


def test_a_number_reads_one_column() -> None:
    for spec in ("number", "category: 2"):
        with pytest.raises(RuleViolation) as caught:
            feature(spec).read([np.zeros(3), np.zeros(3)], "a, b")
        assert caught.value.code == "DLC402" and caught.value.option == "column"


# ---- normalisation ----

FLOATS = st.floats(-(2.0**30), 2.0**30, width=32)


@settings(max_examples=60, deadline=None)
@given(
    raw=arrays.arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=FLOATS),
    how=st.sampled_from(["standard", "minmax"]),
    scale=st.sampled_from(["", ", scale: 255"]),
)
def test_normalised_values_come_back(raw: np.ndarray, how: str, scale: str) -> None:
    made = feature(f"tensor: {{shape: [{raw.shape[1]}], normalize: {how}{scale}}}")
    stats = made.fit(raw)
    value = made.encode(raw, stats)
    assert np.isfinite(value).all()
    # a float32 keeps 24 bits: of the larger one of the shift and the value
    room = 1e-6 * (np.abs(raw).max(0) + np.ptp(raw, 0)) + 1e-30
    np.testing.assert_array_less(np.abs(made.decode(value, stats) - raw), np.broadcast_to(room, raw.shape))
    np.testing.assert_allclose(
        jax.jit(made.decode)(value, stats), made.decode(value, stats), rtol=1e-5, atol=room.max()
    )


@pytest.mark.parametrize("scale", ["", ", scale: 16"])
def test_normalisers_against_numpy(scale: str) -> None:
    raw = np.random.default_rng(0).normal([3, -100, 1e6], [1, 0.1, 10], (500, 3)).astype(np.float32)
    wide = raw.astype(np.float64)
    made = feature(f"tensor: {{shape: [3], normalize: standard{scale}}}")
    np.testing.assert_allclose(made.encode(raw, made.fit(raw)), (wide - wide.mean(0)) / wide.std(0), atol=0.02)
    np.testing.assert_allclose(
        made.encode(raw, made.fit(raw))[:, 0], ((wide - wide.mean(0)) / wide.std(0))[:, 0], atol=1e-5
    )
    made = feature(f"tensor: {{shape: [3], normalize: minmax{scale}}}")
    value = made.encode(raw, made.fit(raw))
    np.testing.assert_allclose([value.min(0), value.max(0)], [[0] * 3, [1] * 3], atol=1e-6)
    single = feature("number: standard")
    value = single.encode(raw[:, :1], single.fit(raw[:, :1]))
    assert abs(value.mean()) < 1e-5 and value.std() == pytest.approx(1, rel=1e-5)


def test_fitting_in_blocks_is_fitting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.random.default_rng(0).normal(5, 2, (1000, 3)).astype(np.float32)
    whole = fit_normalizer(raw, "standard")
    monkeypatch.setattr("dlc.components.features.feature._BLOCK", 64)
    for name, value in fit_normalizer(raw, "standard").items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-6)
    np.testing.assert_allclose(whole["scale"], raw.std(0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("how", ["standard", "minmax"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -7e8, 1e-40])
def test_a_constant_column_becomes_zero(how: str, constant: float) -> None:
    raw = np.full((1001, 1), constant, np.float32)
    made = feature(f"number: {how}")
    stats = made.fit(raw)
    np.testing.assert_array_equal(made.encode(raw, stats), np.zeros_like(raw))
    np.testing.assert_array_equal(made.decode(made.encode(raw, stats), stats), raw)


@pytest.mark.parametrize(("middle", "spread"), [(5_412_345.0, 0.058), (1.7e9, 4e3), (-3e7, 0.5), (0.25, 1e-9)])
def test_large_numbers_that_differ_little_stay_apart(middle: float, spread: float) -> None:
    """float64 arithmetic on the host; an exported program is as exact as its float32 inputs."""
    wide = middle + spread * np.random.default_rng(0).normal(size=80)
    made = feature("number: standard")
    raw = made.read([wide], "x")
    stats = made.fit(raw)
    value = encoded_on_host(made, "x", raw, stats)["x"][:, 0]
    np.testing.assert_allclose(value, (wide - wide.mean()) / wide.std(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(made.decode(value[:, None], stats)[:, 0], wide, rtol=0, atol=1e-6 * spread)
    narrow = raw.astype(np.float32)
    program = jax.jit(made.encode)(jnp.asarray(narrow), device_stats({"x": stats})["x"])
    exact = (narrow.astype(np.float64) - wide.mean()) / wide.std()
    np.testing.assert_allclose(program, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


def test_normalising_images_keeps_their_channels_apart() -> None:
    raw = np.random.default_rng(0).normal([0, 5], [1, 3], (40, 4, 4, 2)).astype(np.float32)
    made = feature("tensor: {shape: [4, 4, 2], normalize: standard}")
    stats = made.fit(raw)
    assert stats["shift"].shape == (2,)
    value = made.encode(raw, stats)
    np.testing.assert_allclose(value.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(value.std((0, 1, 2)), 1, rtol=1e-5)


def test_scalars_normalise_as_one_entry() -> None:
    made = feature("tensor: {shape: [], normalize: standard}")
    raw = made.read([np.array([1.0, 3.0])], "x")
    np.testing.assert_allclose(made.encode(raw, made.fit(raw)), [-1, 1])
    assert made.stats_types() == dict.fromkeys(("shift", "shift_rest", "scale"), TensorType((1,)))


# ---- missing values ----

GAPS = np.array([[1.5, np.nan, 7], [np.nan, 2, 7], [4, 2, np.nan], [4, 100, 7], [-3, np.nan, 0]])


@pytest.mark.parametrize("how", ["mean", "median", "most_frequent", "-2.5", "{constant: -2.5}"])
@pytest.mark.parametrize("normalize", ["none", "standard", "minmax"])
def test_missing_values_against_scikit_learn(how: str, normalize: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SimpleImputer with indicators for all columns, then a scaler; fitted in float64, in memory and block by block."""
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import FunctionTransformer, Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    number = "-2.5" in how
    imputer = SimpleImputer(strategy="constant" if number else how, fill_value=-2.5 if number else None)
    scaler = {"none": FunctionTransformer(), "standard": StandardScaler(), "minmax": MinMaxScaler()}[normalize]
    pipeline = Pipeline([("fill", imputer), ("scale", scaler)]).fit(GAPS)
    later = np.array([[np.nan, np.nan, np.nan], [1.0, 2, 3]])
    options = f"missing: {how}, normalize: {normalize}, missing_indicator: true"
    made = feature(f"tensor: {{shape: [3], {options}}}")
    stats = fitted(made, "x", made.read([GAPS], "x"))
    for rows in (GAPS, later):
        found = encoded_on_host(made, "x", made.read([rows], "x"), stats)["x"]
        flags = MissingIndicator(features="all").fit_transform(rows)
        np.testing.assert_allclose(found, np.hstack([pipeline.transform(rows), flags]), rtol=1e-6)
        np.testing.assert_allclose(made.decode(found, stats)[:, :3], imputer.transform(rows), rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(stats["fill"], imputer.statistics_ if not number else [-2.5])
    monkeypatch.setattr("dlc.components.features.feature._BLOCK", 6)
    monkeypatch.setattr("dlc.components.features.feature._GATHERED", 5)
    for name, value in fitted(made, "x", GAPS).items():
        np.testing.assert_allclose(value, stats[name], rtol=1e-12)
    single = feature(f"number: {{{options}}}")
    column = single.read([np.array([str(value) if value == value else "" for value in GAPS[:, 1]])], "x")
    found = encoded_on_host(single, "x", column, fitted(single, "x", column))["x"]
    wanted = np.stack([pipeline.transform(GAPS)[:, 1], np.isnan(GAPS[:, 1])], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_the_mean_of_missing_values_is_fitted_in_float64() -> None:
    wide = np.array([5_412_345.25, np.nan, 5_412_345.75, 5_412_346.25])
    made = feature("number: {missing: mean, normalize: standard}")
    raw = made.read([wide], "x")
    stats = fitted(made, "x", raw)
    assert stats["fill"][0] == 5_412_345.75
    np.testing.assert_allclose(encoded_on_host(made, "x", raw, stats)["x"][1], 0, atol=1e-9)


def test_missing_classes_against_scikit_learn() -> None:
    from sklearn.impute import SimpleImputer

    texts = np.array(["b", "c", None, "c", "b", "a", None], dtype=object)
    made = feature("category: {classes: [a, b, c], missing: most_frequent, one_hot: true, missing_indicator: true}")
    raw = made.read([np.array(["" if text is None else text for text in texts], object)], "x")
    wanted = SimpleImputer(strategy="most_frequent", missing_values=None).fit_transform(texts[:, None])[:, 0]
    rows = np.array([[*(text == name for name in "abc"), gap is None] for text, gap in zip(wanted, texts, strict=True)])
    np.testing.assert_array_equal(encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"], rows)
    made = feature("category: {classes: {low: [1, 2], high: [3]}, missing: 3}")
    raw = made.read([np.array([1.0, np.nan, 3.0])], "x")
    np.testing.assert_array_equal(encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"], [0, 1, 1])
    assert feature("category: {classes: [a, b], missing: {constant: b}}").missing == "b"


def test_a_column_without_values_can_not_fill_itself() -> None:
    made = feature("tensor: {shape: [2], missing: median}")
    with pytest.raises(RuleViolation, match=r"a value of `x\[..., 1\]`") as caught:
        fitted(made, "x", np.array([[1.0, np.nan], [2.0, np.nan]]))
    assert caught.value.code == "DLC405" and caught.value.option == "missing"


# ---- wrong values ----


@pytest.mark.parametrize(
    ("spec", "columns", "first", "found"),
    [
        ("tokens: 5", [[[0, 1], [2, 9]], [[3], [1]]], ("row 12 of column `t`", 0), "`9`"),
        ("tokens: 5", [[[0, 1], [2, 3]], [[-1], [-1]]], ("row 11 of column `t`", 1), "`-1` (2 times)"),
        (
            "tokens: {vocabulary: 5, padding: 0}",
            [[[2, 0], [2, 0]], [[0], [1]]],
            ("row 12 of column `t`", 0),
            "`0`",
        ),
        (
            "tensor: {shape: [3], value_range: [0, 4]}",
            [[[0, 1], [2, 3]], [[9], [1]]],
            ("row 11 of column `t`", 1),
            "`9`",
        ),
        (
            "tensor: {shape: [3, 1], padding: 0}",
            [[[0, 0], [2, 0]], [[1], [1]]],
            ("row 11 of column `t`", 0),
            "a time step of 0 (3 times)",
        ),
        (
            "tensor: {shape: [2, 2], padding: nan}",
            [[[1, 2], [np.nan, np.nan]], [[3, np.nan], [5, 6]]],
            ("row 12 of column `t`", 0),
            "a time step of nan",
        ),
        (
            "tensor: {shape: [2, 2], padding: nan}",
            [[[1, 2], [3, np.nan]], [[3, np.nan], [5, np.nan]]],
            ("row 12 of column `t`", 0),
            "`nan` beside numbers",
        ),
    ],
)
def test_wrong_values_name_the_column_that_holds_them(
    spec: str, columns: list[Any], first: tuple[str, int], found: str
) -> None:
    with pytest.raises((WrongValues, Violations)) as caught:
        feature(spec).read([np.array(column, float) for column in columns], "t", 11)
    error = caught.value.found[0] if isinstance(caught.value, Violations) else caught.value
    assert isinstance(error, WrongValues)
    assert error.message.startswith(first[0]) and error.index == first[1] and error.found == found


def test_findings_of_several_kinds_come_at_once() -> None:
    for spec, values in (
        ("tokens: {vocabulary: 5, padding: 0}", [[9, 1], [0, 1]]),
        ("tensor: {shape: [2, 1], padding: 0, value_range: [0, 4]}", [[[9], [1]], [[0], [1]]]),
    ):
        with pytest.raises(Violations) as caught:
            feature(spec).read([np.array(values, float)], "t")
        assert [error.message.split(" of ")[0] for error in caught.value.found] == ["row 1", "row 2"]


def test_all_wrong_values_are_one_finding() -> None:
    with pytest.raises(WrongValues) as caught:
        as_numbers(np.array(["1", "NA", "", "NA", "x", "1e99", "?", "y"], dtype=object), "a", 1)
    assert "row 2 of column `a`" in caught.value.message
    assert caught.value.found == (
        "the string `NA` (2 times), an empty field (once), the string `x` (once), `1e99` (once), "
        "and 2 other values (2 times)"
    )
    assert 'missing_values: ["NA", "?"]' in (caught.value.hint or "")
    with pytest.raises(WrongValues) as caught:
        as_numbers(np.array(["1,5", "x"], dtype=object), "a", 1)
    assert 'decimal: ","' in (caught.value.hint or "")
    with pytest.raises(Violations) as several:
        feature("tensor: {shape: [3], columns: [a, b, c]}").read(
            [np.array(["1", "x"], object), np.array([1, 2]), np.array(["", "1"], object)], "x"
        )
    assert [error.message.split(" of ")[1] for error in several.value.found] == [
        "column `a` is not a number",
        "column `c` is not a number",
    ]
    with pytest.raises(Violations) as several:
        feature("tokens: {vocabulary: 5, columns: [a, b, c]}").read(
            [np.array(["1", "x"], object), np.array([1, 2]), np.array(["", "1"], object)], "t"
        )
    assert [(error.column, error.index) for error in several.value.found if isinstance(error, WrongValues)] == [
        ("a", 0),
        ("c", 2),
    ]
    found = wrong("category: [a, b]", ["c", "a", "d", "c"])
    assert found.found == "the string `c` (2 times), the string `d` (once)"


# ---- tensors ----


def test_columns_side_by_side() -> None:
    made = feature("tensor: {shape: [2, 2], columns: [a, b, c_*]}")
    assert made.reads("x") == ("a", "b", "c_*")
    raw = made.read([np.array([1, 5]), np.array(["2", "6"], object), np.array([[3, 4], [7, 8]])], "a, b, c_1")
    np.testing.assert_array_equal(raw, np.arange(1.0, 9).reshape(2, 2, 2))
    made = feature("tensor: {shape: [2], columns: [a, b]}")
    with pytest.raises(RuleViolation, match="row 2 of column `b`"):
        made.read([np.array([1, 5]), np.array(["2", "x"], object)], "a, b")
    assert feature("tensor: {shape: [1], columns: a}").reads("x") == ("a",)
    assert feature("tensor: {shape: [1], column: a}").reads("x") == ("a",)
    assert feature("tensor: [1]").reads("x") == ("x",)


@pytest.mark.parametrize(
    ("record", "shape", "fits"),
    [
        ((8, 8), "[8, 8, 1]", True),
        ((8, 8, 1), "[8, 8]", True),
        ((8, 8), "[64]", True),
        ((64,), "[8, 8]", True),
        ((1, 6), "[2, 3]", True),
        ((3, 4, 5), "[4, 5, 3]", False),
        ((2, 3), "[3, 2]", False),
        ((4, 6), "[2, 12]", False),
        ((4, 6), "[n, m]", True),
        ((4, 6), "[n, n]", False),
        ((6, 6), "[n, n]", True),
        ((), "[1]", True),
        ((), "[2]", False),
    ],
)
def test_records_and_shapes(record: tuple[int, ...], shape: str, fits: bool) -> None:
    """Axes of size 1 come and go, and flat rows are cut; but no axis changes places in silence."""
    made, data = feature(f"tensor: {{shape: {shape}}}"), np.zeros((2, *record))
    if fits:
        has_type(made.read([data], "x"), made.value_type())
        return
    with pytest.raises(RuleViolation) as caught:
        made.read([data], "x")
    assert caught.value.code == "DLC406" and caught.value.option == "shape"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("tensor: {shape: [2], columns: []}", "DLC104"),
        ("tensor: {shape: [2], columns: [a], column: b}", "DLC303"),
        ("tensor: {shape: [0]}", "DLC104"),
        ("tensor: {shape: [2], scale: 0}", "DLC104"),
        ("tensor: {shape: [2], normalise: standard}", "DLC101"),
        ("tensor: {columns: [a]}", "DLC102"),
        ("number: {missing: none}", "DLC104"),
        ("number: {missing: true}", "DLC104"),
        ("number: {missing: .nan}", "DLC104"),
        ("number: {missing: {constant: a}}", "DLC104"),
        ("number: {missing: {fill: 0}}", "DLC104"),
        ("tensor: {shape: [2], missing: drop, missing_indicator: true}", "DLC303"),
        ("tensor: {shape: [], missing: 0, missing_indicator: true}", "DLC203"),
        ("category: {classes: 2, missing: mean}", "DLC104"),
        ("category: {classes: 2, missing: [0]}", "DLC104"),
        ("category: {classes: [a, [b]]}", "DLC104"),
        ("category: {classes: {a: [], b: [x]}}", "DLC104"),
        ("category: 3000000000", "DLC104"),
        ("category: many", "DLC104"),
    ],
)
def test_wrong_features(spec: str, code: str) -> None:
    made = built(spec, "feature")
    assert isinstance(made, list) and [option_error.code for option_error in made] == [code]


def test_predictions_of_arrays_are_columns_by_place() -> None:
    made = feature("tensor: {shape: [2, 2]}").present("y", np.arange(8.0).reshape(2, 2, 2))
    assert list(made) == ["y_0_0", "y_0_1", "y_1_0", "y_1_1"]
    np.testing.assert_array_equal(made["y_1_0"], [2, 6])
    assert list(feature("tensor: {shape: [3]}").present("y", np.zeros((2, 3)))) == ["y_0", "y_1", "y_2"]
    assert list(feature("number").present("y", np.zeros((2, 1)))) == ["y"]
    assert {key: len(value) for key, value in feature("number").present("y", np.zeros((0, 1))).items()} == {"y": 0}


# ---- categories ----


def test_names_and_groups() -> None:
    made = feature("category: {classes: {flower: [rose, tulip], tree: oak}}")
    np.testing.assert_array_equal(made.read([column(["oak", "tulip", " rose "])], "x"), [1, 0, 0])
    assert str(made.value_type()) == "i32[batch]<2"
    made = feature("category: [setosa, virginica]")
    np.testing.assert_array_equal(made.read([np.array(["virginica", "setosa"])], "x"), [1, 0])
    np.testing.assert_array_equal(made.read([np.array([b"virginica", b"setosa"])], "x"), [1, 0])


def test_spellings_that_writers_of_tables_add() -> None:
    made = feature("category: 3")
    for values in (["0", "2"], ["0.0", "2."], [0, 2], [0.0, 2.0], ["+0", "02"]):
        np.testing.assert_array_equal(made.read([column(values)], "x"), [0, 2])
    np.testing.assert_array_equal(feature("category: [1.0, 2.0]").read([column([2.0, 1.0])], "x"), [1, 0])
    np.testing.assert_array_equal(feature("category: ['1', '1.0']").read([column(["1.0", "1"])], "x"), [1, 0])
    np.testing.assert_array_equal(feature("category: [0.5, 1.5]").read([column([1.5, 0.5])], "x"), [1, 0])
    np.testing.assert_array_equal(feature("category: ['007', '7']").read([column(["7", "007"])], "x"), [1, 0])
    np.testing.assert_array_equal(feature("category: ['True', 'False']").read([np.array([True, False])], "x"), [0, 1])
    accents = feature("category: [caf\u00e9, the\u0301]")
    np.testing.assert_array_equal(accents.read([column(["th\u00e9", "cafe\u0301"])], "x"), [1, 0])
    assert wrong("category: 3", [True]).code == "DLC404"  # true and false count two classes, not three


def test_unknown_classes_are_named() -> None:
    found = wrong("category: [setosa, virginica]", ["setosa", "Setosa", "rose"], first_row=11)
    assert found.message == "row 12 of column `x` holds an unknown class"
    assert found.found == "the string `Setosa` (once), the string `rose` (once)"
    assert found.expected == "one of `setosa`, `virginica`" and found.option == "classes"
    assert wrong("category: [setosa, virginica]", ["setosaa"]).hint == "did you mean `setosa`?"
    assert wrong("category: 2", ["no", "yes"]).hint == "list the names: `classes: [no, yes]`"
    assert wrong("category: 2", [0, 1, 2]).expected == "an integer from 0 to 1"
    assert wrong("category: 2", [0, 1.5]).found == wrong("category: 2", ["0", 1.5]).found == "the number `1.5`"
    for values in ([1.0, float("nan")], ["1", None], [1, None, "a", b"c", (1, 2)], [-1], ["9" * 5000], [1e300]):
        assert wrong("category: 2", values).code == "DLC404"
    assert wrong("category: [a, b]", ["a", ""]).found == "an empty field"


def test_many_classes_cost_nothing_before_they_are_used() -> None:
    made = feature("category: 2147483647")
    assert str(made.value_type()) == "i32[batch]<2147483647"
    np.testing.assert_array_equal(made.read([np.array([5, 2147483646])], "x"), [5, 2147483646])


def test_one_hot_rows() -> None:
    made = feature("category: {classes: [a, b, c], one_hot: true}")
    raw = made.read([column(["c", "a"])], "x")
    want = np.array([[0, 0, 1], [1, 0, 0]], np.float32)
    for value in (made.encode(raw, {}), jax.jit(made.encode)(jnp.asarray(raw), {})):
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, want)


def test_predictions_of_classes() -> None:
    made = feature("category: [no, yes]")
    table = made.present("answer", np.array([[0.2], [0.5], [0.9]], np.float32))
    assert list(table) == ["answer", "answer_yes"] and list(table["answer"]) == ["no", "no", "yes"]
    table = made.present("answer", np.array([[0.2, 0.8], [0.6, 0.4]], np.float32))
    assert list(table) == ["answer", "answer_no", "answer_yes"] and list(table["answer"]) == ["yes", "no"]
    assert len(made.present("answer", np.zeros((0, 2)))["answer"]) == 0
    groups = feature("category: {classes: {a: [x, y], b: [z]}}")
    assert list(groups.present("k", np.array([[0.1, 0.9]]))["k"]) == ["b"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4)),
        min_size=1,
        max_size=6,
    )
)
def test_no_value_breaks_a_feature(values: list[Any]) -> None:
    """Whatever a file holds, a feature reads it or says what is wrong."""
    data = np.empty(len(values), dtype=object)
    data[:] = values
    specs = ("number", "number: {missing: 0}", "tensor: [1]", "category: 2", "category: [a, b]")
    for spec in (*specs, "category: {classes: [a, b], missing: b}"):
        try:
            raw = feature(spec).read([data], "x")
        except RuleViolation as found:
            assert found.code in ("DLC403", "DLC404")
        else:
            stats = fitted(feature(spec), "x", raw)
            assert len(raw) == len(values)
            assert np.isfinite(encoded_on_host(feature(spec), "x", raw, stats)["x"]).all()


# ---- padding ----

SERIES = {
    "tensor: {shape: [time, 2], padding: -7.1}": -7.1,
    "tensor: {shape: [time, 2], padding: nan, normalize: standard}": np.nan,
    "tensor: {shape: [time, 2], padding: 0, normalize: standard}": 0.0,
    "tensor: {shape: [time, 2], padding: 0, normalize: minmax}": 0.0,
    "tensor: {shape: [time, 2], padding: -1, scale: 4}": -1.0,
    "tensor: {shape: [time], padding: nan}": np.nan,
    "tokens: {vocabulary: 9, padding: 0}": 0,
}


@pytest.mark.parametrize("spec", SERIES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 4), min_size=2, max_size=5), further=st.integers(1, 4), seed=st.integers(0, 99))
def test_further_padding_changes_nothing_of_a_feature(spec: str, lengths: list[int], further: int, seed: int) -> None:
    """Not what is fitted, nor a value, nor a digest; what is fitted is that of the real values alone, by numpy."""
    made, value = feature(spec), SERIES[spec]
    lengths = [4, *lengths]
    width = made.value_type().shape[2:]
    real = np.arange(4) < np.array(lengths)[:, None]
    numbers = np.random.default_rng(seed).integers(1, 9, (len(lengths), 4, *width)).astype(np.float64)
    short = np.where(real.reshape(*real.shape, *(1,) * len(width)), numbers, value)
    long = np.pad(short, ((0, 0), (0, further), *((0, 0),) * len(width)), constant_values=value)
    found = []
    for column_ in (short, long, long.astype(np.float32)):
        raw = made.read([column_], "x")
        stats = made.fit(raw)
        part = encoded_on_host(made, "x", raw, stats)
        assert not part["x.mask"][:, 4:].any() and not part["x"][~part["x.mask"]].any()
        np.testing.assert_array_equal(part["x.mask"][:, :4], real)
        compiled = jax.jit(lambda raw, stats: encoded(made, "x", raw, stats))(
            jnp.asarray(raw, (made.raw_type().is_float and jnp.float32) or jnp.int32),
            {key: jnp.asarray(item, jnp.float32) for key, item in stats.items()},
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), compiled, part)
        found.append((stats, part["x"][:, :4], record_digests([Unpadded(raw, made)])))
    jax.tree.map(np.testing.assert_array_equal, found[0], found[1])
    np.testing.assert_array_equal(found[0][2], found[1][2])
    if made.stats_types():
        rows = numbers[real]
        centre, spread = (rows.min(0), np.ptp(rows, 0)) if "minmax" in spec else (rows.mean(0), rows.std(0))
        np.testing.assert_allclose(found[0][0]["shift"], centre, rtol=1e-12)
        np.testing.assert_allclose(found[0][0]["scale"], np.where(np.ptp(rows, 0) > 0, spread, 1), rtol=1e-12)


def test_padding_is_left_out_of_the_fit_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made = feature("tensor: {shape: [time, 3], padding: 0, normalize: standard}")
    raw = np.random.default_rng(0).normal(5, 2, (50, 6, 3)) * (np.arange(6) < 4)[:, None]
    whole = made.fit(raw)
    monkeypatch.setattr("dlc.components.features.feature._BLOCK", 64)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), made.fit(raw), whole)
    with pytest.raises(RuleViolation, match="no examples") as error:
        made.fit(0 * raw)
    assert error.value.code == "DLC405"


def test_empty_fields_are_padding_of_nan() -> None:
    made = feature("tensor: {shape: [3], columns: [a, b, c], padding: nan}")
    raw = made.read([np.array(["1", "2"]), np.array(["3", ""]), np.array(["nan", ""])], "x")
    np.testing.assert_array_equal(made.mask(raw), [[True, True, False], [True, False, False]])
    parts = made.aligned([raw[:, :2], raw])
    np.testing.assert_array_equal(parts[0], [[1, 3, np.nan], [2, np.nan, np.nan]])
    assert "before data" in wrong("tensor: {shape: [3], padding: nan}", [[1.0, np.nan, 2.0]], first_row=4).message
    assert "row 4" in wrong("tensor: {shape: [2], padding: 5}", [[5.0, 2.0]], first_row=4).message
    assert "is not a number" in wrong("tensor: {shape: [2], padding: 5}", [[5.0, np.nan]]).message


def test_values_lie_in_the_declared_range() -> None:
    assert feature("tensor: {shape: [2], scale: 255, value_range: [-255, 510]}").encoded_range() == (-1, 2)
    assert feature("tensor: {shape: [2], scale: 255}").declared_range() == (0, 255)
    assert feature("number: {normalize: minmax, value_range: [5, 9]}").encoded_range() == (0, 1)
    assert feature("number").encoded_range() is None and feature("number").declared_range() is None
    error = wrong("tensor: {shape: [2], value_range: [0, 1]}", [[0, 1], [1, 1.5]], first_row=3)
    assert (error.code, error.found) == ("DLC403", "`1.5`") and "row 4" in error.message
    assert wrong("number: {value_range: [0, 1]}", [-1]).code == "DLC403"
    raw = feature("tensor: {shape: [2, 1], value_range: [0, 1], padding: 7}").read([np.float32([[0.5, 7]])], "x")
    np.testing.assert_array_equal(raw, [[[0.5], [7]]])
    for bounds in ("[1, 0]", "[1, 1]", "3", "[0, .inf]"):
        assert isinstance(built(f"number: {{value_range: {bounds}}}", "feature"), list), bounds


STEPS = np.array([[1, np.nan], [np.nan, 3], [0, 3.5], [np.nan, np.nan], [5, np.nan], [0, 0.25], [4, 9]])


@pytest.mark.parametrize("further", [0, 3])
@pytest.mark.parametrize(
    ("padding", "missing"), [("nan", "mean"), ("nan", "0.5"), ("0", "0"), ("7", "7"), ("0", "most_frequent")]
)
def test_missing_values_of_padded_series(padding: str, missing: str, further: int) -> None:
    """By scikit-learn, from the real steps alone; also where steps equal padding after they are filled in."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    steps = STEPS if padding != "nan" else STEPS[~np.isnan(STEPS).all(1)]
    lengths = [len(steps) - 2, 0, 2]
    real = np.arange(len(steps) + further) < np.array(lengths)[:, None]
    series = np.full((*real.shape, 2), float(padding))
    series[real] = steps
    made = feature(
        f"tensor: {{shape: [time, 2], padding: {padding}, missing: {missing}, missing_indicator: true, "
        "normalize: standard}"
    )
    raw = made.read([series], "x")
    stats = fitted(made, "x", raw)
    number = missing.replace(".", "").isdecimal()
    imputer = SimpleImputer(
        strategy="constant" if number else missing, fill_value=float(missing) if number else None
    ).fit(steps)
    wanted = np.zeros((*real.shape, 4))
    wanted[real] = np.hstack([StandardScaler().fit_transform(imputer.transform(steps)), np.isnan(steps)])
    found = encoded_on_host(made, "x", raw, stats)
    np.testing.assert_array_equal(found["x.mask"], real)
    np.testing.assert_allclose(found["x"], wanted, rtol=1e-6)
    compiled = jax.jit(lambda raw, stats: encoded(made, "x", raw, stats))(
        jnp.asarray(raw, jnp.float32), device_stats({"x": stats})["x"]
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), compiled, found)
    longer = made.read([np.pad(series, ((0, 0), (0, 2), (0, 0)), constant_values=float(padding))], "x")
    digests = [record_digests([Unpadded(values, made)]) for values in (raw, longer)]
    np.testing.assert_array_equal(*digests)


def test_missing_values_and_padding_that_have_no_part() -> None:
    """Single values are missing only where a whole step can be padding; a target is left out for a gap, not padding."""
    for spec in ("{shape: [time, 1], padding: nan, missing: 0}", "{shape: [3], padding: nan, missing: drop}"):
        assert [error.code for error in built(f"tensor: {spec}", "feature")] == ["DLC303"]
    for options in ("missing: mean", "missing: 0, missing_indicator: true"):
        (error,) = built(f"tensor: {{shape: [3], padding: 0, {options}}}", "feature")
        assert error.code == "DLC203"
    for spec in (
        "number: {value_range: [0, 1], missing: 2}",
        "tensor: {shape: [2], scale: 5, value_range: [0, 1], missing: -1}",
    ):
        assert [error.code for error in built(spec, "feature")] == ["DLC104"]
    assert feature("number: {value_range: [0, 1], missing: 0.5}")
    assert "some values missing" in wrong("tensor: {shape: [2, 2], padding: nan}", [[[1, np.nan], [2, 3]]]).message
    kept = feature("tensor: {shape: [2, 2], padding: nan, missing: drop}")
    raw = kept.read([np.array([[[1, 2], [np.nan, np.nan]], [[1, np.nan], [2, 3]]])], "y")
    np.testing.assert_array_equal(kept.absent(raw).any((1, 2)), [False, True])


@pytest.mark.parametrize("option", ["padding", "missing", "scale", "value_range"])
@pytest.mark.parametrize("value", [str(2**64), str(-(2**64)), "1" + "0" * 400, "1e400", ".inf"])
def test_numbers_of_any_size_are_a_number_or_a_finding(option: str, value: str) -> None:
    """An integer of more than 64 bits is none of numpy's."""
    written = f"[0, {value}]" if option == "value_range" else value
    text = f"inputs: {{x: {{tensor: {{shape: [time, 4], {option}: {written}}}}}}}\nnetwork: [relu]\n"
    found = check_text(text)[1].codes
    assert set(found) <= {"DLC103", "DLC104"}, found
    assert found or abs(float(value)) == 2.0**64
