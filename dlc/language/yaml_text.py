"""YAML text -> a plain tree of dict, list and scalars, with the span of every key and value.

The tree is built from libyaml's event stream rather than by `yaml.load`: the scalars are those of YAML 1.2, nothing
recurses, and size, depth and the expansion of aliases are bounded.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path as FilePath
from typing import Any

import yaml

from dlc.diagnostics import (
    Diagnostic,
    Note,
    Problems,
    Report,
    Span,
    SpecError,
    did_you_mean,
    lines_of,
)
from dlc.language.scalars import comma_hint, scalar
from dlc.language.source import BROKEN, Path, Source, Tree
from dlc.language.yaml_errors import in_braces, oddity, report_oddity, report_syntax
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.regular_files import open_regular

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_VALUES = 100_000

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
NO_KEY = "\0"  # instead of the digits after a decimal comma; no file contains this character
_FRACTION = re.compile(r"[0-9]+([eE][-+]?[0-9]+)?\Z")


@fast_dataclass
class _Node:
    """A value under construction. `value` holds child nodes; `size` counts the values in it, aliases expanded."""

    value: Any
    span: Span
    size: int = 1
    done: bool = False
    keys: dict[str, Span] = field(default_factory=dict)
    broken: bool = False
    key: tuple[str, Span] | None = None  # a mapping's key whose value comes next


def read(path: FilePath | str) -> str:
    """The text of a spec file.

    Raises:
        SpecError: DLC001 when it can't be read, DLC002 when it is not UTF-8 text, DLC003 when it is too large.
    """
    name = str(path)
    try:
        file, size = open_regular(path)
        with file:
            data = file.read(min(size, MAX_BYTES + 1))
    except FileNotFoundError:
        raise SpecError.of("DLC001", f"file not found: `{name}`", hint=_neighbour(FilePath(path))) from None
    except IsADirectoryError:
        raise SpecError.of(
            "DLC001", f"`{name}` is a directory", expected="a YAML file", hint=f"pass its files: `{name}/*.yaml`"
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.EINVAL:
            raise SpecError.of("DLC001", f"`{name}` is not a regular file", expected="a YAML file") from None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError.of("DLC001", f"can't read `{name}`: {(reason or 'unknown error').lower()}") from None
    if len(data) > MAX_BYTES:
        raise SpecError.of("DLC003", f"`{name}` is larger than 1 MiB", expected="a hand-written spec")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace").removeprefix("\ufeff")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise SpecError.of(
            "DLC002",
            f"`{name}` is not UTF-8 text",
            Span(name, line, column, line, column + 1),
            found=f"the byte 0x{data[error.start]:02x}",
            expected="a YAML file in UTF-8",
            hint="save it as UTF-8",
        ) from None
    return text.replace("\r\n", "\n")


def _neighbour(path: FilePath) -> str | None:
    from dlc.diagnostics import nearest

    try:
        close = nearest(path.name, [item.name for item in path.parent.iterdir()])
    except OSError:
        return None
    return f"did you mean `{path.with_name(close)}`?" if close else None


def parse_yaml(text: str, name: str) -> Source:
    """The source of one YAML text.

    Args:
        text: the text.
        name: what its spans call the file.

    Raises:
        SpecError: DLC002-DLC009 and DLC011, when there is no tree to continue with. Other findings (an ambiguous value,
            a tag, a duplicate key) are kept in the source, so that they are reported with those of later stages.
    """
    problems = Problems()
    root = _Composer(name, problems).compose(text.removeprefix("\ufeff"))
    if (root is None or root.broken) and not problems.ok:
        raise SpecError(problems.report({name: text}))
    if root is None or root.value is None:
        raise SpecError(_empty(text, name))
    values: dict[Path, Span] = {}
    keys: dict[Path, Span] = {}
    tree = _flatten(root, values, keys)
    if not isinstance(tree, dict):
        found = "a list" if isinstance(tree, list) else f"`{tree}`"
        problems.add(
            "DLC004",
            "the top level of a spec must be a mapping",
            values[()],
            found=found,
            expected="sections such as `network:`",
        )
        raise SpecError(problems.report({name: text}))
    return Source(tree, values, keys, {name: text}, name, problems.report({name: text}).diagnostics)


def _empty(text: str, name: str) -> Report:
    hint = "`dlc init` writes a commented starter spec"
    return Report((Diagnostic("DLC004", "the file is empty", Span(name, 1, 1, 1, 1), hint=hint),), {name: text})


class _Stop(Exception):  # noqa: N818 - leaves the loop, not an error
    """Ends the reading after a finding."""


class _Composer:
    """Builds the node tree of the only document from libyaml's events."""

    def __init__(self, name: str, problems: Problems) -> None:
        self.name = name
        self.problems = problems
        self.stack: list[_Node] = []
        self.anchors: dict[str, _Node] = {}
        self.unused: dict[str, Span] = {}
        self.root: _Node | None = None
        self.documents = 0
        self.lines: list[str] = []

    def compose(self, text: str) -> _Node | None:
        """The root, or None when a finding ended the reading or the document is empty."""
        self.lines = lines_of(text)
        try:
            for event in _events(text):
                self.take(event, _span(self.name, event))
        except (yaml.YAMLError, UnicodeEncodeError) as error:
            report_syntax(error, text, self.name, self.problems)
            return None
        except _Stop:
            return None
        for anchor, span in self.unused.items():
            hint = f"use it as `*{anchor}`, or remove it"
            self.problems.add("DLC109", f"the anchor `&{anchor}` is never used", span, hint=hint)
        return self.root

    def take(self, event: Any, span: Span) -> None:
        """Handle one event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.stop("DLC011", "a file must contain one spec", span, found="a second document (`---`)")
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            node = self.stack.pop()
            node.done = True
            node.span = Span(self.name, node.span.line, node.span.column, span.end_line, span.end_column)
            self.attach(node)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            if self.awaits_key():
                braces = in_braces(self.lines[span.line - 1])
                hint = braces[1] if braces is not None else None
                self.stop("DLC005", "a key must be a plain word", span, found="a list or mapping as a key", hint=hint)
            node = _Node([] if isinstance(event, yaml.SequenceStartEvent) else {}, span)
            node.broken = self.tagged(event, span)
            self.stack.append(node)
            self.anchor(event, node)
            if len(self.stack) > MAX_DEPTH:
                self.stop("DLC008", f"collections nest more than {MAX_DEPTH} deep", span)
        elif isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            target = self.anchors.get(name)
            if target is None or not target.done:
                what = "contains itself" if target else "is not defined"
                hint = None if target else did_you_mean(name, self.anchors)
                self.stop("DLC009", f"the alias `*{name}` {what}", span, hint=hint)
            else:
                self.unused.pop(name, None)
                self.attach(target, at=span)
        elif isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event, span)
            node.broken = self.tagged(event, span)
            self.anchor(event, node)
            self.attach(node)
        if self.stack and self.stack[-1].size > MAX_VALUES:
            self.stop("DLC009", f"the file expands to more than {MAX_VALUES:,} values", span)

    def stop(self, code: str, message: str, span: Span, found: str | None = None, hint: str | None = None) -> None:
        """Report a finding after which reading can't continue."""
        self.problems.add(code, message, span, found=found, hint=hint)
        raise _Stop

    def awaits_key(self) -> bool:
        """Whether the next node is a mapping's key."""
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def tagged(self, event: Any, span: Span) -> bool:
        """Report a tag, if there is one, and return whether: types are chosen by the language, not by tags."""
        if event.tag is None or event.tag == "!":
            return False
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        tag_span = span if event.anchor else span.inside(0, len(tag))
        self.problems.add("DLC011", f"the tag `{tag}` is not supported", tag_span, hint="remove the tag")
        return True

    def anchor(self, event: Any, node: _Node) -> None:
        """Remember an anchored node."""
        if event.anchor:
            span = _span(self.name, event)
            self.anchors[event.anchor] = node
            self.unused[event.anchor] = Span(
                self.name, span.line, span.column, span.line, span.column + len(event.anchor) + 1
            )

    def scalar(self, event: Any, span: Span) -> _Node:
        """The node of a scalar; an ambiguous value is reported and marked broken."""
        text = event.value
        if event.implicit[0] and self.awaits_key() and (not text.isascii() or text.startswith("-")):
            self.check_key(text, span)
        if not event.implicit[0] or self.awaits_key():  # quoted, a block scalar, or a key: always a string
            return _Node(text, span, done=True)
        if not text.isascii() and self.looks_odd(span):
            return _Node(BROKEN, span, done=True)
        try:
            return _Node(scalar(text), span, done=True)
        except ValueError:
            number = text.lstrip("+-").lstrip("0") or "0"
            sign = "-" if text.startswith("-") else ""
            if set(text) & set("89"):
                readings = f"write `{sign}{number}` for the number, or quote it to make it a string"
            else:
                readings = (
                    f"write `{sign}{number}` for the decimal number, `{sign}0o{number}` for the octal one, "
                    "or quote it to make it a string"
                )
            self.problems.add("DLC010", f"`{text}` is ambiguous", span, hint=readings)
            return _Node(BROKEN, span, done=True)

    def check_key(self, text: str, span: Span) -> None:
        """Stop at a plain key with a character that only looks like one of YAML's, or with the `-` of an item."""
        if not text.isascii() and self.looks_odd(span):
            raise _Stop
        if text.startswith("-") and text[1:2].isalpha():
            message, hint = "not valid YAML: a space is missing after the `-` of an item", f"write `- {text[1:]}`"
            self.stop("DLC005", message, span.inside(0, 1), hint=hint)

    def looks_odd(self, span: Span) -> bool:
        """Report a character in a plain string that only looks like one of YAML's; returns whether there is one."""
        for number in range(span.line, span.end_line + 1):
            found = oddity(self.lines[number - 1])
            if found is not None:
                report_oddity(found, self.name, number, self.problems)
                return True
        return False

    def attach(self, node: _Node, at: Span | None = None) -> None:
        """Put a finished node into the collection being built; without one it is the root."""
        if not self.stack:
            self.root = node
            return
        holder = self.stack[-1]
        holder.size += node.size
        if isinstance(holder.value, list):
            if not self.is_fraction(node, holder):
                holder.value.append(node)
        elif holder.key is None:
            key = NO_KEY if self.is_fraction(node, holder) else self.key(node, holder, at or node.span)
            holder.key = (key, at or node.span)
        elif holder.key[0] == NO_KEY:
            holder.key = None
        else:
            key, span = holder.key
            holder.value.setdefault(key, node)
            holder.keys.setdefault(key, span)
            holder.key = None

    def is_fraction(self, node: _Node, holder: _Node) -> bool:
        """Report a number with a decimal comma inside brackets, whose fraction is read as a key or an item.

        Returns whether this is one. A list such as `[1,7]` holds two numbers.
        """
        pair = holder
        if isinstance(holder.value, list):
            pair = holder.value[-1] if holder.value else node
        number = next(reversed(pair.value.values()), None) if isinstance(pair.value, dict) else None
        if number is None or isinstance(node.value, (dict, list)):
            return False
        start, end = number.span, node.span
        text = self.lines[end.line - 1][start.column - 1 : end.end_column - 1] if start.line == end.line else ""
        before, comma, after = text.partition(",")
        if not comma or not _FRACTION.match(after) or not _INT.match(before):
            return False
        span = Span(self.name, start.line, start.column, end.end_line, end.end_column)
        message, hint = f"`{text}` is not a number: the comma separates values", comma_hint(before, after)
        self.problems.add("DLC010", message, span, hint=hint)
        number.broken = True
        return True

    def key(self, node: _Node, holder: _Node, span: Span) -> str:
        """The text of a key."""
        if not isinstance(node.value, str):
            self.stop("DLC005", "a key must be a plain word", span)
        key = str(node.value)
        if key == "<<":
            hint = "use `extends:` or `blocks:`"
            self.problems.add("DLC011", "merge keys (`<<`) are not part of YAML 1.2", span, hint=hint)
            holder.broken = True
        if key in holder.keys:
            notes = [Note("first given here", holder.keys[key])]
            self.problems.add("DLC007", f"the key `{key}` is given twice", span, hint="keep one of them", notes=notes)
        return key


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is optional in PyYAML
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    return events


def _span(name: str, event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(name, start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _flatten(root: _Node, values: dict[Path, Span], keys: dict[Path, Span]) -> Tree:
    """The plain value of a node; fills the maps of spans. Bounded by MAX_VALUES and MAX_DEPTH."""

    def walk(node: _Node, path: Path) -> Tree:
        values[path] = node.span
        if node.broken:
            return BROKEN
        if isinstance(node.value, list):
            return [walk(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node.value, dict):
            for key, span in node.keys.items():
                keys[(*path, key)] = span
            return {key: walk(child, (*path, key)) for key, child in node.value.items()}
        return node.value

    return walk(root, ())
