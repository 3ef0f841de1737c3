"""Blocks: components that a file defines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dlc.components.modifiers import ItemModifiers
from dlc.components.registry import KINDS, kind_of
from dlc.diagnostics import Problems, did_you_mean
from dlc.frontend.containers import CONTAINERS
from dlc.language.item_syntax import NAME_RULE, section, valid_name
from dlc.language.options import OptionError, Options, option, report_option_errors, wrong_type
from dlc.language.source import Broken, Path, Source, Tree, holds_broken
from dlc.language.variables import VARIABLE_RULE, valid_variable
from dlc.support.fast_dataclass import fast_dataclass


class ParameterType(NamedTuple):
    """A type of parameters.

    Args:
        expected: what a message calls its values.
        fits: whether a value, other than null, is one of them.
    """

    expected: str
    fits: Callable[[Tree], bool]


def _is_integer(value: Tree) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: Tree) -> bool:
    return _is_integer(value) or (isinstance(value, list) and bool(value) and all(map(_is_integer, value)))


def _is_item(value: Tree) -> bool:
    return isinstance(value, (str, dict)) and bool(value)


TYPES: Mapping[str, ParameterType] = {
    "int": ParameterType("an integer", _is_integer),
    "float": ParameterType("a number", lambda value: _is_integer(value) or isinstance(value, float)),
    "bool": ParameterType("`true` or `false`", lambda value: isinstance(value, bool)),
    "string": ParameterType("a string", lambda value: isinstance(value, str)),
    "size": ParameterType("an integer, or a list of integers", _is_size),
    "item": ParameterType("an item: a name, with or without options", _is_item),
    "items": ParameterType("a list of items", lambda value: isinstance(value, list) and all(map(_is_item, value))),
    "list": ParameterType("a list", lambda value: isinstance(value, list)),
    "any": ParameterType("anything", lambda _: True),
}


@fast_dataclass(frozen=True)
class Parameter:
    """A parameter of a block.

    Args:
        type: the name of its type.
        required: whether it has no default.
        default: its default.
        path: the path of the default in the source; without one, that of the declaration.
    """

    type: str
    required: bool
    default: Tree
    path: Path

    @property
    def expected(self) -> str:
        """What a message calls its values."""
        return TYPES[self.type].expected

    def accepts(self, value: Tree) -> bool:
        """Whether a value has its type; null is one of the values if it is the default."""
        if value is None and self.type != "any":
            return not self.required and self.default is None
        return TYPES[self.type].fits(value)


@fast_dataclass(frozen=True)
class Block:
    """A block that the file defines.

    Args:
        params: its parameters by name.
        inputs: the names of its inputs; empty for one unnamed input.
        path: its path in the source.
        sound: whether its declaration is valid; uses of invalid blocks are not checked.
    """

    name: str
    params: Mapping[str, Parameter]
    inputs: tuple[str, ...]
    path: Path
    sound: bool = True

    @property
    def shadows(self) -> bool:
        """Whether a component or a container has the same name."""
        return is_component(self.name)

    @property
    def short(self) -> str | None:
        """The parameter that the short form sets: the only required one, or the only one."""
        required = [name for name, param in self.params.items() if param.required]
        names = required if len(required) == 1 else list(self.params)
        return names[0] if len(names) == 1 else None


class _Declaration(Options):
    """A block: parameters, inputs, layers."""

    params: dict[str, Any] = option({}, description="parameters: a type, a type with its default, or a default")
    inputs: list[str] = option([], description="names of its inputs")
    layers: list[Any] = option(description="items of its body")


def is_component(word: str) -> bool:
    """Whether dlc or a plugin has an item of this name for networks."""
    return word in CONTAINERS or kind_of(word, "network") is not None


def read_blocks(source: Source, problems: Problems) -> dict[str, Block]:
    """The blocks that a file defines. Finds DLC101-DLC104, DLC121 and DLC202."""
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
    before = problems.errors
    if name in ItemModifiers.model_fields:
        hint = "choose another name for the block"
        problems.add("DLC202", f"`{name}` is a key that stands beside items", source.key_span(path), hint=hint)
    elif not valid_name(name):
        problems.add("DLC104", f"`{name}` is not a valid block name", source.key_span(path), expected=NAME_RULE)
    elif is_component(name):
        message, hint = f"the block `{name}` replaces the component of this name", "rename it to use both"
        problems.add("DLC121", message, source.key_span(path), hint=hint, severity="note")
    declaration = section(source, path, _Declaration, problems)
    if declaration is None:
        return Block(name, {}, (), path, sound=False)
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
    params = {}
    for param, declared in declaration.params.items():
        params[param] = _parameter(declared, (*path, "params", param))
        report_option_errors(list(_unfit(param, declared, params[param])), source, params[param].path, problems)
    return Block(name, params, inputs, path, sound=problems.errors == before)


def _parameter(declared: Tree, path: Path) -> Parameter:
    """A parameter as it is declared: `TYPE`, `{TYPE: DEFAULT}`, or a default of any type."""
    if isinstance(declared, str) and declared in TYPES:
        return Parameter(declared, required=True, default=None, path=path)
    if isinstance(declared, dict) and len(declared) == 1 and (word := next(iter(declared))) in TYPES:
        return Parameter(word, required=False, default=declared[word], path=(*path, word))
    return Parameter("any", required=False, default=declared, path=path)


def _unfit(name: str, declared: Tree, param: Parameter) -> Iterator[OptionError]:
    """What is wrong with a declaration: a default of another type, or a misspelt type."""
    if not param.required and not holds_broken(param.default) and not param.accepts(param.default):
        message = f"wrong type for the default of `{name}`"
        yield wrong_type(name, param.default, param.expected)._replace(message=message)
    word = next(iter(declared)) if isinstance(declared, dict) and len(declared) == 1 else None
    known = word is None or word in TYPES or any(word in kind.table for kind in KINDS.values())
    if not known and param.type == "any" and (hint := did_you_mean(str(word), TYPES)):
        message = f"unknown type `{word}` of the parameter `{name}`"
        yield OptionError((str(word),), "DLC104", message, hint=hint, at_key=True)
