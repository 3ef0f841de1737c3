"""One decision rule for each target: in metrics, confusion matrices, predictions, reports and exports alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import sklearn.metrics as sk

import dlc
from dlc.backend.lowering import platform
from dlc.frontend.pipeline import check_text
from dlc.reports.answers import sections
from dlc.reports.markup import element
from dlc.reports.predictions import predicted
from dlc.serving.model import load_model
from dlc.support.files import unpack
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.thresholds import best_f1
from dlc.training.train import train as train_spec
from tests.cli.test_commands import dlc_command  # noqa: F401
from tests.common import codes
from tests.reports.test_report import Outline
from tests.training.test_training import same_run, stop_after

SPEC = """
dlc: 1
name: decisions
data: {source: {npz: DATA}, split: {validation: 0.3, test: 0.2}}
inputs: {x: {tensor: [3]}}
targets:
  risk: {category: {classes: [low, high], threshold: best_f1}}
  pair: {category: {classes: [no, yes], threshold: 0.3}}
  tags: {tensor: {shape: [3], threshold: best_f1}}
  marks: {tensor: {shape: [2], threshold: [0.2, 0.6]}}
network:
  - {dense: 1, inputs: x, name: one}
  - {dense: 2, inputs: x, name: two}
  - {dense: 3, inputs: x, name: three}
  - {dense: 2, inputs: x, name: four}
outputs: {one: one, two: two, three: three, four: four}
loss:
  - {binary_cross_entropy: {}, output: one, target: risk, name: l1}
  - {cross_entropy: {}, output: two, target: pair, name: l2}
  - {binary_cross_entropy: {}, output: three, target: tags, name: l3}
  - {binary_cross_entropy: {}, output: four, target: marks, name: l4}
metrics:
  - {f1: {}, output: one, target: risk, name: risk}
  - {recall: {threshold: 0.7}, output: one, target: risk}
  - {recall: {}, output: two, target: pair, name: pair}
  - {f1: {multi_label: true}, output: three, target: tags, name: tags}
  - {hamming_loss: {}, output: four, target: marks, name: marks}
optimizer: {adam: 0.05}
train: {epochs: 3, batch_size: 16, monitor: validation/tags}
"""


LABELS = {"risk": ["low", "high"], "pair": ["no", "yes"]}


class Trained(NamedTuple):
    """A run with its data, and predictions for all of them."""

    text: str
    run: RunFolder
    result: Any
    data: dict[str, np.ndarray]
    table: dict[str, np.ndarray]

    def of(self, split: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The data and the predictions of a split."""
        rows = self.result.data.splits[split]
        data, table = ({name: value[rows] for name, value in part.items()} for part in (self.data, self.table))
        return data, table


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("decisions")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(90, 3))
    shown = x + generator.normal(0, 0.7, x.shape)
    data = {
        "x": x,
        "risk": np.where(shown[:, 0] > 1, "high", "low"),
        "pair": np.where(shown[:, 1] > 0.8, "yes", "no"),
        "tags": (shown > np.array([1.0, 0.0, -1.0])).astype(np.float32),
        "marks": (shown[:, :2] > 0.5).astype(np.float32),
    }
    np.savez(folder / "data.npz", **data)
    text = SPEC.replace("DATA", str(folder / "data.npz"))
    run = RunFolder(folder / "run")
    result = train_spec(dlc.loads(text), run=run)
    return Trained(text, run, result, data, dlc.predict(run.path, {"x": x}))


