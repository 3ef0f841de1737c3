"""Splits by classes and by groups, beside scikit-learn's properties of them."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlc
from dlc.data.dataset import load_dataset
from dlc.data.splits import rounded_shares
from dlc.frontend.resolved import resolved_text

TABLE = """
data: {source: {csv: PATH}, split: SPLIT, memory: MEMORY}
inputs: {x: number}
targets: {y: {category: [a, b, c]}}
network: [dense: 3]
loss: cross_entropy
"""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.integers(0, 40), st.integers(0, 40))
def test_shares_are_rounded_by_less_than_one(counts: list[int], first: int, second: int) -> None:
    total = sum(counts)
    low, high = sorted((first % (total + 1), second % (total + 1)))
    sizes = [size for size in (total - high, high - low, low) if size]
    table = rounded_shares(np.array(counts), sizes)
    np.testing.assert_array_equal(table.sum(1), counts)
    np.testing.assert_array_equal(table.sum(0), sizes)
    assert (np.abs(table - np.outer(counts, sizes) / total) < 1).all()
    assert table.min() >= 0


def test_shares_of_many_values_take_little_time() -> None:
    """80,000 different values, of which each moved unit was one pass over all of them."""
    begin = process_time()
    shares = rounded_shares(np.ones(80_000, int), [48_000, 16_000, 16_000])
    assert process_time() - begin < 3
    assert shares.sum(0).tolist() == [48_000, 16_000, 16_000] and (shares.sum(1) == 1).all()


def table(folder: Path, count: int = 200) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A table of classes with shares of 70, 25 and 5 percent, and of groups of different sizes."""
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.repeat(["a", "b", "c"], [140 * count // 200, 50 * count // 200, 10 * count // 200]))
    groups = rng.integers(0, 12, count) ** 2 // 5
    rows = [f"{i},{kind},p {group}" for i, (kind, group) in enumerate(zip(classes, groups, strict=True))]
    (folder / "t.csv").write_text("\n".join(["x,y,patient", *rows]) + "\n")
    return classes, groups


def loaded(folder: Path, split: str, memory: str = "auto") -> Any:
    text = TABLE.replace("PATH", str(folder / "t.csv")).replace("SPLIT", split).replace("MEMORY", memory)
    return load_dataset(dlc.loads(text).plan)


@pytest.mark.parametrize("memory", ["auto", "3 kB"])
def test_each_split_has_its_share_of_each_class(tmp_path: Path, memory: str) -> None:
    from sklearn.model_selection import StratifiedShuffleSplit

    classes, _ = table(tmp_path)
    data = loaded(tmp_path, "{validation: 0.2, test: 30, stratify: y}", memory)
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 130, "validation": 40, "test": 30}
    assert sorted(np.concatenate(list(data.splits.values()))) == list(range(200))
    for rows in data.splits.values():
        for kind, share in (("a", 0.7), ("b", 0.25), ("c", 0.05)):
            assert abs((classes[rows] == kind).sum() - share * len(rows)) < 1
    _, held = next(StratifiedShuffleSplit(1, test_size=40, random_state=0).split(classes, classes))
    mine = data.splits["validation"]
    assert (
        np.unique(classes[held], return_counts=True)[1].tolist()
        == np.unique(classes[mine], return_counts=True)[1].tolist()
    )
    again, other = (loaded(tmp_path, f"{{validation: 0.2, test: 30, stratify: y{seed}}}") for seed in ("", ", seed: 1"))
    np.testing.assert_array_equal(again.splits["test"], data.splits["test"])
    assert set(other.splits["test"].tolist()) != set(data.splits["test"].tolist())


@pytest.mark.parametrize(
    "split", ["{validation: 0.2, test: 0.1, group: patient}", "{test: 0.3, group: patient, stratify: y}"]
)
@pytest.mark.parametrize("memory", ["auto", "3 kB"])
def test_no_group_is_in_two_splits(tmp_path: Path, split: str, memory: str) -> None:
    _, groups = table(tmp_path)
    data = loaded(tmp_path, split, memory)
    assert sorted(np.concatenate(list(data.splits.values()))) == list(range(200))
    members = [set(groups[rows].tolist()) for rows in data.splits.values()]
    assert all(members) and sum(map(len, members)) == len(set(groups.tolist()))
    largest = np.unique(groups, return_counts=True)[1].max()
    for name, share in (("validation", 0.2), ("test", 0.1)) if "validation" in split else (("test", 0.3),):
        assert abs(len(data.splits[name]) - 200 * share) <= largest / 2
    other = loaded(tmp_path, split.replace("group", "seed: 3, group"))
    assert any(set(other.splits[name].tolist()) != set(rows.tolist()) for name, rows in data.splits.items())


@pytest.mark.parametrize(
    "options", ["", ", validation: 0.1", ", stratify: y", ", validation: 20, stratify: y, seed: 3"]
)
def test_each_record_is_in_one_fold(tmp_path: Path, options: str) -> None:
    """Folds as large as those of scikit-learn's KFold; with the share of each class as StratifiedKFold has it."""
    from sklearn.model_selection import KFold

    classes, _ = table(tmp_path)
    count = len(classes)
    folds = [loaded(tmp_path, f"{{folds: 3, fold: {fold}{options}}}").splits for fold in (1, 2, 3)]
    tests = [splits["test"] for splits in folds]
    assert [len(rows) for rows in tests] == [len(test) for _, test in KFold(3).split(classes)]
    assert sorted(np.concatenate(tests).tolist()) == list(range(count))
    for splits in folds:
        assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(count))
        held = {"validation: 0.1": round(count / 10), "validation: 20": 20}
        wanted = next((size for option, size in held.items() if option in options), 0)
        assert len(splits.get("validation", ())) == wanted
        for part in splits.values() if "stratify" in options else ():
            for kind in "abc":
                assert abs((classes[part] == kind).sum() - (classes == kind).sum() * len(part) / count) < 2
    if "stratify" in options:
        for kind in "abc":
            assert np.ptp([(classes[rows] == kind).sum() for rows in tests]) <= 1


