"""Tables with a JSON object in each line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from unicodedata import normalize

from dlc.components.sources.blocks import Record, keyed_blocks, limited
from dlc.components.sources.files import TableSource
from dlc.components.sources.source import Columns
from dlc.language.options import RuleViolation, spell

_VALUE_BYTES = 100  # of a short value, including its entries in a mapping and in a list
_SHOWN = 60  # characters of a line in a message


class JsonLines(TableSource):
    """A JSON object in each line: a column for each key. The file may be compressed (gzip, bzip2, xz, zip).

    A key that a record doesn't have, and `null`, are a missing value. The values of an object inside the record are
    named after both, as `user.age`. Lists of equally many numbers are arrays. Blank lines are skipped.
    """

    word = "jsonl"
    parsed = True
    suffixes = (".jsonl", ".ndjson")
    examples = ("jsonl: train.jsonl", "jsonl: {path: 'logs/*.jsonl.gz', rows: 2}")

    @classmethod
    def sample(cls) -> bytes:
        """Three records."""
        return b'{"x": 1, "y": "one"}\n{"x": 2.5, "z": [1, 2]}\n{"y": null, "z": [3, 4]}\n'

    def read(self, base: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The records of all files, in blocks that have all keys of all files."""
        return limited(self._blocks(self.files(base), room, limit), self.rows)

    def blocks(self, path: Path, room: int | None, limit: int | None) -> Iterator[Columns]:
        """The records of one file."""
        return self._blocks([path], room, limit)

    def _blocks(self, files: Sequence[Path], room: int | None, limit: int | None) -> Iterator[Columns]:
        def records() -> Iterator[Record]:
            return islice(chain.from_iterable(_objects(file, limit) for file in files), self.rows)

        return keyed_blocks(records, room)


def _objects(path: Path, limit: int | None) -> Iterator[Record]:
    """The objects of a file.

    Raises:
        RuleViolation: DLC401, with the line, for what is not an object.
    """
    from dlc.components.sources.python_values import flattened, unique, without_surrogates
    from dlc.components.sources.text_files import text_lines

    for number, line in text_lines(path, "auto", limit):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=unique)
            if _SURROGATE.search(line):  # half of a pair, as of a character that was cut in two
                value = without_surrogates(value)
            if isinstance(value, dict):
                values = unique([(normalize("NFC", name), item) for name, item in flattened(value).items()])
                yield values, 4 * len(line) + _VALUE_BYTES * len(values)
                continue
            wrong = f"line {number} of `{path}` is not a JSON object"
        except json.JSONDecodeError as error:
            wrong = f"line {number} of `{path}` is not valid JSON: {_lower(error.msg)} at column {error.colno}"
        except (ValueError, RecursionError) as error:  # a number of too many digits, or too many brackets
            wrong = f"line {number} of `{path}` can't be read: {_lower(str(error))}"
        text = line.strip()
        hint = None
        if number == 1 and text.startswith(("[", "{")):
            hint = "write each record into a line of its own, without commas between them"
        found = spell(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
        raise RuleViolation("DLC401", wrong, found=found, expected="an object in each line", hint=hint, option="path")


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
