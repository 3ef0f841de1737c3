"""A spec as written: a plain tree with the span of every key and value."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import field
from functools import cached_property, reduce
from typing import Any

from dlc.diagnostics import Diagnostic, Note, Span, lines_of
from dlc.language.interpolation import NAME, mentioned
from dlc.support.fast_dataclass import fast_dataclass

Path = tuple[str | int, ...]
Tree = Any  # dict[str, Tree] | list[Tree] | str | int | float | bool | None | Broken


class Broken:
    """Replaces a value whose error was reported, so that it is not reported again.

    Inside another wrong value, messages show it as three dots.
    """

    def __repr__(self) -> str:
        return "..."


BROKEN = Broken()


def holds_broken(tree: Tree) -> bool:
    """Whether the tree holds a value that is already known to be wrong."""
    if isinstance(tree, dict):
        return any(holds_broken(item) for item in tree.values())
    if isinstance(tree, (list, tuple)):
        return any(holds_broken(item) for item in tree)
    return isinstance(tree, Broken)


def child(tree: Tree, key: str | int) -> Tree:
    """The value at a key of a mapping or a place of a list; None if there is none."""
    if isinstance(tree, dict):
        return tree.get(key)
    return tree[key] if isinstance(tree, list) and isinstance(key, int) and key < len(tree) else None


_WHOLE = re.compile(rf"\${NAME}\Z")


def _in_body(path: Path) -> bool:
    return len(path) > 2 and path[0] == "blocks" and path[2] == "layers"


def _holds_dollar(tree: Tree) -> bool:
    if isinstance(tree, (dict, list)):
        return any(_holds_dollar(item) for item in (tree.values() if isinstance(tree, dict) else tree))
    return isinstance(tree, str) and "$" in tree


@fast_dataclass(frozen=True)
class Places:
    """The spans of the values and keys of a spec.

    Args:
        values: the span of each value, by its path.
        keys: the span of each key.
    """

    values: Mapping[Path, Span] = field(default_factory=dict)
    keys: Mapping[Path, Span] = field(default_factory=dict)

    def span(self, path: Path) -> Span | None:
        """The span of the value at `path`, or of the closest value that holds it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.values:
                return self.values[path[:end]]
        return None

    def span_of(self, path: Path, owner: Path) -> Span | None:
        """The span of a value inside an item, or of the part that holds it; that of the item's key if there is none."""
        found = (self.values[path[:end]] for end in range(len(path), len(owner), -1) if path[:end] in self.values)
        return next(found, None) or self.key_span(owner)

    def key_span(self, path: Path) -> Span | None:
        """The span of the key at `path`; for an item of a list, of the item."""
        return self.keys.get(path) or self.span(path)


SET_FILE = "--set"
"""The file of the spans of settings from the command line."""


