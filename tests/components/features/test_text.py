"""Texts: vocabularies that are learned from the training split, ids, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.components.features.tokenizers import Rules, Tokenizer, learned
from dlc.components.wrong_values import WrongValues
from dlc.language.options import RuleViolation
from tests.components.building import feature

ENGLISH = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog"] * 5


def texts(*values: Any) -> np.ndarray[Any, Any]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def ids(spec: str, train: list[str], given: list[str]) -> list[list[int]]:
    made: Any = feature(spec)
    artifact = made.learn(made.read([texts(*train)], "x"), Path())
    found: list[list[int]] = made.prepare(made.read([texts(*given)], "x"), artifact, "x").tolist()
    return found


def test_words_are_numbered_by_code_point_after_padding_and_unknown() -> None:
    spec = "text: {vocabulary: 10, length: 5}"
    assert ids(spec, ["b a", "a!"], ["a b ! c", "b"]) == [[3, 4, 2, 1, 0], [4, 0, 0, 0, 0]]


def test_the_most_frequent_words_are_kept() -> None:
    assert ids("text: {vocabulary: 4, length: 3}", ["a b b c c"], ["a b c"]) == [[1, 2, 3]]
    assert ids("text: {vocabulary: 9, length: 3, min_count: 2}", ["a b b c c"], ["a b c"]) == [[1, 2, 3]]


def test_characters_and_bytes() -> None:
    assert ids("text: {tokens: characters, vocabulary: 9}", ["ba"], ["abx", "b"]) == [[2, 3, 1], [3, 0, 0]]
    assert ids("text: {tokens: bytes, vocabulary: 300}", ["x"], ["aé"]) == [[1 + 97, 1 + 0xC3, 1 + 0xA9]]
    assert ids("text: {tokens: characters, vocabulary: 9}", ["😀a"], ["a😀"]) == [[2, 3]]


def test_longer_texts_are_cut() -> None:
    assert ids("text: {vocabulary: 9, length: 2}", ["a b c"], ["a b c"]) == [[2, 3]]


def test_texts_are_normalized() -> None:
    spec = "text: {tokens: characters, vocabulary: 9, lowercase: true, strip_accents: true}"
    assert ids(spec, ["ae"], ["É"]) == ids(spec, ["ae"], ["e"])
    plain = "text: {tokens: characters, vocabulary: 9}"  # composed and decomposed letters are the same
    assert ids(plain, ["e\u0301x"], ["\u00e9x"]) == ids(plain, ["\u00e9x"], ["e\u0301x"])


def test_pieces_of_words_are_learned_and_read_back() -> None:
    rules = Rules("bpe", 300, padding=True, unknown=False)
    made = learned(ENGLISH, rules)
    assert 257 < len(made) <= 300
    assert made.decode(made.encode("the cät and the log")) == "the cät and the log"
    assert 0 not in made.encode("the cat")
    assert len(made.encode("the cat")) < len("the cat")
    again = Tokenizer.load(made.dump())
    assert [part.tolist() for part in again.encode_all(ENGLISH)] == [made.encode(text) for text in ENGLISH]
    assert learned(ENGLISH, rules).dump() == made.dump()


def test_a_tokenizer_of_the_library_is_used_as_it_is(tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers")
    words = library.Tokenizer(library.models.WordPiece({"[UNK]": 0, "the": 1, "c": 2, "##at": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = library.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "t.json"))
    made: Any = feature("text: {file: t.json, vocabulary: 5, length: 4}")
    artifact = made.learn(texts("x"), tmp_path)
    assert made.prepare(texts("the cat", "dog"), artifact, "x").tolist() == [[2, 3, 4, 0], [1, 0, 0, 0]]
    with pytest.raises(RuleViolation, match="more tokens than the vocabulary") as small:
        feature("text: {file: t.json, vocabulary: 4}").learn(texts("x"), tmp_path)
    assert "vocabulary: 5" in str(small.value.hint)
    (tmp_path / "t.json").write_text("{}")
    for name in ("t.json", "none.json"):
        with pytest.raises(RuleViolation, match="can't read"):
            feature(f"text: {{file: {name}, vocabulary: 5}}").learn(texts("x"), tmp_path)


@given(st.text())
def test_bytes_and_characters_are_read_back(text: str) -> None:
    text = "".join(char for char in text if not 0xD800 <= ord(char) < 0xE000)
    for kind in ("bytes", "characters"):
        made = learned([text], Rules(kind, 2**20, padding=True, unknown=True))  # type: ignore[arg-type]
        assert made.decode(made.encode(text)) == text
        assert Tokenizer.load(made.dump()).encode(text) == made.encode(text)


def test_a_text_may_hold_the_names_of_special_tokens() -> None:
    made = learned(["<pad> <unk>"], Rules("words", 20, padding=True, unknown=True))
    assert made.decode(made.encode("< unk >")) == "< unk >"
    library = learned(["<unk> a <pad>"] * 3, Rules("characters", 20, padding=True, unknown=True))
    assert library.decode(library.encode("<pad>")) == "<pad>"


@pytest.mark.parametrize(
    ("value", "shown"), [("", "an empty field"), ("  ", "an empty field"), (None, "an empty field")]
)
def test_an_empty_text_is_an_error_with_its_row(value: Any, shown: str) -> None:
    with pytest.raises(WrongValues, match="row 2 of column `x` is not a text") as caught:
        feature("text: {vocabulary: 9}").read([texts("a", value)], "x")
    assert caught.value.code == "DLC403"
    assert shown in str(caught.value.found)


def test_numbers_are_no_texts() -> None:
    with pytest.raises(RuleViolation, match="holds no texts"):
        feature("text: {vocabulary: 9}").read([np.arange(3)], "x")


def test_without_an_id_for_unknown_tokens_they_are_errors() -> None:
    spec = "text: {tokens: characters, vocabulary: 4, unknown: false}"
    made: Any = feature(spec)
    artifact = made.learn(texts("abc"), Path())
    with pytest.raises(WrongValues, match="row 2 of column `x` has a character that training did not see") as caught:
        made.prepare(texts("a", "bxx"), artifact, "x")
    assert "`x` (2 times)" in str(caught.value.found)
    with pytest.raises(RuleViolation, match="the vocabulary is too small") as small:
        made.learn(texts("abcd"), Path())
    assert "`vocabulary: 5`" in str(small.value.hint)


@pytest.mark.parametrize(
    "document", [b"{}", b"[]", b'{"kind": "words"}', b'{"kind": "words", "special": 9, "tokens": []}', b"x"]
)
def test_a_damaged_tokenizer_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError):
        Tokenizer.load(document)


def test_further_padding_changes_no_mask() -> None:
    made: Any = feature("text: {vocabulary: 9}")
    artifact = made.learn(texts("a b c"), Path())
    alone, beside = (made.prepare(texts(*given), artifact, "x") for given in (["a"], ["a", "a b c"]))
    assert made.mask(alone).sum() == made.mask(beside[:1]).sum() == 1


def test_a_text_that_is_empty_without_its_accents_is_an_error() -> None:
    with pytest.raises(WrongValues, match="is not a text"):
        feature("text: {vocabulary: 9, strip_accents: true}").read([texts("a", "\u0301")], "x")


def test_a_path_of_a_tokenizer_is_rooted() -> None:
    made = feature("text: {file: t.json, vocabulary: 9}").rooted("/data")
    assert made.file == "/data/t.json"


def test_texts_that_would_not_fit_into_memory_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.components.features.text.fitting_bytes", lambda: 100)
    made: Any = feature("text: {vocabulary: 9}")
    with pytest.raises(RuleViolation, match="don't fit into memory") as caught:
        made.prepare(texts("a", "a " * 30), made.learn(texts("a"), Path()), "x")
    assert "row 2" in str(caught.value.found)
