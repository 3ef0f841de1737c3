"""The report of a run: whole HTML, figures that are those of the run, inert texts of users, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import shutil
import struct
import time
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.reports import answers, charts
from dlc.reports.images import MOST_PIXELS, picture, png
from dlc.reports.markup import VOID
from dlc.reports.page import LONGEST_SPEC, _spec, write_report
from dlc.reports.predictions import Classes
from dlc.training.callbacks.timing import Timing
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.cli.test_commands import dlc_command  # noqa: F401 - a fixture
from tests.common import SMALL

NASTY = "<script>alert('x')</script>"


class Outline(HTMLParser):
    """Elements in order, with attributes and their own text; raises where tags don't balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.texts: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.append(self.found[-1][2])

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()
        self.texts.pop()

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1].append(data)

    def all(self, tag: str, class_: str | None = None) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attributes, "".join(texts))
            for name, attributes, texts in self.found
            if name == tag and (class_ is None or class_ in (attributes.get("class") or "").split())
        ]

    def confusions(self) -> list[tuple[int, bool]]:
        """The counts in the cells of confusion matrices, and whether they are of right answers."""
        cells = [(str(attributes.get("class")), text) for attributes, text in self.all("td")]
        return [(int(text.replace("\u00b7", "0")), "right" in mark) for mark, text in cells if re.match(r"h\d", mark)]


def report(run: RunFolder, folder: Path) -> tuple[Outline, str]:
    path, notes = write_report(run, folder / "report.html")
    assert notes == []
    text = path.read_text(encoding="utf-8")
    return Outline(text), text


@pytest.fixture(scope="module")
def classes(small_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outline, str]:
    return report(small_run, tmp_path_factory.mktemp("report"))


def test_page_needs_nothing_from_outside(classes: tuple[Outline, str]) -> None:
    outline, text = classes
    assert text.startswith("<!DOCTYPE html>")
    for tag, attributes, _ in outline.found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "video", "audio")
        for name, value in attributes.items():
            assert not name.startswith("on") and name != "style", (tag, name)
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert str(value).startswith(("#", "data:image/png;base64,")), value
    assert not re.search(r"(?:https?:)?//\w|@import|url\(", text)


def test_links_on_the_page_lead_somewhere_and_ids_are_unique(classes: tuple[Outline, str]) -> None:
    outline, _ = classes
    ids = [attributes["id"] for _, attributes, _ in outline.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(attributes["href"])[1:] for attributes, _ in outline.all("a")} <= set(ids)


