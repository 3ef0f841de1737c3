"""YAML text -> plain tree with places: scalars of YAML 1.2, positions, bounds, and files as they come."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import check_file, check_text
from dlc.language.source import BROKEN, Source
from dlc.language.yaml_errors import oddity
from dlc.language.yaml_text import parse_yaml, read, scalar
from tests.common import examples

SCALARS: list[tuple[str, Any]] = [
    ("1", 1),
    ("-12", -12),
    ("+3", 3),
    ("0", 0),
    ("0o17", 15),
    ("0x1F", 31),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1.", 1.0),
    ("1e3", 1000.0),
    ("1e-3", 0.001),
    ("1.0E+3", 1000.0),
    ("-1e-3", -0.001),
    (".inf", math.inf),
    ("-.inf", -math.inf),
    ("~", None),
    ("null", None),
    ("", None),
    ("true", True),
    ("FALSE", False),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("1:30", "1:30"),
    ("1_000", "1_000"),
    ("0b11", "0b11"),
    ("0o8", "0o8"),
    ("1e", "1e"),
    ("2001-01-01", "2001-01-01"),
    ("=", "="),
    ("nUlL", "nUlL"),
    ("relu", "relu"),
    ("٣", "٣"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalar(text: str, value: Any) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["017", "08", "-07", "00", "+012"])
def test_leading_zeros_are_ambiguous(text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("+", r"\+")):
        scalar(text)
    source = parse_yaml(f"a: {text}", "f")
    assert [item.code for item in source.findings] == ["DLC010"]
    assert source.tree["a"] is BROKEN


def test_quoted_and_block_scalars_are_texts() -> None:
    text = "a: '1'\nb: \"true\"\nc: |\n  12\nd: >-\n  a\n  b\n1: x\ntrue: y"
    assert parse_yaml(text, "f").tree == {
        "a": "1",
        "b": "true",
        "c": "12\n",
        "d": "a b",
        "1": "x",
        "true": "y",
    }


def at(source: Source, *path: str | int) -> tuple[int, int, int, int]:
    return tuple(source.values[path])[1:]  # type: ignore[return-value]


def key(source: Source, *path: str | int) -> tuple[int, int, int, int]:
    return tuple(source.keys[path])[1:]  # type: ignore[return-value]


def test_positions_in_block_style() -> None:
    source = parse_yaml("a:\n  b: one\n  c:\n    - 1\n    - d: x\n", "f")
    assert key(source, "a") == (1, 1, 1, 2)
    assert key(source, "a", "b") == (2, 3, 2, 4)
    assert at(source, "a", "b") == (2, 6, 2, 9)
    assert at(source, "a", "c", 0) == (4, 7, 4, 8)
    assert key(source, "a", "c", 1, "d") == (5, 7, 5, 8)
    assert at(source, "a", "c", 1, "d") == (5, 10, 5, 11)


def test_positions_in_flow_style() -> None:
    source = parse_yaml("a: {b: [1, 22], 'c d': \"x\"}", "f")
    assert at(source, "a") == (1, 4, 1, 28)
    assert key(source, "a", "b") == (1, 5, 1, 6)
    assert at(source, "a", "b") == (1, 8, 1, 15)
    assert at(source, "a", "b", 1) == (1, 12, 1, 14)
    assert key(source, "a", "c d") == (1, 17, 1, 22)
    assert at(source, "a", "c d") == (1, 24, 1, 27)


def test_positions_count_characters_not_bytes() -> None:
    source = parse_yaml("a: {ключ: 値, c: 😀, d: 1}", "f")
    assert key(source, "a", "ключ") == (1, 5, 1, 9)
    assert at(source, "a", "ключ") == (1, 11, 1, 12)
    assert at(source, "a", "d") == (1, 23, 1, 24)


def test_positions_of_values_over_lines() -> None:
    source = parse_yaml("a: one\n  two\nb: {c: 1,\n    d: 2}\n", "f")
    assert at(source, "a") == (1, 4, 2, 6)
    assert at(source, "b") == (3, 4, 4, 10)
    assert at(source, "b", "d") == (4, 8, 4, 9)


def test_alias_points_at_its_anchor() -> None:
    source = parse_yaml("a: &x {b: 1}\nc: *x\n", "f")
    assert source.tree == {"a": {"b": 1}, "c": {"b": 1}}
    assert at(source, "c", "b") == at(source, "a", "b")


def test_span_of_what_is_absent_is_its_holder() -> None:
    source = parse_yaml("a:\n  b: 1\n", "f")
    assert source.span(("a", "z", 3)) == source.values["a",]
    assert source.key_span(("a", "b")) == source.keys["a", "b"]


# ---- files ----

GOOD = "inputs: {x: {tensor: [4]}}\nnetwork:\n  - dense: 2\n"
BAD = "inputs: {x: {tensor: [4]}}\r\nnetwork:\r\n  - dense: {unist: 2}\r\n"


def codes(path: Path) -> tuple[str, ...]:
    return check_file(path)[1].codes


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD.encode(), ()),
        (b"\xef\xbb\xbf" + GOOD.encode(), ()),
        (GOOD.replace("\n", "\r\n").encode(), ()),
        (GOOD.replace("\n", "\r").encode(), ()),
        (GOOD.rstrip().encode(), ()),
        (b"name: caf\xe9\n", ("DLC002",)),
        (GOOD.encode("utf-16"), ("DLC002",)),
        (b"\x89PNG\r\n\x1a\n\x00\x00", ("DLC002",)),
        (b"name: a\x00b\n", ("DLC002",)),
        (b"name: \x1b[31mred\n", ("DLC002",)),
        (b"name: \xed\xa0\x80\n", ("DLC002",)),
        (b"", ("DLC004",)),
        (b"\n\n  \n", ("DLC004",)),
        (b"\xef\xbb\xbf", ("DLC004",)),
        (b"# only a comment", ("DLC004",)),
        (b"%YAML 1.2\n---\n" + GOOD.encode(), ()),
        (b"name: " + b"a" * (1 << 20), ("DLC003",)),
    ],
)
def test_bytes(tmp_path: Path, data: bytes, expected: tuple[str, ...]) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(data)
    assert codes(path) == expected


def test_place_of_the_wrong_byte(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes("a: ä\nb: é".encode() + b"\xe9")
    (item,) = check_file(path)[1].diagnostics
    assert item.span is not None
    assert item.span[1:3] == (2, 5)
    assert item.found == "the byte 0xe9"


@pytest.mark.parametrize("prefix", ["", "\ufeff"])
def test_positions_after_a_mark_and_with_crlf(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes((prefix + BAD).encode())
    (item,) = check_file(path)[1].diagnostics
    assert item.span is not None
    assert item.span[1:] == (3, 13, 3, 18)
    assert check_text(prefix + BAD)[1].diagnostics[0].span == item.span._replace(file="<text>")


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(GOOD)
    missing = check_file(tmp_path / "digts.yaml")[1].diagnostics[0]
    assert missing.code == "DLC001"
    assert missing.hint is not None
    assert "digits.yaml" in missing.hint
    assert codes(tmp_path) == ("DLC001",)
    assert codes(tmp_path / "no" / "such.yaml") == ("DLC001",)
    assert codes(tmp_path / "digits.yaml" / "x") == ("DLC001",)
    assert check_file("a\0b")[1].codes == ("DLC001",)
    assert check_file("x" * 5000)[1].codes == ("DLC001",)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    assert codes(tmp_path / "a.yaml") == ("DLC001",)
    (tmp_path / "c.yaml").write_text("extends: a.yaml")
    assert codes(tmp_path / "c.yaml") == ("DLC111",)


# ---- bounds ----


@pytest.mark.parametrize("count", [63, 64, 65, 100, 60_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("{", "}")])
def test_nesting(count: int, opening: str, closing: str) -> None:
    start = time.perf_counter()
    _, report = check_text("x: " + opening * count + closing * count)
    assert not report.ok
    assert ("DLC008" in report.codes) == (count >= 64 and opening != "{") or report.codes == ("DLC005",)
    assert time.perf_counter() - start < 5


def test_block_nesting() -> None:
    assert check_text("- " * 60_000)[1].codes == ("DLC008",)
    assert check_text("x:\n" + "\n".join(" " * depth + "- " for depth in range(1, 100)))[1].codes == ("DLC008",)


def test_alias_bombs_are_quick() -> None:
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64))]
    start = time.perf_counter()
    assert check_text("\n".join(lines))[1].codes == ("DLC009",)
    assert time.perf_counter() - start < 1


def test_variable_chains_are_followed_without_recursion() -> None:
    names = [f"v{n}: $v{n + 1}" for n in range(3000)]
    text = "vars:\n  " + "\n  ".join([*names, "v3000: 4"]) + "\ninputs: {x: {tensor: [4]}}\nnetwork: [dense: $v0]"
    assert check_text(text)[1].codes == ()


def test_deep_variables_are_bounded() -> None:
    names = [f"v{n}: [$v{n + 1}]" for n in range(1000)]
    text = "vars:\n  " + "\n  ".join([*names, "v1000: 4"]) + "\ninputs: {x: {tensor: [4]}}\nnetwork: [reshape: $v0]"
    assert check_text(text)[1].codes == ("DLC008",)


def chained(count: int) -> str:
    """Variables each of which uses the one before."""
    names = "".join(f"  v{n}: $(v{n - 1} * 1)\n" for n in range(1, count))
    return f"vars:\n  v0: 4\n{names}inputs: {{x: {{tensor: [4]}}}}\nnetwork: [dense: $v{count - 1}]\n"


def unused(count: int) -> str:
    names = "".join(f"  v{n}: {n}\n" for n in range(count))
    return f"vars:\n{names}inputs: {{x: {{tensor: [4]}}}}\nnetwork: [dense: 4]\n"


@pytest.mark.parametrize(("text", "codes"), [(chained, set()), (unused, {"DLC109"})])
def test_many_variables_are_quick(text: Callable[[int], str], codes: set[str]) -> None:
    def seconds(count: int) -> float:
        written, start = text(count), time.process_time()
        assert set(check_text(written)[1].codes) == codes
        return time.process_time() - start

    assert seconds(8000) < 10 * seconds(2000), "four times as many should take four times as long"


@pytest.mark.slow  # fewer of them are tested above
@pytest.mark.parametrize("text", [chained, unused])
def test_all_variables_that_a_file_may_have(text: Callable[[int], str]) -> None:
    start = time.process_time()
    assert set(check_text(text(45_000))[1].codes) <= {"DLC109"}
    assert time.process_time() - start < 30


def test_many_errors_are_quick() -> None:
    head = "inputs: {x: {tensor: [4]}}\nnetwork:\n"
    lines = [f"  - dense: {{unist: 3, e{n}: $a{n}}}\n" for n in range(3000)]
    start = time.process_time()
    codes = check_text(head + "".join(lines))[1].codes
    assert codes == ("DLC101", *("DLC101", "DLC107") * 3000)  # the same unknown option in each, and others in each
    assert time.process_time() - start < 5


UNKNOWN: dict[str, tuple[str, Callable[[int], str]]] = {
    "blocks": (
        "DLC105",
        lambda n: (
            "blocks:\n"
            + "".join(f"  b{i}: {{layers: [dense: 4]}}\n" for i in range(n))
            + "network:\n"
            + "".join(f"  - c{i}\n" for i in range(n))
        ),
    ),
    "variables": (
        "DLC107",
        lambda n: (
            "vars:\n"
            + "".join(f"  v{i}: {i}\n" for i in range(n))
            + "network:\n"
            + "".join(f"  - dense: $w{i}\n" for i in range(n))
        ),
    ),
    "items": (
        "DLC201",
        lambda n: (
            "network:\n"
            + "".join(f"  - {{dense: 4, name: a{i}}}\n" for i in range(n))
            + "".join(f"  - {{dense: 4, inputs: c{i}}}\n" for i in range(n))
        ),
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_thousands_of_unknown_names_are_quick(kind: str) -> None:
    """Each is compared with thousands of known ones until a suggestion is worth no more time."""
    code, text = UNKNOWN[kind]
    start = time.process_time()
    found = check_text("inputs: {x: {tensor: [4]}}\n" + text(2000))[1]
    assert code in found.codes
    assert time.process_time() - start < 8, "all comparisons take twice to four times as long"
    few = check_text("inputs: {x: {tensor: [4]}}\n" + text(3))[1]
    hints = [item.hint or "" for item in few.diagnostics if item.code == code]
    assert len(hints) == 3 and all("did you mean" in hint for hint in hints), hints


def test_a_wrong_name_that_is_repeated_is_one_finding() -> None:
    _, report = check_text("inputs: {x: {tensor: [4]}}\nnetwork:\n" + "  - dense: {unist: $a}\n" * 3000)
    assert report.codes == ("DLC101", "DLC107")  # the same names again and again
    for item in report.diagnostics:
        assert [note.message for note in item.notes] == ["also here"] * 4 + ["and 2,995 more times"]
        assert [note.span.line for note in item.notes[:-1] if note.span] == [4, 5, 6, 7]


# ---- properties ----

PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)
LEAVES = st.one_of(
    st.integers(-(10**12), 10**12),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    PLAIN,
)
TREES = st.dictionaries(
    PLAIN,
    st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner), max_leaves=20),
    min_size=1,
)


class Quoting(yaml.SafeDumper):
    """Texts quoted, so that both schemas read them alike; floats as YAML 1.1 and 1.2 both read them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@given(TREES, st.sampled_from([None, True, False]))
