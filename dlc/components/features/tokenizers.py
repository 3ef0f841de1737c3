"""Tokenizers: strings as ids of a vocabulary that is learned from the training split."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from dlc.language.options import RuleViolation
from dlc.support.lazy import np
from dlc.support.optional import require

Kind = Literal["characters", "words", "bytes", "bpe"]
PADDING, UNKNOWN = "<pad>", "<unk>"
_WORD = re.compile(r"\w+|[^\w\s]")
_VERSION = 1


class Rules:
    """How a vocabulary is learned.

    Args:
        kind: what a token is.
        vocabulary: the most tokens, with the special ones.
        padding: whether id 0 fills the end of shorter texts.
        unknown: whether there is an id for what the vocabulary lacks.
        min_count: how often a token must occur.
    """

    def __init__(self, kind: Kind, vocabulary: int, *, padding: bool, unknown: bool, min_count: int = 1) -> None:
        self.kind, self.vocabulary, self.min_count = kind, vocabulary, min_count
        self.special = [*([PADDING] if padding else []), *([UNKNOWN] if unknown else [])]


class Tokenizer:
    """Strings as ids, and ids as strings.

    Args:
        tokens: the vocabulary: the position of a token is its id. The special tokens come first.
        special: the number of special tokens.
    """

    kind: ClassVar[str]
    joint: ClassVar[str] = ""  # what stands between tokens

    def __init__(self, tokens: Sequence[str], special: int) -> None:
        self.tokens, self.special = list(tokens), special
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self.unknown = self.ids.get(UNKNOWN) if UNKNOWN in self.tokens[:special] else None

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def split(cls, text: str) -> Iterable[str]:
        """The tokens of a string."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The ids of a string; -1 for a token that the vocabulary lacks, if it has no id for unknown ones."""
        lacking = -1 if self.unknown is None else self.unknown
        known = self.ids
        return [known.get(token, lacking) for token in self.split(text)]

    def encode_all(self, texts: Sequence[str]) -> list[Any]:
        """The ids of each string."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """The string of some ids, without padding."""
        tokens = self.tokens
        return self.joint.join(tokens[number] for number in ids if tokens[number] != PADDING or number >= self.special)

    def artifact(self) -> dict[str, Any]:
        """The tokenizer as plain values."""
        return {"kind": self.kind, "special": self.special, "tokens": self.tokens}

    def dump(self) -> bytes:
        """The tokenizer as a JSON document."""
        return json.dumps({"version": _VERSION, **self.artifact()}, ensure_ascii=False).encode()

    @staticmethod
    def load(artifact: bytes) -> Tokenizer:
        """The tokenizer in a document of `dump`.

        Raises:
            ValueError: when it is not one.
        """
        try:
            found = json.loads(artifact)
            kind = KINDS[found["kind"]]
            if kind is Subwords:
                return Subwords(found["model"], int(found["special"]))
            tokens, special = found["tokens"], found["special"]
            whole = isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
            if not whole or len(set(tokens)) < len(tokens) or not 0 <= special <= 2:
                raise ValueError("tokens")
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(str(error)) from None
        return kind(tokens, special)


class Characters(Tokenizer):
    """A token is a character (a code point)."""

    kind = "characters"

    @classmethod
    def split(cls, text: str) -> Iterable[str]:
        """The characters."""
        return text

    def encode(self, text: str) -> list[int]:
        """The ids of the characters."""
        found: list[int] = self._encoded(text).tolist()
        return found

    def encode_all(self, texts: Sequence[str]) -> list[Any]:
        """The ids of each string, as arrays."""
        return [self._encoded(text) for text in texts]

    def _encoded(self, text: str) -> Any:
        return self._table[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]

    @cached_property
    def _table(self) -> Any:
        """The id of each code point."""
        table = np.full(0x110000, -1 if self.unknown is None else self.unknown, np.int32)
        own = [ord(token) for token in self.tokens[self.special :]]
        table[own] = np.arange(self.special, len(self.tokens), dtype=np.int32)
        return table


class Bytes(Tokenizer):
    """A token is a byte of UTF-8: 256 of them, whatever the data."""

    kind = "bytes"

    @classmethod
    def split(cls, text: str) -> Iterable[str]:
        """The bytes, as numbers in two hexadecimal digits."""
        return (f"{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))

    def encode(self, text: str) -> list[int]:
        """The bytes, after the special ids."""
        return [byte + self.special for byte in text.encode("utf-8", "surrogatepass")]

    def decode(self, ids: Iterable[int]) -> str:
        """The string of some bytes; what is not UTF-8 becomes U+FFFD."""
        numbers = [number - self.special for number in ids]
        return bytes(number for number in numbers if number >= 0).decode("utf-8", "replace")


class Words(Tokenizer):
    """A token is a word: a run of letters, digits and underscores, or another character that is not a blank."""

    kind = "words"
    joint = " "

    @classmethod
    def split(cls, text: str) -> Iterable[str]:
        """The words."""
        return _WORD.findall(text)


class Subwords(Tokenizer):
    """A token is a piece of a word, as a tokenizer of the library `tokenizers` finds it.

    Args:
        model: its tokenizer as the text of a `tokenizer.json`.
        special: the number of special tokens. They come before those of the model, whose ids begin after them.
    """

    kind = "subwords"

    def __init__(self, model: str, special: int) -> None:
        library = require("tokenizers")
        try:
            self.model = library.Tokenizer.from_str(model)
        except Exception as error:
            raise ValueError(str(error)) from None
        self.text = model
        self.model.no_padding()
        self.model.no_truncation()
        numbers = self.model.get_vocab()
        size = max(numbers.values(), default=-1) + 1
        named = {number: token for token, number in numbers.items()}
        super().__init__([PADDING, UNKNOWN][:special] + [named.get(number, "") for number in range(size)], special)
        self.unknown = None

    def encode(self, text: str) -> list[int]:
        """The ids of the pieces."""
        return [number + self.special for number in self.model.encode(text, add_special_tokens=False).ids]

    def encode_all(self, texts: Sequence[str]) -> list[Any]:
        """The ids of the pieces of each string, as arrays."""
        found = self.model.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(each.ids, np.int32) + np.int32(self.special) for each in found]

    def decode(self, ids: Iterable[int]) -> str:
        """The string of some ids, without padding."""
        own = [number - self.special for number in ids if number >= self.special]
        found: str = self.model.decode(own)
        return found

    def artifact(self) -> dict[str, Any]:
        """The tokenizer as the text of a `tokenizer.json`."""
        return {"kind": self.kind, "special": self.special, "model": self.text}


KINDS: dict[str, type[Tokenizer]] = {kind.kind: kind for kind in (Characters, Bytes, Words, Subwords)}


def learned(texts: Iterable[str], rules: Rules) -> Tokenizer:
    """The tokenizer of some strings. The most frequent tokens are kept, of equal ones the first by code point.

    Raises:
        RuleViolation: DLC405 when the vocabulary is too small and there is no id for unknown tokens.
    """
    if rules.kind == "bpe":
        return _learned_pairs(texts, rules)
    special = rules.special
    if rules.kind == "bytes":
        return Bytes([*special, *(f"{byte:02x}" for byte in range(256))], len(special))
    kind = KINDS[rules.kind]
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(kind.split(text))
    reserved = set(special)
    often = [token for token, count in counts.items() if count >= rules.min_count and token not in reserved]
    often.sort(key=lambda token: (-counts[token], token))
    room = rules.vocabulary - len(special)
    if len(often) > room and UNKNOWN not in special:
        raise RuleViolation(
            "DLC405",
            f"the vocabulary is too small for the {rules.kind} of the training split",
            found=f"{len(often):,} different {rules.kind}",
            expected=f"at most {room:,}",
            hint=f"write `vocabulary: {len(often) + len(special)}`, or remove `unknown: false`",
            option="vocabulary",
        )
    return kind([*special, *sorted(often[:room])], len(special))


def _learned_pairs(texts: Iterable[str], rules: Rules) -> Tokenizer:
    """Byte pair encoding of UTF-8 (Sennrich et al. 2016; Radford et al. 2019): nothing is unknown."""
    library = require("tokenizers")
    before, after = require("tokenizers", "tokenizers.pre_tokenizers"), require("tokenizers", "tokenizers.decoders")
    made = library.Tokenizer(require("tokenizers", "tokenizers.models").BPE())
    made.pre_tokenizer, made.decoder = before.ByteLevel(add_prefix_space=False), after.ByteLevel()
    trainer = require("tokenizers", "tokenizers.trainers").BpeTrainer(
        vocab_size=rules.vocabulary - len(rules.special),
        min_frequency=rules.min_count,
        initial_alphabet=sorted(before.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(_blocks(texts), trainer)
    return Subwords(made.to_str(), len(rules.special))


def _blocks(texts: Iterable[str], size: int = 1000) -> Iterator[list[str]]:
    block: list[str] = []
    for text in texts:
        block.append(text)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
