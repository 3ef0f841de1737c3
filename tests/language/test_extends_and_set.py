"""`extends:` and `--set`: what they merge, and where faults in the result point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlc.frontend.pipeline import check_file, check_text
from dlc.language.loader import load_source

BASE = """vars: {width: 8, rate: 0.1}
data: {source: iris, split: {validation: 0.1}}
inputs: {features: {tensor: [4]}}
targets: {species: {category: 3}}
network:
  - {dense: $width, name: stem}
  - dropout: $rate
  - dense: 3
loss: cross_entropy
optimizer: {adam: {learning_rate: 0.1}}
train: {epochs: 20}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)
    return tmp_path


def tree(text: str, *sets: str) -> dict[str, Any]:
    Path("spec.yaml").write_text(text)
    return load_source("spec.yaml", sets).tree


@pytest.mark.usefixtures("folder")
class TestExtends:
    def test_mappings_merge_and_lists_are_replaced(self) -> None:
        merged = tree(
            "extends: base.yaml\nvars: {width: 16}\nnetwork: [dense: $width, dense: 3]\ntrain: {batch_size: 4}"
        )
        assert merged["vars"] == {"width": 16, "rate": 0.1}
        assert merged["network"] == [{"dense": "$width"}, {"dense": 3}]
        assert merged["train"] == {"epochs": 20, "batch_size": 4}
        assert "extends" not in merged

    def test_items_merge_only_with_the_same_word(self) -> None:
        assert tree("extends: base.yaml\noptimizer: {adam: {b1: 0.8}}")["optimizer"] == {
            "adam": {"learning_rate": 0.1, "b1": 0.8}
        }
        assert tree("extends: base.yaml\noptimizer: {sgd: {momentum: 0.9}}")["optimizer"] == {"sgd": {"momentum": 0.9}}
        assert tree("extends: base.yaml\ninputs: {features: number}")["inputs"] == {"features": "number"}

    def test_null_removes(self) -> None:
        merged = tree("extends: base.yaml\ntrain: null\ndata: {split: null}\nname: null")
        assert "train" not in merged
        assert merged["data"] == {"source": "iris"}
        assert merged["name"] is None

    def test_chains_and_folders(self, folder: Path) -> None:
        (folder / "deep").mkdir()
        Path("deep/middle.yaml").write_text("extends: ../base.yaml\nseed: 1\nname: middle")
        assert tree("extends: deep/middle.yaml\nname: leaf") == {**tree(BASE), "seed": 1, "name": "leaf"}

    def test_result_is_checked_as_one(self) -> None:
        Path("spec.yaml").write_text("extends: base.yaml\nname: leaf")
        spec, report = check_file("spec.yaml")
        assert spec is not None, report
        assert list(spec.texts) == ["spec.yaml", "base.yaml"]

    @pytest.mark.parametrize("section", ["seed", "train", "name"])
    def test_null_in_a_setting_removes_a_section_that_may_not_be_there(self, section: str) -> None:
        spec, report = check_file("base.yaml", [f"{section}=null"])
        assert spec is not None, report

    def test_what_a_base_defines_too_much_is_no_error(self) -> None:
        Path("spec.yaml").write_text("extends: base.yaml\nnetwork: [dense: 3]")
        assert check_file("spec.yaml")[1].codes == ()

    def test_errors_point_into_the_right_file(self) -> None:
        Path("base.yaml").write_text(BASE.replace("$rate", "2.0").replace(", rate: 0.1}", ", depth: 1}"))
        Path("spec.yaml").write_text("extends: base.yaml\nvars: {width: wide}\ntrain: {epohcs: 3}")
        items = check_file("spec.yaml")[1].diagnostics
        assert [(item.code, str(item.span)) for item in items] == [
            ("DLC101", "spec.yaml:3:9"),
            ("DLC103", "base.yaml:6:13"),
            ("DLC104", "base.yaml:7:14"),
        ]
        assert [str(note.span) for note in items[1].notes] == ["spec.yaml:2:15"]

    def test_too_many_files(self) -> None:
        for index in range(40):
            Path(f"f{index}.yaml").write_text(f"extends: f{index + 1}.yaml")
        (item,) = check_file("f0.yaml")[1].diagnostics
        assert (item.code, str(item.span)) == ("DLC111", "f32.yaml:1:10")

    @pytest.mark.parametrize("name", ['"a\\0b"', '""', "3", "null", "{a: 1}", "no/such.yaml", ".", "x" * 3000])
    def test_wrong_names(self, name: str) -> None:
        Path("spec.yaml").write_text(f"extends: {name}\n")
        (item,) = check_file("spec.yaml")[1].diagnostics
        assert item.code in ("DLC103", "DLC111")
        assert str(item.span) == "spec.yaml:1:10"


