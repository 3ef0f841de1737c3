"""Categories that are found in the training split, compared with scikit-learn's OneHotEncoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder

import dlc
from dlc.components.features.feature import encoded_on_host
from dlc.data.dataset import load_dataset
from dlc.frontend.pipeline import check_text
from tests.common import codes
from tests.components.building import feature

CITIES = np.array(["Ulm", "Bonn", "Ulm", "Köln", "", "Bonn", "Ulm", "Trier"], dtype=object)
LATER = np.array(["Bonn", "Mainz", "Ulm", "", "Trier"], dtype=object)


def encodings(spec: str, column: Any, *others: Any) -> list[Any]:
    made = feature(spec)
    artifact = made.learn(made.read([column], "x"), Path())
    found = [made.prepare(made.read([each], "x"), artifact, "x") for each in (column, *others)]
    return [encoded_on_host(made, "x", raw, {})["x"] for raw in found]


def test_rows_against_scikit_learn() -> None:
    """`max_categories` counts the infrequent ones, which come last in scikit-learn and first here."""
    encoder = OneHotEncoder(max_categories=3, sparse_output=False, handle_unknown="infrequent_if_exist")
    encoder.fit(CITIES[:, None])
    found = encodings("category: {found: 2, one_hot: true}", CITIES, LATER)
    for values, column in zip(found, (CITIES, LATER), strict=True):
        wanted = encoder.transform(column[:, None])  # Bonn, Ulm, others
        np.testing.assert_array_equal(values[:, [2, 1, 0]], wanted)


def test_ids_are_ranked_by_frequency() -> None:
    first, later = encodings("category: {found: 50}", CITIES, LATER)
    np.testing.assert_array_equal(first, [1, 2, 1, 4, 3, 2, 1, 5])  # equally frequent ones in the order of characters
    np.testing.assert_array_equal(later, [2, 0, 1, 3, 5])
    assert str(feature("category: {found: 50}").value_type()) == "i32[batch]<51"
    rare = encodings("category: {found: 50, min_count: 2}", CITIES)[0]
    np.testing.assert_array_equal(rare, [1, 2, 1, 0, 0, 2, 1, 0])


def test_equal_classes_are_spelled_equally() -> None:
    values = np.array([1, 2.0, "2", "True", True, "true", None, float("nan"), "e\u0301", "é"], dtype=object)
    found = encodings("category: {found: 9}", values)[0]
    assert len(set(found.tolist())) == 5 and found[1] == found[2]
    assert found[3] == found[4] == found[5] and found[6] == found[7] and found[8] == found[9]


SPEC = """
data: {source: {csv: t.csv}, split: {validation: 0.2, test: 0.2, shuffle: false}}
inputs:
  city: {category: {found: 20, min_count: 2}}
  rest: {table: {numbers: [age], categories: {city: {found: 4}, sex: [m, f]}, dates: {day: month}}}
targets: {y: number}
network:
  - {embedding: {vocabulary: 21, size: 2}, inputs: city, name: place}
  - concat: [place, rest]
  - dense: 1
loss: mse
optimizer: adam
train: {epochs: 1, batch_size: 4}
"""


def write(folder: Path, last: str) -> None:
    rows = [f"c{row % 3},{row},{'mf'[row % 2]},2024-0{1 + row % 9}-01,{row}\n" for row in range(30)]
    (folder / "t.csv").write_text("city,age,sex,day,y\n" + "".join(rows[:18]) + last + "".join(rows[19:]))
    (folder / "s.yaml").write_text(SPEC)


def test_a_run_finds_and_keeps_its_categories(tmp_path: Path) -> None:
    """Values of validation and test change nothing; predictions of new records use the categories of the run."""
    write(tmp_path, "c0,18,m,2024-01-01,18\n")
    first = load_dataset(dlc.load(tmp_path / "s.yaml").plan)
    assert json.loads(first.fitted.artifacts["city"]) == {"values": ["c0", "c1", "c2"]}
    assert json.loads(first.fitted.artifacts["rest"]) == {"city": {"values": ["c0", "c1", "c2"]}}
    assert first.inputs["rest"].shape == (30, 2 + 5 + 2 + 3)
    write(tmp_path, "new,1e6,m,2024-01-01,18\n")
    result = dlc.train(tmp_path / "s.yaml", tmp_path / "run")
    assert result.data is not None
    assert result.data.fitted.artifacts == first.fitted.artifacts
    np.testing.assert_array_equal(result.data.stats["rest"]["numbers.shift"], first.stats["rest"]["numbers.shift"])
    assert result.data.inputs["city"][18] == 0
    np.testing.assert_array_equal(result.data.inputs["rest"][18, 2:7], [1, 0, 0, 0, 0])
    columns = {"city": ["c1", "other"], "age": [1, 2], "sex": ["m", ""], "day": ["2024-02-02", ""]}
    found = dlc.predict(tmp_path / "run", {name: np.array(values, object) for name, values in columns.items()})
    assert np.isfinite(found["y"]).all()
    same = dlc.predict(tmp_path / "run", tmp_path / "t.csv")
    loss = np.square(same["y"][24:] - np.array([24, 25, 26, 27, 28, 29])).mean()
    np.testing.assert_allclose(dlc.evaluate(tmp_path / "run").metrics["loss"], loss, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{category: {found: 3}}", "the classes of a target must be declared"),
    ],
)
def test_the_classes_of_a_target_are_declared(spec: str, said: str) -> None:
    report = check_text(f"inputs: {{x: number}}\ntargets: {{y: {spec}}}\nnetwork: [dense: 4]\nloss: cross_entropy\n")[1]
    assert report.codes == ("DLC104",) and said in report.diagnostics[0].message


def test_an_embedding_has_room_for_all() -> None:
    text = "inputs: {x: {category: {found: 20}}}\nnetwork: [embedding: {vocabulary: NUMBER, size: 2}]\n"
    assert codes(text.replace("NUMBER", "21")) == ()
    assert codes(text.replace("NUMBER", "20")) != ()