def test_policy_allows_its_own_style_and_script_only(classes: tuple[Outline, str]) -> None:
    outline, _ = classes
    (policy,) = [a["content"] for a, _ in outline.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        ((_, text),) = outline.all(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_figures_are_those_of_the_run(classes: tuple[Outline, str], small_run: RunFolder) -> None:
    outline, _ = classes
    result = json.loads(small_run.result.read_text())
    lines = [json.loads(line) for line in small_run.metrics.read_text().splitlines()]
    best = next(line for line in lines if line["epoch"] == result["best_epoch"])
    shown = [float(str(attributes["data-value"])) for attributes, _ in outline.all("td") if "data-value" in attributes]
    wanted = [
        value
        for name in ("loss", "accuracy")
        for value in (best[f"train/{name}"], best[f"validation/{name}"], result["test"][name])
    ]
    assert shown == wanted
    rates = [str(attributes["data-points"]) for attributes, _ in outline.all("svg", "chart")][-1]
    said = {text.partition(":")[0] for _, text in json.loads(rates)}
    assert {f"step {line['step'] - 1}" for line in lines if "train/loss" in line} <= said


def test_confusion_matrix_is_that_of_the_evaluation(classes: tuple[Outline, str], small_run: RunFolder) -> None:
    outline, _ = classes
    counts = dlc.evaluate(small_run.path).confusion["species"]
    cells = [text for attributes, text in outline.all("td") if re.match(r"h\d", attributes.get("class") or "")]
    assert [0 if text == "\u00b7" else int(text) for text in cells] == counts.reshape(-1).tolist()


def test_sections(classes: tuple[Outline, str]) -> None:
    outline, _ = classes
    titles = [text for _, text in outline.all("h2")]
    assert titles == [
        "Results", "Learning curves", "Predictions", "Network", "Spec", "Times", "Environment",
    ]  # fmt: skip
    assert [text for _, text in outline.all("figcaption")][:3] == ["loss", "accuracy", "learning rate"]
    assert all(attributes.get("role") == "img" for attributes, _ in outline.all("svg"))


def test_equal_runs_have_equal_reports_but_for_times(small_run: RunFolder, tmp_path: Path) -> None:
    one, two = (write_report(small_run, tmp_path / name)[0].read_bytes() for name in ("one.html", "two.html"))
    assert one == two
    assert len(one) < 300_000


def points_of(path: str) -> list[tuple[float, float]]:
    """The points of a path of M, L, V, H and h0."""
    found: list[tuple[float, float]] = []
    x = y = 0.0
    for letter, numbers in re.findall(r"([MLVHh])([^MLVHh]*)", path):
        values = [float(part) for part in numbers.split()]
        if letter in "ML":
            x, y = values
        x = values[0] if letter == "H" else x + values[0] if letter == "h" else x
        y = values[0] if letter == "V" else y
        found.append((x, y))
    return found


CURVES = {
    "usual": [3.0, 2.0, 1.0, 0.5],
    "gaps": [math.nan, 2.0, math.nan, 1.0],
    "one": [0.25],
    "constant": [2.0, 2.0, 2.0],
    "nothing": [math.nan, math.nan],
    "tiny": [1e-12, 3e-12, 2e-12],
    "huge": [1e30, -1e30, 0.0],
    "zero": [0.0, 0.0],
    "decades": [1e4, 1.0, 1e-6],
    "long": [math.sin(i / 50) for i in range(5000)],
}


@pytest.mark.parametrize("log", [False, True], ids=["linear", "logarithmic"])
@pytest.mark.parametrize("ys", CURVES.values(), ids=CURVES)
def test_points_of_a_chart_lie_in_its_frame(ys: list[float], log: bool) -> None:
    xs = [float(at + 1) for at in range(len(ys))]
    drawn = charts.line_chart(
        "loss", [charts.Series("train", xs, ys), charts.Series("validation", xs, ys)], "epoch", None, log
    )
    outline = Outline(drawn)
    ((frame, _),) = outline.all("rect", "frame")
    x, y, width, height = (float(str(frame[name])) for name in ("x", "y", "width", "height"))
    finite = [value for value in ys if math.isfinite(value) and (value > 0 or not log)]
    paths = [str(a["d"]) for kind in ("line", "dots") for a, _ in outline.all("path", kind)]
    points = [point for path in paths if " 12h22" not in path for point in points_of(path)]
    assert bool(points) == bool(finite)
    assert all(x - 0.1 <= across <= x + width + 0.1 and y - 0.1 <= up <= y + height + 0.1 for across, up in points)
    assert len(drawn) < 40_000
    for attributes, _ in outline.all("text"):
        assert -1 <= float(str(attributes["x"])) <= charts.WIDTH


def test_places_on_a_chart() -> None:
    scale = charts.Scale(0.0, 10.0, 50.0, 150.0)
    assert [scale(value) for value in (0, 5, 10)] == [50.0, 100.0, 150.0]
    assert scale.ticks(5) == [0, 2, 4, 6, 8, 10]
    log = charts.Scale(1e-3, 10.0, 0.0, 100.0, True)
    assert [round(log(value), 6) for value in (1e-3, 1e-1, 10)] == [0, 50, 100]
    assert log.ticks() == pytest.approx([1e-3, 1e-2, 0.1, 1, 10])


def test_scatter_and_histogram_hold_their_points() -> None:
    random = np.random.default_rng(0)
    truths, guesses = random.normal(size=(2, 50)).tolist()
    outline = Outline(charts.scatter("p", truths, guesses, "p"))
    ((frame, _),) = outline.all("rect", "frame")
    x, y, width, height = (float(str(frame[name])) for name in ("x", "y", "width", "height"))
    ((dots, _),) = outline.all("path", "dots")
    points = points_of(str(dots["d"]))[::2]
    assert len(points) == 50
    assert all(x <= across <= x + width and y <= up <= y + height for across, up in points)
    outline = Outline(charts.histogram("p", guesses, "error"))
    counts = [int(text.rpartition(": ")[2]) for _, text in outline.all("title")[1:]]
    assert sum(counts) == 50


def test_png() -> None:
    """The format's parts, and the pixels back out of them."""
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    data = png(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    parts, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        parts[kind], at = body, at + 12 + length
    assert struct.unpack(">IIBBBBB", parts[b"IHDR"]) == (4, 5, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(5, 13)
    assert (rows[:, 0] == 0).all() and (rows[:, 1:].reshape(pixels.shape) == pixels).all()


def test_large_pictures_are_made_smaller() -> None:
    drawn = picture(np.ones((500, 300, 3)), (0.0, 1.0), "x")
    height, width = (int(re.search(rf' {name}="(\d+)"', drawn)[1]) for name in ("height", "width"))  # type: ignore[index]
    assert max(height, width) <= MOST_PIXELS and abs(height / width - 5 / 3) < 0.1


# ---- other runs ----


def trained(text: str, folder: Path) -> RunFolder:
    run = RunFolder(folder / "run")
    dlc.train(dlc.loads(text), run.path)
    return run


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def test_texts_of_users_are_inert(tmp_path: Path) -> None:
    data = saved(tmp_path, x=np.random.default_rng(0).normal(size=(30, 2)), kind=np.array(["a", NASTY] * 15))
    spec = tmp_path / "nasty.yaml"
    spec.write_text(
        f"# {NASTY}\nname: nasty\ndata: {{source: {{npz: {data}}}, split: {{test: 10}}}}\n"
        f'inputs: {{x: {{tensor: [2]}}}}\ntargets: {{kind: {{category: [a, "{NASTY}"]}}}}\n'
        "network: [dense: 2]\nloss: cross_entropy\noptimizer: {adam: 0.01}\ntrain: {epochs: 1, batch_size: 10}\n"
    )
    dlc.train(dlc.load(spec), tmp_path / "run")
    outline, text = report(RunFolder(tmp_path / "run"), tmp_path)
    assert NASTY not in text
    assert len(outline.all("script")) == 1
    assert NASTY in [cell for _, cell in outline.all("th")]


HOSTILE = {
    "quotes": "'" * 9,
    "open quotes": "\n'a",
    "open double quotes": '\n"\\\\a',
    "escapes": '"' + "\\\\" * 9,
    "digits": "1",
    "numbers that are none": "1_1.1e1x ",
    "words": "a.b/",
    "words with a colon": "a:",
    "variables": "$(",
    "signs": "-+",
    "comments": " #",
}
"""What a spec may repeat; a pattern that goes back takes the square of its length."""


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE)
def test_highlighting_is_linear(part: str) -> None:
    def seconds(length: int) -> float:
        text = (part * (length // len(part) + 1))[:length]
        began = time.process_time()
        shown = str(_spec(text))
        spent = time.process_time() - began
        assert html.unescape(re.sub("<[^>]*>", "", shown)) == text
        return spent

    seconds(100)
    assert seconds(LONGEST_SPEC) < 1.0, "the square takes minutes"


AUTOENCODER = """
name: pictures
data: {source: digits, split: {test: 20}}
inputs: {image: {tensor: {shape: [8, 8, 1], scale: 16}}}
network: [flatten, dense: {units: 64, activation: sigmoid}, reshape: [8, 8, 1]]
loss: {mse: , target: image}
optimizer: {adam: 0.01}
train: {epochs: 1, batch_size: 512}
"""


@pytest.mark.parametrize(
    ("guesses", "note"),
    [
        ([0, -1], "1 prediction is NaN: it is wrong, and not in the matrix."),
        ([-1, -1], "2 predictions are NaN: they are wrong, and not in the matrix."),
    ],
)
def test_undefined_predictions_are_counted(guesses: list[int], note: str) -> None:
    answer = Classes("y", ["a", "b"], np.array(guesses), np.array([0, 1]), None, None)
    assert answers._notes(answer, np.ones(2, bool)) == [note]


def test_an_autoencoder_shows_reconstructions_beside_inputs(tmp_path: Path) -> None:
    run = trained(AUTOENCODER, tmp_path)
    outline, text = report(run, tmp_path)
    alts = [attributes["alt"] for attributes, _ in outline.all("img")]
    assert alts == ["image, true", "image, predicted"] * 12
    images = [str(attributes["src"]) for attributes, _ in outline.all("img")]
    assert all(base64.b64decode(image.partition(",")[2]).startswith(b"\x89PNG") for image in images)
    assert "accuracy" not in text
    first = dlc.load(run.path / "resolved.yaml")
    from dlc.data.dataset import load_dataset

    data = load_dataset(first.plan)
    raw = data.inputs["image"][data.splits["test"][0]] * 16
    assert images[0] == re.search(r'src="([^"]+)"', picture(raw, (0.0, 16.0), ""))[1]  # type: ignore[index]


def test_numbers_without_validation_and_test(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = saved(tmp_path, x=random.normal(size=(40, 3)), y=random.normal(size=40))
    text = (
        f"name: numbers\ndata: {{source: {{npz: {data}}}}}\ninputs: {{x: {{tensor: [3]}}}}\ntargets: {{y: number}}\n"
        "network: [dense: 1]\nloss: mse\noptimizer: {adam: 0.01}\ntrain: {epochs: 2, batch_size: 20}\n"
    )
    run = trained(text, tmp_path)
    outline, page = report(run, tmp_path)
    assert [text for _, text in outline.all("th")][:3] == ["", "train", "loss"]
    assert "40 examples of the train split" in page
    ((dots, _),) = outline.all("path", "many")
    assert str(dots["d"]).count("M") == 40
    (tmp_path / "data.npz").unlink()
    path, notes = write_report(run, tmp_path / "again.html")
    assert len(notes) == 1 and "data.npz" in notes[0]
    assert "predictions are omitted" in path.read_text().replace("Predictions", "predictions")
    Outline(path.read_text())


def test_series_tokens_and_several_outputs(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = random.integers(1, 6, (40, 7))
    words[::2, 5:] = 0
    data = saved(
        tmp_path, words=words, tags=words, future=random.normal(size=(40, 9)), pair=random.normal(size=(40, 2))
    )
    text = f"""
name: several
data: {{source: {{npz: {data}}}, split: {{validation: 10}}}}
inputs: {{words: {{tokens: {{vocabulary: 6, padding: 0}}}}}}
targets: {{tags: {{tokens: {{vocabulary: 6, padding: 0}}}}, future: {{tensor: [9]}}, pair: {{tensor: [2]}}}}
network:
  - {{embedding: {{vocabulary: 6, size: 4}}, name: table}}
  - {{dense: 6, name: tag, inputs: table}}
  - {{global_avg_pool1d: , inputs: table, name: mean}}
  - {{dense: 9, name: nine, inputs: mean}}
  - {{dense: 2, name: two, inputs: mean}}
outputs: {{tag: tag, nine: nine, two: two}}
loss:
  - {{cross_entropy: , output: tag, target: tags}}
  - {{mse: , output: nine, target: future}}
  - {{mae: , output: two, target: pair}}
optimizer: {{adam: 0.01}}
train: {{epochs: 1, batch_size: 10}}
"""
    run = trained(text, tmp_path)
    outline, _ = report(run, tmp_path)
    assert [text for _, text in outline.all("h3")][:1] == ["tags: 10 examples of the validation split"]
    assert len([1 for _, text in outline.all("figcaption") if text.startswith("example ")]) == 10
    assert {"Predicted and true pair_0", "Errors of pair_1"} <= {text for _, text in outline.all("figcaption")}
    counts = dlc.evaluate(run.path).confusion["tags"]
    cells = [text for attributes, text in outline.all("td") if re.match(r"h\d", attributes.get("class") or "")]
    assert [0 if text == "\u00b7" else int(text) for text in cells] == counts.reshape(-1).tolist()


def test_maps_of_classes_and_many_classes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.random((20, 8, 8, 1)).astype(np.float32)
    masks = np.eye(3, dtype=np.float32)[random.integers(0, 3, (20, 8, 8))]
    data = saved(tmp_path, x=x, masks=masks, many=np.arange(20) % 25)
    text = f"""
name: maps
data: {{source: {{npz: {data}}}}}
inputs: {{x: {{tensor: [8, 8, 1]}}}}
targets: {{masks: {{tensor: [8, 8, 3]}}, many: {{category: 25}}}}
network:
  - {{conv2d: {{filters: 3, kernel: 1}}, name: map}}
  - {{flatten: , inputs: map, name: flat}}
  - {{dense: 25, name: scores}}
outputs: {{map: map, scores: scores}}
loss:
  - {{cross_entropy: , output: map, target: masks, name: of_map}}
  - {{cross_entropy: , output: scores, target: many, name: of_many}}
optimizer: {{adam: 0.01}}
train: {{epochs: 1, batch_size: 10}}
"""
    outline, page = report(trained(text, tmp_path), tmp_path)
    assert [a["alt"] for a, _ in outline.all("img")][:3] == ["x", "true masks", "predicted masks"]
    cells = [
        int(text.replace("\u00b7", "0")) for a, text in outline.all("td") if re.match(r"h\d", a.get("class") or "")
    ]
    assert len(cells) == 9 and sum(cells) == 20 * 64
    heat = [text for attributes, text in outline.all("svg", "chart") if attributes["viewbox"] == "0 0 360 360"]
    assert len(heat) == 1 and " predicted as " in page


def stopped_run(spec: Any, folder: Path, epochs: int) -> RunFolder:
    run = RunFolder(folder / "run")
    seen = []

    def stop() -> bool:
        seen.append(1)
        return len(seen) >= epochs

    with pytest.raises(Stopped):
        train_spec(spec, run=run, stop=stop, chunk_iterations=100)  # asked once an epoch
    return run


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (
            "callbacks: {stop_at: {monitor: train/loss, below: 100}}",
            r"stopped early after 1 of 4 epochs by stop_at: train/loss is [0-9.]+, at most 100",
        ),
        (
            "early_stopping: {monitor: train/loss, patience: 1, min_delta: 100}",
            "stopped early after 2 of 4 epochs by early stopping",
        ),
    ],
)
def test_what_ended_a_run_early(tmp_path: Path, setting: str, text: str) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(dlc.loads(SMALL.replace("epochs: 4,", f"epochs: 4, {setting},")), run=run)
    outline, _ = report(run, tmp_path)
    assert any(re.fullmatch(text, shown) for _, shown in outline.all("span", "badge")), outline.all("span")


def test_an_unfinished_run(small: Any, tmp_path: Path) -> None:
    run = stopped_run(small, tmp_path, 2)
    outline, text = report(run, tmp_path)
    assert "unfinished" in text
    assert "Predictions" in [text for _, text in outline.all("h2")]
    with run.metrics.open("a") as file:
        file.write('{"epoch": 3, "tra')  # a line that is being written
    again, _ = report(run, tmp_path)
    assert len(again.found) == len(outline.found)
    run.metrics.write_text("")
    run.weights.unlink()
    shutil.rmtree(run.checkpoints)
    outline, text = report(run, tmp_path)
    assert "No epoch has finished yet." in text and "no weights have been saved yet" in text


DAMAGE = {
    "environment.json": b"[]",
    "metrics.jsonl": b'{"epoch": 1}\n{"epoch"\n',
    "result.json": b"{}",
    "timing.json": b'{"sessions": [{"started": 3}]}',
    "spec.yaml": b"\xff\xfe\xff",
    "resolved.yaml": b"name: [",
    "weights.safetensors": b"nothing",
    "features.json": b"{}",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_gives_a_diagnostic(name: str, small_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(small_run.path, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(DAMAGE[name])
    with pytest.raises(dlc.SpecError) as caught:
        dlc.report(tmp_path / "run")
    assert not (tmp_path / "run" / "report.html").exists()
    assert caught.value.report.codes[0] in ("DLC503", "DLC005"), caught.value


@pytest.mark.parametrize("line", ["[1]", '{"epoch": "x", "step": null}'])
def test_a_line_after_the_last_is_damage(line: str, small_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(small_run.path, tmp_path / "run")
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write(line + "\n")
    with pytest.raises(dlc.SpecError, match=r"DLC503: `.*metrics.jsonl` is damaged"):
        dlc.report(tmp_path / "run")


@pytest.mark.parametrize("name", ["spec.yaml", "environment.json"])
def test_a_file_that_is_a_folder_is_told_in_words(name: str, small_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(small_run.path, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).mkdir()
    with pytest.raises(dlc.SpecError, match=r"DLC503: `.*` can't be read: i[^\[]*$"):
        dlc.report(tmp_path / "run")


def test_command(dlc_command, small_run: RunFolder, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "page.html"
    code, printed, err = dlc_command("report", str(small_run.path), "--out", str(out))
    assert (code, printed, err) == (0, f"wrote {out}\n", "")
    Outline(out.read_text(encoding="utf-8"))
    code, _, err = dlc_command("report", str(tmp_path))
    assert code == 1 and "DLC502" in err
    code, _, err = dlc_command("report", str(small_run.path), "--out", str(tmp_path / "none" / "page.html"))
    assert code == 1 and "DLC507" in err


def test_train_writes_a_report_and_never_fails_by_it(dlc_command, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    (tmp_path / "small.yaml").write_text(SMALL)
    spec, run = str(tmp_path / "small.yaml"), tmp_path / "run"
    code, printed, err = dlc_command("train", spec, "--set", "train.epochs=1", "--run", str(run))
    assert (code, err) == (0, "")
    assert f"report {run / 'report.html'}\n" in printed
    Outline((run / "report.html").read_text(encoding="utf-8"))
    (run / "report.html").unlink()

    def broken(*arguments: object) -> None:
        raise RuntimeError("no charts today")

    monkeypatch.setattr("dlc.reports.page.page", broken)
    code, printed, err = dlc_command("train", spec, "--set", "train.epochs=2", "--run", str(run), "--resume")
    assert code == 0
    assert "no charts today" in err and f"dlc report {run}" in err
    assert printed.splitlines()[-1] == f"run folder {run}" and "report " not in printed
    assert RunFolder(run).finished


def test_a_part_that_fails_costs_only_its_section(
    small_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin may fail anywhere: while the data are read, or where a section is created."""

    def broken(*arguments: object) -> None:
        raise RuntimeError("no rows today")

    monkeypatch.setattr("dlc.data.dataset.load_dataset", broken)
    monkeypatch.setattr("dlc.reports.page._sizes", broken)
    monkeypatch.setattr("dlc.reports.page._times", broken)
    path, notes = write_report(small_run, tmp_path / "page.html")
    page, text = Outline(path.read_text(encoding="utf-8")), path.read_text(encoding="utf-8")
    assert [note.split(" (")[0] for note in notes] == [
        "the data could not be read",
        "the sizes of the data could not be found",
        "the section Times could not be created",
    ]
    assert "The data could not be read (RuntimeError: no rows today)" in text
    titles = {attributes.get("id") for attributes, _ in page.all("h2")}
    assert {"results", "curves", "predictions", "network", "times"} <= titles


# ---- times ----


def test_times_are_kept_apart(small: Any, tmp_path: Path) -> None:
    run = stopped_run(small, tmp_path, 2)
    (first,) = json.loads(run.timing.read_text())["sessions"]
    dlc.train(small, run.path, resume=True)
    sessions = json.loads(run.timing.read_text())["sessions"]
    assert sessions[0] == first and len(sessions) == 2
    assert first["first_step"] == 0 and first["last_step"] == sessions[1]["first_step"]
    assert sessions[1]["last_step"] == json.loads(run.result.read_text())["steps"]
    assert sum(session["examples"] for session in sessions) == sessions[1]["last_step"] * 16
    assert 0 < sessions[1]["first_chunk"] <= sessions[1]["total"]
    epochs = [int(name) for session in sessions for name in session["epochs"]]
    assert sorted(epochs) == epochs and epochs[-1] == 4


def test_steps_that_are_done_again_count_again(tmp_path: Path) -> None:
    """A run that goes back at an epoch's end goes on with an earlier step."""
    times = Timing(RunFolder(tmp_path))
    times.begin(0, 16, "cpu")
    for step, iterations in ((1, 1), (10, 9), (4, 2)):
        times.add(step, iterations, float(iterations))
    session = times.session
    assert session["examples"] == 12 * 16 and session["steady_examples"] == 11 * 16
    assert session["training"] == 11.0 and session["last_step"] == 4


def test_lost_times_stop_nothing(small: Any, tmp_path: Path) -> None:
    run = stopped_run(small, tmp_path, 2)
    run.timing.write_text("nothing")
    dlc.train(small, run.path, resume=True)
    assert len(json.loads(run.timing.read_text())["sessions"]) == 1


def test_costly_predictions_are_few(small_run: RunFolder, tmp_path: Path) -> None:
    for flops, count in ((0.0, 12), (2000.0, 12), (3700.0, 18), (math.inf, 30)):
        text = write_report(small_run, tmp_path / "page.html", most_flops=flops)[0].read_text()
        found = re.search(r"species: (?:the first )?(\d+) examples of the test split", text)
        assert found is not None and int(found[1]) == count, flops
        assert ("which has 30" in text) == (count < 30)
