"""Tables of predictions: one column of each name, and nothing invented where a network gives no number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from safetensors.numpy import load_file

import dlc
from dlc.backend.network import lower
from dlc.components.features.feature import encoded_on_host
from dlc.components.losses.loss import Loss
from dlc.components.losses.sequences import CTC
from dlc.data.fitted import FittedData
from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import check_text
from dlc.serving.model import Model, _decoded
from dlc.serving.tables import as_arrays, predict_table, present, write_table
from dlc.training.run_folder import RunFolder
from tests.cli.test_commands import dlc_command  # noqa: F401
from tests.components.building import feature

TWO = (
    "inputs: {x: number}\n"
    "targets: {smokes: {category: ['no', 'yes']}, SECOND}\n"
    "network:\n  - {dense: 2, inputs: x, name: a}\n  - {dense: SIZE, inputs: x, name: b}\n"
    "outputs: {a: a, b: b}\n"
    "loss:\n  - {cross_entropy: , output: a, target: smokes}\n  - {mse: , output: b, target: NAME}\n"
)


def two(name: str, feature: str, size: int = 1) -> str:
    return TWO.replace("SECOND", f"{name}: {feature}").replace("NAME", name).replace("SIZE", str(size))


@pytest.mark.parametrize("name", ["smokes_yes", "smokes_no"])
def test_two_predictions_with_a_column_of_one_name_are_an_error(name: str) -> None:
    spec, report = check_text(two(name, "{number: standard}"))
    assert spec is None
    (item,) = report.diagnostics
    assert (item.code, item.span and item.span.line) == ("DLC202", 2)
    assert f"both have a column `{name}`" in item.message


def test_elements_of_arrays_are_columns_as_well() -> None:
    text = two("smokes_yes", "{tensor: [2]}", 2)
    assert check_text(text)[1].ok
    text = "inputs: {x: number}\ntargets: {y: {tensor: [2]}, y_1: number}\n" + "\n".join(text.splitlines()[2:])
    text = text.replace("target: smokes}", "target: y}").replace("target: smokes_yes}", "target: y_1}")
    text = text.replace("cross_entropy", "mae").replace(
        "{dense: 2, inputs: x, name: b}", "{dense: 1, inputs: x, name: b}"
    )
    assert check_text(text)[1].codes == ("DLC202",)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("{category: [a, b, c]}", (3,)),
        ("{category: [a, b]}", (1,)),
        ("{category: [a, b]}", (2,)),
        ("number", (1,)),
        ("{tensor: [2, 3]}", (2, 3)),
        ("{tensor: []}", ()),
        ("{tokens: 5}", (4, 5)),
        ("{tokens: 5}", (4,)),
    ],
)
def test_the_columns_are_those_that_the_checker_knows(text: str, sizes: tuple[int, ...]) -> None:
    made = feature(text)
    table = made.present("y", np.zeros((3, *sizes), np.float32))
    assert list(table) == made.prediction_columns("y", sizes)
    assert {len(column) for column in table.values()} == {3}


def test_a_record_without_probabilities_has_no_class(tmp_path: Path) -> None:
    table = feature("{category: [a, b]}").present("y", np.float32([[0.2, 0.8], [np.nan, np.nan], [1.0, 0.0]]))
    assert table["y"].tolist() == ["b", None, "a"]
    write_table(table, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[1] == {"y": None, "y_a": None, "y_b": None}
    assert write_table(table, None).splitlines()[2] == ",nan,nan"


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that predicts pairs, and a table with ids."""
    folder = tmp_path_factory.mktemp("series")
    x = np.arange(12.0)
    np.savez(folder / "data.npz", x=x, y=np.stack([x, -x], 1))
    rows = [f"{100 + index},{value},{value},{-value}" for index, value in enumerate(x)]
    (folder / "new.csv").write_text("id,x,y_0,y_2\n" + "\n".join(rows) + "\n")
    (folder / "pairs.yaml").write_text(
        "dlc: 1\nname: pairs\ndata: {source: {npz: data.npz}}\ninputs: {x: number}\ntargets: {y: {tensor: [2]}}\n"
        "network: [dense: 2]\nloss: mse\noptimizer: {sgd: 0.001}\ntrain: {epochs: 1, batch_size: 4}\n"
    )
    dlc.train(dlc.load(folder / "pairs.yaml"), folder / "run")
    return folder


def test_arrays_have_their_own_shape_in_python(series: Path) -> None:
    assert dlc.predict(series / "run", {"x": np.ones(5)})["y"].shape == (5, 2)


@pytest.fixture
def inside(series: Path, monkeypatch: pytest.MonkeyPatch, dlc_command: Callable[..., Any]) -> Callable[..., Any]:  # noqa: F811
    """Runs a command in that folder: exit code, standard output, standard error."""
    monkeypatch.chdir(series)
    return dlc_command


