"""The document: a source's sections, each checked against its form. Networks stay as written; `expand` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from dlc.components.initializers.initializer import ByWeight
from dlc.components.registry import KINDS, Kind
from dlc.diagnostics import Problems, Span, did_you_mean, nearest, one_of
from dlc.frontend.blocks import Block, read_blocks
from dlc.frontend.precision import Precision
from dlc.frontend.sections import Data, Train, belongs
from dlc.language.item_syntax import NAME_RULE, Item, read_item, section, valid_name
from dlc.language.loader import SECTIONS
from dlc.language.options import (
    Options,
    main,
    option,
    report_option_errors,
    spell,
    validate,
    wrong_type,
)
from dlc.language.source import BROKEN, Broken, Path, Source, Tree
from dlc.language.variables import with_variables
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from dlc.components.augmentations.augmentation import Augmentation
    from dlc.components.features.feature import Feature
    from dlc.components.losses.loss import Loss
    from dlc.components.metrics.metric import Metric
    from dlc.components.modifiers import AugmentationModifiers, LossModifiers, MetricModifiers, OptimizerModifiers
    from dlc.components.optimizers.optimizers import Optimizer

__all__ = [
    "Block",
    "Document",
    "Item",
    "parse",
]


class Regularization(Options):
    """What is added to the loss for the sizes of all kernels (weights that multiply inputs)."""

    l1: float = option(0.0, ge=0, description="factor of the sum of their absolute values")
    l2: float = option(0.0, ge=0, description="factor of the sum of their squares")


class _Initializer(Options):
    """How weights are drawn."""

    initializer: ByWeight | None = main(None, description="an initializer, or a mapping of weights' names to them")


@fast_dataclass(frozen=True)
class Document:
    """A whole file, each section in its form. What could not be read is missing, and a problem says why."""

    source: Source
    name: str
    seed: int
    blocks: Mapping[str, Block]
    inputs: Mapping[str, Feature | None]
    targets: Mapping[str, Feature | None]
    data: Data | None
    outputs: Mapping[str, str] | None
    losses: tuple[Item[Loss, LossModifiers], ...]
    metrics: tuple[Item[Metric, MetricModifiers], ...]
    optimizer: Item[Optimizer, OptimizerModifiers] | None
    augment: tuple[Item[Augmentation, AugmentationModifiers], ...]
    initializer: Mapping[str, Any] | None
    regularization: Regularization
    precision: Precision
    train: Train
    folder: FilePath

    @property
    def windowed(self) -> bool:
        """Whether some feature reads several rows."""
        features = (*self.inputs.values(), *self.targets.values())
        return any(feature is not None and feature.span is not None for feature in features)

    @property
    def objectives(self) -> tuple[Item[Any, Any], ...]:
        """The losses and the metrics."""
        return (*self.losses, *self.metrics)


def parse(source: Source, problems: Problems) -> Document:
    """The document of a source. Finds DLC101-DLC116, and what was found while it was read."""
    for item in source.findings:
        problems.append(item)
    source = with_variables(_sections(source, problems), problems)
    tree = source.tree
    version = tree.get("dlc", 1)
    if (version != 1 or isinstance(version, bool)) and not isinstance(version, Broken):
        message = "this dlc reads version 1 of the language"
        problems.add("DLC116", message, source.span(("dlc",)), found=spell(version), expected="`dlc: 1`")
    losses = _items(source, KINDS["loss"], problems)
    metrics = _items(source, KINDS["metric"], problems)
    optimizers = _items(source, KINDS["optimizer"], problems)
    train = section(source, ("train",), Train, problems)
    return Document(
        source=source,
        name=_name(source, problems),
        seed=_seed(source, problems),
        blocks=read_blocks(source, problems),
        inputs=_features(source, "inputs", problems),
        targets=_features(source, "targets", problems),
        data=section(source, ("data",), Data, problems) if "data" in tree else None,
        outputs=_outputs(source, problems),
        losses=losses,
        metrics=metrics,
        optimizer=optimizers[0] if optimizers else None,
        augment=_items(source, KINDS["augmentation"], problems),
        initializer=_initializer(source, problems),
        regularization=section(source, ("regularization",), Regularization, problems) or Regularization(),
        precision=section(source, ("precision",), Precision, problems) or Precision(),
        train=train or Train(),
        folder=FilePath(source.main).parent if source.main else FilePath(),
    )


_EXAMPLES = {
    "inputs": "for example `inputs: {image: {tensor: [8, 8, 1]}}`",
    "network": "for example `network: [flatten, dense: 10]`",
}


def _sections(source: Source, problems: Problems) -> Source:
    """Report sections that are unknown, missing or empty; the source with the empty ones broken."""
    unknown = [key for key in source.tree if key not in SECTIONS]
    for key in unknown:
        hint = did_you_mean(key, SECTIONS) or belongs(key)
        span = source.key_span((key,))
        problems.add("DLC101", f"unknown section `{key}`", span, expected=one_of(SECTIONS), hint=hint)
    empty = [key for key, tree in source.tree.items() if key in SECTIONS and (tree is None or tree in ([], {}))]
    for key in empty:
        hint = _EXAMPLES.get(key, "fill it, or remove it")
        problems.add("DLC102", f"the section `{key}` is empty", source.key_span((key,)), hint=hint)
    meant = {nearest(key, SECTIONS) for key in unknown}
    for key in _EXAMPLES:
        if key not in source.tree and key not in meant:
            top = Span(source.main, 1, 1, 1, 1) if source.main else None
            problems.add("DLC102", f"the section `{key}` is missing", top, hint=_EXAMPLES[key])
    return replace(source, tree={**source.tree, **dict.fromkeys(empty, BROKEN)})


# ---- sections ----


def _name(source: Source, problems: Problems) -> str:
    name = source.tree.get("name")
    if name is None:
        return FilePath(source.main).stem if source.main else "model"
    fits = isinstance(name, str) and name.isprintable() and len(name.encode(errors="replace")) <= 100
    if fits and name.strip() and not set(name) & set("/\\") and not name.startswith("."):
        return str(name)
    if isinstance(name, str):
        expected = "a name for a folder: letters, digits, `-` and `_`"
        span = source.span(("name",))
        problems.add("DLC104", "`name` can't name a folder", span, found=spell(name), expected=expected)
    elif not isinstance(name, Broken):
        report_option_errors([wrong_type("name", name, "a text")], source, ("name",), problems)
    return "model"


def _seed(source: Source, problems: Problems) -> int:
    seed = source.tree.get("seed", 0)
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    if whole and 0 <= seed < 2**32:
        return int(seed)
    if whole:
        expected = f"from 0 to {2**32 - 1}"
        problems.add("DLC104", "`seed` is out of range", source.span(("seed",)), found=spell(seed), expected=expected)
    elif not isinstance(seed, Broken):
        report_option_errors([wrong_type("seed", seed, "an integer")], source, ("seed",), problems)
    return 0


def _items(source: Source, kind: Kind, problems: Problems) -> tuple[Item[Any, Any], ...]:
    """The items of a kind's section, which holds one item or, for most kinds, a list of them."""
    (section,) = kind.sections
    tree = source.tree.get(section)
    if tree is None:
        return ()
    many = kind.several and isinstance(tree, list)
    places = [(section, index) for index in range(len(tree))] if many else [(section,)]
    items = [
        _item(item, place, source, kind, problems) for item, place in zip(tree if many else [tree], places, strict=True)
    ]
    return tuple(item for item in items if item is not None)


