"""Metrics as runs report them: from logits, without value, monitored; confusion matrices; lines that stay readable."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk

import dlc
from dlc.backend.loss import answers_of, loss_scores, metric_statistics
from dlc.backend.network import Results
from dlc.cli.reporters import LINE, epoch_line
from dlc.components.metrics import METRICS
from dlc.frontend.resolved import resolved_text
from dlc.language.options import build_word, load_class
from dlc.language.yaml_text import parse_yaml
from dlc.training import loop as fitting
from dlc.training.callbacks.progress import Silent
from dlc.training.evaluation import Measured
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.cli.test_commands import dlc_command  # noqa: F401
from tests.common import SMALL
from tests.training.test_training import same_run, stop_after


def spec_of(target: str, loss: str, metrics: str, size: int = 3) -> dlc.Spec:
    return dlc.loads(
        f"inputs: {{x: {{tensor: [{size}]}}}}\ntargets: {{y: {target}}}\nnetwork: [dense: {size}]\n"
        f"loss: {loss}\nmetrics: {metrics}\noptimizer: sgd\n"
    )


def batch_statistics(spec: dlc.Spec, output: Any, target: Any) -> tuple[float, dict[str, float]]:
    """The loss and the metrics of a network's output."""
    results = Results({"output": jnp.asarray(output, jnp.float32)}, {}, {}, jnp.zeros(()), {})
    batch = {"inputs": {}, "targets": {"y": jnp.asarray(target)}}
    scores = loss_scores(spec.plan, results, batch)["cross_entropy" if output.shape[-1] > 1 else "binary_cross_entropy"]
    found = jax.tree.map(np.float64, metric_statistics(spec.plan, results, batch, {"y": {}}))
    values = {term.name: term.metric.result(found[term.name]) for term in spec.plan.metrics if term.name in found}
    for term in spec.plan.metrics:
        if term.metric.collected:
            answers = jax.tree.map(np.asarray, answers_of(spec.plan, term, results, batch, {"y": {}}))
            values[term.name] = term.metric.judge(
                answers.prediction, answers.target, np.asarray(answers.weights, float)
            )
    return float(scores.total / scores.weight), values


def test_logits_far_out_keep_their_digits() -> None:
    """Probabilities in float32 would be 0 and 1, all alike: the loss of the answers, and their order, would be lost."""
    spec = spec_of("{category: 3}", "cross_entropy", "[log_loss, perplexity, roc_auc, accuracy]")
    logits = np.array([[300, 0, -300], [0, 200, 0], [400, 0, 0], [0, 0, 500]])
    loss, found = batch_statistics(spec, logits, np.int32([1, 1, 0, 2]))
    assert found["log_loss"] == pytest.approx(loss) == pytest.approx(75)
    assert found["perplexity"] == pytest.approx(math.exp(75), rel=1e-4)
    single = spec_of("{category: 2}", "binary_cross_entropy", "[log_loss, roc_auc, pr_auc, accuracy]", 1)
    loss, found = batch_statistics(single, np.array([[100.0], [101], [102], [-30]]), np.int32([0, 1, 1, 0]))
    assert found["log_loss"] == pytest.approx(loss) == pytest.approx(25)
    assert found["roc_auc"] == found["pr_auc"] == 1.0 and found["accuracy"] == 0.75


@pytest.mark.parametrize("loss", ["cross_entropy", "{cross_entropy: {from_logits: false}}"])
def test_probabilities_reach_metrics_whatever_the_loss_takes(loss: str) -> None:
    generator = np.random.default_rng(0)
    logits, target = generator.normal(size=(30, 3)), generator.integers(0, 3, 30).astype(np.int32)
    p = np.asarray(jax.nn.softmax(logits))
    output = p if "false" in loss else logits
    _, found = batch_statistics(spec_of("{category: 3}", loss, "[log_loss, brier, roc_auc]"), output, target)
    assert found["log_loss"] == pytest.approx(sk.log_loss(target, p), rel=1e-5)
    assert found["brier"] == pytest.approx(np.square(p - np.eye(3)[target]).sum(-1).mean(), rel=1e-5)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(target, p, multi_class="ovr"))
    certain = spec_of("{category: 2}", "{binary_cross_entropy: {from_logits: false}}", "[log_loss, roc_auc]", 1)
    _, found = batch_statistics(certain, np.array([[0.0], [1.0], [1.0], [0.0]]), np.int32([0, 1, 0, 0]))
    assert math.isfinite(found["log_loss"]) and found["roc_auc"] == pytest.approx(5 / 6)


