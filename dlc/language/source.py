"""A spec as written: a plain tree with the span of every key and value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any

from dlc.diagnostics import Diagnostic, Note, Span, lines_of
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

    def key_span(self, path: Path) -> Span | None:
        """The span of the key at `path`; for an item of a list, of the item."""
        return self.keys.get(path) or self.span(path)


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
    """

    tree: dict[str, Tree]
    values: Mapping[Path, Span]
    keys: Mapping[Path, Span]
    texts: Mapping[str, str] = field(default_factory=dict)
    main: str = ""
    findings: tuple[Diagnostic, ...] = ()
    origins: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)

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

    def notes(self, path: Path) -> list[Note]:
        """Notes that show where the variables used in the value at `path` are set."""
        for end in range(len(path), 0, -1):
            names = self.origins.get(path[:end], ())
            if names:
                return [Note(f"`${name}` is set here", self.span(("vars", name, *path[end:]))) for name in names]
        return []
