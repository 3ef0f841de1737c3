"""The specs that come with dlc: each checks clean, compiles and trains; the perceptron's follows Rosenblatt's rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.data.dataset import Sampler, load_dataset
from tests.common import ROOT

SPECS = sorted((ROOT / "specs").glob("*.yaml"))
TEMPLATES = sorted((ROOT / "dlc" / "tasks" / "templates").glob("*.yaml"))
ALL = pytest.mark.parametrize("path", [*SPECS, *TEMPLATES], ids=lambda path: path.stem)


def test_what_there_is() -> None:
    assert {path.stem for path in SPECS} >= {"digits_cnn", "digits_mlp", "iris_perceptron", "diabetes_regression"}
    assert len(TEMPLATES) >= 3


@ALL
def test_checks_clean(path: Path) -> None:
    assert not dlc.check(path).diagnostics


@pytest.mark.few(4)
@ALL
def test_compiles(path: Path) -> None:
    spec = dlc.load(path)
    if spec.plan.data is None:
        program = dlc.compile(spec)
        inputs = {name: np.zeros((2, *kind.shape[1:]), np.float32) for name, kind in spec.graph.inputs.items()}
        outputs, _ = program.apply(program.init(0), inputs)
        assert all(np.isfinite(value).all() for value in outputs.values())
    else:
        assert dlc.train(spec, dry_run=True).steps == 1


@pytest.mark.few(2)
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_template(path: Path) -> None:
    """A template begins with its title, says what to change, and trains as it is."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert ": " in text.splitlines()[0]
    assert "CHANGE" in text
    spec = dlc.load(path)
    if spec.plan.data is None:
        return
    sets = ["train.epochs=1"]
    if spec.plan.train.early_stopping:
        sets = ["train.epochs=2", "train.early_stopping.patience=1"]
    result = dlc.train(dlc.load(path, sets))
    assert np.isfinite(result.test["loss"])
    assert result.history[-1]["train/loss"] <= 10 * result.history[0]["train/loss"]


def test_sections_are_documented() -> None:
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    for path in [*SPECS, *TEMPLATES]:
        for section in dlc.load(path).document.source.tree:
            assert f"`{section}`" in page or f"`{section}:" in page, f"{section} of {path.name}"


def test_lines_are_short() -> None:
    for path in [*SPECS, *TEMPLATES]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert len(line) <= 120, f"{path.name}: {line}"


def perceptron(x: np.ndarray, t: np.ndarray, w: np.ndarray, b: float, rate: float) -> tuple[np.ndarray, float, int]:
    """Rosenblatt's rule on examples in order: w + rate * (target - output) * x. Also counts the mistakes."""
    mistakes = 0
    for row, target in zip(x, t, strict=True):
        wrong = target - float(row @ w + b >= 0)
        w, b = w + rate * wrong * row, b + rate * wrong
        mistakes += wrong != 0
    return w, b, mistakes


@pytest.mark.parametrize("classes", ["as it is", "{other: [setosa, virginica], versicolor: [versicolor]}"])
def test_perceptron_rule(classes: str) -> None:
    """The weights are those of a perceptron written by hand; versicolor is not separable, so mistakes never end."""
    sets = ["train.epochs=4"]
    if classes != "as it is":
        sets.append(f"targets.species.category.classes={classes}")
    spec = dlc.load(ROOT / "specs" / "iris_perceptron.yaml", sets)
    result = dlc.train(spec)
    data = load_dataset(spec.plan)
    steps = int(result.history[result.best_epoch - 1]["step"])
    order = Sampler(data.splits["train"], 1, spec.plan.seed).batches(0, steps)[:, 0]
    start = dlc.compile(spec).init(spec.plan.seed)["params"]["dense"]
    kernel, bias = (np.asarray(start[name], np.float64) for name in ("kernel", "bias"))
    # mse's derivative is 2 (output - target): the rule at twice the rate
    x, t = data.inputs["features"][order].astype(np.float64), data.targets["species"][order]
    w, b, mistakes = perceptron(x, t, kernel[:, 0], float(bias[0]), 2 * 0.05)
    trained = result.variables["params"]["dense"]
    assert mistakes > (0 if classes == "as it is" else 20)
    np.testing.assert_allclose(np.asarray(trained["kernel"])[:, 0], w, atol=1e-5)  # float32 against float64
    np.testing.assert_allclose(np.asarray(trained["bias"])[0], b, atol=1e-5)


def test_perceptron_learns() -> None:
    result = dlc.train(dlc.load(ROOT / "specs" / "iris_perceptron.yaml"))
    assert result.test["accuracy"] == 1.0
    assert result.history[-1]["train/accuracy"] == 1.0
    assert len(result.history) < 20  # early stopping
