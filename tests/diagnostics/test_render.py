"""Reports and their renderers: text, color, wide characters, json, sarif, github; and what checking may import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from dlc.diagnostics import (
    Diagnostic,
    Note,
    Problems,
    Report,
    Span,
    SpecError,
    article,
    did_you_mean,
    lines_of,
    listing,
    nearest,
    one_of,
    render,
)
from dlc.diagnostics.codes import CODES
from dlc.frontend.pipeline import check_text
from tests.common import ROOT

TEXT = "inputs: {x: {tensor: [4]}}\nnetwork:\n  - dense: {unist: 2} # two\n"
REPORT = Report(
    (
        Diagnostic(
            "DLC101",
            "unknown option `unist` of `dense`",
            Span("a b.yaml", 3, 13, 3, 18),
            found="f",
            expected="e",
            hint="h",
            notes=(Note("used here", Span("a b.yaml", 1, 1, 1, 7)), Note("no place")),
        ),
        Diagnostic("DLC109", "never used: 100%, really", severity="warning"),
    ),
    {"a b.yaml": TEXT},
)


def test_text() -> None:
    assert render.text(REPORT) == (
        "error[DLC101]: unknown option `unist` of `dense`\n"
        " --> a b.yaml:3:13\n"
        "  |\n"
        "3 |   - dense: {unist: 2} # two\n"
        "  |             ^^^^^\n"
        "  = found: f\n"
        "  = expected: e\n"
        "  = hint: h\n"
        "  = note: used here (a b.yaml:1:1)\n"
        "  = note: no place\n"
        "\n"
        "warning[DLC109]: never used: 100%, really"
    )


def test_color_adds_nothing_but_color() -> None:
    painted = render.text(REPORT, color=True)
    assert "\x1b[31;1merror[DLC101]\x1b[0m" in painted
    assert "\x1b[33;1mwarning[DLC109]\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render.text(REPORT)


def test_summary() -> None:
    assert render.summary(REPORT, 2) == "1 error, 1 warning in 2 files"
    assert render.summary(Report(), 1) == "no problems in 1 file"


def excerpt(text: str, span: tuple[int, int, int, int]) -> list[str]:
    report = Report((Diagnostic("DLC101", "m", Span("f", *span)),), {"f": text})
    return [line[4:] for line in render.text(report).split("\n")[3:]]


@pytest.mark.parametrize(
    ("text", "columns", "carets"),
    [
        ("ab: cd", (5, 7), "    ^^"),
        ("鍵: 値x", (4, 5), "    ^^"),
        ("e\u0301: xy", (5, 7), "   ^^"),
        ("\tab: cd", (6, 8), "\t    ^^"),
        ("😀: xy", (4, 6), "    ^^"),
        ("ab: cd", (7, 7), "      ^"),
        ("ab: cd", (5, 99), "    ^^"),
        ("a\x1bb: cd", (6, 8), "        ^^"),
    ],
)
def test_carets_stand_under_the_culprit(text: str, columns: tuple[int, int], carets: str) -> None:
    assert excerpt(text, (1, columns[0], 1, columns[1]))[1] == carets


def test_carets_of_a_value_over_lines() -> None:
    assert excerpt("a: {b: 1, # first\n c: 2}", (1, 4, 2, 7))[1] == "   ^^^^^^"


def test_long_lines_are_cut_around_the_place() -> None:
    text = "x" * 500 + "CULPRIT" + "y" * 500
    line, carets = excerpt(text, (1, 501, 1, 508))
    assert len(line) < 170
    assert line.startswith("...x")
    assert line.endswith("y...")
    assert line[carets.index("^") : carets.rindex("^") + 1] == "CULPRIT"
    line, carets = excerpt("x" * 1000, (1, 1, 1, 1001))
    assert len(line) < 170
    assert len(carets) <= len(line)


def test_places_outside_of_the_text() -> None:
    for place in ((9, 1, 9, 2), (1, 50, 1, 60), (2, 1, 1, 1)):
        assert render.text(Report((Diagnostic("DLC101", "m", Span("f", *place)),), {"f": "a: b\n"}))
    assert " --> f:1:1" in render.text(Report((Diagnostic("DLC101", "m", Span("f", 1, 1, 1, 1)),)))


@pytest.mark.parametrize(
    "mark", ["\x1b", "\x07", "\x08", "\r", "\n", "\x9b", "\u202e", "\u2066", "\u200b", "\x00", "\udc80"]
)
def test_nothing_steers_the_terminal(mark: str) -> None:
    words = f"a{mark}b"
    note = Note(words, Span(words, 1, 1, 1, 2))
    item = Diagnostic("DLC101", words, Span(words, 1, 1, 1, 2), words, words, words, (note,))
    for color in (False, True):
        text = render.text(Report((item,), {words: f"x{words}"}), color=color)
        assert mark not in re.sub(r"\x1b\[[0-9;]*m|\n *[|=0-9-]", "", text).replace("\n" if mark == "\n" else "", "")
        assert len(text.split("\n")) <= 9
    assert mark not in render.github(Report((item,))) or mark not in "\r\n"


def test_line_breaks_are_those_of_yaml() -> None:
    assert lines_of("a\nb\r\nc\rd\x85e\u2028f\u2029g") == list("abcdefg")
    assert lines_of("a\x0bb\x0cc\x1cd") == ["a\x0bb\x0cc\x1cd"]


# ---- machine formats ----


def test_json() -> None:
    first, second = json.loads(render.json(REPORT))["diagnostics"]
    assert first == {
        "code": "DLC101",
        "severity": "error",
        "message": "unknown option `unist` of `dense`",
        "file": "a b.yaml",
        "range": {"start": {"line": 3, "column": 13}, "end": {"line": 3, "column": 18}},
        "found": "f",
        "expected": "e",
        "hint": "h",
        "notes": [
            {
                "message": "used here",
                "file": "a b.yaml",
                "range": {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 7}},
            },
            {"message": "no place", "file": None, "range": None},
        ],
    }
    assert (second["file"], second["range"], second["notes"]) == (None, None, [])


def check_sarif(log: Any) -> None:
    """The fields that SARIF 2.1.0 requires, and the rules that code hosts add."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"] == "dlc"
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for rule in driver["rules"]:
            assert rule["shortDescription"]["text"]
        for result in run["results"]:
            assert result["message"]["text"]
            assert result["level"] in ("none", "note", "warning", "error")
            assert ids[result["ruleIndex"]] == result["ruleId"]
            for place in [*result.get("locations", ()), *result.get("relatedLocations", ())]:
                physical = place["physicalLocation"]
                assert re.fullmatch(r"[A-Za-z0-9._~/%:@!$&'()*+,;=-]+", physical["artifactLocation"]["uri"])
                region = physical["region"]
                assert all(isinstance(value, int) and value >= 1 for value in region.values())
                start, end = (region["startLine"], region["startColumn"]), (region["endLine"], region["endColumn"])
                assert start <= end


