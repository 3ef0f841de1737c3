"""Load a spec: read the file, merge what it extends, apply `--set`. The result is one source tree with all spans."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

from dlc.diagnostics import Problems, Span, SpecError, did_you_mean, listing, one_of
from dlc.language.options import report_option_errors, spell, wrong_type
from dlc.language.source import SET_FILE, Path, Source, Tree
from dlc.language.yaml_text import parse_yaml, read

SECTIONS = (
    "dlc",
    "name",
    "seed",
    "extends",
    "plugins",
    "vars",
    "blocks",
    "data",
    "inputs",
    "targets",
    "network",
    "outputs",
    "initializer",
    "regularization",
    "precision",
    "loss",
    "metrics",
    "optimizer",
    "augment",
    "train",
)

MAX_FILES = 32

# Paths that hold one item each: a file that extends another and names another component there replaces the item.
_ITEMS: tuple[Path, ...] = (
    ("optimizer",),
    ("initializer",),
    ("loss",),
    ("augment",),
    ("data", "source"),
    ("data", "validation"),
    ("data", "test"),
    ("inputs", "*"),
    ("targets", "*"),
)


def load_source(path: FilePath | str, sets: Sequence[str] = ()) -> Source:
    """The source of a spec file.

    Args:
        path: the file.
        sets: settings `a.b=value` that override those of the file, as passed to `--set`.

    Raises:
        SpecError: DLC001-DLC011, DLC110, DLC111.
    """
    source = _extended(FilePath(path), ())
    return apply_sets(source, sets) if sets else source


def source_of(text: str, name: str = "<text>", sets: Sequence[str] = ()) -> Source:
    """The source of a YAML text; paths in `extends` are relative to the working directory."""
    source = _with_base(parse_yaml(text, name), FilePath(), ())
    return apply_sets(source, sets) if sets else source


def _extended(path: FilePath, chain: tuple[FilePath, ...]) -> Source:
    source = parse_yaml(read(path), str(path))
    return _with_base(source, path, chain)


def _with_base(source: Source, path: FilePath, chain: tuple[FilePath, ...]) -> Source:
    if "extends" not in source.tree:
        return source
    base, span = source.tree["extends"], source.span(("extends",))
    problems = Problems()
    if not isinstance(base, str) or not base:
        option_error = wrong_type("extends", base, "the path of a file")
        report_option_errors([option_error], source, ("extends",), problems)
        raise SpecError(problems.report(source.texts))
    target = path.parent / base
    try:
        here, there = path.resolve(), target.resolve()
    except (OSError, RuntimeError, ValueError):  # a cycle of links, a NUL in the name
        problems.add("DLC111", f"can't extend `{base}`: not a valid path", span)
        raise SpecError(problems.report(source.texts)) from None
    if there in (here, *chain):
        circle = "the file extends itself" if there == here else "files extend each other in a cycle"
        problems.add("DLC111", circle, span)
        raise SpecError(problems.report(source.texts))
    if len(chain) >= MAX_FILES:
        problems.add("DLC111", f"`extends` chains more than {MAX_FILES} files", span)
        raise SpecError(problems.report(source.texts))
    try:
        parent = _extended(target, (*chain, here))
    except SpecError as error:
        if any(item.span for item in error.report.diagnostics):
            raise
        reason = error.report.diagnostics[0]
        problems.add("DLC111", f"can't extend `{base}`: {reason.message}", span, hint=reason.hint)
        raise SpecError(problems.report(source.texts)) from None
    return _merge(parent, source)


def _merge(base: Source, child: Source) -> Source:
    """Merge the child's values into the base: mappings merge, other values are replaced, `null` removes."""
    values: dict[Path, Span] = {}
    keys: dict[Path, Span] = {}

    def take(source: Source, path: Path, tree: Tree) -> Tree:
        values[path] = source.values[path]
        if path in source.keys:
            keys[path] = source.keys[path]
        if isinstance(tree, dict):
            return {key: take(source, (*path, key), item) for key, item in tree.items()}
        if isinstance(tree, list):
            return [take(source, (*path, index), item) for index, item in enumerate(tree)]
        return tree

    def lay(path: Path, under: dict[str, Tree], over: dict[str, Tree]) -> dict[str, Tree]:
        values[path] = child.values[path]
        if path in child.keys:
            keys[path] = child.keys[path]
        result: dict[str, Tree] = {}
        for key in [*under, *(key for key in over if key not in under)]:
            location = (*path, key)
            if key == "extends" and not path:
                continue
            if key not in over:
                result[key] = take(base, location, under[key])
            elif over[key] is None and key in under:
                continue
            elif _mergeable(location, under.get(key), over[key]):
                result[key] = lay(location, under[key], over[key])
            else:
                result[key] = take(child, location, over[key])
        return result

    tree = lay((), base.tree, child.tree)
    texts = {**child.texts, **base.texts}
    return Source(tree, values, keys, texts, child.main, (*child.findings, *base.findings))


def _mergeable(path: Path, under: Tree, over: Tree) -> bool:
    if not isinstance(under, dict) or not isinstance(over, dict):
        return False
    is_item = any(
        len(location) == len(path) and all(want in ("*", have) for want, have in zip(location, path, strict=True))
        for location in _ITEMS
    )
    return not is_item or bool(set(under) & set(over))


# ---- --set ----


