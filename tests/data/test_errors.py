"""Errors in data: all of them at once, and records without a target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.data.dataset import load_dataset

SPEC = """
data: {source: {csv: FOLDER/t.csv}, validation: {csv: FOLDER/v.csv}, memory: MEMORY}
inputs:
  a: number
  b: {tensor: {shape: [2], columns: [b, c]}}
  d: {category: {classes: [u, v], one_hot: true}}
  missing: number
targets: {y: {category: 2}}
network: [concat: [a, b, d, missing], dense: 2]
loss: cross_entropy
"""


@pytest.mark.parametrize("memory", ["auto", "20 kB"])
def test_everything_that_is_wrong_with_data_is_reported_at_once(tmp_path: Path, memory: str) -> None:
    rows = [f"{i},1,2,u,{i % 2}" for i in range(300)]
    rows[7], rows[250], rows[260] = "NA,x,2,u,0", "?,1,y,w,0", "NA,x,,u,2"
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,y", *rows]) + "\n")
    (tmp_path / "v.csv").write_text("a,b,c,d,y\n1,z,2,u,0\n")
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(SPEC.replace("FOLDER", str(tmp_path)).replace("MEMORY", memory)).plan)
    found = [(item.code, item.message, item.found) for item in caught.value.report.diagnostics]
    assert found == [
        ("DLC403", "row 8 of column `a` is not a number", "the string `NA` (2 times), the string `?` (once)"),
        ("DLC403", "row 8 of column `b` is not a number", "the string `x` (2 times), the string `z` (once)"),
        ("DLC403", "row 251 of column `c` is not a number", "the string `y` (once), an empty field (once)"),
        ("DLC404", "row 251 of column `d` holds an unknown class", "the string `w`"),
        ("DLC402", "the data has no column `missing`", "columns `a`, `b`, `c`, `d`"),
        ("DLC404", "row 261 of column `y` holds an unknown class", "the string `2`"),
    ]
    assert [item.span.line for item in caught.value.report.diagnostics if item.span] == [4, 5, 5, 6, 7, 8]


@pytest.mark.parametrize("memory", ["auto", "20 kB"])
def test_a_row_of_several_files_is_reported_with_its_file(tmp_path: Path, memory: str) -> None:
    rows = [f"{i},1,2,u,{i % 2}" for i in range(300)]
    rows[207] = "x,1,2,w,0"
    for name, part in {"t1": rows[:100], "t2": rows[100:200], "t3": rows[200:], "v": rows[:3]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,c,d,y", *part]) + "\n")
    spec = SPEC.replace("  missing: number\n", "").replace(", missing]", "]").replace("FOLDER/t.csv", "'FOLDER/t*.csv'")
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(spec.replace("FOLDER", str(tmp_path)).replace("MEMORY", memory)).plan)
    file = tmp_path / "t3.csv"
    assert [item.message for item in caught.value.report.diagnostics] == [
        f"row 8 of `{file}`, column `a`, is not a number",
        f"row 8 of `{file}`, column `d`, holds an unknown class",
    ]


@pytest.mark.parametrize("memory", ["auto", "6 kB"])
def test_values_of_each_column_are_reported_with_their_counts(tmp_path: Path, memory: str) -> None:
    """Values outside of a range, padding before data and unknown tokens, each with its column and its first row."""
    rows = [f"{i % 5},1,2,3,4,4,5,{i % 2}" for i in range(300)]
    rows[3], rows[150], rows[299] = "7,0,2,99,4,4,5,1", "8,1,0,98,4,-1,5,1", "7,1,2,99,4,4,5,0"
    (tmp_path / "t.csv").write_text("\n".join(["a,s_0,s_1,t_0,t_1,t_2,t_3,y", *rows]) + "\n")
    text = (
        f"data: {{source: {{csv: {tmp_path}/t.csv}}, memory: {memory}}}\n"
        "inputs:\n  a: {number: {value_range: [0, 5]}}\n  s: {tensor: {shape: [2, 1], columns: 's_*', padding: 0}}\n"
        "  t: {tokens: {vocabulary: 9, columns: 't_*', padding: 5}}\n"
        "targets: {y: {category: 2}}\nloss: cross_entropy\nnetwork:\n"
        "  - {embedding: {vocabulary: 9, size: 2}, inputs: t}\n  - {global_avg_pool1d: , name: words}\n"
        "  - {global_avg_pool1d: , inputs: s, name: series}\n  - concat: [a, words, series]\n  - dense: 2\n"
    )
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(text).plan)
    found = [(item.code, item.message, item.found) for item in caught.value.report.diagnostics]
    assert found == [
        ("DLC403", "row 4 of column `a` has a value outside of its range", "`7` (2 times), `8` (once)"),
        ("DLC403", "row 4 of column `s_0` has padding before data", "a time step of 0"),
        ("DLC404", "row 4 of column `t_0` has a token that is not in the vocabulary", "`99` (2 times), `98` (once)"),
        ("DLC404", "row 151 of column `t_2` has a token that is not in the vocabulary", "`-1`"),
    ]


@pytest.mark.parametrize(("columns", "rest"), [(40, "32 more columns of `x` have"), (9, "1 more column of `x` has")])
def test_many_wrong_columns_are_summed_up(tmp_path: Path, columns: int, rest: str) -> None:
    names = [f"p{i}" for i in range(columns)]
    (tmp_path / "t.csv").write_text(",".join([*names, "y"]) + "\n" + ",".join(["x"] * columns + ["1"]) + "\n")
    text = f"data: {{source: {{csv: {tmp_path}/t.csv}}}}\n"
    text += f"inputs: {{x: {{tensor: {{shape: [{columns}], columns: 'p*'}}}}}}\n"
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(text + "targets: {y: number}\nnetwork: [dense: 1]\nloss: mse\n").plan)
    items = caught.value.report.diagnostics
    assert len(items) == 9 and items[-1].message == f"{rest} such values"


def test_a_pattern_that_takes_another_features_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("c0,c1,c2,y\nM,1,2,3\nF,1,2,3\n")
    text = (
        f"data: {{source: {{csv: {tmp_path}/t.csv}}}}\n"
        "inputs:\n  sex: {category: {classes: [M, F], one_hot: true, column: c0}}\n"
        "  x: {tensor: {shape: [2], columns: ['c*']}}\n"
        "targets: {y: number}\nnetwork: [concat: [sex, x], dense: 1]\nloss: mse\n"
    )
    with pytest.raises(dlc.SpecError) as caught:
        load_dataset(dlc.loads(text).plan)
    (item,) = caught.value.report.diagnostics
    assert item.message == "row 1 of column `c0` is not a number"
    assert item.hint == "`c*` also matches `c0`, which `sex` reads: list the columns"


def dropping(folder: Path, memory: str = "auto") -> Any:
    text = (
        f"data: {{source: {{csv: {folder}/t.csv}}, validation: {{csv: {folder}/v.csv}}, memory: {memory}}}\n"
        "inputs: {x: number}\ntargets:\n  y: {number: {missing: drop, normalize: standard}}\n"
        "  k: {category: {classes: [a, b], missing: drop}}\nnetwork:\n  - {dense: 1, name: one}\n"
        "  - {dense: 2, inputs: x, name: two}\n"
        "outputs: {y: one, k: two}\nloss: [{mse: , output: y, target: y}, {cross_entropy: , output: k, target: k}]\n"
    )
    return load_dataset(dlc.loads(text).plan)


@pytest.mark.parametrize("memory", ["auto", "1 kB"])
def test_records_without_a_target_are_left_out_and_counted(tmp_path: Path, memory: str) -> None:
    rows = [f"{i},{'' if i % 5 == 2 else i},{'' if i % 7 == 3 else 'ab'[i % 2]}" for i in range(70)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,k", *rows]) + "\n")
    (tmp_path / "v.csv").write_text("x,y,k\n1,,a\n2,3,b\n")
    data = dropping(tmp_path, memory)
    kept = [i for i in range(70) if i % 5 != 2 and i % 7 != 3]
    np.testing.assert_array_equal(np.sort(data.inputs["x"][np.sort(data.splits["train"])][:, 0]), kept)
    assert len(data.splits["validation"]) == 1
    assert data.notes[0] == f"{70 - len(kept)} records have no `y` or no `k`, and are left out: {len(kept)} remain"
    assert data.notes[1] == "1 record has no `y`, and is left out: 1 remains"
    np.testing.assert_allclose(data.fitted.stats["y"]["shift"], np.mean(kept))
    (tmp_path / "v.csv").write_text("x,y,k\n1,,a\n")
    with pytest.raises(dlc.SpecError, match="the validation split is empty"):
        dropping(tmp_path, memory)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("targets: {x: {number: {missing: 0}}}", "the target `x` can't be filled"),
        ("targets: {x: {number: {missing: mean}}}", "the target `x` can't be filled"),
        ("targets: {x: {category: {classes: 2, missing: most_frequent}}}", "the target `x` can't be filled"),
        ("inputs: {x: {tensor: {shape: [2], missing: drop}}}", "`missing: drop` is only for targets"),
    ],
)
def test_targets_are_not_filled_and_inputs_not_left_out(section: str, said: str) -> None:
    text = section + "\n" + ("" if "inputs" in section else "inputs: {z: number}\n") + "network: [dense: 2]\n"
    with pytest.raises(dlc.SpecError) as caught:
        dlc.loads(text)
    assert any(item.code == "DLC104" and said in item.message and item.span for item in caught.value.report.diagnostics)


def test_the_digests_of_records_with_gaps_do_not_depend_on_their_type(tmp_path: Path) -> None:
    values = np.array([[1.5], [np.nan], [2.5]])
    from dlc.data.fitted import record_digests

    wide, narrow = record_digests([values]), record_digests([values.astype(np.float32)])
    np.testing.assert_array_equal(wide, narrow)
    np.testing.assert_array_equal(record_digests([np.where(np.isnan(values), -np.nan, values)]), wide)
