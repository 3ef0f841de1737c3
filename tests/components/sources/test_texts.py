"""Text files: their records, formats, classes and parallel files, and what is said of wrong ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
from pathlib import Path
from typing import Any

import pytest

from dlc.components.sources import SOURCES
from dlc.components.sources.line_formats import parse_format
from dlc.components.sources.paths import matches
from dlc.components.sources.source import Columns
from dlc.language.options import RuleViolation, build_word
from dlc.language.yaml_text import parse_yaml
from tests.components.building import built


def source(spec: str) -> Any:
    return built(spec, "source")


def files(folder: Path, **contents: str | bytes) -> None:
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def plain(columns: Columns) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in columns.items()}


def loaded(folder: Path, spec: str) -> dict[str, list[Any]]:
    """The columns, which are the same when they are read in small blocks."""
    made = source(spec)
    found = plain(made.load(folder))
    blocks = [plain(block) for block in made.open(folder, 16 * 150)]
    assert {name: [value for block in blocks for value in block[name]] for name in found} == found
    assert made.columns() == tuple(found)
    return found


def wrong(folder: Path, spec: str) -> RuleViolation:
    with pytest.raises(RuleViolation) as caught:
        source(spec).load(folder)
    assert caught.value.code == "DLC401"
    return caught.value


# ---- records ----

BOOK = "one\r\n \r\n\r\ntwo \x85 three\nfour\n\n\nfive"


@pytest.mark.parametrize(
    ("records", "want"),
    [
        ("line", ["one", "two \x85 three", "four", "five"]),
        ("paragraph", ["one", "two \x85 three\nfour", "five"]),
        ("file", ["one\n \n\ntwo \x85 three\nfour\n\n\nfive"]),
    ],
)
def test_records(tmp_path: Path, records: str, want: list[str]) -> None:
    files(tmp_path, a_txt=BOOK)
    assert loaded(tmp_path, f"text: {{path: a.txt, records: {records}}}") == {"text": want}
    assert loaded(tmp_path, f"text: {{path: a.txt, records: {records}, rows: 1}}") == {"text": want[:1]}


def test_a_file_is_read_as_python_reads_it(tmp_path: Path) -> None:
    for text in ("a\rb\r\nc\n\n", "\n\na", "a\u2028b\x0b\x1c\n"):
        files(tmp_path, a_txt=text)
        assert loaded(tmp_path, "text: {path: a.txt, records: file}")["text"] == [
            (tmp_path / "a.txt").read_text("utf-8")
        ]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(tmp_path: Path, compress: Any) -> None:
    files(tmp_path, a_txt=compress("größe\nx".encode()))
    assert loaded(tmp_path, "text: a.txt") == {"text": ["größe", "x"]}
    files(tmp_path, a_txt=compress(b"many words\n" * 10**5))
    with pytest.raises(RuleViolation, match="unpacks to more than the allowed memory"):
        list(source("text: a.txt").open(tmp_path, 10**5))


def test_a_whole_file_fits_into_memory(tmp_path: Path) -> None:
    files(tmp_path, a_txt="many words\n" * 1000)
    with pytest.raises(RuleViolation, match="more than the allowed memory"):
        list(source("text: {path: a.txt, records: file}").open(tmp_path, 10**4))


# ---- encodings ----


def test_encodings(tmp_path: Path) -> None:
    for name in ("cp1252", "windows-1252", "latin-1", "iso8859-15", "utf-8", "utf-16", "mac-roman"):
        files(tmp_path, a_txt="é à\nü".encode(name))
        assert loaded(tmp_path, f"text: {{path: a.txt, encoding: {name}}}") == {"text": ["é à", "ü"]}
    files(tmp_path, a_txt="это".encode("koi8-r"))
    assert loaded(tmp_path, "text: {path: a.txt, encoding: koi8-r}") == {"text": ["это"]}


@pytest.mark.parametrize("option", ["", ", encoding: utf-8"])
def test_other_encodings_are_reported_with_their_line(tmp_path: Path, option: str) -> None:
    files(tmp_path, a_txt=b"one\n\ntwo\r\ncaf\xe9 \x96\n")
    found = wrong(tmp_path, f"text: {{path: a.txt{option}}}")
    assert found.message == f"line 4 of `{tmp_path / 'a.txt'}` is not UTF-8 text"
    assert "encoding: cp1252" in (found.hint or "")


def test_a_byte_that_cp1252_does_not_have(tmp_path: Path) -> None:
    files(tmp_path, a_txt=b"one\n\x81\n")
    found = wrong(tmp_path, "text: {path: a.txt, encoding: cp1252}")
    assert found.message.startswith("line 2 of") and "is not cp1252 text" in found.message
    assert "latin-1" in (found.hint or "") and found.option == "encoding"


# ---- formats ----


@pytest.mark.parametrize(
    ("form", "line", "want"),
    [
        ("{label}:{kind} {text}", "NUM:date When: 1914 ?", ["NUM", "date", "When: 1914 ?"]),
        ("{a}, {b}", "x, y, z", ["x", "y, z"]),
        ("{a}\t{b}", "\t", ["", ""]),
        ("<{a}>", "<x>y>", ["x>y"]),
        ("{{{a}}} {b}", "{x} y", ["x", "y"]),
        ("__label__{label} {text}", "__label__pos good , very", ["pos", "good , very"]),
        ("{a}--{b}--", "1--2--", ["1", "2"]),
        ("{a}--{b}--", "1--", None),
        ("{a}aa{b}", "aaaa", ["", "aa"]),
        ("x{a}x", "x", None),
        ("{a}:{b}", "nothing", None),
    ],
)
def test_formats(form: str, line: str, want: list[str] | None) -> None:
    made = parse_format(form)
    assert made.split(line) == want
    assert parse_format(made.text()) == made
    if want is not None:  # Python writes what is read
        assert form.format_map(dict(zip(made.fields, want, strict=True))) == line


def test_a_format_with_many_fields_is_linear() -> None:
    form = parse_format("".join(f"{{f{index}}}a" for index in range(200)) + "b")
    began = time.perf_counter()
    assert form.split("a" * 200_000) is None
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("text", "it has no field"),
        ("{a}{b}", "nothing separates `{a}` and `{b}`"),
        ("{a} {a}", "two fields have the name `a`"),
        ("{a", "is not closed"),
        ("a}", "has no `{` before it"),
        ("{}", "is not a field"),
        ("3", "it is not a string"),
    ],
)
def test_wrong_formats(form: str, said: str) -> None:
    tree = {"text": {"path": "a.txt", "format": int(form) if form.isdigit() else form}}
    made = build_word(tree, SOURCES, "source")
    assert isinstance(made, list) and made[0].code == "DLC104" and made[0].loc == ("text", "format")
    assert said in made[0].message


def test_columns_of_a_format(tmp_path: Path) -> None:
    files(tmp_path, a_txt="NUM:date When: 1914 ?\n\nHUM:ind Wer \xe4?\n".encode("latin-1"))
    spec = 'text: {path: a.txt, format: "{label}:{kind} {text}", encoding: latin-1}'
    assert loaded(tmp_path, spec) == {
        "label": ["NUM", "HUM"],
        "kind": ["date", "ind"],
        "text": ["When: 1914 ?", "Wer ä?"],
    }
    files(tmp_path, a_txt="NUM:date When ?\n\nnothing of the kind\n")
    found = wrong(tmp_path, spec)
    assert found.message == f"line 3 of `{tmp_path / 'a.txt'}` does not have the format"
    assert found.option == "format" and "nothing of the kind" in (found.found or "")


# ---- several files ----


def test_classes_by_file(tmp_path: Path) -> None:
    files(tmp_path, pos="good\nfine\n", neg="bad\n")
    made = source("text: {path: {positive: pos, negative: neg}}")
    assert made.classes("label") == ("positive", "negative") and made.classes("text") is None
    assert loaded(tmp_path, "text: {path: {positive: pos, negative: neg}}") == {
        "text": ["good", "fine", "bad"],
        "label": ["positive", "positive", "negative"],
    }
    assert loaded(tmp_path, "text: {path: {1: pos, true: neg}}")["label"] == ["1", "1", "true"]
    files(tmp_path, ham__1_txt="a\nb", ham__2_txt="c", spam__10_txt="d\n")
    spec = "text: {path: {ham: 'ham/*.txt', spam: '*/10.txt'}, records: file}"
    assert loaded(tmp_path, spec) == {"text": ["a\nb", "c", "d\n"], "label": ["ham", "ham", "spam"]}
    found = wrong(tmp_path, "text: {path: {positive: pos, negative: gone}}")
    assert "does not exist" in found.message and (found.option, found.part) == ("path", ("negative",))


def test_parallel_files(tmp_path: Path) -> None:
    files(tmp_path, a_en="one\n\n\nfour\n", a_de=gzip.compress(b"eins\nzwei\n \nvier"))
    spec = "text: {path: {en: a.en, de: a.de}, parallel: true}"
    assert loaded(tmp_path, spec) == {"en": ["one", "", "four"], "de": ["eins", "zwei", "vier"]}
    files(tmp_path, a_en="one\n\n\nfour\nfive\nsix")
    found = wrong(tmp_path, spec)
    assert "different numbers of lines" in found.message and found.found == "`en` 6, `de` 4"
    with pytest.raises(RuleViolation, match="different numbers"):
        list(source(spec).open(tmp_path, 100))


@pytest.mark.parametrize(
    ("options", "code", "place"),
    [
        ("path: a, parallel: true", "DLC303", "parallel"),
        ("path: {a: a, b: b}, parallel: true, records: file", "DLC104", "records"),
        ("path: {a: a, b: b}, parallel: true, format: '{x}'", "DLC303", "format"),
        ("path: {a: a, b: b}, format: '{label} {x}'", "DLC104", "format"),
        ("path: [a, b]", "DLC104", "path"),
        ("path: {}", "DLC104", "path"),
        ("path: {a: 3}", "DLC104", "path"),
        ("path: ''", "DLC104", "path"),
        ("path: a, rows: 0", "DLC104", "rows"),
        ("path: a, encoding: rot13", "DLC104", "encoding"),
    ],
)
def test_wrong_options(options: str, code: str, place: str) -> None:
    made = build_word(parse_yaml(f"text: {{{options}}}", "example").tree, SOURCES, "source")
    assert isinstance(made, list) and [(error.code, error.loc) for error in made] == [(code, ("text", place))]


def test_files_without_text(tmp_path: Path) -> None:
    files(tmp_path, a_txt="", b_txt="\n \n")
    assert "is empty" in wrong(tmp_path, "text: a.txt").message
    assert wrong(tmp_path, "text: a.txt").expected == "a text"
    assert loaded(tmp_path, "text: b.txt") == {"text": []}
    assert "no file matches" in wrong(tmp_path, "text: '*.md'").message
    files(tmp_path, c_txt=b"PAR1\x15\x04")
    assert "is a Parquet file, not a text file" in wrong(tmp_path, "text: c.txt").message


def test_other_files_have_the_same_format(tmp_path: Path) -> None:
    classes = source("text: {path: {positive: pos, negative: neg}, encoding: cp1252, rows: 3}")
    new = classes.for_file(tmp_path / "new.txt")
    assert (new.columns(), new.encoding, new.rows) == (("text",), "cp1252", None)
    pairs = source("text: {path: {en: a.en, de: a.de}, parallel: true}").for_file(tmp_path / "new.txt")
    assert pairs.columns() == ("en",)


def test_absolute_paths(tmp_path: Path) -> None:
    made = source("text: {path: {a: x/../pos, b: '*.neg'}}").rooted(tmp_path)
    assert made.path == {"a": str(tmp_path.resolve() / "pos"), "b": str(tmp_path.resolve() / "*.neg")}


# ---- patterns ----


def test_patterns_match_files_in_order(tmp_path: Path) -> None:
    names = ["b/2.txt", "a/10.txt", "a/2.txt", "a/.hidden.txt", ".git/1.txt", "a/c/3.txt", "a[0]?.txt", "a0x.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a/folder.txt").mkdir()

    def found(pattern: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in matches(tmp_path / pattern)]

    assert found("*/*.txt") == ["a/10.txt", "a/2.txt", "b/2.txt"]
    assert found("**/*.txt") == ["a/10.txt", "a/2.txt", "a/c/3.txt", "a0x.txt", "a[0]?.txt", "b/2.txt"]
    assert found("a[0]?*") == ["a[0]?.txt"]
    assert found(".git/*") == [".git/1.txt"]
    assert found("*.csv") == []
