"""Items and sections as they stand in a source: each taken apart, checked, and every fault put in its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from dlc.diagnostics import Note, Problems, listing
from dlc.language.options import (
    Fault,
    Options,
    as_options,
    load_class,
    options_of,
    report_faults,
    split_item,
    unshorten,
    validate,
    wrong_type,
)
from dlc.language.yaml_text import Broken, Path, Source, Tree
from dlc.support.fast_dataclass import record

T = TypeVar("T", bound=Options)
K = TypeVar("K", bound=Options)

NAME_RULE = "letters, digits, `_` and `-`, beginning with a letter"


def valid_name(name: str) -> bool:
    """Whether a text can name an item: it becomes part of paths."""
    return bool(name) and name.isascii() and name[0].isalpha() and name.replace("_", "").replace("-", "").isalnum()


@record(frozen=True)
class Item(Generic[T, K]):
    """A thing of the language with the keys beside it, and its path in the source."""

    thing: T
    keys: K
    path: Path


def read_item(
    tree: Tree,
    path: Path,
    source: Source,
    table: Mapping[str, str],
    cls: type[T],
    keys: type[K],
    kind: str,
    problems: Problems,
) -> Item[T, K] | None:
    """One item of the language, or None after its problems were added."""
    if isinstance(tree, Broken):
        return None
    parts = split_item(tree, table, kind, list(keys.model_fields), options_of(table))
    if isinstance(parts, list):
        report_faults(parts, source, path, problems)
        return None
    report_faults(parts.faults, source, path, problems)
    beside = validate(keys, parts.common)
    if isinstance(beside, list):
        report_faults(beside, source, path, problems)
    thing = read_options(
        load_class(table, parts.word),
        parts.body,
        (*path, *parts.loc),
        source,
        problems,
        parts.misplaced,
        keys.model_fields,
    )
    if isinstance(beside, list) or parts.faults or thing is None:
        return None
    assert isinstance(thing, cls)
    assert isinstance(beside, keys)
    return Item(thing, beside, path)


def read_options(
    cls: type[T],
    body: Tree,
    path: Path,
    source: Source,
    problems: Problems,
    given: tuple[str, ...] = (),
    beside: Collection[str] = (),
    notes: tuple[Note, ...] = (),
) -> T | None:
    """The instance of `cls` that the body behind its word describes, or None after its problems were added.

    Args:
        cls: the class.
        body: what stands behind the word.
        path: where that is.
        source: the source.
        problems: what faults are added to.
        given: options that stand in a wrong place, which was reported: they are not missing.
        beside: keys that may stand beside the word, for hints.
        notes: notes for each fault.
    """
    if isinstance(body, Broken):
        return None
    options = as_options(cls, body, ())
    made = [options] if isinstance(options, Fault) else validate(cls, options[0], given)
    if isinstance(made, list):
        faults = unshorten(made, body if body is not None else {}, cls.main_option())
        faults = [_beside(fault, cls, beside) for fault in faults]
        report_faults(faults, source, path, problems, notes)
        return None
    assert isinstance(made, cls)
    return made


def _beside(fault: Fault, cls: type[Options], beside: Collection[str]) -> Fault:
    """A fault of an unknown option with the hint that it belongs beside the word."""
    if fault.code == "DLC101" and len(fault.loc) == 1 and fault.loc[0] in beside:
        return fault._replace(hint=f"`{fault.loc[0]}` stands beside `{cls.word}`, not inside")
    return fault


def section(source: Source, path: Path, cls: type[T], problems: Problems) -> T | None:
    """A section that is a mapping of options, or the short form of its main one; None after its problems were added."""
    tree: Any = source.tree
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if isinstance(tree, Broken):
        return None
    main = cls.main_option()
    what = str(path[-1])
    if not isinstance(tree, dict) and tree is not None and main is None:
        fault = wrong_type(what, tree, f"a mapping of {listing(cls.model_fields)}")
        report_faults([fault], source, path, problems)
        return None
    body = {main: tree} if main is not None and tree is not None and not isinstance(tree, dict) else tree or {}
    made = validate(cls, body)
    if isinstance(made, list):
        faults = [fault._replace(message=fault.message.replace("this section", f"`{what}`")) for fault in made]
        report_faults(unshorten(faults, tree if tree is not None else {}, main), source, path, problems)
        return None
    assert isinstance(made, cls)
    return made