@pytest.mark.parametrize("options", ["", ", validation: 0.1", ", validation: 0.1, stratify: y"])
def test_no_group_is_in_two_folds(tmp_path: Path, options: str) -> None:
    _, groups = table(tmp_path)
    folds = [loaded(tmp_path, f"{{folds: 3, fold: {fold}, group: patient{options}}}").splits for fold in (1, 2, 3)]
    tests = [set(groups[splits["test"]].tolist()) for splits in folds]
    assert sorted(np.concatenate([splits["test"] for splits in folds]).tolist()) == list(range(200))
    assert sum(map(len, tests)) == len(set(groups.tolist()))
    for splits in folds:
        members = [set(groups[rows].tolist()) for rows in splits.values()]
        assert sum(map(len, members)) == len(set(groups.tolist()))


def test_folds_without_shuffling_are_consecutive_rows(tmp_path: Path) -> None:
    table(tmp_path)
    for fold in (1, 2, 3):
        splits = loaded(tmp_path, f"{{folds: 3, fold: {fold}, shuffle: false, validation: 0.1}}").splits
        start = [0, 67, 134][fold - 1]
        np.testing.assert_array_equal(splits["test"], np.arange(start, [67, 134, 200][fold - 1]))
        rest = np.setdiff1d(np.arange(200), splits["test"])
        np.testing.assert_array_equal(splits["validation"], rest[-20:])


@pytest.mark.parametrize(
    ("split", "code", "said"),
    [
        ("{folds: 3, test: 0.1}", "DLC303", "`test` has no effect with `folds`"),
        ("{folds: 3, fold: 4}", "DLC104", "there is no such fold"),
        ("{fold: 2, test: 0.1}", "DLC303", "`fold` has no effect without `folds`"),
        ("{folds: 2, validation: 0.5}", "DLC104", "the splits leave nothing to train on"),
        ("{folds: 1}", "DLC104", "`folds` is out of range"),
        ("{folds: 2, validation: 110}", "DLC405", "the splits leave nothing to train on"),
        ("{folds: 100, group: y}", "DLC405", "there are fewer groups than splits"),
        ("{folds: 300}", "DLC405", "there are fewer records than folds"),
    ],
)
def test_wrong_folds(tmp_path: Path, split: str, code: str, said: str) -> None:
    table(tmp_path)
    with pytest.raises(dlc.SpecError) as caught:
        loaded(tmp_path, split.replace("300}", "300, fold: 300}"))
    found = caught.value.report.diagnostics[0]
    assert found.code == code and found.message.startswith(said)


