"""The registry: every kind of component, with its table, its base class and where its items stand in a spec.

The checker, plugins, `dlc layers`, the resolved spec and the tests ask this table. A new kind is a package with a table
and a base class, and an entry here. Classes are named, not imported: only those in use are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.components.augmentations import AUGMENTATIONS
from dlc.components.callbacks import CALLBACKS
from dlc.components.constraints import CONSTRAINTS
from dlc.components.exports import EXPORTS
from dlc.components.features import FEATURES
from dlc.components.initializers import INITIALIZERS
from dlc.components.layers import ACTIVATIONS, BLOCKS, LAYERS
from dlc.components.losses import LOSSES
from dlc.components.metrics import METRICS
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.rules import RULES
from dlc.components.schedules import SCHEDULES
from dlc.components.sources import SOURCES
from dlc.language.options import Options, import_name, load_class
from dlc.support.fast_dataclass import fast_dataclass

__all__ = ["KINDS", "PLUGIN_TABLES", "Kind", "kind_of", "words_of"]


@fast_dataclass(frozen=True)
class Kind:
    """A kind of component.

    Args:
        name: what a message calls one of it: `loss`.
        plural: what a list of them is called: `losses`.
        table_name: the name of its table in a plugin: `LOSSES`.
        table: its words, each with its class as `module:Class`.
        base: the class that its classes extend, as `module:Class`.
        example: the class of its examples, which says how the tests run them; `builtins:str` for items as written.
        sections: the sections that hold its items.
        modifiers: the keys beside an item, as `module:Class`; None when none may stand there.
        several: whether its section may hold a list of items.
        also: the kind that its words belong to as well: an activation is a layer, too.
    """

    name: str
    plural: str
    table_name: str
    table: dict[str, str]
    base: str
    example: str
    sections: tuple[str, ...] = ()
    modifiers: str | None = None
    several: bool = False
    also: str | None = None

    def load(self, word: str) -> type[Any]:
        """The class of a word."""
        return load_class(self.table, word)

    def base_class(self) -> type[Any]:
        """The class that its classes extend."""
        return import_name(self.base)

    def example_class(self) -> type[Any]:
        """The class of its examples."""
        return import_name(self.example)

    def modifiers_class(self) -> type[Options]:
        """The keys that may stand beside an item."""
        return import_name(self.modifiers or "dlc.components.modifiers:NoModifiers")

    def words(self) -> dict[str, str]:
        """Its words without those of kinds that are of this kind, too."""
        narrower = [kind.table for kind in KINDS.values() if kind.also == self.name]
        return {word: place for word, place in self.table.items() if not any(word in table for table in narrower)}

    def shares_words(self) -> list[Kind]:
        """The kinds among whose words one must be unique, itself among them: layers and blocks stand in one list."""
        return [kind for kind in KINDS.values() if kind is self or set(kind.sections) & set(self.sections)]


_KINDS = (
    Kind(
        "layer",
        "layers",
        "LAYERS",
        LAYERS,
        base="dlc.ir:Layer",
        example="dlc.ir:Example",
        sections=("network",),
        modifiers="dlc.components.modifiers:ItemModifiers",
        several=True,
    ),
    Kind(
        "activation",
        "activations",
        "ACTIVATIONS",
        ACTIVATIONS,
        base="dlc.components.layers.activations:Elementwise",
        example="dlc.ir:Example",
        sections=("network",),
        modifiers="dlc.components.modifiers:ItemModifiers",
        several=True,
        also="layer",
    ),
    Kind(
        "block",
        "blocks",
        "BLOCKS",
        BLOCKS,
        base="dlc.ir:CompositeBlock",
        example="dlc.ir:Example",
        sections=("network",),
        modifiers="dlc.components.modifiers:ItemModifiers",
        several=True,
    ),
    Kind(
        "initializer",
        "initializers",
        "INITIALIZERS",
        INITIALIZERS,
        base="dlc.components.initializers.initializer:Initializer",
        example="builtins:str",
        sections=("initializer",),
    ),
    Kind(
        "constraint",
        "constraints",
        "CONSTRAINTS",
        CONSTRAINTS,
        base="dlc.components.constraints.constraint:Constraint",
        example="builtins:str",
    ),
    Kind(
        "loss",
        "losses",
        "LOSSES",
        LOSSES,
        base="dlc.components.losses.loss:Loss",
        example="dlc.components.losses.loss:LossExample",
        sections=("loss",),
        modifiers="dlc.components.modifiers:LossModifiers",
        several=True,
    ),
    Kind(
        "metric",
        "metrics",
        "METRICS",
        METRICS,
        base="dlc.components.metrics.metric:Metric",
        example="dlc.components.losses.loss:LossExample",
        sections=("metrics",),
        modifiers="dlc.components.modifiers:MetricModifiers",
        several=True,
    ),
    Kind(
        "optimizer",
        "optimizers",
        "OPTIMIZERS",
        OPTIMIZERS,
        base="dlc.components.optimizers.optimizer:Optimizer",
        example="builtins:str",
        sections=("optimizer",),
        modifiers="dlc.components.modifiers:OptimizerModifiers",
    ),
    Kind(
        "schedule",
        "schedules",
        "SCHEDULES",
        SCHEDULES,
        base="dlc.components.schedules.schedule:Schedule",
        example="builtins:str",
    ),
    Kind(
        "augmentation",
        "augmentations",
        "AUGMENTATIONS",
        AUGMENTATIONS,
        base="dlc.components.augmentations.augmentation:Augmentation",
        example="dlc.components.augmentations.augmentation:AugmentExample",
        sections=("augment",),
        modifiers="dlc.components.modifiers:AugmentationModifiers",
        several=True,
    ),
    Kind(
        "feature",
        "features",
        "FEATURES",
        FEATURES,
        base="dlc.components.features.feature:Feature",
        example="dlc.components.features.feature:FeatureExample",
        sections=("inputs", "targets"),
    ),
    Kind(
        "source",
        "sources",
        "SOURCES",
        SOURCES,
        base="dlc.components.sources.source:Source",
        example="builtins:str",
        sections=("data",),
    ),
    Kind(
        "callback",
        "callbacks",
        "CALLBACKS",
        CALLBACKS,
        base="dlc.components.callbacks.callback:Callback",
        example="builtins:str",
        sections=("train",),
        several=True,
    ),
    Kind(
        "export",
        "exports",
        "EXPORTS",
        EXPORTS,
        base="dlc.components.exports.export:Export",
        example="builtins:str",
    ),
    Kind(
        "rule",
        "lint rules",
        "RULES",
        RULES,
        base="dlc.components.rules.rule:Rule",
        example="dlc.components.rules.rule:RuleExample",
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
"""All kinds by name, in the order of the reference."""

PLUGIN_TABLES: Mapping[str, Kind] = {kind.table_name: kind for kind in _KINDS}
"""All kinds by the name of their table in a plugin."""


def kind_of(word: str, section: str) -> Kind | None:
    """The kind that a word of a section belongs to, or None when the section has no such word."""
    return next((kind for kind in _KINDS if section in kind.sections and word in kind.table), None)


def words_of(section: str) -> dict[str, str]:
    """The words of all kinds that stand in a section, each with its class."""
    return {word: place for kind in _KINDS if section in kind.sections for word, place in kind.table.items()}
