"""Predictions, and artifacts that live without dlc."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import dlc
from dlc.components.exports import EXPORTS, safetensors, stablehlo
from dlc.components.features.tensor import Tensor
from dlc.components.features.tokens import Tokens
from dlc.serving.artifacts import _shortened
from dlc.serving.model import load_model
from dlc.training.run_folder import RunFolder
from tests.frontend.test_plugins import plugins  # noqa: F401 - a fixture

WITHOUT_DLC = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "dlc" or name.startswith("dlc."):
            raise ImportError("dlc must not be needed")
sys.meta_path.insert(0, Refuse())
import numpy as np
from jax import export
from safetensors.numpy import load_file
folder, inputs, out = sys.argv[1:]
program = export.deserialize(bytearray(open(folder + "/model.stablehlo", "rb").read()))
result = program.call(load_file(folder + "/weights.safetensors"), dict(np.load(inputs)))
np.savez(out, **{name: np.asarray(value) for name, value in result.items()})
"""


def iris_table(path: Path) -> np.ndarray:
    from sklearn.datasets import load_iris

    data = load_iris().data.astype(np.float32)
    np.savez(path, features=data)
    return data


def test_stablehlo_without_dlc_gives_the_predictions(small_run: RunFolder, tmp_path: Path) -> None:
    iris_table(tmp_path / "iris.npz")
    folder = dlc.export(small_run.path, "stablehlo", tmp_path / "artifact")
    command = [sys.executable, "-c", WITHOUT_DLC, str(folder), str(tmp_path / "iris.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    predictions = dlc.predict(small_run.path, tmp_path / "iris.npz")
    loaded = np.load(tmp_path / "out.npz")["species"]
    for index, name in enumerate(("setosa", "versicolor", "virginica")):
        np.testing.assert_allclose(loaded[:, index], predictions[f"species_{name}"], rtol=0, atol=1e-6)
    signature = json.loads((folder / "signature.json").read_text())
    assert signature["inputs"]["features"]["shape"] == ["batch", 4]
    assert signature["outputs"] == {"species": "float32[batch,3]"}
    assert signature["platforms"] == ["cpu", "cuda", "tpu"]


@pytest.mark.parametrize("pads", [True, False])
def test_samples_of_series_are_padded_by_the_feature(pads: bool) -> None:
    """A feature of a plugin has a mask, and pads shorter series itself or not at all."""

    class Series(Tokens):
        def aligned(self, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
            longest = max(part.shape[1] for part in parts)
            widths = [((0, 0), (0, (longest - part.shape[1]) * pads)) for part in parts]
            return [np.pad(part, width, constant_values=7) for part, width in zip(parts, widths, strict=True)]

    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    padded = _shortened(Series(vocabulary=9), values)
    np.testing.assert_array_equal(padded, [[0, 1, 7], [3, 4, 7]] if pads else values)
    tensor = Tensor(shape=("time", 1), padding=-1.0)
    np.testing.assert_array_equal(_shortened(tensor, np.ones((1, 3, 1), np.float32))[0, :, 0], [1, 1, -1])


def test_safetensors_hold_every_weight_and_statistic(small_run: RunFolder, tmp_path: Path) -> None:
    path = dlc.export(small_run.path, "safetensors", tmp_path / "weights.safetensors")
    arrays = load_file(path)
    assert {
        "dense/kernel",
        "dense/bias",
        "batch_norm/scale",
        "batch_norm/mean",
        "dense_2/kernel",
        "features/features/shift",
    } <= set(arrays)
    np.testing.assert_array_equal(arrays["dense/kernel"], small_run.load_weights()["dense/kernel"])


def test_an_artifact_that_differs_is_not_kept(
    small_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        stablehlo, "unpack", lambda data, path: {name: value + 1e-3 for name, value in real(data, path).items()}
    )
    from dlc.support.files import unpack as real

    with pytest.raises(dlc.SpecError) as caught:
        dlc.export(small_run.path, "stablehlo", tmp_path / "artifact")
    assert caught.value.report.codes == ("DLC509",)
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_a_diagnostic(small_run: RunFolder) -> None:
    with pytest.raises(dlc.SpecError) as caught:
        dlc.export(small_run.path, "stablehol")
    item = caught.value.report.diagnostics[0]
    assert item.code == "DLC510"
    assert item.hint == "did you mean `stablehlo`?"


def test_a_failed_export_leaves_the_last_one(
    small_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dlc.export(small_run.path, "safetensors", tmp_path / "weights.safetensors")
    before = path.read_bytes()
    monkeypatch.setattr(safetensors, "unpack", lambda data, path: {})
    with pytest.raises(dlc.SpecError, match="DLC509"):
        dlc.export(small_run.path, "safetensors", path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_format_may_have_options(small_run: RunFolder, tmp_path: Path) -> None:
    folder = dlc.export(small_run.path, "stablehlo: cpu", tmp_path / "artifact")
    assert json.loads((folder / "signature.json").read_text())["platforms"] == ["cpu"]
    assert sorted(file.name for file in folder.iterdir()) == [
        "model.stablehlo",
        "signature.json",
        "weights.safetensors",
    ]
    (folder / "notes.txt").write_text("kept")
    dlc.export(small_run.path, "stablehlo", folder)
    assert json.loads((folder / "signature.json").read_text())["platforms"] == ["cpu", "cuda", "tpu"]
    assert (folder / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("stablehlo: [gpu]", "DLC104"),
        ("stablehlo: []", "DLC104"),
        ("stablehlo: [cpu, cpu]", "DLC104"),
        ("stablehlo: 3", "DLC104"),
        ("stablehlo: {tolerence: 1.0}", "DLC101"),
        ("safetensors: 3", "DLC106"),
        ("stablehlo: [cuda]", "DLC509"),  # no code for the platform of the tests
        ("[stablehlo]", "DLC510"),
        ("", "DLC510"),
        ("stablehlo: {", "DLC005"),
    ],
)
def test_wrong_options_of_a_format_are_a_diagnostic(small_run: RunFolder, tmp_path: Path, to: str, code: str) -> None:
    with pytest.raises(dlc.SpecError) as caught:
        dlc.export(small_run.path, to, tmp_path / "artifact")
    assert caught.value.report.codes == (code,)
    assert not list(tmp_path.iterdir())


def test_what_is_in_the_way_is_a_diagnostic(small_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for to, name in (("stablehlo", "file"), ("safetensors", "folder"), ("safetensors", "file/weights")):
        with pytest.raises(dlc.SpecError, match="DLC507"):
            dlc.export(small_run.path, to, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


PLUGIN = """
import json

from dlc.components.exports.export import Export
from dlc.language.options import RuleViolation, main


class Sizes(Export):
    \"\"\"A JSON file with the shape of each weight.\"\"\"

    word = "sizes"
    examples = ("sizes", "sizes: 2")
    default_name = "sizes.json"
    indent: int = main(0, ge=0, description="spaces for each level")

    def write(self, network, target):
        target.write_text(json.dumps({name: x.shape for name, x in network.weights.items()}, indent=self.indent))

    def verify(self, network, target):
        if len(json.loads(target.read_text())) != len(network.weight_shapes):
            raise RuleViolation("DLC509", "weights are missing")


EXPORTS = {"sizes": "sizes_plugin:Sizes"}
"""


def test_a_plugin_may_bring_a_format(plugins: Path) -> None:  # noqa: F811
    (plugins / "sizes_plugin.py").write_text(PLUGIN)
    text = "plugins: sizes_plugin\ndata: iris\ninputs: {features: {tensor: [4]}}\n"
    text += "targets: {species: {category: [setosa, versicolor, virginica]}}\nnetwork: [dense: 3]\n"
    (plugins / "spec.yaml").write_text(text + "loss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1}\n")
    dlc.train(dlc.load(plugins / "spec.yaml"), plugins / "run")
    path = dlc.export(plugins / "run", "sizes: 2")
    assert path == plugins / "run" / "exports" / "sizes.json"
    assert json.loads(path.read_text()) == {"dense/bias": [3], "dense/kernel": [4, 3]}
    assert "sizes" not in EXPORTS


def test_predictions_are_those_of_the_network(small_run: RunFolder, tmp_path: Path) -> None:
    data = iris_table(tmp_path / "iris.npz")
    model = load_model(small_run)
    weights, stats = model.weights, small_run.load_fitted(small_run.load_spec().plan).stats["features"]
    x = (data - stats["shift"]) / stats["scale"]
    hidden = np.maximum(x @ weights["dense/kernel"] + weights["dense/bias"], 0)
    scale = weights["batch_norm/scale"] / np.sqrt(weights["batch_norm/variance"] + 1e-3)
    hidden = (hidden - weights["batch_norm/mean"]) * scale + weights["batch_norm/bias"]
    logits = hidden @ weights["dense_2/kernel"] + weights["dense_2/bias"]
    wanted = np.exp(logits - logits.max(1, keepdims=True))
    wanted /= wanted.sum(1, keepdims=True)
    found = dlc.predict(small_run.path, {"features": data})
    names = np.array(["setosa", "versicolor", "virginica"])
    np.testing.assert_array_equal(found["species"], names[wanted.argmax(1)])
    np.testing.assert_allclose(found["species_setosa"], wanted[:, 0], atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 255, 257, 600])
def test_predictions_do_not_depend_on_the_batch(small_run: RunFolder, count: int, tmp_path: Path) -> None:
    data = np.resize(iris_table(tmp_path / "iris.npz"), (600, 4))
    whole = dlc.predict(small_run.path, {"features": data})
    part = dlc.predict(small_run.path, {"features": data[:count]})
    np.testing.assert_allclose(part["species_setosa"], whole["species_setosa"][:count], atol=1e-6)


def test_a_regression_is_predicted_in_its_own_unit(tmp_path: Path) -> None:
    text = """
data: {source: diabetes, split: {test: 0.2}}
inputs: {features: {tensor: {shape: [10], normalize: standard}}}
targets: {progression: {number: standard}}
network: [dense: 1]
loss: mse
metrics: [mae]
optimizer: {adam: 0.05}
train: {epochs: 30}
"""
    result = dlc.train(dlc.loads(text), tmp_path / "run")
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    found = dlc.predict(tmp_path / "run", {"features": table.data})
    assert 30 < np.abs(found["progression"] - table.target).mean() < 60
    assert 30 < result.test["mae"] < 65
    assert dlc.evaluate(tmp_path / "run").metrics["mae"] == pytest.approx(result.test["mae"], rel=1e-5)
