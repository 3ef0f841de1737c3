"""YAML text -> a plain tree of dict, list and scalars, with the place of every key and value.

The tree is built from libyaml's event stream rather than by `yaml.load`: the scalars are those of YAML 1.2, nothing
recurses, and size, depth and the expansion of aliases are bounded before any of them can hurt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from dlc.diagnostics import Diagnostic, Note, Problems, Report, Span, SpecError

Path = tuple[str | int, ...]
Tree = Any  # dict[str, Tree] | list[Tree] | str | int | float | bool | None

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_VALUES = 100_000

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_PADDED_INT = re.compile(r"[-+]?0[0-9]+\Z")
_BASED_INT = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True)
class Source:
    """A spec as written: the plain tree, where each key and value stands, and the texts they stand in."""

    tree: dict[str, Tree]
    values: Mapping[Path, Span]
    keys: Mapping[Path, Span]
    texts: Mapping[str, str] = field(default_factory=dict)
    main: str = ""

    def span(self, path: Path) -> Span | None:
        """The place of the value at `path`, or of the closest thing that holds it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.values:
                return self.values[path[:end]]
        return None

    def key_span(self, path: Path) -> Span | None:
        """The place of the key at `path`; for a list's item, of the item."""
        return self.keys.get(path) or self.span(path)


@dataclass
class _Node:
    """A value under construction. `value` holds child nodes; `size` counts the values in it, aliases expanded."""

    value: Any
    span: Span
    size: int = 1
    done: bool = False
    keys: dict[str, Span] = field(default_factory=dict)
    key: tuple[str, Span] | None = None  # a mapping's key that waits for its value