def test_groups_of_one_record_are_records(tmp_path: Path) -> None:
    table(tmp_path)
    data = loaded(tmp_path, "{validation: 0.2, test: 0.1, group: x}")
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 140, "validation": 40, "test": 20}
    assert data.notes == ()


def test_large_groups_change_the_sizes_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y,g\n" + "".join(f"{i},{'abc'[i % 3]},{i // 40}\n" for i in range(120)))
    data = loaded(tmp_path, "{validation: 5, test: 10, group: g}")
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 40, "validation": 40, "test": 40}
    assert any("the validation split has 40 records instead of 5" in note for note in data.notes)
    with pytest.raises(dlc.SpecError, match="fewer groups than splits") as caught:
        (tmp_path / "t.csv").write_text("x,y,g\n1,a,0\n2,b,0\n3,c,1\n4,a,1\n")
        loaded(tmp_path, "{validation: 1, test: 1, group: g}")
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC405" and item.span and item.span.line == 2 and item.found == "2 groups for 3 splits"


@pytest.mark.parametrize(
    ("split", "note"),
    [
        ("stratify: x", "60 of the 60 values of `x` occur only once"),
        ("stratify: x, group: g", "60 of the 60 values of `x` occur only once"),
        ("stratify: one", "all records have the same value of `one`"),
        ("stratify: y", None),
        ("group: x", None),
    ],
)
def test_a_column_that_divides_nothing_is_noted(tmp_path: Path, split: str, note: str | None) -> None:
    (tmp_path / "t.csv").write_text("x,y,one,g\n" + "".join(f"{i},{'abc'[i % 3]},1,{i // 2}\n" for i in range(60)))
    notes = loaded(tmp_path, f"{{validation: 0.2, {split}}}").notes
    assert [note in found for found in notes if "stratify" in found] == [True] if note else notes == ()


def test_a_class_that_training_lacks_is_noted(tmp_path: Path) -> None:
    rows = [f"{i},{'a' if i < 90 else 'b' if i < 96 else 'c'}" for i in range(100)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    data = loaded(tmp_path, "{validation: 5, test: 5, shuffle: false}")
    (note,) = data.notes
    assert "the training split lacks 2 classes of `y`: `b` (5 in validation, 1 in test), `c` (4 in test)" in note
    assert "stratify" in note
    assert loaded(tmp_path, "{validation: 20, test: 20, stratify: y}").notes == ()


@pytest.mark.parametrize(
    ("split", "written", "said"),
    [
        ("{test: 0.1, stratify: kind}", "kind}", "no column `kind`"),
        ("{test: 0.1, group: '*'}", "'*'", "no column `*`"),
    ],
)
def test_wrong_columns_of_a_split(tmp_path: Path, split: str, written: str, said: str) -> None:
    table(tmp_path)
    with pytest.raises(dlc.SpecError) as caught:
        loaded(tmp_path, split)
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC402" and said in item.message
    line = TABLE.replace("PATH", str(tmp_path / "t.csv")).replace("SPLIT", split).splitlines()[1]
    assert item.span is not None and (item.span.line, item.span.column) == (2, line.index(written) + 1)


@pytest.mark.parametrize("source", ["{csv: PATH}", "iris"])
def test_a_column_of_a_split_that_looks_like_another(tmp_path: Path, source: str) -> None:
    """A name that differs only in an invisible character has the hint that it has in a feature."""
    (tmp_path / "t.csv").write_text("features,species\n1,a\n2,b\n3,a\n")
    source = source.replace("PATH", str(tmp_path / "t.csv"))
    text = f"data: {{source: {source}, split: {{test: 1, group: species\u200b}}}}\n"
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(text + "inputs: {features: number}\nnetwork: [dense: 1]\n").plan)
    found = [item for item in caught.value.report.diagnostics if item.code == "DLC402"]
    assert "`species` differs only in the form of its characters" in (found[0].hint or "")


def test_known_columns_of_a_split_are_checked_without_data() -> None:
    text = "data: {source: iris, split: {test: 0.1, stratify: specie, group: petal_width}}\n"
    text += "inputs: {features: {tensor: [4]}}\nnetwork: [dense: 1]\n"
    with pytest.raises(dlc.SpecError) as caught:
        dlc.loads(text)
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC402" and item.hint == "did you mean `species`?"
    for option in ("stratify: species", "group: species"):
        with pytest.raises(dlc.SpecError, match="no effect without `shuffle`"):
            dlc.loads(
                f"data: {{source: iris, split: {{test: 0.1, shuffle: false, {option}}}}}\n" + text.split("\n", 1)[1]
            )