def test_the_fitted_threshold_has_the_best_f1(trained: Trained) -> None:
    """Of all thresholds, by scikit-learn; and the metrics of the best epoch are those with it."""
    data, found = trained.of("validation")
    truth = {"risk": data["risk"] == "high", "tags": data["tags"] > 0.5}
    scores = {"risk": found["risk_high"][:, None], "tags": found["tags"]}
    for name, values in trained.result.thresholds.items():
        t = truth[name].reshape(len(found["risk"]), -1)
        for at, threshold in enumerate(values):
            reached = sk.f1_score(t[:, at], scores[name][:, at] > threshold)
            for other in (0.0, *scores[name][:, at]):
                assert sk.f1_score(t[:, at], scores[name][:, at] > other, zero_division=0.0) <= reached + 1e-12
    record = trained.result.history[trained.result.best_epoch - 1]
    decided = {"risk": found["risk"] == "high", "tags": found["tags"] > np.float32(trained.result.thresholds["tags"])}
    assert record["validation/risk"] == pytest.approx(sk.f1_score(truth["risk"], decided["risk"]))
    assert record["validation/tags"] == pytest.approx(sk.f1_score(truth["tags"], decided["tags"], average="macro"))
    assert list(trained.result.thresholds) == ["risk", "tags"] and len(trained.result.thresholds["tags"]) == 3
    recall = sk.recall_score(truth["risk"], found["risk_high"] > 0.7)
    assert record["validation/recall@0.7"] == pytest.approx(recall), "its own threshold is in its name"


def test_one_rule_for_metrics_predictions_confusion_and_report(trained: Trained) -> None:
    data, table = trained.of("test")
    found = dlc.evaluate(trained.run.path, "test")
    pair, risk = data["pair"] == "yes", data["risk"] == "high"
    np.testing.assert_array_equal(table["pair"] == "yes", table["pair_yes"] > 0.3)
    np.testing.assert_array_equal(table["marks_label"], table["marks"] > np.float32([0.2, 0.6]))
    assert table["pair"].tolist() != np.where(table["pair_yes"] > 0.5, "yes", "no").tolist()
    assert found.metrics["pair"] == pytest.approx(sk.recall_score(pair, table["pair"] == "yes"))
    assert found.metrics["marks"] == pytest.approx(sk.hamming_loss(data["marks"], table["marks_label"]))
    assert found.metrics["recall@0.7"] == pytest.approx(sk.recall_score(risk, table["risk_high"] > 0.7))
    assert {name: trained.result.test[name] for name in found.metrics} == pytest.approx(dict(found.metrics), rel=1e-5)
    np.testing.assert_array_equal(found.confusion["pair"], sk.confusion_matrix(pair, table["pair"] == "yes"))
    np.testing.assert_array_equal(found.confusion["risk"], sk.confusion_matrix(risk, table["risk"] == "high"))
    model = load_model(trained.run, platform())
    answers = {answer.name: answer for answer in predicted(model, trained.result.data).answers}
    np.testing.assert_array_equal(answers["pair"].guess == 1, table["pair"] == "yes")
    np.testing.assert_array_equal(answers["risk"].guess == 1, table["risk"] == "high")


def test_the_report_has_the_rule(trained: Trained) -> None:
    """It states the threshold, and its confusion matrix counts the classes of the predictions."""
    data, table = trained.of("test")
    model = load_model(trained.run, platform())
    outline = Outline(str(element("div", sections(model.plan, predicted(model, trained.result.data)))))
    notes = [text for attributes, text in outline.all("p") if attributes.get("class") == "note"]
    (risk,) = trained.result.thresholds["risk"]
    for name, threshold in (("high", risk), ("yes", 0.3)):
        assert f"\u201c{name}\u201d is predicted where its score is above {threshold:.4f}." in notes
    wanted = [sk.confusion_matrix(data[name], table[name], labels=names) for name, names in LABELS.items()]
    assert [count for count, _ in outline.confusions()] == np.stack(wanted).ravel().tolist()