def test_sarif() -> None:
    log = json.loads(render.sarif(REPORT))
    check_sarif(log)
    first, second = log["runs"][0]["results"]
    assert first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.yaml"
    assert first["relatedLocations"][0]["message"]["text"] == "used here"
    assert first["message"]["text"] == "unknown option `unist` of `dense`; found f; expected e; h"
    assert "locations" not in second
    check_sarif(json.loads(render.sarif(Report())))


def test_github() -> None:
    first, second = render.github(REPORT).split("\n")
    assert first == (
        "::error file=a b.yaml,line=3,endLine=3,col=13,endColumn=18,title=DLC101::"
        "unknown option `unist` of `dense`; found f; expected e; h"
    )
    assert second == "::warning title=DLC109::never used: 100%25, really"
    odd = Report((Diagnostic("DLC101", "a\nb\r%", Span("a,b:c%.yaml", 1, 1, 2, 1)),))
    assert render.github(odd) == "::error file=a%2Cb%3Ac%25.yaml,line=1,endLine=2,col=1,title=DLC101::a%0Ab%0D%25"


# ---- reports ----


def test_problems_keep_reading_order_and_drop_repetitions() -> None:
    problems = Problems()
    for file, line in (("b", 1), ("a", 2), ("a", 1), ("a", 2)):
        problems.add("DLC101", "m", Span(file, line, 1, line, 2))
    problems.add("DLC102", "no place")
    problems.add("DLC109", "w", severity="warning")
    report = problems.report({"b": "", "a": ""})
    places = [item.span[:2] if item.span else None for item in report.diagnostics]
    assert places == [None, None, ("b", 1), ("a", 1), ("a", 2)]
    assert problems.count == 5
    assert not report.ok
    assert Report((Diagnostic("DLC109", "w", severity="warning"),)).ok
    assert (report + Report()).codes == report.codes


def test_spec_error_says_what_is_wrong() -> None:
    error = SpecError.of("DLC001", "file not found", hint="h")
    assert str(error) == "DLC001: file not found"
    assert error.report.diagnostics[0].hint == "h"


def test_words() -> None:
    assert nearest("Conv2D", ["dense", "conv2d"]) == "conv2d"
    assert nearest("max-pool2d", ["max_pool2d"]) == "max_pool2d"
    assert nearest("xyz", ["conv2d"]) is None
    assert nearest("", ["conv2d"]) is None
    assert nearest("a" * 100_000, ["conv2d"]) is None
    assert did_you_mean("dens", ["dense"]) == "did you mean `dense`?"
    assert listing("abc", limit=2) == "`a`, `b` and 1 more"
    assert (one_of("a"), one_of("ab")) == ("`a`", "one of `a`, `b`")
    assert (article("optimizer"), article("loss")) == ("an optimizer", "a loss")


def test_codes_are_explained() -> None:
    for code, entry in CODES.items():
        assert re.fullmatch("DLC[0-9]{3}", code)
        assert entry.title[0].islower() or entry.title.startswith("`")
        assert entry.text.endswith(".")


def test_spans() -> None:
    span = Span("f", 1, 5, 1, 10)
    assert span.inside(1, 2) == Span("f", 1, 6, 1, 8)
    assert span.inside(4, 2) == span
    assert Span("f", 1, 5, 2, 10).inside(1, 2) == Span("f", 1, 5, 2, 10)
    assert str(span) == "f:1:5"


# ---- what checking may import ----

FORBIDDEN = ("jax", "jaxlib", "numpy", "optax", "sklearn", "pandas", "scipy", "safetensors")


def test_checking_imports_no_numerics() -> None:
    code = (
        "import sys\n"
        "from dlc.frontend.pipeline import check_file\n"
        "from dlc.diagnostics import render\n"
        "spec, report = check_file('specs/digits_cnn.yaml')\n"
        "assert spec is not None, render.text(report)\n"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_reports_name_the_given_text() -> None:
    assert "<text>:3:13" in render.text(check_text(TEXT)[1])
    assert "my.yaml:3:13" in render.text(check_text(TEXT, "my.yaml")[1])
