"""Tables as one vector, compared with scikit-learn's ColumnTransformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import dlc
from dlc.components.features.feature import encoded, encoded_on_host, fitted
from dlc.components.wrong_values import Violations
from dlc.data.dataset import load_dataset
from dlc.data.fitted import device_stats
from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import check_text
from dlc.frontend.resolved import resolved_text
from dlc.language.options import RuleViolation
from tests.common import codes
from tests.components.building import feature

AGES = np.array(["22", "", "38", "4", "61.5", "38", "n"], dtype=object)[:6]
FARES = np.array(["7.25", "71.3", "", "8", "8", "512"], dtype=object)
SEX = np.array(["male", "female", "female", "", "male", "male"], dtype=object)
CLASS = np.array([3, 1, 2, 3, 3, 1])
SPEC = "table: {numbers: [age, fare], categories: {sex: [male, female], class: [1, 2, 3]}}"


def vector(spec: str, *columns: Any) -> Any:
    made = feature(spec)
    raw = made.read(list(columns), "x")
    return encoded_on_host(made, "x", raw, fitted(made, "x", raw))["x"]


def test_a_table_against_scikit_learn() -> None:
    numbers = np.array([[float(v) if v else np.nan for v in column] for column in (AGES, FARES)]).T
    fill = SimpleImputer(strategy="median")
    rule = FeatureUnion(
        [
            ("scaled", Pipeline([("fill", fill), ("scale", StandardScaler())])),
            ("gaps", MissingIndicator(features="all")),
        ]
    )
    classes = OneHotEncoder(categories=[["male", "female"], [1, 2, 3]], handle_unknown="ignore", sparse_output=False)
    frame = np.concatenate([numbers.astype(object), SEX[:, None], CLASS[:, None].astype(object)], 1)
    wanted = ColumnTransformer([("numbers", rule, [0, 1]), ("classes", classes, [2, 3])]).fit_transform(frame)
    found = vector(SPEC, AGES, FARES, SEX, CLASS)
    np.testing.assert_allclose(found, wanted.astype(float), rtol=1e-6)
    assert str(feature(SPEC).value_type()) == f"f32[batch, {wanted.shape[1]}]"


def test_a_table_is_its_columns_side_by_side() -> None:
    """Each part is what the feature of the column gives; a compiled program computes the same."""
    dates = np.array(["2024-05-31", "2023-01-01", "", "2020-02-29", "2021-07-04", "2024-12-24"], dtype=object)
    rule = "normalize: robust, clip: 3, missing: mean, missing_indicator: false"
    spec = (
        f"table: {{numbers: [age, fare], categories: {{sex: [male, female]}}, dates: {{day: [year, month]}}, {rule}}}"
    )
    parts = [
        vector(f"tensor: {{shape: [2], columns: [age, fare], {rule}}}", AGES, FARES),
        vector("category: {classes: [male, female], one_hot: true, missing: zeros}", SEX),
        vector("date: {parts: [year, month], missing: median}", dates),
    ]
    made = feature(spec)
    raw = made.read([AGES, FARES, SEX, dates], "x")
    stats = fitted(made, "x", raw)
    np.testing.assert_array_equal(encoded_on_host(made, "x", raw, stats)["x"], np.concatenate(parts, 1))
    compiled = jax.jit(lambda raw, stats: encoded(made, "x", raw, stats)["x"])
    found = compiled(raw.astype(np.float32), device_stats({"x": stats})["x"])
    np.testing.assert_allclose(found, np.concatenate(parts, 1), rtol=1e-5, atol=1e-6)


def test_a_column_without_values_is_named() -> None:
    made = feature("table: [age, fare]")
    raw = made.read([AGES, np.array([""] * 6, dtype=object)], "x")
    with pytest.raises(RuleViolation, match="no record of the training split has a value of `fare`") as caught:
        fitted(made, "x", raw)
    assert caught.value.code == "DLC405" and caught.value.option == "missing"


def test_options_of_a_column() -> None:
    spec = (
        "table: {categories: {sex: {classes: [male, female], missing: male}, class: 4, kind: {a: ['1', '2'], b: '3'}}}"
    )
    found = vector(spec, SEX, CLASS, CLASS)
    np.testing.assert_array_equal(found[3], [1, 0, 0, 0, 0, 1, 0, 1])
    assert feature(spec).value_type().shape == ("batch", 8)


def test_all_that_is_wrong_with_a_table_is_found() -> None:
    made = feature(
        "table: {numbers: [age, fare], categories: {sex: [male, female]}, dates: {day: month}, missing: null}"
    )
    with pytest.raises(Violations) as caught:
        made.read([np.array(["1", "x"]), np.array(["1", ""]), np.array(["male", "cat"]), np.array(["1", "2024"])], "x")
    found = [(wrong.code, wrong.index, wrong.row, wrong.option) for wrong in caught.value.found]  # type: ignore[attr-defined]
    wanted = [("DLC403", 0, 2, None), ("DLC403", 1, 2, None), ("DLC404", 2, 2, "categories"), ("DLC403", 3, 1, "dates")]
    assert [(code, index, row) for code, index, row, _ in found] == [
        (code, index, row) for code, index, row, _ in wanted
    ]
    assert [option for *_, option in found[2:]] == ["categories", "dates"]


@pytest.mark.parametrize(
    ("options", "code", "line", "said"),
    [
        ("numbers: [age, 'h_*']", "DLC203", 4, "how many columns `h_*` matches must be declared"),
        ("numbers: [age]\n      categories: {sex: [a, a]}", "DLC104", 5, "not valid classes"),
        (
            "numbers: [age]\n      categories: {sex: {classes: [a, b], missing: c}}",
            "DLC104",
            5,
            "not a valid `missing`",
        ),
        ("numbers: [age]\n      categories: [sex]", "DLC102", 5, "`category` needs `classes`"),
        ("numbers: [age]\n      dates: {day: {parts: month, cycle: 1}}", "DLC101", 5, "unknown option `cycle`"),
        ("numbers: [age]\n      normalise: log", "DLC101", 5, "unknown option `normalise`"),
        ("numbers: [age, age]", "DLC104", 4, "`age` is declared twice"),
    ],
)
def test_wrong_options_have_a_position(options: str, code: str, line: int, said: str) -> None:
    text = f"inputs:\n  all:\n    table:\n      {options}\nnetwork: [dense: 1]\n"
    (found,) = check_text(text)[1].diagnostics
    assert (found.code, found.span.line if found.span else 0) == (code, line) and said in found.message


def test_a_spec_of_a_table_resolves() -> None:
    text = f"inputs: {{all: {{{SPEC}}}}}\nnetwork: [dense: 1]\n".replace("[age, fare]", "[age, {'h_*': 24}]")
    spec, report = check_text(text)
    assert spec is not None and report.ok
    assert str(spec.plan.graph.inputs["all"]) == "f32[batch, 55]"
    again, report = check_text(resolved_text(spec))
    assert again is not None and again.plan.inputs == spec.plan.inputs
    assert codes("data: wine\ninputs: {x: {table: [ash, hues]}}\nnetwork: [dense: 1]\n")[:1] == ("DLC402",)


def written(folder: Path, header: str, row: str, inputs: str, network: str) -> Any:
    (folder / "t.csv").write_text(header + "\n" + row * 6)
    source = "data: {source: {csv: {path: t.csv, decimal: ','}}}"
    rest = "targets: {y: number}\nloss: mse\noptimizer: adam\n"
    (folder / "s.yaml").write_text("\n".join([source, inputs, f"network: {network}", rest]))
    return load_dataset(dlc.load(folder / "s.yaml").plan)


def test_only_numbers_are_converted_by_the_source(tmp_path: Path) -> None:
    inputs = """inputs:
  all:
    table: {numbers: [n], categories: {kind: ["1,5", "2,5"]}, dates: {when: {parts: month, format: "%d.%m.%Y"}}}
  half: {binary: {classes: ["1,5", "2,5"], column: kind}}
  day: {date: {parts: [day], format: "%d.%m.%Y", column: when, cyclic: false}}"""
    data = written(
        tmp_path,
        "when;kind;n;y",
        "01.02.2024;1,5;2,5;1\n31.12.2024;2,5;3,5;2\n",
        inputs,
        "[concat: [all, half, day], dense: 1]",
    )
    np.testing.assert_allclose(data.inputs["all"][:2, :4], [[-1, 0, 1, 0], [1, 0, 0, 1]], atol=1e-6)
    np.testing.assert_array_equal(data.inputs["half"][:2], [[0], [1]])
    np.testing.assert_array_equal(data.inputs["day"][:2], [[-0.5], [0.5]])


def test_a_pattern_matches_as_many_columns_as_declared(tmp_path: Path) -> None:
    inputs = "inputs: {all: {table: [a, {'h_*': NUMBER}]}}"
    arguments = ("h_1;a;h_2;y", "1;2;3;4\n5;6;7,5;8\n")
    assert written(tmp_path, *arguments, inputs.replace("NUMBER", "2"), "[dense: 1]").inputs["all"].shape == (12, 6)
    with pytest.raises(SpecError) as caught:
        written(tmp_path, *arguments, inputs.replace("NUMBER", "3"), "[dense: 1]")
    (found,) = caught.value.report.diagnostics
    assert (found.code, found.found, found.expected) == ("DLC402", "2 columns", "3")
    assert found.message == "`h_*` matches another number of columns than declared"
