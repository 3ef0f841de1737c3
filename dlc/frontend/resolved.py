"""The resolved spec of a run: all defaults filled in, variables replaced, base files merged.

It is a spec itself: a run folder's `resolved.yaml` can be checked, shown and trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import yaml

from dlc.components.modifiers import ItemModifiers
from dlc.components.registry import kind_of
from dlc.components.schedules.schedule import Length
from dlc.diagnostics import Report
from dlc.frontend.document import Document, Item
from dlc.frontend.passes.expand import CONTAINERS
from dlc.frontend.pipeline import Spec, check_text
from dlc.frontend.plugins import active
from dlc.frontend.precision import Precision
from dlc.frontend.sections import Data
from dlc.ir import CompositeBlock, InternalError, Layer
from dlc.language.options import Options
from dlc.language.scalars import scalar
from dlc.language.source import Path, Tree, child
from dlc.language.yaml_text import parse_yaml


def resolved_text(spec: Spec) -> str:
    """The resolved spec as YAML, read back to be sure that it means the same.

    Raises:
        InternalError: when it does not, which is a bug in dlc.
    """
    with active(spec.plugins):
        for filled in (True, False):  # a loss may reject a default in one of its variants: then as given
            text, again, report = _with_effect(dump(resolve_document(spec, filled)))
            if again is not None and dump(resolve_document(again, filled)) == text:
                return text
    raise InternalError(f"the resolved spec does not read back: {'; '.join(report.codes)}")


def _with_effect(text: str) -> tuple[str, Spec | None, Report]:
    """A resolved spec without what has no effect or is never used, with the spec and the report of it.

    An option whose effect depends on a variable may have none, and a base file may define more blocks than a spec uses.
    Neither is allowed where there are no variables and base files.
    """
    before = ""
    while True:
        again, report = check_text(text, "resolved.yaml", resolved=True)
        spans = {
            item.span
            for item in report.diagnostics
            if item.code in ("DLC109", "DLC114", "DLC303") and item.severity == "error"
        }
        source = parse_yaml(text, "resolved.yaml") if spans else None
        paths = [path for path in source.keys if spans & {source.keys[path], source.values[path]}] if source else []
        if again is not None or source is None or not paths or text == before:
            return text, again, report
        before = text
        for path in paths:
            _leave_out(source.tree, path)
        again, report = check_text(dump(source.tree), "resolved.yaml", resolved=True)
        text = dump(source.tree if again is None else resolve_document(again))


def _leave_out(tree: Tree, path: Path) -> None:
    """Remove an option, a block, or a parameter with its arguments.

    An item that has no effect as a whole becomes one that passes its input on.
    """
    *around, key = path
    holder = reduce(child, around, tree)
    del holder[key]
    if isinstance(around[-1], int):
        holder["linear"] = None
    elif around[-1] in ("first", "blocks", "params") and not holder:
        del reduce(child, around[:-1], tree)[around[-1]]
    if around[0] == "blocks" and around[-1] == "params":
        _without_argument(tree, str(around[1]), key)


def _without_argument(tree: Tree, block: str, parameter: str | int) -> None:
    """Remove an argument from all uses of a block."""
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        if key == block and isinstance(item, dict):
            item.pop(parameter, None)
        _without_argument(item, block, parameter)


def resolve_document(spec: Spec, filled: bool = True) -> dict[str, Tree]:
    """The sections of the resolved spec, as a plain tree; losses and metrics with their defaults when `filled`."""
    document = spec.document
    tree: dict[str, Tree] = {"dlc": 1, "name": document.name, "seed": document.seed}
    if spec.plugins:
        tree["plugins"] = [plugin.name for plugin in spec.plugins]
    if document.data is not None:
        tree["data"] = _data(document.data, document)
    tree["inputs"] = _features(document.inputs, document)
    if document.targets:
        tree["targets"] = _features(document.targets, document)
    tree["network"] = _Filler(document).items(document.source.tree["network"])
    if document.outputs is not None:
        tree["outputs"] = dict(document.outputs)
    if document.initializer is not None:
        tree["initializer"] = document.source.tree["initializer"]
    if document.regularization.l1 or document.regularization.l2:
        tree["regularization"] = _plain(document.regularization)
    if document.precision != Precision():
        tree["precision"] = _plain(document.precision)
    if document.losses:
        tree["loss"] = [_item(item, filled) for item in document.losses]
    if document.metrics:
        tree["metrics"] = [_item(item, filled) for item in document.metrics]
    if document.optimizer is not None:
        tree["optimizer"] = _item(document.optimizer)
    if document.augment:
        tree["augment"] = [_item(item) for item in document.augment]
    if document.data is not None:
        tree["train"] = _plain(document.train)
        if document.train.batch_size == "full":
            del tree["train"]["shuffle"]  # a batch of the whole split has no order
    tree = _escaped(tree)
    if document.blocks:  # unchanged: a parameter may replace an option, an item or a whole list
        tree["blocks"] = dict(document.source.tree["blocks"])
    return tree


def _features(features: Mapping[str, Any], document: Document) -> Tree:
    """Features by name, with the paths of their files from the root."""
    return {name: _word(found.rooted(document.folder)) for name, found in features.items() if found is not None}


def _data(section: Data, document: Document) -> dict[str, Tree]:
    """The section `data`, with the paths of its files from the root and no key that has no effect."""
    rooted = {
        key: source.rooted(document.folder)
        for key in ("source", "validation", "test")
        if (source := getattr(section, key)) is not None
    }
    tree: dict[str, Tree] = _plain(section.model_copy(update=rooted))
    if not document.windowed:
        del tree["windows"]  # no feature reads several rows
    split = section.split
    if not split.validation and not split.test and split.folds is None:
        del tree["split"]  # a split without effect is an error
        return tree
    if split.column is not None:  # a number would be a value of it
        for name in ("validation", "test"):
            if not getattr(split, name):
                del tree["split"][name]
    without_effect = ([] if split.shuffle else ["seed"]) + ([] if split.folds is not None else ["fold"])
    for name in without_effect:
        del tree["split"][name]
    return tree


def dump(tree: Tree) -> str:
    """A plain tree as YAML that `dlc` reads back the same."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Short lists in flow style; strings quoted where YAML 1.2 would read a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    try:
        plain = bool(value) and value.isascii() and scalar(value) == value
    except ValueError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else "'")