def test_tables_and_exports_have_the_rule(trained: Trained, tmp_path: Path, dlc_command: Callable[..., Any]) -> None:  # noqa: F811
    path, out = tmp_path / "x.npz", tmp_path / "p.csv"
    np.savez(path, x=trained.data["x"][:3])
    assert dlc_command("predict", str(trained.run.path), str(path), "--out", str(out))[0] == 0
    head = "risk,risk_high,pair,pair_no,pair_yes,tags_0,tags_1,tags_2,tags_label_0,tags_label_1,tags_label_2"
    assert out.read_text().splitlines()[0] == f"{head},marks_0,marks_1,marks_label_0,marks_label_1"
    target = dlc.export(trained.run.path, "safetensors", tmp_path / "weights.safetensors")
    from safetensors import safe_open

    with safe_open(target, "np") as file:
        decisions = json.loads(file.metadata()["dlc"])["decisions"]
    (risk,) = trained.result.thresholds["risk"]
    assert decisions == {
        "risk": {"classes": ["low", "high"], "threshold": risk},
        "pair": {"classes": ["no", "yes"], "threshold": pytest.approx(0.3)},
        "tags": {"threshold": trained.result.thresholds["tags"]},
        "marks": {"threshold": pytest.approx([0.2, 0.6])},
    }
    folder = dlc.export(trained.run.path, "stablehlo: cpu", tmp_path / "stablehlo")
    assert json.loads((folder / "signature.json").read_text())["decisions"] == decisions
    assert "thresholds/risk" in unpack(trained.run.weights.read_bytes(), trained.run.weights)


def test_thresholds_survive_an_interruption(trained: Trained, tmp_path: Path) -> None:
    path = trained.run.path.parent / "data.npz"
    text = SMALL.replace("none.npz", str(path)).replace("{y:", "{risk:").replace("SIZE", "1")
    text = text.replace("TARGET", "{category: {classes: [low, high], threshold: best_f1}}")
    text = text.replace("LOSS", "binary_cross_entropy\nmetrics: [f1]") + "train: {epochs: 3, batch_size: 16}\n"
    whole, run = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    result = train_spec(dlc.loads(text), run=whole, chunk_iterations=1)
    with pytest.raises(Stopped):
        train_spec(dlc.loads(text), run=run, stop=stop_after(7), chunk_iterations=1)
    again = train_spec(dlc.loads(text), run=run, resume=True, chunk_iterations=1)
    same_run(run, whole)
    finished = train_spec(dlc.loads(text), run=run, resume=True)
    assert finished.thresholds == again.thresholds == result.thresholds and len(result.thresholds["risk"]) == 1


def test_a_damaged_threshold_is_refused(trained: Trained, tmp_path: Path) -> None:
    import shutil

    copy = RunFolder(shutil.copytree(trained.run.path, tmp_path / "copy"))
    weights = copy.load_weights()
    for changed in (
        {name: value for name, value in weights.items() if name != "thresholds/risk"},
        {**weights, "thresholds/tags": np.float32([0.5])},
        {**weights, "thresholds/risk": np.float32([np.nan])},
    ):
        copy.save_weights(changed, {})
        with pytest.raises(dlc.SpecError) as caught:
            dlc.evaluate(copy.path)
        assert caught.value.report.codes == ("DLC503",)


def test_thresholds_of_scores() -> None:
    """Ties, scores that are NaN, labels that nobody has, masks, and both scores of two classes."""
    t = np.int32([0, 1, 0, 1])
    assert best_f1(np.float32([[0.1], [0.4], [0.2], [0.8]]), t, np.ones(4)).tolist() == [pytest.approx(0.3)]
    assert best_f1(np.float32([[0.1], [0.4], [0.2], [np.nan]]), t, np.ones(4)).tolist() == [pytest.approx(0.3)]
    assert best_f1(np.full((4, 1), 0.25, np.float32), t, np.ones(4)).tolist() == [0.125]
    assert best_f1(np.full((4, 1), np.nan, np.float32), t, np.ones(4)).tolist() == [0.5]
    assert best_f1(np.float32([[0.1], [0.4], [0.2], [0.8]]), 0 * t, np.ones(4)).tolist() == [0.5]
    assert best_f1(np.float32([[0.1], [0.4], [0.9], [0.8]]), t, np.float64([1, 1, 0, 1])).tolist() == [0.25]
    both = np.float32([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.2, 0.8]])
    assert best_f1(both, np.eye(2, dtype=np.float32)[t], np.ones(4)).tolist() == [pytest.approx(0.3)]
    near = np.float32([[0.5], [np.nextafter(np.float32(0.5), np.float32(1))]])  # nothing lies between them
    assert best_f1(near, np.int32([0, 1]), np.ones(2)).tolist() == [0.5]


# ---- thresholds without effect ----

