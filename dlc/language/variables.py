"""Variables in trees: the values of `vars:`, and trees with their references replaced.

A few lines can describe huge values (`b: [$a, $a]`, `c: [$b, $b]`, ...), so everything that is inserted is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dlc.diagnostics import Note, Problems, Span
from dlc.language.interpolation import NAME, ExpressionError, mentioned, substitute
from dlc.language.options import spell
from dlc.language.source import BROKEN, SET_FILE, Broken, Path, Source, Tree, holds_broken
from dlc.language.yaml_text import MAX_DEPTH, MAX_VALUES

VARIABLE_RULE = "letters, digits and `_`, starting with a letter or `_`"


def valid_variable(name: str) -> bool:
    """Whether `$name` can refer to a variable or parameter of this name."""
    return re.fullmatch(NAME, name) is not None


class Substitution:
    """Replaces references in trees of one source, and records which variables were used where.

    Args:
        source: the source of the trees.
        problems: what errors are added to.
    """

    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.used: set[str] = set()
        self.misspelt: dict[str, dict[Span | None, str]] = {}  # the unknown names by the variable that they may mean
        self.origins: dict[Path, tuple[str, ...]] = {}
        self.left = MAX_VALUES

    def replace(self, tree: Tree, path: Path, variables: Mapping[str, Tree], notes: Iterable[Note] = ()) -> Tree:
        """A tree with its references replaced; `BROKEN` where one is wrong."""
        if isinstance(tree, dict):
            return {key: self.replace(item, (*path, key), variables, notes) for key, item in tree.items()}
        if isinstance(tree, list):
            return [self.replace(item, (*path, index), variables, notes) for index, item in enumerate(tree)]
        if not isinstance(tree, str) or "$" not in tree:
            return tree
        names = mentioned(tree)
        self.used.update(names)
        if any(isinstance(variables.get(name), Broken) for name in names):
            return BROKEN
        try:
            value = substitute(tree, variables)
        except ExpressionError as error:
            span, hint = self.source.within(path, tree, error.start, error.length), error.hint
            if error.meant is not None:
                self.misspelt.setdefault(error.meant, {})[span] = str(error.unknown)
            if path[0] == "blocks" and ("vars", str(error.unknown)) in self.source.values:
                hint = f"a block sees only its parameters: declare `{error.unknown}` in its `params:`"
            self.problems.add(error.code, error.message, span, hint=hint, notes=notes)
            return BROKEN
        if names:
            self.origins[path] = tuple(names)
        return value if self.fits(value, path, notes) else BROKEN

    def fits(self, value: Tree, path: Path, notes: Iterable[Note]) -> bool:
        """Count an inserted value; returns whether it is within the bounds."""
        if not isinstance(value, (dict, list)):
            return True
        size, depth = _measure(value)
        self.left -= size
        span = self.source.span(path)
        if self.left < 0:
            # report once: all that follows would exceed the limit as well
            if self.left + size >= 0:
                message = f"the variables expand to more than {MAX_VALUES:,} values"
                self.problems.add("DLC009", message, span, notes=notes)
            return False
        if depth + len(path) > MAX_DEPTH:
            self.problems.add("DLC008", f"collections nest more than {MAX_DEPTH} deep", span, notes=notes)
            return False
        return True


def _measure(tree: Tree) -> tuple[int, int]:
    """How many values a tree holds, and how deep it nests."""
    if not isinstance(tree, (dict, list)):
        return 1, 0
    parts = [_measure(item) for item in (tree.values() if isinstance(tree, dict) else tree)]
    return 1 + sum(size for size, _ in parts), 1 + max((depth for _, depth in parts), default=0)


def values_of(source: Source, substitution: Substitution) -> dict[str, Tree]:
    """The values of `vars`; each may use the others, in any order, without cycles."""
    raw, problems = source.tree.get("vars"), substitution.problems
    if raw is None or isinstance(raw, Broken):
        return {}
    if not isinstance(raw, dict):
        expected = "a mapping, `name: value`"
        problems.add("DLC103", "wrong type for `vars`", source.span(("vars",)), found=spell(raw), expected=expected)
        return {}
    for name in raw:
        if not valid_variable(name):
            span = source.key_span(("vars", name))
            problems.add("DLC104", f"`{name}` is not a valid variable name", span, expected=VARIABLE_RULE)
    values: dict[str, Tree] = {}
    for name in _in_order(raw, source, values, problems):
        if name not in values:
            value = substitution.replace(raw[name], ("vars", name), values)
            values[name] = BROKEN if holds_broken(value) else value
    return values


def _in_order(raw: Mapping[str, Tree], source: Source, values: dict[str, Tree], problems: Problems) -> Iterable[str]:
    """The variables, each after those that it uses; those of a cycle are reported and marked broken."""
    uses = {name: [other for other in names_of(tree) if other in raw] for name, tree in raw.items()}
    done: set[str] = set()
    for first in raw:
        open_names = {first: iter(uses[first])} if first not in done else {}
        while open_names:
            name = next(reversed(open_names))
            other = next(open_names[name], None)
            if other is None:
                del open_names[name]
                done.add(name)
                yield name
            elif other in open_names:
                names = list(open_names)
                circle = names[names.index(other) :]
                _circle(circle, source, problems)
                values.update(dict.fromkeys(circle, BROKEN))
            elif other not in done:
                open_names[other] = iter(uses[other])


def _circle(circle: list[str], source: Source, problems: Problems) -> None:
    first = circle[0]
    message = f"the variable `{first}` refers to itself"
    if len(circle) > 1:
        message = "variables refer to each other in a cycle: " + " -> ".join(f"`{name}`" for name in [*circle, first])
    problems.add("DLC107", message, source.span(("vars", first)))


def names_of(tree: Tree) -> list[str]:
    """The variables that a tree refers to."""
    if isinstance(tree, dict):
        return list(dict.fromkeys(name for item in tree.values() for name in names_of(item)))
    if isinstance(tree, list):
        return list(dict.fromkeys(name for item in tree for name in names_of(item)))
    return mentioned(tree) if isinstance(tree, str) and "$" in tree else []


def _values(tree: Tree) -> list[Tree]:
    return list(tree.values()) if isinstance(tree, dict) else []


def with_variables(source: Source, problems: Problems) -> Source:
    """The source with `$name` and `$(...)` replaced, except in bodies of blocks, which see only their parameters."""
    found = Problems()
    substitution = Substitution(source, found)
    variables = values_of(source, substitution)
    raw = source.tree.get("vars")
    used = {name for tree in _values(raw) for name in names_of(tree)}
    tree: dict[str, Tree] = {}
    for key, value in source.tree.items():
        if key == "blocks" and isinstance(value, dict):
            tree[key] = {
                name: {**block, "params": substitution.replace(block["params"], (key, name, "params"), variables)}
                if isinstance(block, dict) and "params" in block
                else block
                for name, block in value.items()
            }
            used |= {name for block in _values(value) for name in _outside(block)}
        elif key not in ("vars", "extends"):
            tree[key] = substitution.replace(value, (key,), variables)
    used |= substitution.used
    renamed = _misspelt_definitions(source, substitution, used, problems)
    for item in found.report({}).diagnostics:
        if item.span not in renamed:
            problems.append(item)
    for name in raw if isinstance(raw, dict) and isinstance(source.tree.get("network"), list) else ():
        if name not in used and name not in substitution.misspelt and _is_own(source, name) and valid_variable(name):
            span, hint = source.key_span(("vars", name)), f"use it as `${name}`, or remove it"
            problems.add("DLC109", f"the variable `{name}` is never used", span, hint=hint)
    return replace(source, tree=tree, origins=substitution.origins)


def _outside(block: Tree) -> list[str]:
    """The names in the body of a block that are not its parameters: a mistake, but a use of the variable as well."""
    params = block.get("params") if isinstance(block, dict) else None
    names = names_of(block.get("layers")) if isinstance(block, dict) else []
    return [name for name in names if not isinstance(params, dict) or name not in params]


def _is_own(source: Source, name: str) -> bool:
    """Whether a variable is defined in the file itself or on the command line, and not in a base file."""
    span = source.key_span(("vars", name))
    return span is None or span.file in (source.main, SET_FILE)


def _misspelt_definitions(
    source: Source, substitution: Substitution, used: set[str], problems: Problems
) -> set[Span | None]:
    """Report variables whose definition is misspelt: all uses have another name; the spans of these uses."""
    renamed: set[Span | None] = set()
    for name, uses in substitution.misspelt.items():
        names = set(uses.values())
        if len(uses) > 1 and len(names) == 1 and name not in used and _is_own(source, name):
            (meant,) = names
            message, hint = f"the variable `{name}` is never used, and `{meant}` is unknown", f"rename it to `{meant}`"
            notes = [Note(f"`${meant}` is used here", span) for span in list(uses)[:4]]
            problems.add("DLC107", message, source.key_span(("vars", name)), hint=hint, notes=notes)
            renamed |= set(uses)
    return renamed
