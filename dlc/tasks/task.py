"""The interface of tasks, and how they write a spec."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from dlc.diagnostics import SpecError, did_you_mean, listing, reason
from dlc.language.options import RuleViolation, load_class
from dlc.tasks import TASKS

PARTS = {
    "source": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""The names of folders for the options of `data`."""
WIDTH = 120  # characters of a line
COMMENT = 32  # the column at which comments begin, if the line is shorter
LIST = 6  # lines of a list; a longer one is a single line
FEW = 10  # records: fewer can't be divided
MANY = 10_000  # records: an epoch of more is long


class Given(NamedTuple):
    """What a spec is written for.

    Args:
        data: the file or folder as it was typed; None for bundled data or a placeholder.
        target: the column to predict; None to choose one.
        folder: the folder of the spec.
    """

    data: Path | None
    target: str | None
    folder: Path

    def relative(self, path: Path) -> str:
        """A path as the spec names it: relative to the folder of the spec, unless it was typed as an absolute one."""
        if path.is_absolute():
            return str(path)
        return os.path.relpath(path.absolute(), self.folder.absolute())


class Task:
    """A task: the first line of its docstring is its title.

    `write` looks at the data, and returns a spec that fits them and trains as it is.
    """

    word: ClassVar[str] = ""
    reads: ClassVar[str] = ""
    """What `--data` names; empty if the task takes no data."""
    targets: ClassVar[bool] = False
    """Whether `--target` selects a column."""

    @classmethod
    def title(cls) -> str:
        """What the task is, in one line."""
        return (cls.__doc__ or "").splitlines()[0]

    def write(self, given: Given) -> str:
        """The text of a spec.

        Raises:
            RuleViolation: DLC401-DLC406 when the data don't fit the task.
        """
        raise NotImplementedError


class Page:
    """The lines of a spec while it is written.

    Args:
        task: the task.
        origin: what it is written for, in one line.
    """

    def __init__(self, task: type[Task], origin: str) -> None:
        self._lines = [f"# {task.title()}"]
        self.comment(origin)
        self._lines += [
            "#",
            "#     dlc check --data FILE    check this file and its data",
            "#     dlc train FILE           train; `dlc report` shows the result",
            "",
            "dlc: 1",
            f"name: {task.word.replace('_', '-')}",
        ]

    def comment(self, text: str, indent: int = 0) -> None:
        """Add lines of comment."""
        line = " " * indent + "#"
        for word in "".join(char if char.isprintable() else " " for char in text).split():
            if len(line) + 1 + len(word) > WIDTH and line.strip() != "#":
                self._lines.append(line)
                line = " " * indent + "#"
            line += f" {word}"
        self._lines.append(line)

    def section(self, *lines: str | tuple[str, str]) -> None:
        """Add lines after a blank one; each may have a comment."""
        self._lines.append("")
        for line in lines:
            self.line(*((line,) if isinstance(line, str) else line))

    def line(self, text: str, comment: str = "") -> None:
        """Add a line, with its comment beside it or, if it is too long, above it; a long list goes on below it."""
        comment = " ".join("".join(char if char.isprintable() else " " for char in comment).split())
        beside = f"{text:<{COMMENT}}# {comment}" if len(text) < COMMENT - 1 else f"{text}    # {comment}"
        if comment and len(beside) > WIDTH:
            self.comment(comment, len(text) - len(text.lstrip()))
        self._lines += _wrapped(text) if not comment or len(beside) > WIDTH else [beside]

    def items(self, head: str, items: Sequence[str], tail: str, comment: str = "") -> None:
        """Add a list: `head` up to the bracket, and `tail` from the closing one on."""
        self.line(f"{head}{', '.join(items)}{tail}", comment)

    def text(self) -> str:
        """The spec."""
        return "\n".join(self._lines) + "\n"


def _wrapped(text: str) -> list[str]:
    """A line of YAML on several lines, divided after commas; one that would need many lines as it is."""
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    lines, line = [], ""
    for part in re.split("(?<=,) ", text):
        if line and len(line) + 1 + len(part) > WIDTH:
            lines.append(line)
            line = indent + part
        else:
            line = f"{line} {part}" if line else part
    return [*lines, line] if len(lines) < LIST else [text]


_PLAIN = re.compile(r"(?:\.{0,2}/)*[^\W\d](?:[\w. /-]*\w)?")
_WORDS = {"true", "false", "null", "none", "yes", "no", "on", "off", "nan", "inf", "infinity"}