def test_thresholds_of_labels_are_probabilities() -> None:
    generator = np.random.default_rng(0)
    logits, target = generator.normal(size=(30, 3)), (generator.uniform(size=(30, 3)) > 0.5).astype(np.float32)
    words = "[{f1: {multi_label: true}}, {exact_match: {multi_label: true, threshold: 0.3}}, hamming_loss, roc_auc]"
    spec = spec_of("{tensor: [3]}", "binary_cross_entropy", words)
    results = Results({"output": jnp.asarray(logits, jnp.float32)}, {}, {}, jnp.zeros(()), {})
    batch = {"inputs": {}, "targets": {"y": jnp.asarray(target)}}
    found = metric_statistics(spec.plan, results, batch, {"y": {}})
    values = {term.name: term.metric.result(found[term.name]) for term in spec.plan.metrics if term.name in found}
    p = 1 / (1 + np.exp(-logits))
    assert values == pytest.approx(
        {
            "f1": sk.f1_score(target, p > 0.5, average="macro"),
            "exact_match@0.3": sk.accuracy_score(target, p > 0.3),
            "hamming_loss": sk.hamming_loss(target, p > 0.5),
        }
    )
    answers = jax.tree.map(np.asarray, answers_of(spec.plan, spec.plan.metrics[-1], results, batch, {"y": {}}))
    area = spec.plan.metrics[-1].metric.judge(answers.prediction, answers.target, np.asarray(answers.weights, float))
    assert area == pytest.approx(sk.roc_auc_score(target, p))


# ---- a metric without value ----

ONE_SIDED = """
dlc: 1
name: one-sided
data: {source: {npz: DATA}, split: {validation: 6, shuffle: false}}
inputs: {x: {tensor: [4]}}
targets: {y: {category: 2}}
network:
  - dense: 1
loss: binary_cross_entropy
metrics: [accuracy, roc_auc]
optimizer: {sgd: 0.1}
train: {epochs: 4, batch_size: 8, monitor: validation/roc_auc}
"""


