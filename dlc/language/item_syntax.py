"""Read the items and sections of a source: each is split and checked, and every error gets its position."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

from dlc.diagnostics import Note, Problems, listing
from dlc.language.options import (
    Location,
    OptionError,
    Options,
    as_options,
    judged,
    load_class,
    options_of,
    report_option_errors,
    split_item,
    unshorten,
    validate,
    wrong_type,
)
from dlc.language.source import Broken, Path, Source, Tree
from dlc.support.fast_dataclass import fast_dataclass

T = TypeVar("T", bound=Options)
K = TypeVar("K", bound=Options)

NAME_RULE = "letters, digits, `_` and `-`, starting with a letter"


def valid_name(name: str) -> bool:
    """Whether a string can name an item: it becomes part of paths."""
    return bool(name) and name.isascii() and name[0].isalpha() and name.replace("_", "").replace("-", "").isalnum()


@fast_dataclass(frozen=True)
class Item(Generic[T, K]):
    """A component with the keys beside it, and its path in the source."""

    thing: T
    modifiers: K
    path: Path


def read_item(
    tree: Tree,
    path: Path,
    source: Source,
    table: Mapping[str, str],
    cls: type[T],
    modifiers: type[K],
    kind: str,
    problems: Problems,
) -> Item[T, K] | None:
    """Read one item; None after its errors were added to `problems`."""
    if isinstance(tree, Broken):
        return None
    parts = split_item(tree, table, kind, list(modifiers.model_fields), options_of(table))
    if isinstance(parts, list):
        report_option_errors(parts, source, path, problems)
        return None
    report_option_errors(parts.errors, source, path, problems)
    beside = validate(modifiers, parts.common)
    if isinstance(beside, list):
        report_option_errors(beside, source, path, problems)
    thing = read_options(
        load_class(table, parts.word),
        parts.body,
        (*path, *parts.loc),
        source,
        problems,
        parts.misplaced,
        modifiers.model_fields,
    )
    if isinstance(beside, list) or parts.errors or thing is None:
        return None
    assert isinstance(thing, cls)
    assert isinstance(beside, modifiers)
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
    """Read the options of a component; None after their errors were added to `problems`.

    Args:
        cls: the class.
        body: the value of the component's key.
        path: its path in the source.
        source: the source.
        problems: what errors are added to.
        given: misplaced options, already reported: they do not count as missing.
        beside: keys that may stand beside the component name, for hints.
        notes: notes for each error.
    """
    if isinstance(body, Broken):
        return None
    options = as_options(cls, body, ())
    made = [options] if isinstance(options, OptionError) else validate(cls, options[0], given)
    while isinstance(made, list) and isinstance(body, dict):
        idle = next((error for error in made if not judged(error, source, path)), None)
        if idle is None:
            break
        body = _left_out(body, idle.loc)
        made = validate(cls, body, given)
    if isinstance(made, list):
        errors = unshorten(made, body if body is not None else {}, cls.main_option())
        errors = [_beside(error, cls, beside) for error in errors]
        report_option_errors(errors, source, path, problems, notes)
        return None
    assert isinstance(made, cls)
    return made


def _left_out(body: Tree, loc: Location) -> Tree:
    """Options without the one at a location."""
    key, *rest = loc
    if not rest:
        return {name: value for name, value in body.items() if name != key}
    return {**body, key: _left_out(body[key], tuple(rest))}


def _beside(error: OptionError, cls: type[Options], beside: Collection[str]) -> OptionError:
    """The error of an unknown option, with a hint if it belongs beside the component name."""
    if error.code == "DLC101" and len(error.loc) == 1 and error.loc[0] in beside:
        return error._replace(hint=f"`{error.loc[0]}` goes beside `{cls.word}`, not inside it")
    return error


def section(source: Source, path: Path, cls: type[T], problems: Problems) -> T | None:
    """Read a section: a mapping of options, or the value of its main option; None after its errors were added."""
    tree: Any = source.tree
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if isinstance(tree, Broken):
        return None
    main = cls.main_option()
    what = str(path[-1])
    if not isinstance(tree, dict) and tree is not None and main is None:
        error = wrong_type(what, tree, f"a mapping of {listing(cls.model_fields)}")
        report_option_errors([error], source, path, problems)
        return None
    body = {main: tree} if main is not None and tree is not None and not isinstance(tree, dict) else tree or {}
    made = validate(cls, body)
    if isinstance(made, list):
        errors = [error._replace(message=error.message.replace("this section", f"`{what}`")) for error in made]
        report_option_errors(unshorten(errors, tree if tree is not None else {}, main), source, path, problems)
        return None
    assert isinstance(made, cls)
    return made