SMALL = """
data: {source: {npz: none.npz}, split: {validation: 0.2}}
inputs: {x: {tensor: [3]}}
targets: {y: TARGET}
network: [dense: SIZE]
loss: LOSS
optimizer: sgd
"""


@pytest.mark.parametrize(
    ("target", "size", "loss", "code"),
    [
        ("{category: {classes: 2, threshold: 0.2}}", 1, "binary_cross_entropy", None),
        ("{category: {classes: 2, threshold: 0.2}}", 2, "cross_entropy", None),
        ("{category: {classes: 2, threshold: best_f1}}", 2, "cross_entropy", None),
        ("{category: {classes: 3, threshold: 0.2}}", 3, "cross_entropy", "DLC303"),
        ("{category: {classes: 3, threshold: best_f1}}", 3, "cross_entropy", "DLC303"),
        ("{category: {classes: 2, one_hot: true, threshold: 0.2}}", 2, "cross_entropy", None),
        ("{category: {classes: 2, one_hot: true, threshold: 0.2}}", 2, "binary_cross_entropy", "DLC303"),
        ("{tensor: {shape: [3], threshold: 0.2}}", 3, "binary_cross_entropy", None),
        ("{tensor: {shape: [3], threshold: 0.2}}", 3, "{binary_cross_entropy: {from_logits: false}}", None),
        ("{tensor: {shape: [3], threshold: 0.2}}", 3, "mse", "DLC303"),
        ("{tensor: {shape: [3], threshold: 0.2}}", 3, "cross_entropy", "DLC303"),
        ("{tensor: {shape: [3], threshold: [0.2, 0.3]}}", 3, "binary_cross_entropy", "DLC104"),
        ("{tensor: {shape: [3], threshold: [0.2, 0.3, 0.4]}}", 3, "binary_cross_entropy", None),
        ("{category: {classes: 2, threshold: 1.5}}", 1, "binary_cross_entropy", "DLC104"),
        ("{category: {classes: 2, threshold: best}}", 1, "binary_cross_entropy", "DLC104"),
    ],
)
def test_a_threshold_without_effect_is_an_error(target: str, size: int, loss: str, code: str | None) -> None:
    text = SMALL.replace("TARGET", target).replace("SIZE", str(size)).replace("LOSS", loss)
    report = check_text(text)[1]
    assert report.codes == ((code,) if code else ())
    if code:
        assert "threshold" in report.diagnostics[0].message and report.diagnostics[0].span is not None


def test_a_threshold_needs_what_it_is_fitted_to() -> None:
    text = SMALL.replace("SIZE", "1").replace("LOSS", "binary_cross_entropy")
    text = text.replace("TARGET", "{category: {classes: 2, threshold: best_f1}}")
    assert codes(text.replace(", split: {validation: 0.2}", "")) == ("DLC317",)
    inputs = text.replace("{x: {tensor: [3]}}", "{x: {category: {classes: 2, one_hot: true, threshold: 0.3}}}")
    assert codes(inputs) == ("DLC303",)


def test_margin_losses_decide_by_the_sign(tmp_path: Path) -> None:
    """As their pages say: the sign of a score is the class, in predictions as in metrics."""
    x = np.linspace(-1, 1, 20)[:, None]
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, 0] > 0.1).astype(int))
    text = (
        f"data: {{source: {{npz: {tmp_path / 'd.npz'}}}}}\ninputs: {{x: {{tensor: [1]}}}}\n"
        "targets: {y: {category: 2}}\nnetwork: [dense: 1]\nloss: hinge\nmetrics: [accuracy]\n"
        "optimizer: {sgd: 0.05}\ntrain: {epochs: 1, batch_size: 20}\n"
    )
    dlc.train(dlc.loads(text), tmp_path / "run")
    found = dlc.predict(tmp_path / "run", {"x": x})
    np.testing.assert_array_equal(found["y"] == "1", found["y_1"] > 0)
    accuracy = ((found["y_1"] > 0) == (x[:, 0] > 0.1)).mean()
    assert dlc.evaluate(tmp_path / "run").metrics["accuracy"] == pytest.approx(accuracy)