def scalar(text: str) -> Any:
    """The value of a plain scalar in YAML 1.2's core schema.

    Raises:
        ValueError: for an integer with leading zeros, which YAML 1.1 and 1.2 read differently.

    >>> scalar("1e-3"), scalar("on"), scalar("0x1F"), scalar("1:30"), scalar("~")
    (0.001, 'on', 31, '1:30', None)
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    first = text[0]
    if first.isalpha():
        return text
    if _INT.match(text):
        return int(text) if len(text) < 400 else text
    if _PADDED_INT.match(text):
        raise ValueError(text)
    if _BASED_INT.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    return text


def read(path: FilePath | str) -> str:
    """The text of a spec file.

    Raises:
        SpecError: DLC001 when it can't be read, DLC002 when it is not UTF-8 text, DLC003 when it is too large.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError.of("DLC001", f"file not found: `{name}`", hint=_neighbour(FilePath(path))) from None
    except IsADirectoryError:
        raise SpecError.of(
            "DLC001", f"`{name}` is a directory", expected="a YAML file", hint=f"name its files: `{name}/*.yaml`"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError.of("DLC001", f"can't read `{name}`: {(reason or 'unknown error').lower()}") from None
    if len(data) > MAX_BYTES:
        raise SpecError.of("DLC003", f"`{name}` is larger than 1 MiB", expected="a hand-written spec")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError.of(
            "DLC002",
            f"`{name}` is not UTF-8 text: byte 0x{data[error.start]:02x} on line {line}",
            expected="a YAML text in UTF-8",
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
        SpecError: DLC002-DLC011, all that could be found.
    """
    problems = Problems()
    root = _compose(text, name, problems)
    if not problems.ok:
        raise SpecError(problems.report({name: text}))
    values: dict[Path, Span] = {}
    keys: dict[Path, Span] = {}
    if root is None or root.value is None:
        raise SpecError(_empty(text, name))
    tree = _flatten(root, values, keys)
    if not isinstance(tree, dict):
        found = "a list" if isinstance(tree, list) else f"`{tree}`"
        problems.add(
            "DLC004",
            "the top level of a spec is a mapping",
            values[()],
            found=found,
            expected="sections such as `network:`",
        )
        raise SpecError(problems.report({name: text}))
    return Source(tree, values, keys, {name: text}, name)


def _empty(text: str, name: str) -> Report:
    hint = "`dlc init` writes a commented starter spec"
    return Report((Diagnostic("DLC004", "the file is empty", Span(name, 1, 1, 1, 1), hint=hint),), {name: text})


def _compose(text: str, name: str, problems: Problems) -> _Node | None:
    """Build the node tree of the only document; problems that stop the reading are added and end it."""
    stack: list[_Node] = []
    anchors: dict[str, _Node] = {}
    root: _Node | None = None
    documents = 0
    try:
        for event in _events(text):
            span = _span(name, event)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    problems.add("DLC011", "a file holds one spec", span, found="a second document (`---`)")
                    return None
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                node = stack.pop()
                node.done = True
                node.span = Span(name, node.span.line, node.span.column, span.end_line, span.end_column)
                root = _attach(stack, node, problems) or root
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                _no_tag(event, span, problems)
                node = _Node([] if isinstance(event, yaml.SequenceStartEvent) else {}, span)
                if stack and isinstance(stack[-1].value, dict) and stack[-1].key is None:
                    problems.add("DLC005", "a key must be a plain word", span, found="a list or mapping as a key")
                    return None
                stack.append(node)
                if event.anchor:
                    anchors[event.anchor] = node
                if len(stack) > MAX_DEPTH:
                    problems.add("DLC008", f"collections nest more than {MAX_DEPTH} deep", span)
                    return None
            elif isinstance(event, yaml.AliasEvent):
                target = anchors.get(event.anchor)
                if target is None or not target.done:
                    what = "holds itself" if target else "is not defined"
                    problems.add("DLC009", f"the alias `*{event.anchor}` {what}", span)
                    return None
                root = _attach(stack, target, problems, at=span) or root
            elif isinstance(event, yaml.ScalarEvent):
                _no_tag(event, span, problems)
                node = _scalar_node(event, span, stack, problems)
                node.done = True
                if event.anchor:
                    anchors[event.anchor] = node
                root = _attach(stack, node, problems) or root
            if stack and stack[-1].size > MAX_VALUES:
                problems.add("DLC009", f"the file expands to more than {MAX_VALUES:,} values", span)
                return None
    except yaml.YAMLError as error:
        _syntax(error, text, name, problems)
        return None
    return root


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is an optional part of PyYAML
    events: Iterator[Any] = yaml.parse(text, Loader=loader)
    return events


def _span(name: str, event: Any) -> Span:
    start, end = event.start_mark, event.end_mark
    return Span(name, start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _no_tag(event: Any, span: Span, problems: Problems) -> None:
    if event.tag is not None and event.tag != "!":
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        problems.add("DLC011", "tags are not part of the language", span, found=f"`{tag}`", hint="remove the tag")


def _scalar_node(event: Any, span: Span, stack: list[_Node], problems: Problems) -> _Node:
    text = event.value
    as_key = bool(stack) and isinstance(stack[-1].value, dict) and stack[-1].key is None
    if not event.implicit[0] or as_key:  # quoted, a block scalar, or a key: always text
        return _Node(text, span)
    try:
        return _Node(scalar(text), span)
    except ValueError:
        number = text.lstrip("+-").lstrip("0") or "0"
        sign = "-" if text.startswith("-") else ""
        if set(text) & set("89"):
            readings = f"write {sign}{number} for the number, or quote it for text"
        else:
            readings = (
                f"write {sign}{number} for the decimal number, {sign}0o{number} for the octal one, or quote it for text"
            )
        problems.add("DLC010", f"`{text}` can be read in two ways", span, hint=readings)
        return _Node(0, span)


def _attach(stack: list[_Node], node: _Node, problems: Problems, at: Span | None = None) -> _Node | None:
    """Put a finished node into the collection being built; the node itself when it is the root."""
    if not stack:
        return node
    holder = stack[-1]
    holder.size += node.size
    if isinstance(holder.value, list):
        holder.value.append(node)
    elif holder.key is None:
        if not isinstance(node.value, str):
            problems.add("DLC005", "a key must be a plain word", at or node.span)
        key = str(node.value)
        if key == "<<":
            problems.add(
                "DLC011", "merge keys (`<<`) are not part of YAML 1.2", node.span, hint="use `extends:` or `blocks:`"
            )
        if key in holder.value:
            problems.add(
                "DLC007",
                f"the key `{key}` is given twice",
                at or node.span,
                hint="keep one of them",
                notes=[Note("first given here", holder.keys[key])],
            )
        holder.key = (key, at or node.span)
    else:
        key, span = holder.key
        holder.value.setdefault(key, node)
        holder.keys.setdefault(key, span)
        holder.key = None
    return None


def _syntax(error: yaml.YAMLError, text: str, name: str, problems: Problems) -> None:
    """Turn libyaml's complaint into a finding in our words."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        bad = next((index for index, mark in enumerate(text) if not mark.isprintable() and mark not in "\n\t\r\x85"), 0)
        line = text.count("\n", 0, bad) + 1
        column = bad - (text.rfind("\n", 0, bad) + 1) + 1
        problems.add(
            "DLC002",
            f"the file holds the control character U+{ord(text[bad]):04X}" if text else "the file can't be read",
            Span(name, line, column, line, column + 1),
            expected="a YAML text in UTF-8",
        )
        return
    mark = error.problem_mark
    span = Span(name, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)
    lines = text.splitlines()
    line_text = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line_text[: len(line_text) - len(line_text.lstrip())]:
        column = line_text.index("\t") + 1
        problems.add(
            "DLC006",
            "a tab indents this line; YAML wants spaces",
            Span(name, mark.line + 1, column, mark.line + 1, column + 1),
            hint="set the editor to spaces for YAML files",
        )
        return
    problem = error.problem or "the text is not YAML"
    hint = next((words for key, words in _SYNTAX_HINTS.items() if key in f"{problem} {error.context or ''}"), None)
    notes = []
    if error.context and error.context_mark is not None:
        start = error.context_mark
        place = Span(name, start.line + 1, start.column + 1, start.line + 1, start.column + 2)
        if place != span:
            notes.append(Note(error.context, place))
    problems.add("DLC005", f"not valid YAML: {problem}", span, hint=hint, notes=notes)


_SYNTAX_HINTS = {
    "mapping values are not allowed": "quote a text that holds `: `, or check the indentation",
    "did not find expected ',' or '}'": "a `{` is not closed, or a comma is missing",
    "did not find expected ',' or ']'": "a `[` is not closed, or a comma is missing",
    "did not find expected '-' indicator": "the items of a list must be indented alike",
    "did not find expected key": "the keys of a mapping must be indented alike",
    "could not find expected ':'": "a key needs a colon and a space after it",
    "unexpected end of stream": "a quote is not closed",
    "cannot start any token": "quote a text that begins with this character",
}


def _flatten(root: _Node, values: dict[Path, Span], keys: dict[Path, Span]) -> Tree:
    """The plain value of a node; fills the maps of places. Bounded by MAX_VALUES and MAX_DEPTH."""

    def walk(node: _Node, path: Path) -> Tree:
        values[path] = node.span
        if isinstance(node.value, list):
            return [walk(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node.value, dict):
            for key, span in node.keys.items():
                keys[(*path, key)] = span
            return {key: walk(child, (*path, key)) for key, child in node.value.items()}
        return node.value

    return walk(root, ())