@settings(deadline=None)
def test_dumped_trees_read_back(tree: dict[str, Any], flow: bool | None) -> None:
    text = yaml.dump(tree, Dumper=Quoting, default_flow_style=flow, allow_unicode=True)
    if "<<" in str(tree):
        return
    assert parse_yaml(text, "f").tree == tree


@given(TREES)
@settings(deadline=None, max_examples=examples(30))
def test_every_value_and_key_has_a_place(tree: dict[str, Any]) -> None:
    text = yaml.dump(tree, Dumper=Quoting)
    if "<<" in str(tree):
        return
    source = parse_yaml(text, "f")
    lines = text.split("\n")

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        span = source.values[path]
        assert 1 <= span.line <= span.end_line <= len(lines) + 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)
        if isinstance(value, dict):
            for name, item in value.items():
                assert (*path, name) in source.keys
                walk(item, (*path, name))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, (*path, index))

    walk(source.tree, ())


NOISE = st.text(st.sampled_from("ab:-,[]{}&*!|>'\"%@`#$()\n \t0x1.~<?\\é\u2028\x85\ufeff\x00"), max_size=60)


@given(st.one_of(NOISE, st.text(max_size=60)))
@settings(deadline=None, max_examples=400)
def test_hostile_text_only_raises_spec_errors(text: str) -> None:
    try:
        parse_yaml(text, "f")
    except SpecError as error:
        assert error.report.diagnostics
    check_text(text)
    check_text(f"inputs: {{x: {{tensor: [4]}}}}\nnetwork:\n  - dense: {text}")


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_hostile_bytes_only_raise_spec_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "f.yaml"
    path.write_bytes(data)
    try:
        read(path)
    except SpecError as error:
        assert error.report.codes == ("DLC002",)
    check_file(path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link.yaml").symlink_to("/dev/zero")
    (tmp_path / "base.yaml").write_text("extends: pipe.yaml\n")
    for name in ("pipe.yaml", "link.yaml", "base.yaml"):
        report = check_file(tmp_path / name)[1]
        assert report.codes == ("DLC001",) or report.codes == ("DLC111",), report
        assert "not a regular file" in report.diagnostics[0].message


@pytest.mark.parametrize(
    "line",
    [" " * 60000 + "x\u00e9: 1", "- " * 30000 + "x", "a: " * 20000 + "\u201c", "x=" + " " * 50000 + "=", "[1." * 20000],
)
def test_odd_characters_are_found_in_linear_time(line: str) -> None:
    """A hostile line of 60,000 characters took more than half a minute."""
    begin = time.process_time()
    oddity(line)
    assert time.process_time() - begin < 5
