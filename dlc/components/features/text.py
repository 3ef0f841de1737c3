"""Texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from dlc.components.features.feature import FeatureExample, only
from dlc.components.features.tokenizers import Kind, Rules, Subwords, Tokenizer, learned
from dlc.components.features.tokens import TokenValues, read_length
from dlc.components.wrong_values import WrongValues, field
from dlc.diagnostics import reason
from dlc.ir import Dim, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject
from dlc.support.lazy import np
from dlc.support.machine import fitting_bytes
from dlc.support.regular_files import read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Text(TokenValues):
    """A text as ids of a vocabulary: (batch, length) in int32.

    A token is a character, a word, a byte, or a piece of a word (`bpe`). The vocabulary is learned from the training
    split and kept with the run; `vocabulary` bounds its size. `file` names a `tokenizer.json` of the library
    `tokenizers` instead, of any kind (BPE, WordPiece, unigram). Shorter texts are padded with id 0, and the value has a
    mask; longer ones are cut at `length`.

    With a `window`, a record is any part of a text of that many tokens; shorter texts are left out. A language model
    learns to predict the same window with `shift: 1`.
    """

    word = "text"
    reads_texts = True
    tokens: Kind = main("words", description="what a token is")
    vocabulary: int = option(10_000, ge=2, le=2**24, description="the most tokens, with those for padding and unknown")
    length: Annotated[Dim, BeforeValidator(read_length)] = option(
        "time", description="tokens per record, at most; a name for the length of the longest text"
    )
    window: int | None = option(None, ge=1, description="tokens of a part of a long text")
    shift: int = option(0, ge=0, description="how many tokens later the window begins; for targets")
    lowercase: bool = option(False, description="convert to lower case")
    strip_accents: bool = option(False, description="remove accents")
    unknown: bool = option(True, description="whether there is an id for tokens that the vocabulary lacks")
    file: str | None = option(
        None, min_length=1, description="a `tokenizer.json` to use; relative to the spec's folder"
    )
    min_count: int = option(1, ge=1, description="how often a token must occur in the training split")

    examples = (
        FeatureExample("text: {vocabulary: 5, length: 3}", "i32[batch, 3]<5 masked", ["a b b", "b"], ["a b b", "b"]),
        FeatureExample(
            "text: {tokens: characters, vocabulary: 9, lowercase: true}", "i32[batch, time]<9 masked", ["Ab"], ["ab"]
        ),
        FeatureExample("text: {vocabulary: 5, strip_accents: true}", "i32[batch, time]<5 masked", ["é"], ["e"]),
        FeatureExample("text: {tokens: bytes, vocabulary: 260, length: 2}", "i32[batch, 2]<260 masked", ["x"], ["x"]),
        FeatureExample("text: {tokens: bytes, vocabulary: 100}", "i32[batch, time]<100", ["x"], error="DLC104"),
        FeatureExample("text: {vocabulary: 5}", "i32[batch, time]<5 masked", ["a", " "], error="DLC403"),
        FeatureExample("text: {vocabulary: 5, shift: 1}", "i32[batch, time]<5 masked", ["a"], error="DLC303"),
        FeatureExample("text: {vocabulary: 5, window: 3, length: 4}", "i32[batch, 3]<5", ["a"], error="DLC303"),
        FeatureExample("text: {tokens: bpe, vocabulary: 50}", "i32[batch, time]<50", ["a"], error="DLC104"),
        FeatureExample("text: sentences", "i32[batch, time]<5", ["a"], error="DLC104"),
    )

    @model_validator(mode="after")
    def _check(self) -> Text:
        if self.window is not None and self.length != "time":
            message, hint = "`length` has no effect with `window`", "remove it: a record has `window` tokens"
            raise reject(OptionError(("length",), "DLC303", message, hint=hint, at_key=True))
        if self.shift and self.window is None:
            message, hint = "`shift` has no effect without `window`", "set `window` to the tokens of a record"
            raise reject(OptionError(("shift",), "DLC303", message, hint=hint, at_key=True))
        if self.tokens in ("bytes", "bpe") and not self.unknown:
            message = f"`unknown` has no effect: every string consists of known {self.tokens}"
            raise reject(OptionError(("unknown",), "DLC303", message, hint="remove it", at_key=True))
        if self.tokens == "bytes" and self.min_count > 1:
            message = "`min_count` has no effect on `bytes`"
            raise reject(OptionError(("min_count",), "DLC303", message, hint="remove it", at_key=True))
        if self.file is not None:
            own = {"tokens": self.tokens != "words", "min_count": self.min_count > 1, "unknown": not self.unknown}
            for name in [name for name, given in own.items() if given]:
                message = f"`{name}` has no effect with `file`: the tokenizer is used as it is"
                raise reject(OptionError((name,), "DLC303", message, hint="remove it", at_key=True))
            return self
        least = 256 + len(self._rules().special) if self.tokens in ("bytes", "bpe") else len(self._rules().special) + 1
        if self.vocabulary < least:
            message, expected = f"the vocabulary is too small for `{self.tokens}`", f"at least {least}"
            found = f"`{self.vocabulary}`"
            raise reject(OptionError(("vocabulary",), "DLC104", message, found=found, expected=expected))
        return self

    @property
    def learns(self) -> bool:
        """The vocabulary."""
        return True

    @property
    def span(self) -> tuple[int, int] | None:
        """The tokens of the window."""
        return None if self.window is None else (self.shift, self.shift + self.window)

    @property
    def sequential(self) -> bool:
        """True with a window: the tokens of texts are the rows."""
        return self.window is not None

    def rooted(self, folder: str | Path) -> Self:
        """The same feature with an absolute path of `file`."""
        if self.file is None:
            return self
        return self.model_copy(update={"file": str((Path(folder) / Path(self.file).expanduser()).resolve())})

    def value_type(self) -> TensorType:
        """i32[batch, length]<vocabulary masked, or i32[batch, window]<vocabulary."""
        if self.window is not None:
            return TensorType(("batch", self.window), "i32", bound=self.vocabulary)
        return TensorType(("batch", self.length), "i32", True, self.vocabulary)

    def read(self, columns: Sequence[NDArray[Any]], name: str, first_row: int = 1) -> NDArray[Any]:
        """The normalized strings: an object array (n,)."""
        column = only(columns, name, self.word)
        if column.dtype.kind not in "OUS":
            found = f"values of type {column.dtype}"
            hint = "declare it as `number` or `tokens`"
            raise RuleViolation("DLC403", f"the column `{name}` holds no texts", found=found, hint=hint)
        texts = np.empty(len(column), object)
        wrong: dict[int, str] = {}
        for row, value in enumerate(column.tolist()):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            texts[row] = self.normalized(text) if isinstance(text, str) else ""
            absent = not isinstance(text, str) or (not texts[row].strip() and not self.sequential)
            if absent:
                known = text is None or isinstance(text, (str, float))
                wrong[row] = field("") if known else f"a value of type {type(text).__name__}"
        if wrong:
            row, counts = next(iter(wrong)), {found: list(wrong.values()).count(found) for found in wrong.values()}
            hint = "leave such records out of the data"
            raise WrongValues("DLC403", "is not a text", name, first_row + row, counts, expected="a text", hint=hint)
        return texts

    def learn(self, raw: NDArray[Any], base: Path) -> bytes:
        """The tokenizer.

        Raises:
            RuleViolation: DLC405 when the vocabulary is too small, DLC401 when `file` can't be read.
        """
        return (learned(_strings(raw), self._rules()) if self.file is None else self._loaded(base)).dump()

    def _loaded(self, base: Path) -> Tokenizer:
        """The tokenizer in `file`."""
        assert self.file is not None
        path = base / Path(self.file).expanduser()
        try:
            made = Subwords(read_whole(path).decode(), 0 if self.sequential else 1)
        except (OSError, ValueError) as error:
            message, hint = f"can't read `{path}`", "give a `tokenizer.json` of the library `tokenizers`"
            raise RuleViolation("DLC401", message, found=reason(error), hint=hint, option="file") from None
        if len(made) > self.vocabulary:
            message, found = f"`{path}` has more tokens than the vocabulary", f"{len(made):,} tokens, with padding"
            hint = f"write `vocabulary: {len(made)}`"
            raise RuleViolation("DLC405", message, found=found, hint=hint, option="vocabulary")
        return made

    def prepare(self, raw: NDArray[Any], artifact: bytes, name: str, first_row: int = 1) -> NDArray[Any]:
        """The ids of each text, padded: int32 (n, length).

        Raises:
            WrongValues: DLC404 for a token that the vocabulary lacks, without an id for unknown ones.
        """
        ids = self.sequences(raw, artifact, name, first_row)
        longest = max((len(each) for each in ids), default=0)
        width = self.length if isinstance(self.length, int) else max(longest, 1)
        if 4 * width * len(ids) > fitting_bytes():
            row = first_row + max(range(len(ids)), key=lambda index: len(ids[index]))
            message = f"the texts of `{name}` don't fit into memory, each as long as the longest"
            found_longest = f"{longest:,} tokens in row {row}"
            hint = "set `length` to the tokens of a record"
            raise RuleViolation("DLC405", message, found=found_longest, hint=hint)
        found = np.zeros((len(ids), width), np.int32)
        for row, each in enumerate(ids):
            part = each[:width]
            found[row, : len(part)] = part
        return found

    def sequences(self, raw: NDArray[Any], artifact: bytes, name: str, first_row: int = 1) -> list[Any]:
        """The ids of each text.

        Raises:
            WrongValues: DLC404 for a token that the vocabulary lacks, without an id for unknown ones.
        """
        tokenizer = Tokenizer.load(artifact)
        texts = list(_strings(raw))
        ids = tokenizer.encode_all(texts)
        if self.unknown:
            return ids
        for row, (text, each) in enumerate(zip(texts, ids, strict=True)):
            lacking = np.flatnonzero(np.asarray(each) < 0)
            if len(lacking):
                tokens = list(tokenizer.split(text))
                counts: dict[str, int] = {}
                for place in lacking.tolist():
                    shown = f"`{tokens[place]}`"
                    counts[shown] = counts.get(shown, 0) + 1
                what = f"has {'a character' if self.tokens == 'characters' else 'a word'} that training did not see"
                hint = "remove `unknown: false`, so that there is an id for unknown ones"
                raise WrongValues("DLC404", what, name, first_row + row, counts, hint=hint, option="unknown")
        return ids

    def spelled(self, values: NDArray[Any], artifact: bytes) -> NDArray[Any]:
        """The texts of ids (n, time), as far as the vocabulary holds them."""
        tokenizer = Tokenizer.load(artifact)
        found = np.empty(len(values), object)
        found[:] = [tokenizer.decode(row) for row in values.tolist()]
        return found

    def token_names(self, artifact: bytes) -> list[str]:
        """The tokens, with marks in the place of blanks and line ends."""
        marks = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5"}
        return [marks.get(token, token) for token in Tokenizer.load(artifact).tokens]

    def mask(self, raw: Any) -> Any:
        """True where an id is not padding."""
        return raw != 0

    def aligned(self, parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """All padded to the longest length; strings as they are."""
        if any(part.ndim < 2 for part in parts) or self.sequential:
            return list(parts)
        longest = max(part.shape[1] for part in parts)
        return [np.pad(part, ((0, 0), (0, longest - part.shape[1]))) for part in parts]

    def _rules(self) -> Rules:
        unknown = self.unknown and self.tokens not in ("bytes", "bpe")
        padding = not self.sequential
        return Rules(self.tokens, self.vocabulary, padding=padding, unknown=unknown, min_count=self.min_count)

    def normalized(self, text: str) -> str:
        """A string as the tokenizer gets it."""
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            apart = unicodedata.normalize("NFD", text)
            text = "".join(char for char in apart if unicodedata.category(char) != "Mn")
        return unicodedata.normalize("NFC", text)


def _strings(raw: Any) -> Iterator[str]:
    step = 4096
    for start in range(0, len(raw), step):
        yield from raw[start : start + step].tolist()
