"""`dlc layers`: the list, the search and the pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dlc
from dlc.cli.components import components, print_components
from dlc.cli.option_values import allowed_values
from dlc.components.registry import KINDS
from tests.common import ROOT


def printed(capsys: pytest.CaptureFixture[str], name: str | None = None, search: str | None = None) -> str:
    print_components(name, search)
    return capsys.readouterr().out


def options(page: str) -> dict[str, str]:
    """The lines of a page's options by name."""
    lines = page.partition("options:\n")[2].partition("\n\n")[0].splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line[:3].strip()}


def test_the_list_is_grouped_by_kind_and_family(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys)
    headings = [line for line in out.splitlines() if line and line[0] not in " `"]
    expected = [kind.plural for kind in KINDS.values()]
    expected.insert(expected.index("blocks") + 1, "containers")
    assert headings == expected
    assert re.search(r"\n  Pooling, channels last\n    max_pool1d +\(batch, time, channels\) -> ", out)
    words = re.findall(r"^    (\w+)  ", out, re.MULTILINE)
    assert words.count("relu") == 1 and words.count("mse") == 2, (
        "an activation is listed once, a loss and a metric twice"
    )
    assert len(words) == len(components())
    assert "\x1b" not in out, "plain text in a pipe"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adaptive_avg", ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"]),
        ("GlobalMaxPooling2D", ["global_max_pool2d"]),  # Keras's name
        ("MultiheadAttention", ["attention"]),  # PyTorch's
        ("orthogonal steps", ["muon"]),  # a family's title
        ("pool 3d max", ["max_pool3d", "global_max_pool3d"]),
    ],
)
def test_a_search_finds_names_summaries_and_names_elsewhere(
    capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    assert re.findall(r"^    (\w+)  ", printed(capsys, search=text), re.MULTILINE) == words


def test_a_search_shows_names_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert "(also called maxpooling1d)" in printed(capsys, search="max_pool1d")
    with pytest.raises(dlc.SpecError, match="no component matches `qqq`"):
        print_components(None, "qqq")


def test_a_page_names_the_allowed_values(capsys: pytest.CaptureFixture[str]) -> None:
    conv = options(printed(capsys, "conv2d"))
    assert conv["filters*"] == "integer >= 1 required count of output channels"
    assert conv["use_bias"].startswith("true or false true ")
    assert conv["kernel"].startswith("integer or list of integers 3 ")
    assert conv["activation"].startswith("an activation - ")
    assert "values: valid, same, causal, or list of" in printed(capsys, "conv2d")
    assert options(printed(capsys, "adamw"))["b1"].startswith("number >= 0, < 1 0.9 ")
    assert options(printed(capsys, "resize"))["interpolation"].startswith("nearest, bilinear, bicubic ")
    assert options(printed(capsys, "sgd"))["learning_rate"].startswith("number or a schedule ")


def test_most_options_name_their_values() -> None:
    """Only the items of containers may be anything: their own pages say what they are."""
    silent = [
        f"{component.word}.{name}"
        for component in components()
        for name, field in getattr(component.cls, "model_fields", {}).items()
        if not allowed_values(field)
    ]
    assert silent == [], silent


def test_a_page_names_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("conv2d", "unused_input", "residual"):
        file, line = re.search(r"^source: (dlc/\S+\.py):(\d+)$", printed(capsys, name), re.MULTILINE).groups()  # type: ignore[union-attr]
        assert (ROOT / file).read_text().splitlines()[int(line) - 1].startswith("class ")


def test_a_class_without_a_docstring_does_not_borrow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (dense,) = [component for component in components() if component.word == "dense"]
    monkeypatch.setattr(dense.cls, "__doc__", None)
    assert dense.summary == "no description: the class has no docstring"


def test_a_name_from_elsewhere_is_a_hint() -> None:
    with pytest.raises(dlc.SpecError) as caught:
        print_components("MaxPool2D")
    assert caught.value.report.diagnostics[0].hint == "did you mean `max_pool2d`?"
    with pytest.raises(dlc.SpecError) as caught:
        print_components("Linear")
    assert caught.value.report.diagnostics[0].hint == "did you mean `dense`?"


def test_a_terminal_gets_wrapped_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = printed(capsys)
    assert "\x1b[1mlayers\x1b[0m" in out
    lines = [line for line in out.splitlines() if line.startswith("     ")]
    assert lines and max(map(len, lines)) <= 80