def _sequence(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    small = all(isinstance(item, (int, float, str, bool)) or item is None for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=small)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _sequence)


def _word(thing: Options) -> dict[str, Tree]:
    return {thing.word: _plain(thing)}


def _item(item: Item[Any, Any], filled: bool = True) -> dict[str, Tree]:
    thing = item.thing
    given = {name: _nested(getattr(thing, name)) for name in type(thing).model_fields if name in thing.model_fields_set}
    return {**(_word(thing) if filled else {thing.word: given}), **_plain(item.modifiers)}


def _plain(value: Any) -> Tree:
    """Options as a plain tree, without those that are not set."""
    if isinstance(value, Options):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        kinds = type(value).model_fields
        return {
            name: _nested(item)
            for name, item in fields.items()
            if item is not None and not (item == () and kinds[name].default == ())
        }
    return value


def _nested(value: Any) -> Tree:
    if isinstance(value, Options):
        return _word(value) if value.word else _plain(value)
    if isinstance(value, Length):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _nested(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nested(item) for item in value]
    return value


def _escaped(tree: Tree) -> Tree:
    """The tree with dollar signs doubled, as its variables are replaced already."""
    if isinstance(tree, dict):
        return {key: _escaped(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_escaped(item) for item in tree]
    return tree.replace("$", "$$") if isinstance(tree, str) else tree


class _Filler:
    """Fills defaults into items as written."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def items(self, trees: list[Tree]) -> list[Tree]:
        """Items with defaults; the items of a list inside the list, which a variable holds, are among them."""
        found: list[Tree] = []
        for tree in trees:
            found += self.items(tree) if isinstance(tree, list) else [self.item(tree)]
        return found

    def item(self, tree: Tree) -> Tree:
        if isinstance(tree, str):
            tree = {tree: None}
        return {word: self.body(word, value) for word, value in tree.items()}

    def body(self, word: str, value: Tree) -> Tree:
        if word in ItemModifiers.model_fields:
            return value
        if word in self.document.blocks:
            return {} if value is None else value
        if word in CONTAINERS and not isinstance(value, str):
            return self.container(CONTAINERS[word], value)
        kind = kind_of(word, "network")
        if kind is None:
            return value
        cls = kind.load(word)
        assert issubclass(cls, (Layer, CompositeBlock))
        if issubclass(cls, Layer) and cls.short_form_inputs and isinstance(value, (list, str)):
            return value
        given = {} if value is None else value if isinstance(value, dict) else {str(cls.main_option()): value}
        defaults = {
            name: _nested(field.default)
            for name, field in cls.model_fields.items()
            if not field.is_required() and field.default is not None
        }
        return {
            name: given.get(name, defaults.get(name)) for name in cls.model_fields if name in given or name in defaults
        }

    def container(self, cls: type[Options], value: Tree) -> Tree:
        given = (
            value
            if isinstance(value, dict) and set(value) <= set(cls.model_fields)
            else {str(cls.main_option()): value}
        )
        return {
            name: self.inner(item) if name in ("layers", "shortcut", "branches") and item else item
            for name, item in given.items()
        }

    def inner(self, value: Tree) -> Tree:
        if isinstance(value, dict):
            return {key: self.items(branch) for key, branch in value.items()}
        if value and all(isinstance(branch, list) for branch in value):
            return [self.items(branch) for branch in value]
        return self.items(value)
