"""Classes that count alike: weights of losses, compared with scikit-learn, and balanced epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import dlc
from dlc.data.dataset import Sampler
from dlc.frontend.pipeline import check_text
from dlc.training.run_folder import RunFolder
from tests.common import codes
from tests.components.building import loss

SMALL = """
data: {source: iris, split: {validation: 0.2, test: 0.4, shuffle: false}}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets:
  species: {category: [setosa, versicolor, virginica]}
network: [dense: 3]
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 0.05}
train: {epochs: 2, batch_size: 16}
"""
"""The last 90 flowers are held out: the training split has 50 of the first class and 10 of the second."""
CLASSES = np.repeat([2, 0, 1], [60, 30, 7]).astype(np.int32)


def test_weights_of_classes_against_scikit_learn() -> None:
    cross_entropy = loss("cross_entropy: {class_weights: balanced, ignore_index: -1}")
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=CLASSES)
    parts = [CLASSES[:40], CLASSES[40:], np.array([-1, -1], np.int32)]
    np.testing.assert_allclose(cross_entropy.class_weights_of(parts, 3), wanted)
    np.testing.assert_allclose(cross_entropy.class_weights_of(parts, 5), [*wanted, 1, 1])
    rows = np.eye(3, dtype=np.float32)[CLASSES]
    np.testing.assert_allclose(loss("cross_entropy: {class_weights: balanced}").class_weights_of([rows], 3), wanted)


def test_factors_of_labels() -> None:
    """As PyTorch's `BCEWithLogitsLoss` recommends: 100 positive and 300 negative examples give 300 / 100."""
    balanced = loss("binary_cross_entropy: {pos_weight: balanced}")
    labels = np.zeros((400, 3), np.float32)
    labels[:100, 0], labels[:, 1] = 1, 1
    assert balanced.class_weights_of([labels[:50], labels[50:]], 3) == (3.0, 1.0, 1.0)
    assert balanced.class_weights_of([np.repeat([0, 1], [300, 100])], 1) == (3.0,)


SKEWED = SMALL.replace("loss: cross_entropy", "loss: {cross_entropy: {class_weights: WEIGHTS}}")


def test_balanced_weights_are_those_of_the_training_split(tmp_path: Path) -> None:
    balanced = SKEWED.replace("WEIGHTS", "balanced")
    result = dlc.train(dlc.loads(balanced), tmp_path / "balanced")
    assert result.data is not None
    assert result.data.fitted.class_weights == {"cross_entropy": (0.6, 3.0, 1.0)}
    dlc.train(dlc.loads(SKEWED.replace("WEIGHTS", "[0.6, 3, 1]")), tmp_path / "given")
    for name in ("weights.safetensors", "metrics.jsonl"):
        assert (tmp_path / "balanced" / name).read_bytes() == (tmp_path / "given" / name).read_bytes()
    first, second = (dlc.evaluate(tmp_path / name).metrics for name in ("balanced", "given"))
    assert first == second and first["loss"] == pytest.approx(result.test["loss"])
    run = RunFolder(tmp_path / "balanced")
    run.features.write_text(run.features.read_text().replace("0.6", "0.7", 1))
    with pytest.raises(dlc.SpecError, match="DLC503"):
        dlc.evaluate(tmp_path / "balanced")


def test_a_balanced_epoch_has_equally_many_of_each_class() -> None:
    rows = np.arange(100, 100 + len(CLASSES), dtype=np.int32)
    sampler = Sampler(rows, 10, 3, classes=CLASSES)
    counts = np.zeros(len(rows), int)
    for epoch in range(90):
        order = sampler.order(epoch)
        assert len(order) == len(rows)
        assert sorted(np.bincount(CLASSES[order - 100]).tolist()) == [32, 32, 33]
        counts += np.bincount(order - 100, minlength=len(rows))
    for number in range(3):  # every record of a class is used as often as the others
        assert np.ptp(counts[number == CLASSES]) <= 1
    again = Sampler(rows, 10, 3, classes=CLASSES)
    np.testing.assert_array_equal(again.order(41), Sampler(rows, 10, 3, classes=CLASSES).order(41))
    np.testing.assert_array_equal(again.batches(30, 5), sampler.batches(30, 5))
    assert not np.array_equal(again.order(41), again.order(42))
    assert not np.array_equal(again.order(41), Sampler(rows, 10, 4, classes=CLASSES).order(41))


def test_training_with_balanced_epochs() -> None:
    """Targets of `one_hot` are balanced, too."""
    text = SMALL.replace("train: {", "train: {balance: species, ")
    rows = text.replace("[setosa, versicolor, virginica]", "{classes: [setosa, versicolor, virginica], one_hot: true}")
    found = [dlc.train(dlc.loads(each)).history[-1]["train/loss"] for each in (text, rows, SMALL)]
    assert found[0] == pytest.approx(found[1], rel=1e-5) and found[0] != pytest.approx(found[2], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("balance: kind", "DLC201", "no target is named `kind`"),
        ("balance: features", "DLC201", "no target is named `features`"),
        ("balance: species, shuffle: false", "DLC104", "`balance` draws examples at random"),
    ],
)
def test_wrong_targets_to_balance(options: str, code: str, said: str) -> None:
    report = check_text(SMALL.replace("train: {", f"train: {{{options}, "))[1]
    assert report.codes == (code,) and said in report.diagnostics[0].message


def test_only_classes_are_balanced() -> None:
    text = SMALL.replace("species: {category: [setosa, versicolor, virginica]}", "species: number")
    text = (
        text.replace("dense: 3", "dense: 1").replace("loss: cross_entropy", "loss: mse").replace("[accuracy]", "[mae]")
    )
    assert codes(text) == ()
    assert codes(text.replace("train: {", "train: {balance: species, ")) == ("DLC104",)


def test_a_number_for_no_class_is_not_balanced() -> None:
    text = (
        "data: {source: iris}\ninputs: {features: {tensor: [4]}}\n"
        "targets: {species: {category: {classes: [setosa, versicolor, virginica], ignored: -1}}}\nnetwork: [dense: 3]\n"
        "loss: {cross_entropy: {ignore_index: -1}}\noptimizer: adam\ntrain: {balance: species}\n"
    )
    assert "DLC104" in codes(text)
