"""`dlc check --data`: what it finds in data, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlc
from dlc.data.column_facts import Resemblance, comparable
from dlc.data.dataset import load_dataset
from dlc.diagnostics import Diagnostic, SpecError
from tests.cli.test_commands import dlc_command  # noqa: F401 - a fixture

TABLE = """
data: {source: {csv: t.csv}, split: SPLIT}
inputs: INPUTS
targets: {y: TARGET}
network: [concat: NAMES, dense: UNITS]
loss: LOSS
"""


def found(folder: Path, rows: list[str], inputs: dict[str, str], target: str = "{category: 2}", **more: str) -> list:
    """The findings about a table whose first row names its columns."""
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    names = [*inputs, *([next(iter(inputs))] if len(inputs) == 1 else [])]
    parts = {
        "INPUTS": "{" + ", ".join(f"{name}: {{{kind}}}" for name, kind in inputs.items()) + "}",
        "NAMES": f"[{', '.join(names)}]",
        "TARGET": target,
        "SPLIT": more.get("split", "{validation: 0.2}"),
        "LOSS": more.get("loss", "cross_entropy"),
        "UNITS": more.get("units", "2"),
    }
    text = TABLE
    for word, part in parts.items():
        text = text.replace(word, part)
    (folder / "spec.yaml").write_text(text)
    return list(dlc.check(folder / "spec.yaml", data=True).diagnostics)


def of(items: list[Diagnostic], code: str) -> list[Diagnostic]:
    return [item for item in items if item.code == code]


def rows_of(*columns: list[object]) -> list[str]:
    return [",".join(map(str, row)) for row in zip(*columns, strict=True)]


NUMBERS = list(range(40))
Y = [number % 2 for number in NUMBERS]
NOISE = [(number * 7919 % 41) / 3 for number in NUMBERS]


def test_clean_data_have_one_note(tmp_path: Path) -> None:
    (item,) = found(tmp_path, ["x,y", *rows_of(NOISE, Y)], {"x": "number: standard"})
    assert (item.code, item.severity) == ("DLC414", "note")
    assert item.message == "the data have 40 records"
    assert item.found == "32 for training, 8 for the validation split"
    assert item.span is not None and item.span.line == 2


def test_all_errors_of_reading_at_once(tmp_path: Path) -> None:
    rows = ["x,y", "1,0", "a,1", "2,3", ",0", "b,1"]
    items = found(tmp_path, rows, {"x": "number: standard", "z": "number: none"})
    assert {(item.code, item.severity) for item in items if item.severity == "error"} == {
        ("DLC402", "error"),
        ("DLC403", "error"),
        ("DLC404", "error"),
    }
    (number,) = of(items, "DLC403")
    assert number.message == "row 2 of column `x` is not a number"
    assert number.found == "the string `a` (once), an empty field (once), the string `b` (once)"
    assert number.span is not None and number.span.line == 3


def test_shares_of_missing_values(tmp_path: Path) -> None:
    few = ["" if number % 8 == 0 else value for number, value in enumerate(NOISE)]
    many = [value if number % 4 == 0 else "NaN" for number, value in enumerate(NOISE)]
    inputs = {"few": "number: {missing: median}", "many": "number: {missing: 0}"}
    items = of(found(tmp_path, ["few,many,y", *rows_of(few, many, Y)], inputs), "DLC410")
    assert [(item.severity, item.message) for item in items] == [
        ("note", "12.5 % of the column `few` are missing"),
        ("warning", "75 % of the column `many` are missing"),
    ]
    assert items[0].found == "5 of 40 records; `missing: median` replaces them"
    target = "{category: {classes: 2, missing: drop}}"
    drop = found(tmp_path, ["x,y", *rows_of(NOISE, ["", *Y[1:]])], {"x": "number: none"}, target)
    assert of(drop, "DLC410")[0].found == "1 of 40 records; these records are left out"
    assert "1 record without a target are left out" in str(of(drop, "DLC414")[0].found)


def test_constant_columns(tmp_path: Path) -> None:
    rows = ["x,k,s,y", *rows_of(NOISE, [5] * 40, ["a"] * 40, Y)]
    kinds = {"x": "number: none", "k": "number: none", "s": "category: {classes: [a, b], one_hot: true}"}
    items = found(tmp_path, rows, kinds)
    assert [(item.message, item.found) for item in of(items, "DLC411")] == [
        ("the column `k` has the same value in all records", "`5`"),
        ("the column `s` has the same value in all records", "`a`"),
    ]


ENGLISH = ["yes" if value else "no" for value in Y]


@pytest.mark.parametrize(
    ("column", "how"),
    [
        (Y, "is a copy of `y`"),
        ([f"{value}.0" for value in Y], "is a copy of `y`"),
        ([5 - 2 * value for value in Y], "is a renaming of `y`"),
        ([5 - 2 * value if number % 3 else "" for number, value in enumerate(Y)], "is a renaming of `y`"),
        ([1 - value if number else value for number, value in enumerate(Y)], None),
        (NUMBERS, None),  # an index determines everything
        (NOISE, None),
    ],
)
def test_an_input_that_reveals_a_class(tmp_path: Path, column: list[object], how: str | None) -> None:
    items = of(found(tmp_path, ["x,y", *rows_of(column, Y)], {"x": "number: {missing: 0}"}), "DLC330")
    assert [item.message for item in items] == (
        [f"the input `x` reveals the target `y`: the column `x` {how}"] if how else []
    )
    assert all(item.severity == "warning" and item.span is not None and item.span.line == 3 for item in items)


def test_an_input_that_reveals_a_number(tmp_path: Path) -> None:
    columns = [NOISE, [32 + 1.8 * value for value in NOISE], [value**2 for value in NOISE]]
    inputs = dict.fromkeys(("copy", "fahrenheit", "square"), "number: none")
    rows = ["copy,fahrenheit,square,y", *rows_of(*columns, NOISE)]
    items = of(found(tmp_path, rows, inputs, "number", loss="mse", units="1"), "DLC330")
    assert [item.message.partition(": ")[2] for item in items] == [
        "the column `copy` is a copy of `y`",
        "the column `fahrenheit` is a linear function of `y`",
    ]


@pytest.mark.parametrize(
    ("loss", "target", "message"),
    [
        ("poisson", "number", "negative"),
        ("binary_cross_entropy", "number", "0"),
        ("mse", "{number: {normalize: standard, missing: drop}}", None),
        ("huber", "{number: minmax}", None),
    ],
)
def test_targets_that_a_loss_is_not_defined_for(tmp_path: Path, loss: str, target: str, message: str | None) -> None:
    """The same error as that of training."""
    rows = ["x,y", *rows_of(NOISE, [-1.5, *NOISE[1:][::-1]])]
    items = found(tmp_path, rows, {"x": "number: none"}, target, loss=loss, units="1")
    errors = [item for item in items if item.severity == "error"]
    if message is None:
        assert not errors
        return
    with pytest.raises(SpecError) as caught:
        load_dataset(dlc.load(tmp_path / "spec.yaml").plan)
    assert [item.message for item in errors] == [item.message for item in caught.value.report.diagnostics]


def test_the_column_of_a_target_among_several(tmp_path: Path) -> None:
    items = found(tmp_path, ["x,y", *rows_of(NOISE, Y)], {"both": "tensor: {shape: [2], columns: [x, y]}"})
    assert [item.message for item in of(items, "DLC330")] == [
        "the input `both` reveals the target `y`: the column `y` is its own column"
    ]


def test_columns_in_pieces_resemble_as_a_whole() -> None:
    for values, others in ((NOISE, NOISE), (Y, ENGLISH), (NOISE, [1 - 2 * value for value in NOISE]), (NOISE, Y)):
        whole, pieces = Resemblance(False), Resemblance(False)
        x, y = comparable(np.array(values, object)), comparable(np.array(others, object))
        whole.add(x, y)
        for start in range(0, 40, 7):
            pieces.add(x[start : start + 7], y[start : start + 7])
        assert whole.found() == pieces.found()


def test_classes(tmp_path: Path) -> None:
    rows = ["x,y", *rows_of([number / 7 for number in range(100)], ["a"] * 95 + ["b"] * 5)]
    split = "{validation: 5, shuffle: false}"
    items = found(tmp_path, rows, {"x": "number: none"}, "{category: [a, b, c]}", split=split, units="3")
    assert [item.message for item in of(items, "DLC412")] == [
        "no record of `y` has the class `c`",
        "the training split lacks a class of `y`: `b` (5 in validation)",
    ]
    (note,) = of(items, "DLC413")
    assert (note.severity, note.found) == ("note", "`a` 95 %, `b` 5 %")


def test_records_that_splits_share(tmp_path: Path) -> None:
    x = [*NOISE[:20], *NOISE[:3], *NOISE[23:]]
    items = found(tmp_path, ["x,y", *rows_of(x, Y)], {"x": "number: none"}, split="{validation: 20, shuffle: false}")
    (item,) = of(items, "DLC322")
    assert item.message == "3 of 20 records of the validation split have the inputs of a record of the train split"
    assert str(item.found).startswith("row 21 of `source` and row 1 of `source`")
    assert item.severity == "warning"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Pictures of two classes in two folders; one file can't be read, and one picture is in both folders."""
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(4):
                shade = 10 * number + 50 * (label == "dog") + 100 * (split == "test")
                Image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(tmp_path / split / label / f"{number}.png")
    (tmp_path / "test/cat/9.png").write_bytes((tmp_path / "train/dog/2.png").read_bytes())
    (tmp_path / "train/dog/bad.png").write_text("text")
    (tmp_path / "train/dog/cut.png").write_bytes((tmp_path / "train/dog/2.png").read_bytes()[:40])
    (tmp_path / "spec.yaml").write_text(
        "data: {source: {image_folder: train}, test: {image_folder: test}}\ninputs: {image: {image: 4}}\n"
        "targets: {label: {category: [cat, dog]}}\nnetwork: [flatten, dense: 2]\nloss: cross_entropy\n"
    )
    return tmp_path


