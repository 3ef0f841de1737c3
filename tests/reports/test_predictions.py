"""Predictions in the report: every loss with every kind of target, and what is drawn of each kind."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.backend.network import lower
from dlc.backend.predict import with_stats
from dlc.cli.reporters import Plain
from dlc.cli.train import written_report
from dlc.components.features.feature import encoded_on_host
from dlc.components.losses import LOSSES
from dlc.components.losses.loss import Loss
from dlc.data.dataset import load_dataset
from dlc.data.fitted import device_stats
from dlc.diagnostics import human
from dlc.frontend.pipeline import check_text
from dlc.ir import TensorType
from dlc.language.options import RuleViolation
from dlc.reports.answers import sections
from dlc.reports.page import page, write_report
from dlc.reports.predictions import Answers, Classes, Labels, Numbers, Sequences, predicted
from dlc.reports.record import Record
from dlc.serving.model import Model
from dlc.training.run_folder import RunFolder
from tests.components.building import built
from tests.reports.test_report import Outline, saved

EXAMPLES = 14
RANDOM = np.random.default_rng(0)
HOT = np.eye(3)[RANDOM.integers(0, 3, (EXAMPLES, 8, 8))]
SHORT = np.where(np.arange(4) < RANDOM.integers(1, 5, (EXAMPLES, 1)), RANDOM.integers(1, 5, (EXAMPLES, 4)), 0)
BITS = RANDOM.integers(0, 2, (EXAMPLES, 8, 8, 8, 4))

TARGETS: dict[str, tuple[str, np.ndarray[Any, Any]]] = {
    "two": ("{category: 2}", RANDOM.integers(0, 2, EXAMPLES)),
    "classes": ("{category: [a, b, <c>]}", np.array(["a", "b", "<c>"])[RANDOM.integers(0, 3, EXAMPLES)]),
    "partly": ("{category: {classes: 3, ignored: -1}}", RANDOM.integers(-1, 3, EXAMPLES)),
    "one_hot": ("{category: {classes: 3, one_hot: true}}", RANDOM.integers(0, 3, EXAMPLES)),
    "many": ("{category: 500}", RANDOM.integers(0, 500, EXAMPLES)),
    "tokens": ("{tokens: {vocabulary: 5, length: 4}}", RANDOM.integers(0, 5, (EXAMPLES, 4))),
    "padded": ("{tokens: {vocabulary: 5, length: 4, padding: 0}}", SHORT),
    "bits": ("{tokens: {vocabulary: 2, length: 4}}", BITS[:, 0, 0, 0]),
    "single": ("{tensor: []}", RANDOM.random(EXAMPLES)),
    "number": ("number", RANDOM.random(EXAMPLES)),
    "scaled": ("{number: standard}", RANDOM.normal(5e6, 3, EXAMPLES)),
    "pair": ("{tensor: {shape: [2], normalize: standard}}", RANDOM.random((EXAMPLES, 2))),
    "vector": ("{tensor: [9]}", RANDOM.random((EXAMPLES, 9))),
    "shares": ("{tensor: [3]}", RANDOM.dirichlet(np.ones(3), EXAMPLES)),
    "labels": ("{tensor: [3]}", BITS[:, 0, 0, 0, :3]),
    "series": ("{tensor: [6, 2]}", RANDOM.random((EXAMPLES, 6, 2))),
    "events": ("{tensor: [6, 2]}", BITS[:, 0, :6, 0, :2]),
    "many_series": ("{tensor: [9, 7]}", RANDOM.random((EXAMPLES, 9, 7))),
    "image": ("{tensor: [8, 8, 1]}", RANDOM.random((EXAMPLES, 8, 8, 1))),
    "flat_image": ("{tensor: [8, 8]}", RANDOM.random((EXAMPLES, 8, 8))),
    "mask": ("{tensor: [8, 8, 1]}", BITS[:, 0, :, :, :1]),
    "color": ("{tensor: {shape: [8, 8, 3], scale: 255}}", RANDOM.integers(0, 256, (EXAMPLES, 8, 8, 3))),
    "regions": ("{tensor: [8, 8, 3]}", HOT),
    "maps": ("{tensor: [8, 8, 4]}", BITS[:, 0]),
    "flow": ("{tensor: [8, 8, 2]}", RANDOM.normal(size=(EXAMPLES, 8, 8, 2))),
    "volume": ("{tensor: [4, 8, 8, 2]}", RANDOM.random((EXAMPLES, 4, 8, 8, 2))),
    "volume_labels": ("{tensor: [4, 8, 8, 2]}", BITS[:, :4, :, :, :2]),
}
ITEMS = {
    "quantile": "[0.1, 0.9]",
    "formula": '"mean(abs(prediction - target) ** 1.5)"',
}


def outputs_for(target: TensorType) -> list[tuple[int, ...]]:
    """Shapes of outputs that a loss may compare with a target."""
    sizes = tuple(size for size in target.shape[1:] if isinstance(size, int))
    bound = [target.bound] if target.bound else []
    found = [sizes, *((*sizes, count) for count in (1, *bound)), (*sizes[:-1], 2 * (sizes or (1,))[-1]), (2,), (7, 6)]
    return [shape for shape in dict.fromkeys(found) if shape]


def pairs_of(loss: Loss) -> list[tuple[str, tuple[int, ...]]]:
    """The kinds of targets that a loss accepts, with shapes of outputs."""
    pairs = []
    for name, (feature, values) in TARGETS.items():
        target = built(feature, "feature")
        raw = target.read([values], name)
        encoded = encoded_on_host(target, name, raw, target.fit(raw))[name]
        for shape in outputs_for(target.value_type()):
            try:
                loss.infer(TensorType(("batch", *shape)), target.value_type())
                loss.check_values(encoded)
            except RuleViolation:
                continue
            if not (name == "partly" and not loss.ignores(-1)):
                pairs.append((name, shape))
    return pairs


def answers_of(
    text: str, folder: Path, scale: float = 1.0, **arrays: np.ndarray[Any, Any]
) -> tuple[Model, Answers, Outline]:
    """The predictions of a spec with initial weights, and what is drawn of them."""
    spec = dlc.loads(text.replace("DATA", saved(folder, **arrays)))
    data = load_dataset(spec.plan)
    program = lower(spec.plan.graph)
    weights = {name: scale * value for name, value in program.to_flat(program.init(0)).items()}
    stats = device_stats(data.fitted.stats)
    model = Model(spec.plan, program, with_stats(weights, stats), data.fitted, spec.texts)
    found = predicted(model, data)
    return model, found, Outline(f"<div>{''.join(sections(spec.plan, found))}</div>")


def spec_of(item: str, pairs: list[tuple[str, tuple[int, ...]]]) -> str:
    """A spec with a small network for each pair of a target and an output."""
    targets = {name: TARGETS[name][0] for name, _ in pairs}
    network, outputs, losses = [], [], []
    for index, (name, shape) in enumerate(pairs):
        size = int(np.prod(shape))
        network.append(f"  - {{dense: {size}, inputs: x, name: d{index}}}")
        network.append(f"  - {{reshape: {list(shape)}, inputs: d{index}, name: o{index}}}")
        outputs.append(f"o{index}: o{index}")
        losses.append(f"  - {{{item}, output: o{index}, target: {name}, name: l{index}}}")
    return "\n".join(
        [
            "data: {source: {npz: DATA}, split: {validation: 13}}",
            "inputs: {x: {tensor: [2]}}",
            f"targets: {{{', '.join(f'{name}: {feature}' for name, feature in targets.items())}}}",
            "network:",
            *network,
            f"outputs: {{{', '.join(outputs)}}}",
            "loss:",
            *losses,
            "optimizer: sgd",
        ]
    )


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "word", ["binary_cross_entropy", *sorted(set(LOSSES) - {"binary_cross_entropy", "mse"}), "mse"]
)
def test_every_kind_of_target_can_be_drawn(word: str, tmp_path: Path) -> None:
    """Also outputs that are not finite."""
    item = f"{word}: {ITEMS.get(word, '')}"
    pairs = pairs_of(built(f"{{{item}}}", "loss"))
    pairs = [pair for pair in pairs if "DLC313" not in check_text(spec_of(item, [pair]))[1].codes]  # out of its domain
    assert pairs, f"no target above fits `{word}`: add one"
    x = np.random.default_rng(1).normal(size=(EXAMPLES, 2))
    x[::3] *= 1e38 / np.abs(x[::3])
    arrays = {name: TARGETS[name][1] for name, _ in pairs}
    model, found, outline = answers_of(spec_of(item, pairs), tmp_path, 8.0, x=x, **arrays)
    assert {answer.name for answer in found.answers} == {term.target for term in model.plan.losses if term.target}
    texts = [text for _, _, parts in outline.found for text in parts]
    assert not any(re.search(r"\b(nan|inf)\b", text) for text in texts)
    drawn = [str(attributes["d"]) for attributes, _ in outline.all("path")]
    assert not any("nan" in path or "inf" in path for path in drawn)


def one(feature: str, network: str, loss: str, inputs: str = "x: {tensor: [2]}") -> str:
    return (
        f"data: {{source: {{npz: DATA}}, split: {{validation: 13}}}}\ninputs: {{{inputs}}}\ntargets: {{y: {feature}}}\n"
        f"network: {network}\nloss: {loss}\noptimizer: sgd\n"
    )


def test_labels_are_shown_with_probabilities(tmp_path: Path) -> None:
    """Each label is predicted above its own threshold."""
    x, y = np.random.default_rng(1).normal(size=(EXAMPLES, 2)), BITS[:, 0, 0, 0, :3]
    feature = "{tensor: {shape: [3], columns: [red, '<b>', blue], threshold: [0.3, 0.5, 0.8]}}"
    text = one(feature, "[dense: 3]", "binary_cross_entropy")
    columns = dict(zip(("red", "<b>", "blue"), y.T, strict=True))
    model, found, outline = answers_of(text, tmp_path, 3.0, x=x, **columns)
    (answer,) = found.answers
    assert isinstance(answer, Labels) and answer.labels == ["red", "<b>", "blue"]
    kernel, bias = (np.asarray(model.weights[f"dense/{name}"], np.float64) for name in ("kernel", "bias"))
    rows = load_dataset(model.plan).splits["validation"]
    want = 1 / (1 + np.exp(-(x[rows] @ kernel + bias)))
    np.testing.assert_allclose(answer.guess, want, atol=1e-5)
    assert (answer.truth == y[rows]).all()
    cells = [text for _, text in outline.all("td")]
    shown = [cell for cell in cells if re.fullmatch(r"(\u25cf )?0\.\d{3}", cell)][-36:]
    for index, cell in enumerate(shown):
        row, label = divmod(index, 3)
        assert cell == ("\u25cf " if y[rows[row], label] else "") + f"{want[row, label]:.3f}"
    for label, threshold in enumerate((0.3, 0.5, 0.8)):
        at, guessed = cells.index(f"{threshold:g}", 6 * label), want[:, label] > threshold
        shares = y[rows, label][guessed].mean(), guessed[y[rows, label] == 1].mean()
        assert (float(cells[at + 1]), float(cells[at + 2])) == pytest.approx(shares, abs=5e-4)
    assert [text for _, text in outline.all("figcaption")] == ["Probabilities of y"]
    dots = [points for a, _ in outline.all("path", "many") for points in str(a["d"]).split("M")[1:]]
    assert len(dots) == 39


@pytest.mark.parametrize(
    ("kind", "network", "loss", "pictures"),
    [
        ("maps", "[{conv2d: {filters: 4, kernel: 1}}]", "binary_cross_entropy", ["y_0", "y_1", "y_2", "y_3"]),
        ("flow", "[{conv2d: {filters: 2, kernel: 1}}]", "mse", ["y_0", "y_1"]),
        ("color", "[{conv2d: {filters: 3, kernel: 1}}]", "mse", ["y"]),
    ],
)
def test_channels_of_a_map_are_pictures(
    kind: str, network: str, loss: str, pictures: list[str], tmp_path: Path
) -> None:
    x, (feature, y) = np.random.default_rng(1).random((EXAMPLES, 8, 8, 1)), TARGETS[kind]
    _, found, outline = answers_of(one(feature, network, loss, "x: {tensor: [8, 8, 1]}"), tmp_path, x=x, y=y)
    assert isinstance(found.answers[0], Labels if kind == "maps" else Numbers)
    alts = [attributes["alt"] for attributes, _ in outline.all("img")]
    each = [alt for name in pictures for alt in ("x", f"{name}, true", f"{name}, predicted")]
    assert alts[: len(each)] == each and len(alts) == 12 * 3


def test_series_are_curves_over_time(tmp_path: Path) -> None:
    x, (feature, y) = np.random.default_rng(1).normal(size=(EXAMPLES, 2)), TARGETS["many_series"]
    _, found, outline = answers_of(one(feature, "[dense: 63, reshape: [9, 7]]", "mse"), tmp_path, x=x, y=y)
    (answer,) = found.answers
    assert isinstance(answer, Numbers)
    titles = [text for _, text in outline.all("figcaption")]
    assert titles[:6] == [f"Errors of y_{series}" for series in range(6)]
    assert titles[6:] == [f"example {row}, y_{series}" for row in (1, 2) for series in range(6)]
    assert "The first 6 of 7 series are shown." in " ".join(text for _, text in outline.all("p"))
    lines = [str(a["d"]) for a, _ in outline.all("path", "line")]
    assert len(lines) == 24
    across = [[float(point.split()[0]) for point in line[1:].split("L")] for line in lines]
    assert all(len(xs) == 9 and xs == sorted(xs) for xs in across)


def test_padding_is_neither_drawn_nor_counted(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x = np.where(np.arange(9) < random.integers(1, 10, (EXAMPLES, 1)), random.integers(1, 6, (EXAMPLES, 9)), 0)
    y = random.integers(0, 2, (EXAMPLES, 9, 2))
    network = "[{embedding: {vocabulary: 6, size: 5}}, dense: 2]"
    words = "x: {tokens: {vocabulary: 6, padding: 0}}"
    text = one("{tensor: [time, 2]}", network, "binary_cross_entropy", words)
    model, found, outline = answers_of(text, tmp_path, x=x, y=y)
    (answer,) = found.answers
    assert isinstance(answer, Labels)
    rows = load_dataset(model.plan).splits["validation"]
    assert (np.isnan(answer.guess) == (x[rows] == 0)[:, :, None]).all()
    counts = [int(cells[-1]) for cells in rows_in(outline)[:2]]
    assert counts == [int(y[rows][..., at][x[rows] > 0].sum()) for at in range(2)]


def rows_in(outline: Outline) -> list[list[str]]:
    """The cells of each row of the page's tables."""
    rows: list[list[str]] = []
    for tag, _, texts in outline.found:
        if tag == "tr":
            rows.append([])
        elif tag == "td":
            rows[-1].append("".join(texts))
    return [row for row in rows if row]