def _item(tree: Tree, path: Path, source: Source, kind: Kind, problems: Problems) -> Item[Any, Any] | None:
    base, modifiers = kind.base_class(), kind.modifiers_class()
    return read_item(tree, path, source, kind.table, base, modifiers, kind.name, problems)


def _initializer(source: Source, problems: Problems) -> Mapping[str, Any] | None:
    tree = source.tree.get("initializer")
    if tree is None or isinstance(tree, Broken):
        return None
    made = validate(_Initializer, {"initializer": tree})
    if isinstance(made, list):
        report_option_errors([error._replace(loc=error.loc[1:]) for error in made], source, ("initializer",), problems)
        return None
    assert isinstance(made, _Initializer)
    return made.initializer


def _features(source: Source, section: str, problems: Problems) -> dict[str, Feature | None]:
    tree = source.tree.get(section)
    if tree is None or isinstance(tree, Broken) or tree == {}:
        return {}
    if not isinstance(tree, dict):
        error = wrong_type(section, tree, "a mapping, `name: feature`")
        report_option_errors([error], source, (section,), problems)
        return {}
    features: dict[str, Feature | None] = {}
    inputs = source.tree.get("inputs")
    for name, item in tree.items():
        made = _item(item, (section, name), source, KINDS["feature"], problems)
        features[name] = made.thing if made else None
        span = source.key_span((section, name))
        if name == "previous":
            problems.add("DLC202", "`previous` means the item before", span, hint="choose another name")
        elif not valid_name(name):
            problems.add("DLC104", f"`{name}` can't name one of the {section}", span, expected=NAME_RULE)
        elif section == "targets" and isinstance(inputs, dict) and name in inputs:
            hint = "rename one; `column:` names the column that it reads"
            problems.add("DLC202", f"`{name}` names an input already", span, hint=hint)
    return features


def _outputs(source: Source, problems: Problems) -> dict[str, str] | None:
    tree = source.tree.get("outputs")
    if tree is None or isinstance(tree, Broken):
        return None
    if not isinstance(tree, dict) or not tree:
        error = wrong_type("outputs", tree, "a mapping, `output: name of an item`")
        report_option_errors([error], source, ("outputs",), problems)
        return None
    for name, item in tree.items():
        if not valid_name(name):
            span = source.key_span(("outputs", name))
            problems.add("DLC104", f"`{name}` can't name an output", span, expected=NAME_RULE)
        if not isinstance(item, (str, Broken)):
            error = wrong_type(name, item, "the name of an item")
            report_option_errors([error], source, ("outputs", name), problems)
    return {name: item for name, item in tree.items() if isinstance(item, str)}