def test_each_file_that_can_not_be_read(folders: Path, dlc_command) -> None:  # noqa: F811
    code, text, _ = dlc_command("check", "--data", "--format", "json", str(folders / "spec.yaml"))
    items = json.loads(text)["diagnostics"]
    assert code == 1
    wrong = [item for item in items if item["code"] == "DLC403"]
    assert [item["found"].partition(":")[0] for item in wrong] == ["`dog/bad.png`", "`dog/cut.png`"]
    assert all(item["severity"] == "error" and item["range"]["start"]["line"] == 2 for item in wrong)
    (shared,) = [item for item in items if item["code"] == "DLC322"]
    assert shared["found"] == "row 5 of `test` and row 7 of `source`"
    assert shared["range"]["start"]["line"] == 1
    code, text, _ = dlc_command("check", "--data", "--set", "data.on_bad_record=skip", str(folders / "spec.yaml"))
    assert code == 0 and text.count("warning[DLC403]") == 2


def test_it_starts_no_jax_and_writes_nothing(folders: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folders.rglob("*")}
    script = "import sys, dlc; dlc.check('spec.yaml', data=True); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-B", "-c", script], cwd=folders, check=False).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folders.rglob("*")} == before


def test_a_spec_without_data_and_a_file_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("inputs: {x: {tensor: [3]}}\nnetwork: [dense: 2]\n")
    assert dlc.check(tmp_path / "spec.yaml", data=True).codes == ("DLC115",)
    items = found(tmp_path, ["x,y", "1,0"], {"x": "number: none"})
    (tmp_path / "t.csv").unlink()
    (item,) = dlc.check(tmp_path / "spec.yaml", data=True).diagnostics
    assert (item.code, item.severity) == ("DLC401", "error")
    assert items