@fast_dataclass(frozen=True)
class Source:
    """A spec as written.

    Args:
        tree: the plain tree; `BROKEN` where a value can't be read.
        values: the span of each value.
        keys: the span of each key.
        texts: the text of each file.
        main: the file that was opened first.
        findings: findings that did not stop the reading.
        origins: the variables used in each value, by its path.
        arguments: where the parameters of a block get their values, by block and parameter, in the use that is being
            expanded. The body of a block stays as it is written, with its parameters.
        moved: where options are written that replace others in the item that is being expanded, by their paths there.
        assumed: paths of values that may have come from a variable or from `--set`, as in the resolved spec of a run.
    """

    tree: dict[str, Tree]
    values: Mapping[Path, Span]
    keys: Mapping[Path, Span]
    texts: Mapping[str, str] = field(default_factory=dict)
    main: str = ""
    findings: tuple[Diagnostic, ...] = ()
    origins: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    arguments: dict[str, Mapping[str, Path]] = field(default_factory=dict)
    moved: dict[Path, Path] = field(default_factory=dict)
    assumed: frozenset[Path] = frozenset()

    def span(self, path: Path) -> Span | None:
        """The span of the value at `path`, or of the closest value that holds it."""
        return Places(self.values, self.keys).span(path)

    def key_span(self, path: Path) -> Span | None:
        """The span of the key at `path`; for an item of a list, of the item."""
        return Places(self.values, self.keys).key_span(path)

    def places(self, sections: Collection[str]) -> Places:
        """The spans of some sections: all that messages need after the spec is checked."""
        values, keys = (
            {path: span for path, span in spans.items() if path and path[0] in sections}
            for spans in (self.values, self.keys)
        )
        return Places(values, keys)

    def within(self, path: Path, text: str, start: int, length: int) -> Span | None:
        """The span of a part of the string at `path`; of the whole value if it uses escapes or folds."""
        span = self.span(path)
        if span is None or span.line != span.end_line:
            return span
        lines = lines_of(self.texts.get(span.file, ""))
        line = lines[span.line - 1] if span.line <= len(lines) else ""
        at = line.find(text, span.column - 1, span.end_column - 1)
        return span.inside(at - span.column + 1 + start, length) if at >= 0 else span

    def place(self, path: Path) -> Path:
        """Where the value at `path` is written: `$name` leads to the value of the variable or the parameter."""
        path = self.moved.get(path, path)
        if not self.origins and not _in_body(path):
            return path
        text, rest = self._reference(path)
        given = self._given(path, text[1:], rest) if text is not None and _WHOLE.match(text) else None
        if given is not None:
            return given
        for end in range(1, len(path)):
            if names := self.origins.get(path[:end]):  # what has values inside it is a reference to one variable
                return self.place(("vars", names[0], *path[end:]))
        return path

    def is_reference(self, path: Path) -> bool:
        """Whether the value at `path` as a whole is that of a variable or a parameter."""
        text, rest = self._reference(path)
        return path in self.origins or (text is not None and not rest)

    def is_literal(self, path: Path) -> bool:
        """Whether the value at `path` is written in the file.

        It is not if a part of it comes from a variable, from a parameter or from `--set`.
        """
        path = self.moved.get(path, path)
        if path in self.assumed or (SET_FILE in self.texts and path in self._set_paths):
            return False
        if not self.origins and not _in_body(path):
            return True
        text, _ = self._reference(path)
        if text is not None or any(path[:end] in self.origins for end in range(len(path) + 1)):
            return False
        tree = reduce(child, path, self.tree)
        return not (_holds_dollar(tree) if _in_body(path) else self._refers(tree, path))

    @cached_property
    def _set_paths(self) -> frozenset[Path]:
        """The paths of values of which a part comes from `--set`."""
        found = (path for path, span in self.values.items() if span.file == SET_FILE)
        return frozenset(path[:end] for path in found for end in range(len(path) + 1))

    def _refers(self, tree: Tree, path: Path) -> bool:
        """Whether a value inside the one at `path` comes from a variable."""
        items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
        return path in self.origins or any(self._refers(item, (*path, key)) for key, item in items)

    def _reference(self, path: Path) -> tuple[str | None, Path]:
        """The string with a parameter at `path` or around it in the body of a block, and the rest of the path."""
        if not _in_body(path):
            return None, ()
        tree: Tree = self.tree
        for end, key in enumerate(path):
            if isinstance(tree, str):
                return (tree if "$" in tree else None), path[end:]
            tree = child(tree, key)
        return (tree, ()) if isinstance(tree, str) and "$" in tree else (None, ())

    def _given(self, path: Path, name: str, rest: Path) -> Path | None:
        """Where the value of a block's parameter is written in the use that is being expanded."""
        place = self.arguments.get(str(path[1]), {}).get(name)
        return self.place((*place, *rest)) if place is not None else None

    def notes(self, path: Path) -> list[Note]:
        """Notes that show where the variables and parameters used in the value at `path` are set."""
        for end in range(len(path), 0, -1):
            names = self.origins.get(path[:end], ())
            if names:
                return [Note(f"`${name}` is set here", self.span(("vars", name, *path[end:]))) for name in names]
        text, rest = self._reference(path)
        given = {name: self._given(path, name, rest) for name in mentioned(text or "")}
        return [Note(f"`${name}` is given here", self.span(at)) for name, at in given.items() if at is not None]