# ---- by a column, and by time ----

MARKED = "x,y,part,when\n" + "".join(
    f"{row},{'abc'[row % 3]},{'train' if row % 4 else 'val' if row % 8 else '9'},2024-{12 - row % 12:02d}-01\n"
    for row in range(48)
)


def marked(tmp_path: Path, split: str) -> Any:
    path = tmp_path / "t.csv"
    path.write_text(MARKED)
    text = TABLE.replace("PATH", str(path)).replace("SPLIT", split).replace("MEMORY", "auto")
    return load_dataset(dlc.loads(text).plan)


def test_a_column_may_tell_the_splits_apart(tmp_path: Path) -> None:
    data = marked(tmp_path, "{column: part, validation: val, test: 9}")
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {
        "train": [row for row in range(48) if row % 4],
        "validation": [row for row in range(48) if row % 4 == 0 and row % 8],
        "test": [row for row in range(48) if row % 8 == 0],
    }
    data = marked(tmp_path, "{column: part, test: val}")
    assert len(data.splits["train"]) == 42, "what is not named is trained on"


def test_the_latest_records_are_held_out_whatever_their_order(tmp_path: Path) -> None:
    data = marked(tmp_path, "{time: when, test: 8}")
    assert sorted(data.splits["test"]) == [row for row in range(48) if row % 12 in (0, 1)]  # December and November
    data = marked(tmp_path, "{time: x, validation: 4, test: 4}")  # numbers, not strings
    assert sorted(data.splits["test"]) == [44, 45, 46, 47]
    assert sorted(data.splits["validation"]) == [40, 41, 42, 43]


@pytest.mark.parametrize(
    ("split", "code", "message"),
    [
        ("{column: part, test: tset}", "DLC405", "no record has `tset` in the column `part`"),
        ("{column: prat, test: val}", "DLC402", "no column `prat`"),
        ("{column: part}", "DLC303", "`column` holds out nothing"),
        ("{test: val}", "DLC104", "not a valid size of a split"),
        ("{column: part, test: val, stratify: y}", "DLC303", "`stratify` has no effect with `column`"),
        ("{time: when, test: 0.2, group: y}", "DLC303", "`group` has no effect with `time`"),
        ("{time: when, test: 0.2, seed: 3}", "DLC303", "`seed` has no effect with `time`"),
    ],
)
def test_what_a_column_cannot_divide_is_an_error(tmp_path: Path, split: str, code: str, message: str) -> None:
    with pytest.raises(dlc.SpecError, match=message) as caught:
        marked(tmp_path, split)
    assert caught.value.report.codes == (code,)


def test_a_split_by_time_reads_dates_and_keeps_equal_times_together(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = TABLE.replace("PATH", str(path)).replace("MEMORY", "auto").replace("SPLIT", "{time: when, test: 2}")
    times = ["2024-01-02T00:00:00+05:00", "2024-01-01T20:30:00", "2023-06-01", "2024-01-01T20:30:00", "2025-01-01"]
    path.write_text("x,y,when\n" + "".join(f"{row},a,{time}\n" for row, time in enumerate(times)))
    assert sorted(load_dataset(dlc.loads(text).plan).splits["test"]) == [1, 3, 4]  # 1 and 3 are equal
    for bad in ("", "31.12.2023"):
        path.write_text("x,y,when\n1,a,2024-01-01\n" + f"2,b,{bad}\n3,c,2024-01-03\n")
        with pytest.raises(dlc.SpecError, match="neither a number nor a date") as caught:
            load_dataset(dlc.loads(text).plan)
        assert caught.value.report.codes == ("DLC403",)


def test_zero_is_a_value_of_a_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y,part\n" + "".join(f"{row},a,{row % 3}\n" for row in range(9)))
    text = TABLE.replace("PATH", str(path)).replace("MEMORY", "auto")
    spec = dlc.loads(text.replace("SPLIT", "{column: part, validation: 0, test: 1}"))
    assert {name: len(rows) for name, rows in load_dataset(spec.plan).splits.items()} == dict.fromkeys(
        ("train", "validation", "test"), 3
    )
    again = dlc.loads(resolved_text(dlc.loads(text.replace("SPLIT", "{column: part, test: 1}"))))
    assert again.plan.data is not None and again.plan.data.splits() == ("train", "test")