def scalar(text: str) -> str:
    r"""A string as YAML in a flow list, quoted where it must be.

    >>> scalar("a b"), scalar("true"), scalar("1"), scalar("a: b"), scalar("$x")
    ('a b', '"true"', '"1"', '"a: b"', '"$$x"')
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text.replace("$", "$$"), ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in quoted)


def class_name(text: str) -> str:
    """A class as YAML: integers and simple words as they are."""
    return text if re.fullmatch(r"0|-?[1-9]\d{0,8}", text) or text in ("yes", "no") else scalar(text)


def feature_name(column: str, taken: Sequence[str] = ()) -> str:
    """A name of a feature that reads a column: the column's own where it can be one.

    >>> feature_name("Passenger class"), feature_name("2nd"), feature_name("x", ["x"])
    ('Passenger_class', 'column_2nd', 'x_column')
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", column).strip("_-") or "column"
    name = name if name[0].isalpha() else f"column_{name}"
    while name in (*taken, "previous"):
        name += "_column"
    return name


def length(count: int, epochs: int = 30) -> str:
    """The options `epochs` and `batch_size` for `count` records: small batches of few records, fewer epochs of many."""
    size, most = 2, 32 if count < MANY else 128
    while size * 2 <= most and size * 8 <= count:
        size *= 2
    return f"epochs: {epochs if count < MANY else epochs // 2}, batch_size: {size}"


def need_records(count: int, what: str, where: Path | None) -> None:
    """Check that there are enough records to divide.

    Raises:
        RuleViolation: DLC405.
    """
    if count < FEW:
        message = f"`{where}` has too few {what} to divide into training, validation and test"
        raise RuleViolation("DLC405", message, found=f"{count:,}", expected=f"at least {FEW}")


def need_classes(classes: Sequence[str], where: str, hint: str) -> None:
    """Check that there are at least two classes.

    Raises:
        RuleViolation: DLC405.
    """
    if len(classes) < 2:
        message = f"{where} has only one class"
        raise RuleViolation("DLC405", message, found=listing(classes) or "none", expected="at least two", hint=hint)


def folders_of_splits(path: Path) -> dict[str, Path]:
    """The folders of the splits in a folder, by option of `data`; the folder itself if there are none.

    A folder `train` beside others that are no splits is one only if it holds folders: else it is a class.

    Raises:
        RuleViolation: DLC401 when the folder can't be read.
    """
    try:
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        found = {
            option: folder
            for option, names in PARTS.items()
            for name in reversed(names)
            for folder in folders
            if folder.name.lower() == name
        }
        if "source" in found:
            holds = any(entry.is_dir() for entry in found["source"].iterdir())
            if holds or (len(found) > 1 and len(found) == len(folders)):
                return found
    except OSError as error:
        raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}") from None
    return {"source": path}


def is_folder(path: Path, hint: str) -> bool:
    """Whether a path is a folder, else it is a file.

    Args:
        path: the path.
        hint: what to do if it does not exist, and nothing beside it has a similar name.

    Raises:
        RuleViolation: DLC401 when it does not exist.
    """
    try:
        folder, there = path.is_dir(), path.exists()
        beside = sorted(entry.name for entry in path.parent.iterdir()) if not there and path.parent.is_dir() else []
    except (OSError, ValueError) as error:
        raise RuleViolation("DLC401", f"`{path}` can't be read: {reason(error)}", hint=hint) from None
    if not there:
        hint = did_you_mean(path.name, beside) or hint
        raise RuleViolation("DLC401", f"`{path}` does not exist", hint=hint)
    return folder


def spec_for(word: str, given: Given) -> str:
    """The text of a spec for a task.

    Raises:
        SpecError: DLC510 for an unknown task or a setting without effect, DLC401-DLC406 when the data don't fit.
    """
    if word not in TASKS:
        known = f"one of {listing(TASKS, len(TASKS))}"
        raise SpecError.of("DLC510", f"unknown task `{word}`", expected=known, hint=did_you_mean(word, TASKS))
    task: type[Task] = load_class(TASKS, word)
    if given.data is not None and not task.reads:
        raise SpecError.of("DLC510", f"`{word}` takes no `--data`", hint="remove it")
    if given.target is not None and not (task.targets and given.data is not None):
        advice = "add `--data`" if task.targets else "remove it"
        raise SpecError.of("DLC510", f"`--target` has no effect on `{word}`", hint=advice)
    try:
        return task().write(given)
    except RuleViolation as wrong:
        message, found, expected = wrong.message, wrong.found, wrong.expected
        raise SpecError.of(wrong.code, message, found=found, expected=expected, hint=wrong.hint) from None