def test_columns_of_the_input_can_be_kept(inside: Callable[..., Any]) -> None:
    _, out, _ = inside("predict", "run", "new.csv", "--keep", "id", "--keep", "x")
    lines = out.splitlines()
    assert lines[0] == "id,x,y_0,y_1" and lines[3].startswith("102,2.0,")
    assert len(lines) == 13


@pytest.mark.parametrize(("column", "code"), [("idd", "DLC402"), ("y_0", "DLC510")])
def test_a_column_that_cannot_be_kept(inside: Callable[..., Any], column: str, code: str) -> None:
    status, out, err = inside("predict", "run", "new.csv", "--keep", column)
    assert status == (2 if code == "DLC510" else 1)
    assert f"error[{code}]" in err and not out


@pytest.mark.parametrize(
    "command",
    [
        ["report", "run", "--out", "run/weights.safetensors"],
        ["report", "run", "--out", "run/resolved.yaml"],
        ["report", "link", "--out", "link/features.json"],
        ["predict", "run", "new.csv", "--out", "run/answers.csv"],
        ["export", "run", "--to", "safetensors", "--out", "run/weights.safetensors"],
        ["export", "run", "--to", "stablehlo", "--out", "run/checkpoints"],
        ["export", "run", "--to", "stablehlo", "--out", "run"],
    ],
)
def test_no_output_takes_the_place_of_a_file_of_a_run(
    series: Path, inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    folder = shutil.copytree(series, tmp_path / "series")
    (folder / "link").symlink_to("run")
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    monkeypatch.chdir(folder)
    status, _, err = inside(*command)
    assert status == 1 and "error[DLC507]" in err, err
    assert {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "command",
    [
        ["report", "run", "--out", "data.npz"],
        ["report", "run", "--out", "sub/../data.npz"],
        ["report", "run", "--out", "hard.npz"],
        ["export", "run", "--to", "safetensors", "--out", "soft.npz"],
        ["predict", "run", "new.csv", "--out", "new.csv"],
        ["predict", "run", "new.csv", "--out", "soft.csv"],
    ],
)
def test_no_output_takes_the_place_of_an_input(
    series: Path, inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    folder = shutil.copytree(series, tmp_path / "series")
    dlc.train(dlc.load(folder / "pairs.yaml"), folder / "own")
    (folder / "sub").mkdir()
    (folder / "soft.npz").symlink_to("data.npz")
    (folder / "soft.csv").symlink_to("new.csv")
    (folder / "hard.npz").hardlink_to(folder / "data.npz")
    before = {name: (folder / name).read_bytes() for name in ("data.npz", "new.csv")}
    monkeypatch.chdir(folder)
    status, _, err = inside(command[0], "own", *command[2:])
    assert status == 1 and "error[DLC507]" in err and "is an input" in err, err
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_path_can_be_trained(series: Path) -> None:
    assert len(dlc.train(series / "pairs.yaml").history) == 1
    assert len(dlc.train(str(series / "pairs.yaml")).history) == 1


def test_columns_of_other_kinds(
    series: Path, inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.arange(3.0)
    np.savez(
        tmp_path / "kinds.npz",
        x=x,
        text=np.array([b"a", b"b", b"c"]),
        day=np.zeros(3, "datetime64[D]"),
        pair=x[:, None] * [1, 2],
    )
    monkeypatch.chdir(tmp_path)
    given = ("predict", str(series / "run"), "kinds.npz", "--keep")
    status, _, err = inside(*given, "text", "--out", "kinds.jsonl")
    assert status == 0, err
    assert json.loads((tmp_path / "kinds.jsonl").read_text().splitlines()[1])["text"] == "b"
    for name in ("day", "pair"):
        status, _, err = inside(*given, name)
        assert status == 1 and "error[DLC406]" in err


def test_each_number_of_an_array_keeps_its_digits() -> None:
    made = feature("{tensor: {shape: [2], normalize: standard}}")
    raw = np.random.default_rng(0).normal([0, 1e9], [1e9, 1], (100, 2))
    stats = made.fit(raw)
    value = encoded_on_host(made, "y", raw, stats)["y"]
    value[3] = np.nan
    found = _decoded(made, value, stats)
    assert len(np.unique(found[:, 1])) == 100
    narrow = made.fit(raw[:, :1] * [[1, 1]])
    assert _decoded(made, encoded_on_host(made, "y", raw[:, :1] * [[1, 1]], narrow)["y"], narrow).dtype == np.float32


SPEECH = (
    "inputs: {x: {tokens: {vocabulary: 6, padding: 0}}}\n"
    "targets: {text: {tokens: {vocabulary: 5, length: length, padding: 0}}}\n"
    "network: [{embedding: {vocabulary: 6, size: 5}}]\nloss: ctc\n"
)


def speech(scores: np.ndarray) -> Model:
    """A network that gives each token the scores of its row."""
    spec = dlc.loads(SPEECH)
    weights = {"embedding/embedding": np.asarray(scores, np.float32)}
    return Model(spec.plan, lower(spec.graph), weights, FittedData({}, {"x": {}, "text": {}}, {}), {})


def test_outputs_that_are_not_aligned_are_decoded(tmp_path: Path) -> None:
    """Under a name of their own: they have no places to compare with those of the target."""
    model = speech(np.eye(6, 5, -1) + np.eye(6, 5))  # token k spells k - 1, or k, which comes later
    x = np.array([[1, 2, 2, 3, 1, 3], [5, 5, 1, 5, 0, 0], [1, 1, 1, 1, 0, 0], [4, 4, 4, 2, 3, 0]])
    wanted = [[1, 2, 2], [4, 4], [], [3, 1, 2]]
    for padding in (0, 3):
        found = model.predict({"x": np.pad(x, ((0, 0), (0, padding)))})
        arrays = as_arrays(model.plan, found)
        assert list(arrays) == ["text_decoded"] and arrays["text_decoded"].tolist() == wanted
        table = present(model.plan, found)
        assert write_table(table, None) == 'text_decoded\n1 2 2\n4 4\n""\n3 1 2\n'
    broken = present(model.plan, speech(np.full((6, 5), np.nan)).predict({"x": x}))
    write_table(broken, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0]) == {"text_decoded": None}


DOUBLE = """
inputs: {x: {tokens: {vocabulary: 6, padding: 0}}}
targets: {text: {tokens: {vocabulary: 5, length: length, padding: 0}}, text_decoded: number}
network:
  - {embedding: {vocabulary: 6, size: 5}, name: a}
  - {dense: 1, inputs: a}
  - {global_avg_pool1d: , name: b}
outputs: {a: a, b: b}
loss:
  - {ctc: , output: a, target: text}
  - {mse: , output: b, target: text_decoded}
"""


def test_a_decoded_column_has_no_double() -> None:
    spec, report = check_text(DOUBLE)
    assert spec is None and report.codes == ("DLC202",)
    assert "both have a column `text_decoded`" in report.diagnostics[0].message


def test_an_output_that_nothing_decodes_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of a plugin need not define `decode`."""
    monkeypatch.setattr(CTC, "decode", Loss.decode)
    model = speech(np.eye(6, 5))
    found = as_arrays(model.plan, model.predict({"x": np.array([[1, 2, 3]])}))
    assert {name: value.shape for name, value in found.items()} == {"output": (1, 3, 5)}
    spec, report = check_text(SPEECH + "metrics: [accuracy]\n")
    assert spec is None and report.diagnostics[0].hint == "remove it"


# ---- other outputs than the predictions ----

CODED = """
blocks: {tail: {layers: [dense: 2, relu]}}
data: {source: iris, split: {validation: 0.2}}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network:
  - dense: {units: 5, activation: tanh}
    name: hidden
  - tail: {}
    name: code
  - dense: 3
loss: cross_entropy
optimizer: adam
train: {epochs: 1, batch_size: 20}
"""


def test_the_result_of_an_item_is_predicted_by_its_name(tmp_path: Path) -> None:
    """The numbers are those computed by hand from the weights, and the standardized inputs."""
    dlc.train(dlc.loads(CODED), run=tmp_path / "run")
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    inputs = sklearn.datasets.load_iris().data[:7]
    columns = {"features": inputs}
    stats = RunFolder(tmp_path / "run").load_fitted(dlc.load(tmp_path / "run" / "spec.yaml").plan).stats["features"]
    hidden = np.tanh((inputs - stats["shift"]) / stats["scale"] @ weights["hidden/kernel"] + weights["hidden/bias"])
    found = dlc.predict(tmp_path / "run", columns, "hidden")
    assert list(found) == ["hidden"]
    np.testing.assert_allclose(found["hidden"], hidden, rtol=1e-4, atol=1e-5)
    code = hidden @ weights["code/dense/kernel"] + weights["code/dense/bias"]
    np.testing.assert_allclose(dlc.predict(tmp_path / "run", columns, "code")["code"], np.maximum(code, 0), atol=1e-5)
    whole = dlc.predict(tmp_path / "run", columns)
    for name in ("species", "output"):
        np.testing.assert_array_equal(dlc.predict(tmp_path / "run", columns, name)["species"], whole["species"])
    with pytest.raises(SpecError, match="no output or item `coed`") as caught:
        dlc.predict(tmp_path / "run", columns, "coed")
    assert caught.value.report.diagnostics[0].hint == "did you mean `code`?"
    table, _ = predict_table(tmp_path / "run", "iris", [], output="code")
    assert list(table) == ["code_0", "code_1"] and len(table["code_0"]) == 150


def test_a_column_of_several_types_is_written_to_parquet_as_strings(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    mixed = np.array(["a", 1, None], object)
    write_table({"id": mixed, "y": np.array([0.5, 1, 2], np.float32)}, tmp_path / "o.parquet")
    table = parquet.read_table(tmp_path / "o.parquet")
    assert table["id"].to_pylist() == ["a", "1", None]
    assert str(table.schema.field("y").type) == "float"
