"""`dlc init`: each task writes a spec that fits small generated data, has few lines, and trains as it is."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlc
from dlc.diagnostics import SpecError
from dlc.language.options import load_class
from dlc.tasks import TASKS
from dlc.tasks.looking_at_tables import date_format
from dlc.tasks.task import Given, feature_name, scalar, spec_for
from tests.cli.test_commands import dlc_command  # noqa: F401 - a fixture
from tests.common import ROOT

BUNDLED = sorted(word for word in TASKS if (ROOT / "specs" / f"{word}.yaml").exists())
Init = Callable[..., str]


def write_pictures(folder: Path, counts: dict[str, int], size: tuple[int, int] = (12, 10), mode: str = "RGB") -> None:
    generator = np.random.default_rng(len(str(folder)))
    for index, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = generator.integers(100 * index, 100 * index + 100, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / label / f"{number:02}.png")


def write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0))


def write_table(path: Path, count: int = 60) -> None:
    """Two informative columns among many that are not."""
    rows = ["customer_id,age,income,city,note,joined,constant,target"]
    for row in range(count):
        city = ("Paris", "Rome", "San José", "")[row % 4]
        age, income = ("" if row % 7 == 0 else 20 + row), f"{1000 + 37.5 * (row * 31 % 17)}"
        note = f"a remark of many words about customer {row}"
        kept = "yes" if (row * 31 % 17) > 8 else "no"
        rows.append(f"{1000 + row},{age},{income},{city},{note},2024-{1 + row % 12:02}-15,x,{kept}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_series(path: Path, count: int = 120, names: tuple[str, ...] = ()) -> None:
    rows = ["date,store,sales,stock" if names else "date,sales,stock"]
    for name in names or ("",):
        for day in range(count):
            date = np.datetime64("2024-01-01") + day
            store = f"{name}," if names else ""
            rows.append(f"{date},{store}{10 + 5 * np.sin(day / 3):.3f},{100 - day % 30}")
    path.write_text("\n".join(rows) + "\n")


GOOD, BAD = "a fine and moving film", "dull and far too long"
TEXTS = [(f"{GOOD} number {row}", "pos") if row % 2 else (f"{BAD} number {row}", "neg") for row in range(40)]


@pytest.fixture
def init(tmp_path: Path, dlc_command, monkeypatch: pytest.MonkeyPatch) -> Init:  # noqa: F811
    """Writes a spec with `dlc init`, and checks what holds for all of them."""
    monkeypatch.chdir(tmp_path)

    def write(task: str, *arguments: str, clean: bool = True) -> str:
        code, out, err = dlc_command("init", task, *arguments)
        assert code == 0, err
        assert f"wrote {task}.yaml" in out
        path = tmp_path / f"{task}.yaml"
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(lines) <= 25, text
        assert all(len(line) <= 120 for line in text.splitlines()), text
        found = dlc.check(path, data="--data" in arguments).diagnostics
        assert not clean or [item for item in found if item.severity != "note"] == [], text
        return text

    return write


def train(path: Path | str) -> dict[str, float]:
    """Two epochs; the metrics of the last one."""
    sets = ["train.epochs=2"]
    if "early_stopping" in Path(path).read_text(encoding="utf-8"):
        sets.append("train.early_stopping.patience=1")
    result = dlc.train(dlc.load(path, sets))
    assert all(np.isfinite(value) for value in result.history[-1].values())
    return dict(result.history[-1])


def refusal(dlc_command: Callable[..., tuple[int, str, str]], *arguments: str) -> str:  # noqa: F811
    code, _, err = dlc_command("init", *arguments)
    assert code in (1, 2)
    assert "hint" in err or "expected" in err, err
    assert not list(Path.cwd().glob("*.yaml"))
    return err


@pytest.mark.parametrize("word", BUNDLED)
def test_specs_are_what_init_writes(word: str, init: Init) -> None:
    assert init(word) == (ROOT / "specs" / f"{word}.yaml").read_text(encoding="utf-8")


def test_tasks_are_listed(dlc_command) -> None:  # noqa: F811
    assert len(BUNDLED) >= 5
    _, out, _ = dlc_command("init", "--list")
    assert out == dlc_command("init")[1]
    for word in TASKS:
        assert f"{word} " in out
        assert load_class(TASKS, word).title().endswith((".", ")"))


@pytest.mark.parametrize("word", [word for word in TASKS if word not in BUNDLED])
def test_a_spec_without_data(word: str, init: Init) -> None:
    """It is right but for a file that the user has to name."""
    text = init(word, clean=False)
    codes = dlc.check(Path(f"{word}.yaml")).codes
    assert codes in ((), ("DLC401",))
    assert not codes or "placeholder" in text


def folder_of_classes(folder: Path) -> str:
    write_pictures(folder / "pets", {"cat": 20, "big dog": 16})
    return "pets"


def a_table(folder: Path) -> str:
    write_table(folder / "t.csv")
    return "t.csv"


def a_series(folder: Path) -> str:
    write_series(folder / "s.csv")
    return "s.csv"


def table_of_texts(folder: Path) -> str:
    (folder / "t.csv").write_text("review,label\n" + "".join(f"{text},{label}\n" for text, label in TEXTS))
    return "t.csv"


def a_text(folder: Path) -> str:
    (folder / "book.txt").write_text("to be or not to be, that is the question\n" * 60)
    return "book.txt"


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("word", "data", "arguments"),
    [
        ("image_classification", folder_of_classes, []),
        ("tabular_classification", a_table, []),
        ("text_classification", table_of_texts, []),
        ("tabular_regression", a_table, ["--target", "income"]),
        ("autoencoder", folder_of_classes, []),
        ("denoising_autoencoder", folder_of_classes, []),
        ("forecasting", a_series, []),
        ("language_model", a_text, []),
    ],
)
def test_it_trains(word: str, data: Callable[[Path], str], arguments: list[str], init: Init, tmp_path: Path) -> None:
    init(word, "--data", data(tmp_path), *arguments)
    assert train(f"{word}.yaml")["train/loss"] < 1e4


def test_a_folder_of_pictures(init: Init, tmp_path: Path) -> None:
    text = init("image_classification", "--data", folder_of_classes(tmp_path))
    assert "{image_folder: pets}" in text
    assert "label: {category: [big dog, cat]}" in text
    assert "image: {image: {size: [12, 10]}}" in text
    assert "36 color pictures of 12 x 10 pixels" in text
    plan = dlc.load("image_classification.yaml").plan
    assert plan.data is not None and plan.data.splits() == ("train", "validation", "test")


def test_folders_of_splits_and_sizes(init: Init, tmp_path: Path) -> None:
    """Gray pictures of several sizes in folders `Train` and `val`; the spec is in another folder."""
    write_pictures(tmp_path / "pets/Train", {"a": 12, "b": 12}, (100, 80), "L")
    write_pictures(tmp_path / "pets/val", {"a": 3, "b": 3}, (200, 300), "L")
    (tmp_path / "pets/.hidden").write_text("")
    text = init("image_classification", "--data", "pets")
    assert "source: {image_folder: pets/Train}" in text
    assert "validation: {image_folder: pets/val}" in text
    assert "split: {test: 0.15, stratify: label}" in text
    assert "image: {image: {size: 64, channels: 1, resize: crop}}" in text
    assert "30 gray pictures of 2 sizes from 80 to 300 pixels" in text


def test_a_class_may_be_called_train(init: Init, tmp_path: Path) -> None:
    write_pictures(tmp_path / "vehicles", {"train": 6, "car": 6}, (2, 2))
    text = init("image_classification", "--data", "vehicles")
    assert "category: [car, train]" in text and "image: {image: {size: 8}}" in text


def test_a_spec_in_another_folder(dlc_command, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "pets", {"a": 6, "b": 6})
    (tmp_path / "specs").mkdir()
    assert dlc_command("init", "image_classification", "--data", "pets", "-o", "specs/x.yaml")[0] == 0
    assert "{image_folder: ../pets}" in (tmp_path / "specs/x.yaml").read_text()
    assert dlc.check("specs/x.yaml", data=True).ok


def test_pictures_that_can_not_be_read_are_skipped(init: Init, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pets", {"a": 12, "b": 12})
    whole = (tmp_path / "pets/a/00.png").read_bytes()
    (tmp_path / "pets/a/00.png").write_bytes(whole[: len(whole) // 2])
    text = init("image_classification", "--data", "pets", clean=False)
    assert "on_bad_record: skip" in text
    assert "1 file can't be read: `a/00.png`" in text
    assert dlc.check("image_classification.yaml", data=True).ok


def test_files_of_arrays(init: Init, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("t10k", 10)):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", generator.integers(0, 256, (count, 9, 9)))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    text = init("image_classification", "--data", ".")
    assert "images: train-images-idx3-ubyte.gz" in text
    assert "test: {idx: {images: t10k-images-idx3-ubyte.gz" in text
    assert "label: {category: 10}" in text
    Path("image_classification.yaml").unlink()
    text = init("image_classification", "--data", "train-images-idx3-ubyte.gz")
    assert "split: {validation: 0.15, test: 0.15, stratify: label}" in text


@pytest.mark.parametrize(("side", "size"), [((30, 30), "size: 32"), ((9, 300), "size: [8, 64]"), ((1, 1), "size: 8")])
def test_sizes_of_autoencoders_can_be_halved_twice(
    side: tuple[int, int], size: str, init: Init, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "flat", {"": 12}, side)
    assert size in init("autoencoder", "--data", "flat")


def test_columns_of_a_table(init: Init, tmp_path: Path) -> None:
    text = init("tabular_classification", "--data", a_table(tmp_path))
    assert "numbers: [age, income]" in text
    assert "1 column with empty fields, filled with the median" in text
    assert "categories: {city: [Paris, Rome, San José]}" in text
    assert "dates: {joined: [year, month, weekday]}" in text
    assert "targets: {target: {category: [no, yes]}}" in text
    assert "stratify: target" in text
    assert "left out, because they number or name the records: `customer_id`" in text
    assert "left out, because they never change: `constant`" in text
    assert "left out, because they are texts or have many different values: `note`" in text


TABLES = {
    "no header": "5.1,3.5,a\n4.9,3.0,b\n",
    "header and semicolons": "width;height;species\n5.1;3.5;a\n4.9;3.0;b\n",
    "decimal commas": "width;height;species\n5,1;3,5;a\n4,9;3;b\n",
    "marks of missing values": "width,height,species\n?,3.5,a\n4.9,NA,b\n5.0,3.1,a\n4.8,3.2,b\n",
    "another encoding": "größe,species\n1.5,a\n2.5,b\n",
    "classes in numbers": "x,y\n0.5,3\n1.5,7\n",
    "names that are no names": "the width [cm],2nd,dense,true class\n1.5,1,2.5,a\n2.5,2.5,0.5,b\n",
    "the last column": "0.5x,kind\n1.5,a\n2.5,b\n",
    "a pattern as a name": "x*,z,kind\n1.5,1,a\n2.5,2.5,b\n",
}
EXPECTED = {
    "no header": ["header: false", "numbers: [column_0, column_1]", "column_2: {category: [a, b]}"],
    "header and semicolons": ["{csv: t.csv}", "numbers: [width, height]"],
    "decimal commas": ['decimal: ","', "numbers: [width, height]"],
    "marks of missing values": ['missing_values: [NA, "?"]', "2 columns with empty fields"],
    "another encoding": ["encoding: windows-1252", "numbers: [größe]"],
    "classes in numbers": ["targets: {y: {category: [3, 7]}}"],
    "names that are no names": [
        'numbers: ["the width [cm]", "2nd", dense]',
        "true_class: {category: {classes: [a, b], column: true class}}",
    ],
    "the last column": ["kind: {category: [a, b]}"],
    "a pattern as a name": ["numbers: [z]", "`*` in a name stands for several columns: `x*`"],
}


@pytest.mark.parametrize("name", TABLES)
def test_dialects(name: str, init: Init, tmp_path: Path) -> None:
    head, *rows = TABLES[name].splitlines()
    rows = rows if name != "no header" else [head, *rows]
    several = [row.replace(".", f".{number}") for number in range(12) for row in rows]
    lines = several if name == "no header" else [head, *several]
    encoding = "windows-1252" if name == "another encoding" else "utf-8"
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
    text = init("tabular_classification", "--data", "t.csv", clean=name not in ("decimal commas",))
    for part in EXPECTED[name]:
        assert part in text


def test_many_columns_are_a_pattern(init: Init, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    names = [f"pixel_{index}" for index in range(60)]
    rows = [",".join([*map(str, generator.integers(0, 17, 60)), str(row % 3)]) for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join([",".join([*names, "digit"]), *rows]) + "\n")
    assert '{"pixel_*": 60}' in init("tabular_classification", "--data", "t.csv")


def test_records_without_a_target(init: Init, tmp_path: Path) -> None:
    rows = [f"{row}.5,{'' if row % 5 == 0 else row * 1.5}" for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["x,price", *rows]) + "\n")
    text = init("tabular_regression", "--data", "t.csv", clean=False)
    assert "targets: {price: {number: {normalize: standard, missing: drop}}}" in text
    assert "8 records without it are left out" in text


def test_fields_that_are_no_numbers_are_skipped(init: Init, tmp_path: Path) -> None:
    rows = [f"{'unknown' if row == 3 else row * 1.5},{row % 7 + row * 0.3}" for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["x,price", *rows]) + "\n")
    text = init("tabular_regression", "--data", "t.csv", clean=False)
    assert "numbers: [x]" in text
    assert "on_bad_record: skip" in text and "`x` holds `unknown`" in text
    assert dlc.check("tabular_regression.yaml", data=True).ok


def test_texts_that_are_empty_or_have_no_class(init: Init, tmp_path: Path) -> None:
    rows = [("", "pos"), ("no class", ""), *TEXTS]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    text = init("text_classification", "--data", "t.csv", clean=False)
    assert "1 text without words: left out" in text
    assert "label: {category: {classes: [neg, pos], missing: drop}}" in text
    assert dlc.check("text_classification.yaml", data=True).ok


def test_series(init: Init, tmp_path: Path) -> None:
    text = init("forecasting", "--data", a_series(tmp_path))
    assert "columns: [sales, stock], past: 28, normalize: standard" in text
    assert "columns: [sales, stock], future: 7" in text
    Path("forecasting.yaml").unlink()
    text = init("forecasting", "--data", "s.csv", "--target", "sales")
    assert "columns: [sales], past: 28" in text
    Path("forecasting.yaml").unlink()
    write_series(tmp_path / "s.csv", 90, ("north", "south"))
    text = init("forecasting", "--data", "s.csv")
    assert "windows: {series: store, history: true}" in text
    assert "columns: [sales, stock]" in text


def test_texts(init: Init, tmp_path: Path) -> None:
    text = init("text_classification", "--data", table_of_texts(tmp_path))
    assert "{csv: t.csv}" in text and "column: review" in text and "label: {category: [neg, pos]}" in text
    Path("text_classification.yaml").unlink()
    for split in ("train", "test"):
        for number, (words, label) in enumerate(TEXTS[:20] if split == "test" else TEXTS[20:]):
            (tmp_path / "reviews" / split / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "reviews" / split / label / f"{number}.txt").write_text(f"{words}\nsecond line\n")
    text = init("text_classification", "--data", "reviews")
    assert (
        'source: {text: {path: {neg: "reviews/train/neg/*.txt", pos: "reviews/train/pos/*.txt"}, records: file}}'
        in text
    )
    assert "split: {validation: 0.15, stratify: label}" in text
    Path("text_classification.yaml").unlink()
    for label in ("pos", "neg"):
        lines = "\n".join(f"{words} naïve" for words, own in TEXTS if own == label)
        (tmp_path / "lines").mkdir(exist_ok=True)
        (tmp_path / "lines" / f"rt.{label}").write_text(lines, encoding="cp1252")
    text = init("text_classification", "--data", "lines")
    assert "{text: {path: {neg: lines/rt.neg, pos: lines/rt.pos}, encoding: windows-1252}}" in text


def test_a_language_model(init: Init, tmp_path: Path) -> None:
    text = init("language_model", "--data", a_text(tmp_path))
    characters = len(set((tmp_path / "book.txt").read_text()))
    assert f"vocabulary: {characters + 1} " in text
    assert "{text: {path: book.txt, records: file}}" in text


def test_data_that_do_not_fit(dlc_command, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "one", {"cat": 12})
    write_pictures(tmp_path / "flat", {"": 12})
    write_pictures(tmp_path / "few", {"a": 2, "b": 2})
    (tmp_path / "broken/a").mkdir(parents=True)
    (tmp_path / "broken/a/1.png").write_text("text")
    a_table(tmp_path)
    a_series(tmp_path)
    (tmp_path / "words.csv").write_text("x,y\n" + "one,a\ntwo,b\n" * 10)
    (tmp_path / "same.csv").write_text("x,y\n" + "1,a\n2,a\n" * 10)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "twice.csv").write_text("x,x,y\n1,2,3\n")
    (tmp_path / "head.csv").write_text("x,y\n")
    (tmp_path / "short.txt").write_text("too short")
    backwards = (tmp_path / "s.csv").read_text().splitlines()
    (tmp_path / "backwards.csv").write_text("\n".join([backwards[0], *backwards[:0:-1]]) + "\n")
    cases = {
        ("image_classification", "--data", "nowhere"): "`nowhere` does not exist",
        ("image_classification", "--data", "empty"): "has no pictures",
        ("image_classification", "--data", "one"): "has only one class",
        ("image_classification", "--data", "flat"): "have no classes",
        ("image_classification", "--data", "few"): "too few pictures",
        ("image_classification", "--data", "broken"): "no picture in `broken` can be read",
        ("image_classification", "--data", "t.csv"): "is not a folder of pictures",
        ("tabular_classification", "--data", "nowhere.csv"): "does not exist",
        ("tabular_classification", "--data", "one"): "is a folder, not a table",
        ("tabular_classification", "--data", "empty.csv"): "is empty",
        ("tabular_classification", "--data", "head.csv"): "has no records",
        ("tabular_classification", "--data", "twice.csv"): "has duplicate column names",
        ("tabular_classification", "--data", "same.csv"): "has only one class",
        ("tabular_classification", "--data", "t.csv", "--target", "targets"): "no column `targets`",
        ("tabular_classification", "--data", "t.csv", "--target", "income"): "is not a class",
        ("tabular_regression", "--data", "t.csv"): "is not a column of numbers",
        ("tabular_regression", "--data", "words.csv", "--target", "x"): "is not a column of numbers",
        ("forecasting", "--data", "words.csv"): "has no column of dates",
        ("forecasting", "--data", "backwards.csv"): "is not later than the row before",
        ("text_classification", "--data", "empty"): "has no text files",
        ("text_classification", "--data", "short.txt"): "has no classes",
        ("language_model", "--data", "short.txt"): "is too short",
        ("perceptron", "--data", "t.csv"): "takes no `--data`",
        ("tabular_regression", "--target", "x"): "`--target` has no effect",
        ("autoencoder", "--data", "flat", "--target", "x"): "`--target` has no effect",
        ("image_clasification",): "did you mean `image_classification`?",
    }
    for arguments, said in cases.items():
        assert said in refusal(dlc_command, *arguments), arguments


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2024-05-31", "2023-01-02"], ""),
        (["2024-05-31T10:00", "2024-05-31 11:30:15"], ""),
        (["31.12.2024", "01.02.2023"], "%d.%m.%Y"),
        (["12/31/2024", "01/02/2023"], "%m/%d/%Y"),
        (["2024-05", "2023-12"], "%Y-%m"),
        (["monday", "2024-05-31"], None),
        (["20240531"], None),
    ],
)
def test_spellings_of_dates(values: list[str], form: str | None) -> None:
    assert date_format(values) == form


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a b",
        "true",
        "No",
        "1",
        "1.5",
        "a: b",
        "a,b",
        "[x",
        "$x",
        '"',
        "",
        " a",
        "ä",
        "x\n",
        "~",
        "#a",
        "null",
        "-a",
        "./a",
        "a'",
    ],
)
def test_strings_in_yaml(text: str) -> None:
    spec = dlc.loads(f"inputs: {{x: {{tensor: {{shape: [1], columns: [{scalar(text)}]}}}}}}\nnetwork: [dense: 2]\n")
    assert spec.plan.inputs["x"].reads("x") == (text,)


def test_names_of_features() -> None:
    for column in ("x y", "2", "", "ä", "previous", "a.b", "_x", "x-1"):
        name = feature_name(column, ["x_y"])
        dlc.loads(f"inputs: {{{name}: {{tensor: [1]}}}}\nnetwork: [dense: 2]\n")
        assert name != "x_y"
    with pytest.raises(SpecError):
        dlc.loads("inputs: {x y: {tensor: [1]}}\nnetwork: [dense: 2]\n")


def test_commas_between_groups_of_digits_are_no_decimal_marks(tmp_path: Path) -> None:
    rows = "".join(f'"{row},{100 + row}",{row}.5\n' for row in range(1, 40))
    (tmp_path / "t.csv").write_text("people,y\n" + rows)
    text = spec_for("tabular_regression", Given(tmp_path / "t.csv", None, tmp_path))
    assert 'thousands: ","' in text and "decimal" not in text
    assert dlc.loads(text).plan.inputs


def test_classes_that_are_spelled_in_two_ways_are_one(tmp_path: Path) -> None:
    rows = "".join(f"{row},{('1', '1.0', '2')[row % 3]}\n" for row in range(60))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    text = spec_for("tabular_classification", Given(tmp_path / "t.csv", None, tmp_path))
    assert "category: [1, 2]" in text and "dense: 2" in text


def test_hidden_files_decide_nothing(tmp_path: Path) -> None:
    for kind in ("neg", "pos"):
        (tmp_path / kind).mkdir()
        for number in range(8):
            (tmp_path / kind / f"{number}.txt").write_text(f"caf\u00e9 {kind} {number}", encoding="utf-8")
    (tmp_path / "pos" / ".DS_Store").write_bytes(b"\x00\xff\xfe")
    text = spec_for("text_classification", Given(tmp_path, None, tmp_path))
    assert "encoding" not in text and "pos/*.txt" in text
    (tmp_path / "pos" / "9.md").write_text("another ending")
    with pytest.raises(dlc.SpecError, match="several endings"):
        spec_for("text_classification", Given(tmp_path, None, tmp_path))


def test_values_of_data_stay_in_their_comment(tmp_path: Path) -> None:
    rows = "".join(f"{row},{row * 2}\n" for row in range(60))
    (tmp_path / "t.csv").write_text('x,y\n"x\ntrain: {epochs: 1}",3\n' + rows)
    text = spec_for("tabular_regression", Given(tmp_path / "t.csv", None, tmp_path))
    assert sum(line.startswith("train:") for line in text.splitlines()) == 1
    assert dlc.loads(text).plan.train.epochs > 1
