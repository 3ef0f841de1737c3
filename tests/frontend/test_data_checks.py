"""What is known about data without reading them: the classes of bundled data, and files that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc
from dlc.cli.commands import check_files
from dlc.frontend.pipeline import check_text

BUNDLED = (
    "data: SOURCE\ninputs: {x: {tensor: {shape: [4], column: features}}}\ntargets: {TARGET}\nnetwork: [dense: 9]\n"
)


@pytest.mark.parametrize(
    ("source", "target", "hint"),
    [
        ("digits", "digit: {category: 9}", "they are numbered up to 9: write `category: 10`"),
        ("digits", "y: {category: {classes: 9, column: digit}}", "they are numbered up to 9: write `category: 10`"),
        ("iris", "species: {category: [setosa, versicolor, virginca]}", "did you mean `virginica`?"),
        (
            "iris",
            "species: {category: {classes: {a: [setosa, Versicolour], b: virginca}}}",
            "did you mean `versicolor`?",
        ),
        ("iris", "species: {category: [setosa, versicolor]}", "add `virginica` to `classes`"),
        ("wine", "cultivar: {category: 2}", "list the names: `classes: [class_0, class_1, class_2]`"),
    ],
)
def test_the_classes_of_bundled_data_are_known(source: str, target: str, hint: str) -> None:
    text = BUNDLED.replace("SOURCE", source).replace("TARGET", target).replace("column: features", "column: '*'")
    with pytest.raises(dlc.SpecError) as caught:
        dlc.loads(text)
    assert ("DLC404", hint) in [(item.code, item.hint) for item in caught.value.report.diagnostics]


@pytest.mark.parametrize(
    "classes",
    [
        "[setosa, versicolor, virginca]",
        "{classes: [setosa, versicolor, virginca]}",
        "{classes: {a: [setosa, versicolor], b: [virginca]}}",
        "{classes: {a: [setosa, versicolor], b: virginca}}",
    ],
)
def test_the_misspelt_class_is_pointed_at(classes: str) -> None:
    text = BUNDLED.replace("SOURCE", "iris").replace("TARGET", f"species: {{category: {classes}}}")
    with pytest.raises(dlc.SpecError) as caught:
        dlc.loads(text.replace("column: features", "column: '*'"))
    (item,) = [item for item in caught.value.report.diagnostics if item.code == "DLC404"]
    line = text.splitlines()[2]
    assert item.span is not None and item.span.line == 3
    assert line[item.span.column - 1 : item.span.end_column - 1] == "virginca"


def test_right_classes_are_right() -> None:
    grouped = "{classes: {low: [0, 1, 2, 3, 4], high: [5, 6, 7, 8, 9]}}"
    for classes in ("10", "12", grouped):
        text = "inputs: {image: {tensor: [64]}}\nnetwork: [dense: 12]\ndata: digits\nloss: mse\n"
        _, report = check_text(text + f"targets: {{digit: {{category: {classes}}}}}\n")
        assert "DLC404" not in report.codes


def test_a_data_file_that_does_not_exist_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "titanic.csv").write_text("Fare\n1\n")
    path = tmp_path / "s.yaml"
    text = "inputs: {fare: {number: {column: Fare}}}\nnetwork: [dense: 1]\n"
    path.write_text("data: {source: {csv: titanik.csv}}\n" + text)
    assert check_files([path], "text", []) == 0
    printed = capsys.readouterr().out
    assert "warning[DLC401]" in printed and "did you mean `titanic.csv`?" in printed and "s.yaml:1:" in printed
    path.write_text(path.read_text().replace("titanik", "titanic"))
    assert check_files([path], "text", []) == 0
    assert "no problems" in capsys.readouterr().out
