"""What text files hold: classes, their encoding, words and characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dlc.components.features.feature import as_text
from dlc.components.sources.source import PACKED, Source, kind_of_file
from dlc.components.sources.texts import Text
from dlc.diagnostics import listing, reason
from dlc.language.options import RuleViolation
from dlc.tasks.looking_at_tables import FALLBACK, TARGETS, SeenTable, blocks_of_table, look_at_table
from dlc.tasks.task import Given, folders_of_splits, is_folder, scalar

_SAMPLED = 2_000_000  # words that are told apart


class Texts(NamedTuple):
    """Texts that a task reads.

    Args:
        sources: what the options of `data` are, as YAML.
        counts: how many texts each source has.
        text: the column of the texts.
        label: the column of the classes; None without classes.
        classes: their names.
        lengths: the words of each text, in ascending order.
        words: how many different words there are, in lower case.
        characters: how many characters there are, and how many different ones.
        empty: how many texts are empty.
        unlabelled: how many have no class.
    """

    sources: Mapping[str, str]
    counts: Mapping[str, int]
    text: str
    label: str | None
    classes: Sequence[str]
    lengths: Sequence[int]
    words: int
    characters: tuple[int, int]
    empty: int = 0
    unlabelled: int = 0


def look_at_texts(given: Given) -> Texts:
    """What a table with a column of texts, a folder of text files or a single file holds.

    Raises:
        RuleViolation: DLC401-DLC405.
    """
    path = given.data
    assert path is not None
    if is_folder(path, "give a text file, a table, or a folder of text files"):
        return _look_at_folder(given, path)
    if _is_text(path):
        return _counted({"source": _source(given, {"": [path]}, "file")}, "text", None)
    return _look_at_column(given, look_at_table(given))


def _is_text(path: Path) -> bool:
    return kind_of_file(path) in ("", ".txt", ".text", ".md", ".log", ".pos", ".neg")


def _look_at_column(given: Given, seen: SeenTable) -> Texts:
    """A table: the column with the most words, and that of the classes."""
    strings = ("text", "id", "category", "constant")
    texts = [column for column in seen.columns if column.kind in strings and not _numeric(column.values)]
    target = seen.target(given.target) if given.target is not None else None
    texts = [column for column in texts if column is not target]
    if not texts:
        kinds = listing([f"{column.name} ({column.kind})" for column in seen.columns], 8)
        raise RuleViolation("DLC402", f"`{given.data}` has no column of texts", found=kinds)
    text = max(texts, key=lambda column: column.words)
    others = [column for column in seen.columns if column.name != text.name]
    if target is None and others:
        named = [column for column in others if column.name.lower() in TARGETS]
        few = [column for column in others if not column.many and len(column.values) <= 100]
        target = next(iter(named or few[::-1]), None)
    source = (seen.source, seen.table)
    return _counted({"source": source}, text.name, target.name if target is not None else None)


def _numeric(values: Sequence[str]) -> bool:
    return all(value.replace(".", "", 1).lstrip("-").isdigit() for value in values[:20])


def _look_at_folder(given: Given, path: Path) -> Texts:
    """A folder with a folder of files for each class, or a file of lines for each; it may have one for each split."""
    parts = folders_of_splits(path)
    sources = {}
    for option, part in parts.items():
        try:
            entries = sorted(entry for entry in part.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise RuleViolation("DLC401", f"`{part}` can't be read: {reason(error)}") from None
        files = [entry for entry in entries if entry.is_file() and _is_text(entry)]
        folders = {entry.name: _files(entry) for entry in entries if entry.is_dir() and _files(entry)}
        if folders:
            sources[option] = _source(given, folders, "file")
        elif files:
            groups = {_stem(file): [file] for file in files}
            sources[option] = _source(given, groups, "line")
        else:
            hint = "a folder of .txt files for each class, or a .txt file of lines for each"
            raise RuleViolation("DLC401", f"the folder `{part}` has no text files", expected=hint)
    return _counted(sources, "text", "label")


def _files(folder: Path) -> list[Path]:
    named = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(entry for entry in named if entry.is_file() and _is_text(entry))


def _stem(file: Path) -> str:
    name = file.name
    while Path(name).suffix.lower() in PACKED:
        name = Path(name).stem
    return Path(name).suffix[1:] if Path(name).suffix in (".pos", ".neg") else Path(name).stem


def _source(given: Given, groups: Mapping[str, Sequence[Path]], records: str) -> tuple[str, Source]:
    """The source of some files, as YAML and as itself."""
    encoding = _encoding([file for group in groups.values() for file in group])
    more = {} if encoding is None else {"encoding": encoding}
    if records != "line":
        more["records"] = records

    def path_of(files: Sequence[Path], real: bool) -> str:
        first = files[0]
        if len(files) > 1:
            endings = sorted({file.suffix for file in files})
            if len(endings) > 1:
                message, hint = (
                    f"the texts in `{first.parent}` have several endings",
                    "give them one ending, such as .txt",
                )
                raise RuleViolation("DLC401", message, found=listing(endings, 8), hint=hint)
            first = first.parent / f"*{endings[0]}"
        return str(first.absolute()) if real else given.relative(first)

    if list(groups) == [""]:
        written, real = scalar(path_of(groups[""], False)), path_of(groups[""], True)
        source = Text.model_validate({"path": real, **more})
    else:
        pairs = [f"{scalar(name)}: {_quoted(path_of(files, False))}" for name, files in groups.items()]
        written = f"{{{', '.join(pairs)}}}"
        source = Text.model_validate({"path": {name: path_of(files, True) for name, files in groups.items()}, **more})
    options = "".join(f", {name}: {value}" for name, value in more.items())
    return f"{{text: {{path: {written}{options}}}}}", source


def _quoted(path: str) -> str:
    return f'"{path}"' if "*" in path else scalar(path)


def _encoding(files: Sequence[Path]) -> str | None:
    """The encoding of files if it is not found by itself: that of Western Windows if one is not UTF-8."""
    for file in files:
        try:
            for _ in blocks_of_table(Text.model_validate({"path": str(file.absolute())})):
                pass
        except RuleViolation as wrong:
            if "UTF-8" in wrong.message:
                return FALLBACK
            raise
    return None


def _counted(sources: Mapping[str, tuple[str, Source]], text: str, label: str | None) -> Texts:
    """Count the words and characters of texts."""
    lengths: list[int] = []
    words: set[str] = set()
    characters: Counter[str] = Counter()
    classes: set[str] = set()
    counts = dict.fromkeys(sources, 0)
    unlabelled = 0
    for option, (_, source) in sources.items():
        for block in blocks_of_table(source):
            if text not in block:
                continue
            for value in map(as_text, block[text].tolist()):
                split = value.lower().split()
                lengths.append(len(split))
                if len(words) < _SAMPLED:
                    words.update(split)
                characters.update(value)
            counts[option] += len(block[text])
            if label is not None and label in block:
                found = [as_text(value) for value in block[label].tolist()]
                classes |= {value for value in found if value}
                unlabelled += found.count("")
    written = {option: yaml for option, (yaml, _) in sources.items()}
    size = (sum(characters.values()), len(characters))
    return Texts(
        written, counts, text, label, sorted(classes), sorted(lengths), len(words), size, lengths.count(0), unlabelled
    )
