"""Codes in the report: which item gives them, beside scikit-learn's principal components, and reconstructions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

import dlc
from dlc.frontend.pipeline import check_text
from dlc.reports.answers import sections
from dlc.reports.arrays import numbers
from dlc.reports.codes import MOST_CLASSES, Codes, drawn, item_with_code, plane
from dlc.reports.markup import element
from dlc.reports.predictions import Answers, Numbers, predicted
from dlc.serving.model import load_model
from dlc.training.run_folder import RunFolder

AUTOENCODER = """
data: {source: digits, split: {validation: 40}}
inputs: {image: {tensor: {shape: [8, 8, 1], scale: 16}}}
network: [flatten, dense: {units: 20, activation: relu}, dense: 3, dense: 64, reshape: [8, 8, 1]]
loss: {mse: , target: image}
optimizer: {adam: 1e-3}
train: {epochs: 1, batch_size: 128}
"""
CLASSIFIER = AUTOENCODER.replace("dense: 64, reshape: [8, 8, 1]", "dense: 10").replace(
    "loss: {mse: , target: image}", "targets: {digit: {category: 10}}\nloss: cross_entropy"
)


def item(text: str) -> str | None:
    spec, report = check_text(text)
    assert spec is not None, report
    return item_with_code(spec.plan)


def test_the_narrowest_item_of_an_autoencoder_gives_codes() -> None:
    assert item(AUTOENCODER) == "dense_2"
    assert item(CLASSIFIER) is None
    named = "flatten, dense: {units: 20, activation: relu}", "flatten, {dense: 20, name: code}, relu"
    for text in (AUTOENCODER, CLASSIFIER):
        assert item(text.replace(*named)) == "code"
    wide = "network: [conv2d: {filters: 2, kernel: 3, padding: same}, conv2d: {filters: 1, kernel: 3, padding: same}]"
    assert item(re.sub("network: .*", wide, AUTOENCODER)) is None


def test_the_plane_is_that_of_the_first_principal_components() -> None:
    values = np.random.default_rng(0).normal(size=(50, 7)) * [5, 1, 1, 3, 1, 1, 1]
    points, share = plane(values.astype(np.float32))
    reference = PCA(2)
    np.testing.assert_allclose(np.abs(points), np.abs(reference.fit_transform(values)), atol=1e-4)
    assert share == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-6)
    np.testing.assert_array_equal(plane(values[:, :2])[0], values[:, :2])
    assert plane(np.ones((4, 3))) == (pytest.approx(np.zeros((4, 2))), 1.0)


def test_codes_are_drawn_by_class() -> None:
    values = np.random.default_rng(0).normal(size=(60, 2))
    values[5] = np.nan
    page = str(element("div", drawn(Codes("code", values))))
    assert page.count("h0") == 59 and "first number" in page
    classes = tuple(f"<{number}>" for number in range(12))
    page = str(element("div", drawn(Codes("code", values, "kind", classes, np.arange(60) % 12))))
    assert page.count("dots many c") == MOST_CLASSES and "without 2 more classes" in page
    assert "&lt;3&gt;" in page and "<3>" not in page
    assert drawn(Codes("code", values[:2])) == []


def test_the_report_of_an_autoencoder(tmp_path: Path) -> None:
    """The codes are those of `dlc predict --output`."""
    dlc.train(dlc.loads(AUTOENCODER), run=tmp_path / "run")
    model = load_model(RunFolder(tmp_path / "run"))
    from dlc.data.dataset import load_dataset

    data = load_dataset(model.plan, model.fitted)
    found = predicted(model, data)
    assert found.codes is not None and found.codes.item == "dense_2"
    images = np.asarray(data.inputs["image"])[data.splits["validation"]] * 16
    code = dlc.predict(tmp_path / "run", {"image": images}, "dense_2")["dense_2"]
    np.testing.assert_allclose(found.codes.values, code, rtol=1e-4, atol=1e-5)
    page = str(element("div", sections(model.plan, found)))
    assert "The largest errors" in page and "dense_2: codes" in page


def test_the_worst_reconstructions_come_first() -> None:
    plan = dlc.loads(AUTOENCODER).plan
    truth = np.zeros((30, 8, 8, 1))
    guess = truth + np.random.default_rng(0).permutation(30)[:, None, None, None] / 30
    kind = plan.inputs["image"].value_type()
    found = Answers("test", 30, 30, {"image": truth}, (Numbers("image", "inputs", kind, guess, truth),))
    page = str(element("div", numbers(plan, found, found.answers[0])))
    worst, first = page.split("First examples")
    errors = [float(text) for text in re.findall(r"rms error ([\d.]+)", worst)]
    assert errors == [float(f"{number / 30:.3g}") for number in range(29, 17, -1)]
    assert len(re.findall("rms error", first)) == 12