def apply_sets(source: Source, sets: Sequence[str]) -> Source:
    """The source with settings `a.b=value` applied in order. Their spans are in the file `--set`, one line each."""
    problems = Problems()
    tree, values, keys = copy.deepcopy(source.tree), dict(source.values), dict(source.keys)
    text = "\n".join(setting.replace("\n", " ") for setting in sets)
    texts = {**source.texts, SET_FILE: text}
    for line, setting in enumerate(text.split("\n"), 1):
        _apply(setting, line, tree, values, keys, problems)
    if not problems.ok:
        raise SpecError(problems.report(texts))
    return Source(tree, values, keys, texts, source.main, source.findings)


def _apply(
    setting: str, line: int, tree: dict[str, Tree], values: dict[Path, Span], keys: dict[Path, Span], problems: Problems
) -> None:
    name, equals, text = setting.partition("=")
    whole = Span(SET_FILE, line, 1, line, len(setting) + 1)
    parts = name.split(".")
    if not equals or not all(parts):
        problems.add("DLC110", "not a valid setting", whole, expected="`a.b=value`")
        return
    if parts[0] == "extends":
        problems.add(
            "DLC110",
            "`extends` can't be set: the base is merged before settings apply",
            whole,
            hint="change it in the file",
        )
        return
    new = _value(text, line, len(name) + 2, problems)
    if new is None:
        return
    target = _descend(parts, line, tree, values, keys, problems)
    if target is not None:
        _put(new, *target, values, keys)


def _descend(
    parts: Sequence[str],
    line: int,
    tree: dict[str, Tree],
    values: dict[Path, Span],
    keys: dict[Path, Span],
    problems: Problems,
) -> tuple[Path, Any] | None:
    """The path that a setting names and the container of its last part; mappings on the way are made where missing."""
    path: Path = ()
    node: Any = tree
    holder: Any = None
    for index, part in enumerate(parts):
        column = sum(len(earlier) + 1 for earlier in parts[:index]) + 1
        span = Span(SET_FILE, line, column, line, column + len(part))
        if isinstance(node, str) and node == part:  # `optimizer: adam`, entered as `optimizer.adam.learning_rate`
            node = {part: {}}
            holder[path[-1]] = node
            values[(*path, part)] = keys[(*path, part)] = span
        elif node is None and path:
            node = {}
            holder[path[-1]] = node
        step = _step(node, part, path, parts, span, problems)
        if step is None:
            return None
        path = (*path, step)
        holder = node
        if isinstance(step, str):
            keys[path] = span
        if index < len(parts) - 1:
            if isinstance(node, dict):
                values.setdefault(path, span)
                node = node.setdefault(str(step), {})
            else:
                node = node[step]
    return path, holder


def _put(new: Source, path: Path, holder: Any, values: dict[Path, Span], keys: dict[Path, Span]) -> None:
    """Put the value of a setting into its container, with its spans in place of those of the former value."""
    for location in [location for location in values if location[: len(path)] == path]:
        del values[location]
    if new.tree["value"] is None and len(path) == 1:  # null removes a section, as in a file that extends another
        holder.pop(path[-1], None)  # it may not be there
        keys.pop(path, None)
        return
    holder[path[-1]] = new.tree["value"]
    for table, found in ((values, new.values), (keys, new.keys)):
        for location, span in found.items():
            if location[:1] == ("value",) and (table is values or len(location) > 1):
                table[(*path, *location[1:])] = span


def _step(node: Any, part: str, path: Path, parts: Sequence[str], span: Span, problems: Problems) -> str | int | None:
    where = ".".join(parts[: len(path)]) or "the file"
    if isinstance(node, dict):
        known = [*node, *(SECTIONS if not path else ())]
        if part in node or (part in SECTIONS and not path) or (path and path[0] != "vars"):
            return part
        what = "unknown variable" if path else "unknown section"
        hint = did_you_mean(part, known) or f"known: {listing(known)}"
        problems.add("DLC110", f"{what} `{part}`", span, hint=hint)
        return None
    if isinstance(node, list):
        names = [item.get("name") if isinstance(item, dict) else None for item in node]
        if part in names:
            return names.index(part)
        if re.fullmatch("[0-9]{1,6}", part) and int(part) < len(node):
            return int(part)
        named = [name for name in names if isinstance(name, str)]
        numbers = f"a number from 0 to {len(node) - 1}" if node else "nothing: the list is empty"
        expected = numbers + (f", or the name {one_of(named)}" if named else "")
        close = did_you_mean(part, named)
        problems.add("DLC110", f"`{where}` has no item `{part}`", span, expected=expected, hint=close)
        return None
    message, fix = f"`{where}` is a single value and has no `{part}`", f"set `{where}` itself"
    problems.add("DLC110", message, span, found=spell(node), hint=fix)
    return None


def _value(text: str, line: int, column: int, problems: Problems) -> Source | None:
    """The value after the equals sign, read as YAML, with its spans moved to the setting's line."""
    prefix = "value: "
    try:
        source = parse_yaml(prefix + (text if text.strip() else "''"), SET_FILE)
    except SpecError as error:
        for item in error.report.diagnostics:
            span = _moved(item.span, line, column - len(prefix) - 1) if item.span else None
            problems.add(item.code, item.message, span, found=item.found, expected=item.expected, hint=item.hint)
        return None
    for item in source.findings:
        span = _moved(item.span, line, column - len(prefix) - 1) if item.span else None
        problems.add(item.code, item.message, span, found=item.found, expected=item.expected, hint=item.hint)
    values = {path: _moved(span, line, column - len(prefix) - 1) for path, span in source.values.items()}
    keys = {path: _moved(span, line, column - len(prefix) - 1) for path, span in source.keys.items()}
    return Source(source.tree, values, keys)


def _moved(span: Span, line: int, shift: int) -> Span:
    return Span(SET_FILE, line, max(1, span.column + shift), line, max(2, span.end_column + shift))