def test_labels_that_exclude_each_other_are_classes(tmp_path: Path) -> None:
    """Whether the loss or the network applies softmax."""
    x, y = np.random.default_rng(1).normal(size=(EXAMPLES, 2)), np.eye(3)[np.arange(EXAMPLES) % 3]
    found = []
    for network, loss in (
        ("[dense: 3]", "cross_entropy"),
        ("[dense: {units: 3, activation: softmax}]", "{cross_entropy: {from_logits: false}}"),
    ):
        _, predictions, outline = answers_of(one("{tensor: [3]}", network, loss), tmp_path, x=x, y=y)
        assert isinstance(predictions.answers[0], Classes)
        found.append(rows_in(outline))
    assert found[0] == found[1]


CTC = one(
    "{tokens: {vocabulary: 5, length: 4, padding: 0}}",
    "[{embedding: {vocabulary: 6, size: 5}}]",
    "ctc\nmetrics: [token_error_rate]",
    "x: {tokens: {vocabulary: 6, padding: 0}}",
)


def test_sequences_are_shown_as_strings(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x = np.where(np.arange(9) < random.integers(1, 10, (EXAMPLES, 1)), random.integers(1, 6, (EXAMPLES, 9)), 0)
    model, found, outline = answers_of(CTC, tmp_path, x=x, y=SHORT)
    (answer,) = found.answers
    assert isinstance(answer, Sequences)
    table = np.asarray(model.weights["embedding/embedding"]).argmax(1)
    rows = load_dataset(model.plan).splits["validation"]
    for row, guess, truth in zip(rows, answer.guess, answer.truth, strict=True):
        path = table[x[row][x[row] > 0]].tolist()
        assert guess == [k for at, k in enumerate(path) if k != 0 and (at == 0 or path[at - 1] != k)]
        assert truth == SHORT[row][SHORT[row] > 0].tolist()
    cells = [text for _, text in outline.all("td")]
    assert " ".join(map(str, answer.truth[0])) in cells
    assert not outline.all("figure")


def test_sizes_are_those_of_the_data(tmp_path: Path) -> None:
    text = one("number", "[dense: 4, global_avg_pool1d, dense: 1]", "mse", "x: {tensor: [time, 2]}")
    x, y = np.random.default_rng(1).normal(size=(EXAMPLES, 30, 2)), np.arange(EXAMPLES)
    spec = dlc.loads(text.replace("DATA", saved(tmp_path, x=x, y=y)))
    record = Record(RunFolder(tmp_path), spec, text, (), 0, {}, None, {}, ())
    for data, size in ((load_dataset(spec.plan), 30), (None, 128)):
        outline = Outline(page(record, data)[0])
        flops = size * (2 * 2 * 4 + 4) + size * 4 + 2 * 4 + 1
        tiles = dict(zip(*([text for _, text in outline.all(tag)] for tag in ("dt", "dd")), strict=True))
        assert tiles[f"FLOPs per example, time = {size}"] == human(flops)
        notes = " ".join(text for _, text in outline.all("p", "note"))
        assert f"FLOPs are those of an example with time = {size}." in notes
        assert ("128 is assumed" in notes) == (data is None)


# ---- what fails ----


def test_a_section_that_fails_is_left_out(small_run: RunFolder, tmp_path: Path, monkeypatch: Any) -> None:
    def broken(*arguments: object) -> None:
        raise TypeError("no charts today")

    monkeypatch.setattr("dlc.reports.answers.sections", broken)
    path, notes = write_report(small_run, tmp_path / "page.html")
    assert len(notes) == 1 and "the section Predictions could not be created (TypeError: no charts today)" in notes[0]
    outline = Outline(path.read_text(encoding="utf-8"))
    titles = [text for _, text in outline.all("h2")]
    assert "Predictions" in titles and "Network" in titles and "Environment" in titles
    assert any("no charts today" in text for _, text in outline.all("p", "note"))


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_whatever_fails_only_prints_a_note(
    error: BaseException, small_run: RunFolder, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("dlc.reports.page.write_report", broken)
    result = SimpleNamespace(folder=RunFolder(tmp_path), data=object())
    assert written_report(result, Plain()) is None  # type: ignore[arg-type]
    assert capsys.readouterr().err.startswith("note: the report was not written (")