class Listening(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def one_sided(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spec whose validation split holds one class only, so that roc_auc has no value there."""
    path = tmp_path_factory.mktemp("data") / "one.npz"
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 4))
    y = (x[:, 0] > 0).astype(int)
    y[24:] = 1
    np.savez(path, x=x, y=y)
    return ONE_SIDED.replace("DATA", str(path))


def no_constant(text: str) -> Any:
    raise AssertionError(f"`{text}` is not JSON")


def strict(text: str) -> Any:
    return json.loads(text, parse_constant=no_constant)


def test_a_metric_without_value_stops_nothing(one_sided: str, tmp_path: Path, dlc_command) -> None:  # noqa: F811
    listening, run = Listening(), RunFolder(tmp_path / "run")
    result = train_spec(dlc.loads(one_sided), run=run, reporter=listening)
    lines = [strict(line) for line in run.metrics.read_text().splitlines()]
    assert [line["validation/roc_auc"] for line in lines] == [None] * 4
    assert all("train/roc_auc" not in line and line["validation/accuracy"] is not None for line in lines)
    assert all(math.isnan(record["validation/roc_auc"]) for record in result.history)
    (note,) = listening.notes
    assert "`validation/roc_auc` has no value in epoch 1" in note and "no improvement" in note
    assert result.best_epoch == 4, "without any value the newest weights are kept"
    assert strict(run.result.read_text())["best_value"] is None
    again = train_spec(dlc.loads(one_sided), run=run, resume=True)  # a finished run
    assert math.isnan(again.history[0]["validation/roc_auc"])
    code, out, _ = dlc_command("eval", str(run.path), "--split", "validation", "--json")
    assert code == 0 and strict(out)["metrics"]["roc_auc"] is None
    code, out, _ = dlc_command("eval", str(run.path), "--split", "validation")
    assert code == 0 and "  roc_auc   nan" in out
    # interrupted and resumed it is the same run
    other = RunFolder(tmp_path / "other")
    with pytest.raises(Stopped):
        train_spec(dlc.loads(one_sided), run=other, stop=stop_after(4), chunk_iterations=1)
    train_spec(dlc.loads(one_sided), run=other, resume=True)
    same_run(other, run)


def test_predictions_that_are_nan_are_counted(tmp_path: Path, dlc_command) -> None:  # noqa: F811
    """Once by `train`, `eval` and `predict`; their classes are wrong, and in no cell of the confusion matrix."""
    a = np.array([1, 2, 3, 1, 2, 3, -1, -2, 2])
    rows = "\n".join(f"{x},{x + 1},{i % 2}" for i, x in enumerate(a))
    (tmp_path / "all.csv").write_text(f"a,b,kind\n{rows}\n")
    (tmp_path / "bad.csv").write_text("a,b,kind\n-1,-2,0\n-2,-1,1\n2,3,0\n")
    text = (
        f"data: {{source: {{csv: {tmp_path / 'all.csv'}}}, split: {{test: 3, shuffle: false}}}}\n"
        "inputs: {ab: {tensor: {shape: [2], columns: [a, b]}}}\ntargets: {kind: {category: 2}}\n"
        "network: [formula: log(x), scale]\nloss: cross_entropy\nmetrics: [accuracy, specificity, brier]\n"
        "optimizer: {sgd: 1.0e-30}\ntrain: {epochs: 2, batch_size: 6}\n"
    )
    listening = Listening()
    result = train_spec(dlc.loads(text), run=RunFolder(tmp_path / "run"), reporter=listening)
    assert listening.notes == ["the prediction of `kind` is NaN for 2 of 3 test examples"]
    assert result.test["accuracy"] == 0 and math.isnan(result.test["loss"]) and math.isnan(result.test["brier"])
    note = "note: the prediction of `kind` is NaN for 2 of 3 examples\n"
    code, out, err = dlc_command("eval", str(tmp_path / "run"), "--data", str(tmp_path / "bad.csv"), "--json")
    found = strict(out)
    assert code == 0 and err == note and found["undefined"] == {"kind": 2}
    guess = int(np.log(2) < np.log(3))  # of the only row with logarithms
    assert found["metrics"]["accuracy"] == pytest.approx((guess == 0) / 3)
    assert np.sum(found["confusion"]["kind"]) == 1 and found["confusion"]["kind"][0][guess] == 1
    code, out, err = dlc_command("predict", str(tmp_path / "run"), str(tmp_path / "bad.csv"))
    assert code == 0 and err == note
    assert [line.split(",")[0] for line in out.splitlines()] == ["kind", "", "", str(guess)]


def test_losses_of_small_numbers_are_not_0(tmp_path: Path) -> None:
    """Their squares leave float32: else all epochs would be equally good, and the first would be kept."""
    x = np.linspace(-1, 1, 24)[:, None]
    np.savez(tmp_path / "small.npz", x=x, y=1e-25 * x)
    text = (
        f"data: {{source: {{npz: {tmp_path / 'small.npz'}}}, split: {{validation: 8}}}}\n"
        "inputs: {x: {tensor: [1]}}\ntargets: {y: {tensor: [1]}}\n"
        "network: [{dense: 1, initializer: zeros}]\nloss: mse\nmetrics: [mse, r2]\noptimizer: {sgd: 0.5}\n"
        "train: {epochs: 3, batch_size: 8}\n"
    )
    result = train_spec(dlc.loads(text))
    losses = [record["validation/loss"] for record in result.history]
    assert 1e-51 > losses[0] > losses[1] > losses[2] > 0 and result.best_epoch == 3
    assert [record["validation/mse"] for record in result.history] == pytest.approx(losses, rel=1e-5)


def test_no_value_is_no_improvement(one_sided: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def follow(values: list[float], patience: int | None = None) -> tuple[int, int]:
        left = iter(values)
        monkeypatch.setattr(
            fitting.SplitEvaluation,
            "values",
            lambda *_: Measured({"loss": 1.0, "accuracy": 0.5, "roc_auc": next(left)}),
        )
        text = one_sided.replace("epochs: 4", f"epochs: {len(values)}")
        if patience is not None:
            text = text.replace("monitor:", f"early_stopping: {{patience: {patience}}}, monitor:")
        found = train_spec(dlc.loads(text))
        return found.best_epoch, len(found.history)

    nan = math.nan
    assert follow([nan, 0.5, nan, 0.4]) == (2, 4)
    assert follow([nan, nan, 0.1, math.inf]) == (3, 4)
    assert follow([0.9, nan, nan, nan, 0.95], patience=2) == (1, 3)


def test_tensorboard_gets_no_points_without_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlc.training.callbacks import events

    points: list[Any] = []

    class Writer:
        def __init__(self, folder: str) -> None: ...
        def add_scalar(self, *point: Any) -> None:
            points.append(point)

        def flush(self) -> None: ...

    class Summary:
        pass

    Summary.Writer = Writer  # type: ignore[attr-defined]
    monkeypatch.setattr(events, "require", lambda *_: Summary)
    events.Events(tmp_path / "events").begin([{"epoch": 1, "step": 3, "a": math.nan, "b": 0.5}])
    assert points == [("b", 0.5, 3)]


# ---- many metrics in a run ----

MANY = SMALL.replace(
    "metrics: [accuracy]",
    "metrics: [accuracy, f1, {recall: {average: weighted}}, balanced_accuracy, cohen_kappa, matthews, log_loss, brier,"
    " {top_k_accuracy: 2}, roc_auc, pr_auc, mean_iou]",
).replace("epochs: 4", "epochs: 2")


def test_evaluation_of_a_run_against_scikit_learn(tmp_path: Path, dlc_command) -> None:  # noqa: F811
    from sklearn.datasets import load_iris

    from dlc.data.dataset import load_dataset

    spec = dlc.loads(MANY)
    dlc.train(spec, tmp_path / "run")
    rows = load_dataset(spec.plan).splits["train"]
    x, t = load_iris().data[rows], load_iris().target[rows]
    table = dlc.predict(tmp_path / "run", {"features": x})
    p = np.stack([table[f"species_{name}"] for name in ("setosa", "versicolor", "virginica")], -1).astype(np.float64)
    y, p = p.argmax(-1), p / p.sum(-1, keepdims=True)
    evaluation = dlc.evaluate(tmp_path / "run", "train")
    assert evaluation.metrics == pytest.approx(
        {
            "loss": sk.log_loss(t, p),
            "accuracy": sk.accuracy_score(t, y),
            "f1": sk.f1_score(t, y, average="macro"),
            "recall": sk.recall_score(t, y, average="weighted"),
            "balanced_accuracy": sk.balanced_accuracy_score(t, y),
            "cohen_kappa": sk.cohen_kappa_score(t, y),
            "matthews": sk.matthews_corrcoef(t, y),
            "log_loss": sk.log_loss(t, p),
            "brier": sk.brier_score_loss(t, p, scale_by_half=False),
            "top_k_accuracy": sk.top_k_accuracy_score(t, p, k=2),
            "roc_auc": sk.roc_auc_score(t, p, multi_class="ovr"),
            "pr_auc": sk.average_precision_score(np.eye(3)[t], p),
            "mean_iou": sk.jaccard_score(t, y, average="macro"),
        },
        rel=1e-5,
    )
    assert list(evaluation.metrics)[1:] == [item.name for item in spec.plan.metrics]
    np.testing.assert_array_equal(evaluation.confusion["species"], sk.confusion_matrix(t, y))
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert "validation/roc_auc" in record and "train/roc_auc" not in record
    _, out, _ = dlc_command("eval", str(tmp_path / "run"), "--split", "train")
    widths = {len(line) - len(line.lstrip()) for line in out.splitlines()[1:]}
    assert widths == {2} and len(out.splitlines()) == 14


def test_lines_of_many_figures_break_by_split() -> None:
    names = ("loss", "accuracy", "f1", "roc_auc", "balanced_accuracy")
    record = {"epoch": 3, **{f"{split}/{name}": 0.5 for split in ("train", "validation") for name in names}}
    lines = epoch_line(record, 12, 0.03, best=True).splitlines()
    assert lines[0] == "epoch  3/12  0.03 s  best"
    assert lines[1].startswith("  train loss 0.5000 accuracy 0.5000") and lines[2].startswith("  validation loss 0.5")
    few = {"epoch": 3, "train/loss": 12_345_678.0, "train/rmse": 1e-5, "validation/loss": math.nan}
    line = "epoch  3/12  train loss 1.235e+07 rmse 1e-05  validation loss nan  0.03 s"
    assert epoch_line(few, 12, 0.03, best=False) == line and len(line) < LINE


def test_each_part_of_a_sum_is_reported(tmp_path: Path, dlc_command) -> None:  # noqa: F811
    text = SMALL.replace(
        "loss: cross_entropy", "loss: [cross_entropy, {cross_entropy: {label_smoothing: 0.1}, name: soft, weight: 0.5}]"
    )
    path = tmp_path / "two.yaml"
    path.write_text(text.replace("epochs: 4", "epochs: 1"))
    code, out, _ = dlc_command("train", str(path), "--run", str(tmp_path / "run"))
    names = [word.split()[0] for word in out.splitlines()[-4].partition("validation ")[2].split(", ")]
    assert code == 0 and names == ["loss", "cross_entropy", "soft", "accuracy"]
    found = dlc.evaluate(tmp_path / "run").metrics
    assert list(found) == ["loss", "cross_entropy", "soft", "accuracy"]
    assert found["loss"] == pytest.approx(found["cross_entropy"] + 0.5 * found["soft"], rel=1e-6)


@pytest.mark.parametrize("word", METRICS)
def test_a_resolved_metric_reads_back(word: str) -> None:
    """A run keeps every default written out; that must be a spec again, with the same metric."""
    for example in load_class(METRICS, word).examples:
        if example.error is None:
            made = build_word(parse_yaml(f"item:\n  {example.spec}\n", "example").tree["item"], METRICS, "metric")
            again = build_word({word: {**made.model_dump()}}, METRICS, "metric")
            assert again == made


def test_a_split_without_shuffling_reads_back() -> None:
    """Its seed, which nothing draws from, may not be written."""
    text = resolved_text(dlc.loads(SMALL.replace("test: 0.2}", "test: 0.2, shuffle: false}")))
    assert "shuffle: false" in text and dlc.loads(text).plan.data.split.seed == 0


def test_training_adds_up_what_evaluation_does(tmp_path: Path) -> None:
    """With weights that hardly move, what the device joins over the steps is what evaluation finds."""
    words = '[mae, r2, explained_variance, pearson, max_error, smape, {formula: "abs(prediction - target)"}]'
    text = (
        "data: {source: diabetes, split: {validation: 42}}\n"
        "inputs: {features: {tensor: {shape: [10], normalize: standard}}}\n"
        "targets: {progression: {number: standard}}\nnetwork: [dense: 1]\nloss: mse\n"
        f"metrics: {words}\noptimizer: {{sgd: 1.0e-12}}\ntrain: {{epochs: 1, batch_size: 50}}\n"
    )
    dlc.train(dlc.loads(text), tmp_path / "run")
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    found = dlc.evaluate(tmp_path / "run", "train").metrics
    assert {name: record[f"train/{name}"] for name in found} == pytest.approx(dict(found), rel=1e-5)


# ---- confusion matrices ----


def test_confusion_of_sequences_counts_places_without_padding(tmp_path: Path, dlc_command) -> None:  # noqa: F811
    generator = np.random.default_rng(0)
    words = generator.integers(1, 9, (300, 5))  # more than a batch of predictions
    words[np.arange(5) >= generator.integers(1, 6, 300)[:, None]] = 0
    tags = generator.integers(0, 3, (300, 5))
    np.savez(tmp_path / "tags.npz", words=words, tags=tags)
    spec = dlc.loads(
        f"data: {{source: {{npz: {tmp_path / 'tags.npz'}}}}}\n"
        "inputs: {words: {tokens: {vocabulary: 9, padding: 0, length: 5}}}\n"
        "targets: {tags: {tokens: {vocabulary: 3, length: 5}}}\n"
        "network: [embedding: {vocabulary: 9, size: 4}, dense: 3]\nloss: cross_entropy\n"
        "metrics: [accuracy, perplexity, f1]\noptimizer: {sgd: 0.1}\ntrain: {epochs: 1, batch_size: 32}\n"
    )
    dlc.train(spec, tmp_path / "run")
    found = dlc.evaluate(tmp_path / "run", "train")
    matrix = found.confusion["tags"]
    assert matrix.sum() == (words > 0).sum()
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(tags[words > 0], minlength=3))
    assert np.trace(matrix) / matrix.sum() == pytest.approx(found.metrics["accuracy"])
    assert found.metrics["perplexity"] == pytest.approx(math.exp(found.metrics["loss"]), rel=1e-5)
    assert found.classes["tags"] == ["0", "1", "2"]
    code, out, _ = dlc_command("eval", str(tmp_path / "run"), "--confusion")
    assert code == 0 and "true \\ predicted" in out


@pytest.mark.parametrize(
    ("target", "units", "loss"),
    [
        ("{classes: [no, yes]}", 1, "binary_cross_entropy"),
        ("{classes: [no, yes], one_hot: true}", 2, "cross_entropy"),
        ("{classes: [no, yes], one_hot: true}", 2, "binary_cross_entropy"),
    ],
)
def test_confusion_of_two_classes(target: str, units: int, loss: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(50, 2))
    np.savez(tmp_path / "two.npz", x=x, w=generator.uniform(size=50), y=np.where(x[:, 0] + x[:, 1] > 1, "yes", "no"))
    spec = dlc.loads(
        f"data: {{source: {{npz: {tmp_path / 'two.npz'}}}}}\ninputs: {{x: {{tensor: [2]}}}}\n"
        f"targets: {{y: {{category: {target}}}, w: number}}\nnetwork: [dense: {units}]\n"
        f"loss: {{{loss}: {{}}, sample_weight: w}}\n"
        "metrics: [accuracy, {accuracy: {}, sample_weight: w, name: weighted}]\n"
        "optimizer: {sgd: 0.5}\ntrain: {epochs: 2, batch_size: 10}\n"
    )
    dlc.train(spec, tmp_path / "run")
    found = dlc.evaluate(tmp_path / "run", "train")
    matrix = found.confusion["y"]
    assert list(found.confusion) == ["y"] and matrix.sum() == 50 and matrix[1].sum() == (x.sum(1) > 1).sum()
    assert np.trace(matrix) / 50 == pytest.approx(found.metrics["accuracy"])
    assert found.metrics["weighted"] != pytest.approx(found.metrics["accuracy"], rel=1e-6)


def test_numbers_have_no_confusion_matrix(tmp_path: Path, dlc_command) -> None:  # noqa: F811
    text = (
        "data: {source: diabetes, split: {validation: 0.2}}\n"
        "inputs: {features: {tensor: {shape: [10], normalize: standard}}}\n"
        "targets: {progression: {number: standard}}\nnetwork: [dense: 1]\nloss: mse\n"
        "metrics: [r2, median_absolute_error, max_error, explained_variance, pearson]\noptimizer: {adam: 0.1}\n"
        "train: {epochs: 1}\n"
    )
    dlc.train(dlc.loads(text), tmp_path / "run")
    found = dlc.evaluate(tmp_path / "run")
    assert found.confusion == {} and found.metrics["r2"] < 1
    # 442 patients in their own unit, in training as in evaluation
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert record["validation/r2"] == pytest.approx(found.metrics["r2"]) and "train/r2" in record
    code, _, err = dlc_command("eval", str(tmp_path / "run"), "--confusion")
    assert code != 0 and "no output predicts a class" in err
