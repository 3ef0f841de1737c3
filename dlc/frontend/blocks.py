"""Blocks: components that a file defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dlc.components.registry import kind_of
from dlc.diagnostics import Problems
from dlc.frontend.containers import CONTAINERS
from dlc.language.item_syntax import NAME_RULE, section, valid_name
from dlc.language.options import Options, option, report_option_errors, wrong_type
from dlc.language.source import Broken, Path, Source, Tree
from dlc.language.variables import VARIABLE_RULE, valid_variable
from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class Block:
    """A block that the file defines.

    Args:
        params: the kinds of the parameters.
        defaults: the default values of those that have one.
        inputs: the names of its inputs; empty for one unnamed input.
        path: its path in the source.
        sound: whether its declaration is valid; uses of invalid blocks are not checked.
    """

    name: str
    params: Mapping[str, str]
    defaults: Mapping[str, Tree]
    inputs: tuple[str, ...]
    path: Path
    sound: bool = True

    KINDS: ClassVar[Mapping[str, str]] = {
        "int": "an integer",
        "float": "a number",
        "bool": "`true` or `false`",
        "string": "a string",
        "list": "a list",
        "any": "anything",
    }


class _Declaration(Options):
    """A block: parameters, inputs, layers."""

    params: dict[str, Any] = option({}, description="parameters: a kind, or a default value")
    inputs: list[str] = option([], description="names of its inputs")
    layers: list[Any] = option(min_length=1, description="items of its body")


def read_blocks(source: Source, problems: Problems) -> dict[str, Block]:
    """The blocks that a file defines. Finds DLC101-DLC104 and DLC202."""
    tree = source.tree.get("blocks")
    if tree is None or isinstance(tree, Broken):
        return {}
    if not isinstance(tree, dict):
        error = wrong_type("blocks", tree, "a mapping, `name: {params, layers}`")
        report_option_errors([error], source, ("blocks",), problems)
        return {}
    return {name: _block(name, source, problems) for name in tree}


def _block(name: str, source: Source, problems: Problems) -> Block:
    path: Path = ("blocks", name)
    before = problems.count
    if name in CONTAINERS or kind_of(name, "network") is not None:
        hint = "choose another name for the block"
        problems.add("DLC202", f"`{name}` is already the name of a component", source.key_span(path), hint=hint)
    elif not valid_name(name):
        problems.add("DLC104", f"`{name}` is not a valid block name", source.key_span(path), expected=NAME_RULE)
    declaration = section(source, path, _Declaration, problems)
    if declaration is None:
        return Block(name, {}, {}, (), path, sound=False)
    for param in declaration.params:
        if not valid_variable(param):
            span = source.key_span((*path, "params", param))
            problems.add("DLC104", f"`{param}` is not a valid parameter name", span, expected=VARIABLE_RULE)
    inputs = tuple(declaration.inputs)
    for index, given in enumerate(inputs):
        span = source.span((*path, "inputs", index))
        if given == "previous":
            problems.add("DLC202", "`previous` is reserved for the item before", span, hint="choose another name")
        elif not valid_name(given):
            problems.add("DLC104", f"`{given}` is not a valid input name", span, expected=NAME_RULE)
        elif inputs.index(given) != index:
            problems.add("DLC202", f"the input `{given}` is given twice", span, hint="choose another name")
    kinds = {param: _kind(default) for param, default in declaration.params.items()}
    defaults = {param: default for param, default in declaration.params.items() if not _is_kind_word(default)}
    return Block(name, kinds, defaults, inputs, path, sound=problems.count == before)


def _is_kind_word(default: Tree) -> bool:
    return isinstance(default, str) and default in Block.KINDS


def _kind(default: Tree) -> str:
    """The kind of a parameter: the given kind, or that of its default value."""
    if isinstance(default, str):
        return default if default in Block.KINDS else "string"
    by_type = {bool: "bool", int: "int", float: "float", list: "list"}
    return by_type.get(type(default), "any")


def is_kind(value: Tree, kind: str) -> bool:
    """Whether a value has a parameter's kind."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "int": number and isinstance(value, int),
        "float": number,
        "bool": isinstance(value, bool),
        "string": isinstance(value, str),
        "list": isinstance(value, list),
        "any": True,
    }[kind]