SERIES = """
data: {source: {csv: t.csv}, split: {validation: 10}}
inputs: {past: {series: {columns: [y], past: 5}}}
targets: {future: {series: {columns: [y], future: 2}}}
network: [flatten, dense: 2, reshape: [2, 1]]
loss: mse
"""


def test_windows_are_counted(tmp_path: Path) -> None:
    """A window has 7 rows: 30 rows have 24 of them, and 10 rows have 4."""
    (tmp_path / "t.csv").write_text("y\n" + "\n".join(map(str, NOISE)) + "\n")
    (tmp_path / "spec.yaml").write_text(SERIES)
    (item,) = dlc.check(tmp_path / "spec.yaml", data=True).diagnostics
    assert item.found == "windows: 24 for training, 4 for the validation split"
    (item,) = dlc.check(tmp_path / "spec.yaml", ["data.split.validation=5"], data=True).diagnostics
    assert (item.code, item.severity) == ("DLC405", "error")
    with pytest.raises(SpecError) as caught:
        load_dataset(dlc.load(tmp_path / "spec.yaml", ["data.on_bad_record=skip"]).plan)
    assert caught.value.report.codes == ("DLC303",)


def test_texts_are_compared_by_content(tmp_path: Path) -> None:
    texts = [f"text number {number}" for number in NUMBERS]
    rows = rows_of([*texts[:20], *texts[:2], *texts[22:-1], ""], Y)
    parts = {
        "INPUTS": "{x: {text: {tokens: words, vocabulary: 100, length: 4}}}",
        "TARGET": "{category: 2}",
        "SPLIT": "{validation: 20, shuffle: false}",
        "concat: NAMES": "embedding: {vocabulary: 100, size: 2}, global_max_pool1d",
        "LOSS": "cross_entropy",
        "UNITS": "2",
    }
    spec = TABLE
    for word, part in parts.items():
        spec = spec.replace(word, part)
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    (tmp_path / "spec.yaml").write_text(spec)
    items = list(dlc.check(tmp_path / "spec.yaml", data=True).diagnostics)
    assert [item.message for item in of(items, "DLC403")] == ["row 40 of column `x` is not a text"]
    assert of(items, "DLC410")[0].message == "2.5 % of the column `x` are missing"
    assert of(items, "DLC322")[0].message.startswith("2 of 20 records of the validation split")