SETS: list[tuple[str, tuple[str, ...], Any]] = [
    ("vars.width=64", ("vars", "width"), 64),
    ("seed=3", ("seed",), 3),
    ("name=a b", ("name",), "a b"),
    ("name=", ("name",), ""),
    ("name=a=b", ("name",), "a=b"),
    ("vars.rate=1e-3", ("vars", "rate"), 0.001),
    ("network=[dense: 3]", ("network",), [{"dense": 3}]),
    ("network.0.dense=16", ("network", 0, "dense"), 16),  # type: ignore[list-item]
    ("network.stem.dense=16", ("network", 0, "dense"), 16),  # type: ignore[list-item]
    ("network.1=relu", ("network", 1), "relu"),  # type: ignore[list-item]
    ("optimizer.adam.b1=0.8", ("optimizer", "adam", "b1"), 0.8),
    ("optimizer.clip_norm=1.0", ("optimizer", "clip_norm"), 1.0),
    ("optimizer=sgd", ("optimizer",), "sgd"),
    ("loss.cross_entropy.label_smoothing=0.1", ("loss", "cross_entropy", "label_smoothing"), 0.1),
    ("train.early_stopping.patience=2", ("train", "early_stopping", "patience"), 2),
    ("data.split.test=0.2", ("data", "split", "test"), 0.2),
    ("train={epochs: 3}", ("train",), {"epochs": 3}),
]


@pytest.mark.parametrize(("setting", "path", "value"), SETS)
@pytest.mark.usefixtures("folder")
def test_set(setting: str, path: tuple[str | int, ...], value: Any) -> None:
    found = tree(BASE, setting)
    for key in path:
        found = found[key]  # type: ignore[index]
    assert found == value


@pytest.mark.usefixtures("folder")
class TestSet:
    def test_later_ones_win_and_the_file_stays(self) -> None:
        assert tree(BASE, "vars.width=1", "vars.width=2")["vars"]["width"] == 2
        assert tree(BASE)["vars"]["width"] == 8

    def test_it_can_make_a_spec_right(self) -> None:
        Path("spec.yaml").write_text(BASE.replace("width: 8", "width: wide"))
        assert check_file("spec.yaml")[0] is None
        spec, report = check_file("spec.yaml", ["vars.width=4"])
        assert spec is not None, report

    def test_it_applies_after_extends(self) -> None:
        assert tree("extends: base.yaml\nvars: {width: 1}", "vars.width=2")["vars"] == {"width": 2, "rate": 0.1}

    def test_values_may_use_variables(self) -> None:
        spec, _ = check_text(BASE, sets=["network.2.dense=$(width - 5)"])
        assert spec is not None

    @pytest.mark.parametrize(
        ("setting", "code", "column"),
        [
            ("vars.width=wide", "DLC103", 12),
            ("train.epochs=0", "DLC104", 14),
            ("train.epohcs=3", "DLC101", 7),
            ("trian.epochs=3", "DLC110", 1),
            ("vars.widht=3", "DLC110", 6),
            ("network.3.dense=3", "DLC110", 9),
            ("network.²=relu", "DLC110", 9),
            ("network.99999999999999999999=relu", "DLC110", 9),
            ("network.0.dense.units.x=3", "DLC110", 17),
            ("vars.width=017", "DLC010", 12),
            ("vars.width=[1", "DLC005", 12),
            ("vars.width=!!int 3", "DLC011", 12),
            ("vars.width=a: b: c", "DLC005", 13),
            ("vars.width", "DLC110", 1),
            ("=3", "DLC110", 1),
            ("", "DLC110", 1),
            ("data.source.iris.x=1", "DLC101", 18),
        ],
    )
    def test_errors_point_into_the_setting(self, setting: str, code: str, column: int) -> None:
        items = check_text(BASE, sets=["seed=1", setting])[1].diagnostics
        assert [item.code for item in items] == [code]
        places = [items[0].span, *(note.span for note in items[0].notes)]
        assert ("--set", 2, column) in [place[:3] for place in places if place is not None]

    def test_all_settings_are_reported(self) -> None:
        sets = ["trian.epochs=3", "vars.width=017", "x", "vars.a=1"]
        assert check_text(BASE, sets=sets)[1].codes == ("DLC110", "DLC010", "DLC110", "DLC110")

    @pytest.mark.parametrize("setting", ["vars.width=\x00", "vars.width=\ud800", "a\nb=3", "vars.width=3\n4", "\x1b=1"])
    def test_hostile_settings(self, setting: str) -> None:
        assert check_text(BASE, sets=[setting])[0] is None
