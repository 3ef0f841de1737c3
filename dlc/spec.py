"""The document: a source's sections, each checked against its form. Networks stay as written; `expand` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BeforeValidator

from dlc.diagnostics import Problems, did_you_mean, listing
from dlc.expressions import NAME, ExpressionFault, names_in, substitute
from dlc.features import FEATURES
from dlc.features.feature import Feature
from dlc.loader import SECTIONS
from dlc.objectives import LOSSES, METRICS, OPTIMIZERS
from dlc.objectives.losses import Loss
from dlc.objectives.metrics import Metric
from dlc.objectives.optimizers import Optimizer
from dlc.options import (
    Fault,
    Options,
    as_options,
    load_class,
    main,
    option,
    reject,
    report_faults,
    spell,
    split_item,
    unshorten,
    validate,
    word_field,
)
from dlc.source import Path, Source, Tree
from dlc.sources import SOURCES
from dlc.sources.source import Source as DataSource


def _share(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, float) and 0 <= value < 1:
        return value
    expected = "a share below 1, or a number of records"
    raise reject(Fault((), "DLC104", "this is no part of the data", found=spell(value), expected=expected))


Share = Annotated[float | int, BeforeValidator(_share)]
DataWord = Annotated[DataSource, word_field(lambda: SOURCES, "source")]


class Split(Options):
    """How records are divided: shares below 1, or numbers of records; what is left is the training split."""

    validation: Share = option(0, description="part held out to watch the training")
    test: Share = option(0, description="part held out for the final figures")
    seed: int = option(0, ge=0, lt=2**32, description="seed of the division, apart from the run's own")
    shuffle: bool = option(True, description="divide at random; else the last records are held out")


class Data(Options):
    """Where records come from."""

    source: DataWord = main(description="where the records come from")
    validation: DataWord | None = option(None, description="a source of its own for the validation split")
    test: DataWord | None = option(None, description="a source of its own for the test split")
    split: Split = option(Split(), description="how the records are divided")

    def splits(self) -> tuple[str, ...]:
        """The splits that exist."""
        held = {"validation": self.validation or self.split.validation, "test": self.test or self.split.test}
        return ("train", *(name for name, part in held.items() if part))


class EarlyStopping(Options):
    """Stop when the monitored value has not improved for `patience` epochs."""

    monitor: str | None = option(None, description="SPLIT/METRIC; that of `train.monitor` when left out")
    patience: int = option(5, ge=1, description="epochs without improvement")
    min_delta: float = option(0.0, ge=0, description="what counts as an improvement")


class Train(Options):
    """How long and in what portions to train."""

    epochs: int = option(10, ge=1, description="passes over the training split")
    batch_size: int | Literal["full"] = option(32, description="examples a step; `full` takes the whole split")
    shuffle: bool = option(True, description="draw a new order for every epoch")
    monitor: str | None = option(
        None, description="SPLIT/METRIC that decides which weights are best; validation/loss when left out"
    )
    early_stopping: EarlyStopping | None = option(None, description="stop when nothing improves")
    checkpoint_every: int = option(1, ge=1, description="epochs between checkpoints")
    keep_checkpoints: int = option(2, ge=1, description="checkpoints to keep")


class LossKeys(Options):
    """What may stand beside a loss."""

    output: str | None = option(None, description="the output it reads")
    target: str | None = option(None, description="the target it compares with")
    weight: float = option(1.0, gt=0, description="its factor in the sum")


class MetricKeys(Options):
    """What may stand beside a metric."""

    output: str | None = option(None, description="the output it reads")
    target: str | None = option(None, description="the target it compares with")
    name: str | None = option(None, description="what it is called in reports")


class OptimizerKeys(Options):
    """What may stand beside an optimizer."""

    clip_norm: float | None = option(None, gt=0, description="scale gradients down to this global norm")


T = TypeVar("T", bound=Options)
K = TypeVar("K", bound=Options)


@dataclass(frozen=True)
class Item(Generic[T, K]):
    """A thing of the language with the keys beside it, and its path in the source."""

    thing: T
    keys: K
    path: Path


@dataclass(frozen=True)
class Block:
    """A word that the file defines.

    Args:
        params: the parameters with their kinds.
        defaults: the default values of those that have one.
        inputs: the names of its inputs; empty for one unnamed input.
        path: where it stands in the source.
    """

    name: str
    params: Mapping[str, str]
    defaults: Mapping[str, Tree]
    inputs: tuple[str, ...]
    path: Path

    KINDS: ClassVar[tuple[str, ...]] = ("int", "float", "bool", "string", "list", "any")


@dataclass(frozen=True)
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
    losses: tuple[Item[Loss, LossKeys], ...]
    metrics: tuple[Item[Metric, MetricKeys], ...]
    optimizer: Item[Optimizer, OptimizerKeys] | None
    train: Train
    folder: FilePath


def parse(source: Source, problems: Problems) -> Document:
    """The document of a source. Finds DLC101-DLC116."""
    _sections(source, problems)
    source = _with_variables(source, problems)
    tree = source.tree
    version = tree.get("dlc", 1)
    if version != 1 or isinstance(version, bool):
        problems.add(
            "DLC116",
            "this dlc reads version 1 of the language",
            source.span(("dlc",)),
            found=spell(version),
            expected="`dlc: 1`",
        )
    for section in ("inputs", "network"):
        if tree.get(section) is None:
            empty = section in tree
            message = f"the section `{section}` is {'empty' if empty else 'missing'}"
            problems.add(
                "DLC102",
                message,
                source.key_span((section,)) if empty else None if not source.main else _top(source),
                hint=_EXAMPLES[section],
            )
    losses = _objectives(source, "loss", LOSSES, Loss, LossKeys, problems)
    metrics = _objectives(source, "metrics", METRICS, Metric, MetricKeys, problems)
    optimizers = _objectives(source, "optimizer", OPTIMIZERS, Optimizer, OptimizerKeys, problems)
    train = _section(source, ("train",), Train, problems)
    if train is not None and isinstance(train.batch_size, int) and train.batch_size < 1:
        problems.add(
            "DLC104",
            "`batch_size` must be at least 1",
            source.span(("train", "batch_size")),
            found=spell(train.batch_size),
        )
    return Document(
        source=source,
        name=_name(source, problems),
        seed=_seed(source, problems),
        blocks=_blocks(source, problems),
        inputs=_features(source, "inputs", problems),
        targets=_features(source, "targets", problems),
        data=_section(source, ("data",), Data, problems, short=True) if "data" in tree else None,
        outputs=_outputs(source, problems),
        losses=losses,
        metrics=metrics,
        optimizer=optimizers[0] if optimizers else None,
        train=train or Train(),
        folder=FilePath(source.main).parent if source.main else FilePath(),
    )


_EXAMPLES = {
    "inputs": "for example `inputs: {image: {tensor: [8, 8, 1]}}`",
    "network": "for example `network: [flatten, dense: 10]`",
}


def _top(source: Source) -> Any:
    span = source.span(())
    return span._replace(line=1, column=1, end_line=1, end_column=1) if span else None


def _sections(source: Source, problems: Problems) -> None:
    for key in source.tree:
        if key not in SECTIONS:
            hint = did_you_mean(key, SECTIONS)
            problems.add(
                "DLC101",
                f"unknown section `{key}`",
                source.key_span((key,)),
                expected=f"one of {listing(SECTIONS)}",
                hint=hint,
            )


# ---- variables ----


def _with_variables(source: Source, problems: Problems) -> Source:
    """The source with `$name` and `$(...)` replaced, but for the bodies of blocks, which see only their parameters."""
    variables = _variables(source, problems)
    used: set[str] = set()
    tree: dict[str, Tree] = {}
    for key, value in source.tree.items():
        if key == "vars":
            continue
        if key == "blocks" and isinstance(value, dict):
            tree[key] = {
                name: _replace_params(block, ("blocks", name), source, variables, used, problems)
                for name, block in value.items()
            }
        else:
            tree[key] = replace(value, (key,), source, variables, problems, used)
    mine = source.tree.get("vars")
    for name in mine if isinstance(mine, dict) else ():
        span = source.key_span(("vars", name))
        inherited = span is not None and span.file not in (source.main, "--set")
        for other in mine:
            if other != name and isinstance(mine[other], str) and name in _mentioned(mine[other]):
                used.add(name)
        if name not in used and not inherited:
            problems.add(
                "DLC109", f"the variable `{name}` is never used", span, hint=f"use it as `${name}`, or delete it"
            )
    return Source(tree, source.values, source.keys, source.texts, source.main)


def _replace_params(
    block: Tree, path: Path, source: Source, variables: Mapping[str, Tree], used: set[str], problems: Problems
) -> Tree:
    if not isinstance(block, dict) or "params" not in block:
        return block
    return {**block, "params": replace(block["params"], (*path, "params"), source, variables, problems, used)}


def _mentioned(text: str) -> set[str]:
    try:
        return {name for name, _ in names_in(text)}
    except ExpressionFault:
        return set()


def _variables(source: Source, problems: Problems) -> dict[str, Tree]:
    """The values of `vars`; each may use the others, in any order but a circle."""
    raw = source.tree.get("vars")
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        problems.add(
            "DLC103", "`vars` must be a mapping", source.span(("vars",)), found=spell(raw), expected="`name: value`"
        )
        return {}
    import re

    values: dict[str, Tree] = {}
    open_names: list[str] = []

    def value(name: str) -> None:
        if name in values or name not in raw:
            return
        if name in open_names:
            circle = " -> ".join([*open_names[open_names.index(name) :], name])
            problems.add("DLC107", f"variables refer to each other in a circle: {circle}", source.span(("vars", name)))
            values[name] = 1
            return
        open_names.append(name)
        if isinstance(raw[name], str):
            for other in _mentioned(raw[name]):
                value(other)
        open_names.pop()
        values.setdefault(name, replace(raw[name], ("vars", name), source, values, problems, set(), known=raw))

    for name in raw:
        if not re.fullmatch(NAME, name):
            problems.add(
                "DLC104",
                f"`{name}` is no name of a variable",
                source.key_span(("vars", name)),
                expected="letters, digits and `_`",
            )
        value(name)
    return values


def replace(
    tree: Tree,
    path: Path,
    source: Source,
    variables: Mapping[str, Tree],
    problems: Problems,
    used: set[str],
    known: Mapping[str, Tree] | None = None,
    notes: tuple[Any, ...] = (),
) -> Tree:
    """A tree with its references replaced; names that it used are added to `used`."""
    if isinstance(tree, dict):
        return {
            key: replace(item, (*path, key), source, variables, problems, used, known, notes)
            for key, item in tree.items()
        }
    if isinstance(tree, list):
        return [
            replace(item, (*path, index), source, variables, problems, used, known, notes)
            for index, item in enumerate(tree)
        ]
    if not isinstance(tree, str) or "$" not in tree:
        return tree
    try:
        used.update(name for name, _ in names_in(tree))
        return substitute(tree, variables)
    except ExpressionFault as fault:
        span = source.span(path)
        if span is not None:
            quoted = span.line == span.end_line and span.end_column - span.column == len(tree) + 2
            span = span.inside(fault.start + quoted, fault.length)
        problems.add(fault.code, fault.message, span, hint=fault.hint, notes=notes)
        return BROKEN


class Broken:
    """Stands for a value whose expression is wrong: it was reported, so nothing more is said of it."""

    def __repr__(self) -> str:
        return "<broken>"


BROKEN = Broken()


def holds_broken(tree: Tree) -> bool:
    """Whether a value somewhere in the tree is already known to be wrong."""
    if isinstance(tree, dict):
        return any(holds_broken(item) for item in tree.values())
    if isinstance(tree, list):
        return any(holds_broken(item) for item in tree)
    return isinstance(tree, Broken)


# ---- sections ----


def _name(source: Source, problems: Problems) -> str:
    name = source.tree.get("name")
    if name is None:
        return FilePath(source.main).stem if source.main else "model"
    if not isinstance(name, str) or not name or set(name) & set("/\\\0") or name.startswith("."):
        if not isinstance(name, Broken):
            problems.add(
                "DLC104" if isinstance(name, str) else "DLC103",
                "`name` must be a text that can name a folder",
                source.span(("name",)),
                found=spell(name),
                expected="letters, digits, `-` and `_`",
            )
        return "model"
    return name


def _seed(source: Source, problems: Problems) -> int:
    seed = source.tree.get("seed", 0)
    if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**32:
        return seed
    if not isinstance(seed, Broken):
        problems.add(
            "DLC103",
            "`seed` must be an integer",
            source.span(("seed",)),
            found=spell(seed),
            expected="an integer from 0 to 4294967295",
        )
    return 0


def _section(source: Source, path: Path, cls: type[T], problems: Problems, short: bool = False) -> T | None:
    """A section that is a mapping of options."""
    tree: Any = source.tree
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if tree is None:
        tree = {}
    if isinstance(tree, Broken) or holds_broken(tree):
        return None
    what = ".".join(map(str, path))
    if not isinstance(tree, dict):
        problems.add(
            "DLC103",
            f"`{what}` must be a mapping",
            source.span(path),
            found=spell(tree),
            expected=f"options: {listing(cls.model_fields)}",
        )
        return None
    made = validate(cls, tree)
    if isinstance(made, list):
        faults = [fault._replace(message=fault.message.replace("this section", f"`{what}`")) for fault in made]
        report_faults(faults, source, path, problems)
        return None
    assert isinstance(made, cls)
    return made


def item_thing(
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
    if holds_broken(tree):
        return None
    parts = split_item(tree, table, kind, list(keys.model_fields))
    if isinstance(parts, list):
        report_faults(parts, source, path, problems)
        return None
    beside = validate(keys, parts.common)
    if isinstance(beside, list):
        report_faults(beside, source, path, problems)
    thing_class = load_class(table, parts.word)
    options = as_options(thing_class, parts.body, parts.loc)
    if isinstance(options, Fault):
        report_faults([options], source, path, problems)
        return None
    made = validate(thing_class, options[0])
    if isinstance(made, list):
        faults = unshorten(made, parts.body if parts.body is not None else {}, thing_class.main_option())
        report_faults(faults, source, (*path, *parts.loc), problems)
        return None
    if isinstance(beside, list):
        return None
    assert isinstance(made, cls)
    assert isinstance(beside, keys)
    return Item(made, beside, path)


def _objectives(
    source: Source, section: str, table: Mapping[str, str], cls: type[T], keys: type[K], problems: Problems
) -> tuple[Item[T, K], ...]:
    """The items of a section that holds one item or (losses, metrics) a list of them."""
    tree = source.tree.get(section)
    if tree is None:
        return ()
    kind = section.rstrip("s") if section != "loss" else section
    if isinstance(tree, list) and section != "optimizer":
        items = [
            item_thing(item, (section, index), source, table, cls, keys, kind, problems)
            for index, item in enumerate(tree)
        ]
    else:
        items = [item_thing(tree, (section,), source, table, cls, keys, kind, problems)]
    return tuple(item for item in items if item is not None)


def _features(source: Source, section: str, problems: Problems) -> dict[str, Feature | None]:
    tree = source.tree.get(section)
    if tree is None or isinstance(tree, Broken):
        return {}
    if not isinstance(tree, dict) or not tree:
        problems.add(
            "DLC103",
            f"`{section}` must be a mapping",
            source.span((section,)),
            found=spell(tree),
            expected="`name: feature`",
        )
        return {}
    features: dict[str, Feature | None] = {}
    for name, item in tree.items():
        made = item_thing(item, (section, name), source, FEATURES, Feature, Options, "feature", problems)
        features[name] = made.thing if made else None
        if name == "previous" or not valid_name(name):
            problems.add(
                "DLC202" if name == "previous" else "DLC104",
                f"`{name}` can't name one of the {section}",
                source.key_span((section, name)),
                expected=NAME_RULE,
            )
        if section == "targets" and name in (source.tree.get("inputs") or ()):
            problems.add(
                "DLC202",
                f"`{name}` names an input already",
                source.key_span((section, name)),
                hint="rename one; `column:` names the column that it reads",
            )
    return features


NAME_RULE = "letters, digits, `_` and `-`, beginning with a letter"


def valid_name(name: str) -> bool:
    """Whether a text can name an item: it becomes part of paths."""
    return bool(name) and name.isascii() and name[0].isalpha() and name.replace("_", "").replace("-", "").isalnum()


def _outputs(source: Source, problems: Problems) -> dict[str, str] | None:
    tree = source.tree.get("outputs")
    if tree is None or isinstance(tree, Broken):
        return None
    if not isinstance(tree, dict) or not tree or not all(isinstance(item, str) for item in tree.values()):
        problems.add(
            "DLC103",
            "`outputs` must be a mapping",
            source.span(("outputs",)),
            found=spell(tree),
            expected="`output: item's name`",
        )
        return None
    for name in tree:
        if not valid_name(name):
            problems.add(
                "DLC104", f"`{name}` can't name an output", source.key_span(("outputs", name)), expected=NAME_RULE
            )
    return dict(tree)


# ---- blocks ----


class _BlockForm(Options):
    """A block: parameters, inputs, layers."""

    params: dict[str, Any] = option({}, description="parameters: a kind, or a default value")
    inputs: list[str] = option([], description="names of its inputs")
    layers: list[Any] = option(description="items of its body")


def _blocks(source: Source, problems: Problems) -> dict[str, Block]:
    tree = source.tree.get("blocks")
    if tree is None or isinstance(tree, Broken):
        return {}
    if not isinstance(tree, dict):
        problems.add(
            "DLC103",
            "`blocks` must be a mapping",
            source.span(("blocks",)),
            found=spell(tree),
            expected="`name: {params, layers}`",
        )
        return {}
    from dlc.layers import LAYERS
    from dlc.passes.expand import CONTAINERS

    blocks: dict[str, Block] = {}
    for name, form in tree.items():
        path: Path = ("blocks", name)
        if name in LAYERS or name in CONTAINERS:
            problems.add(
                "DLC202",
                f"`{name}` is a word of the language already",
                source.key_span(path),
                hint="choose another name for the block",
            )
        elif not valid_name(name):
            problems.add("DLC104", f"`{name}` can't name a block", source.key_span(path), expected=NAME_RULE)
        made = _section(source, path, _BlockForm, problems)
        params = dict(made.params) if made else {}
        kinds = {param: _kind(default) for param, default in params.items()}
        defaults = {param: default for param, default in params.items() if default not in Block.KINDS}
        inputs = tuple(made.inputs) if made else ()
        for index, given in enumerate(inputs):
            if not valid_name(given) or given == "previous" or inputs.index(given) != index:
                problems.add(
                    "DLC202",
                    f"`{given}` can't name an input here",
                    source.span((*path, "inputs", index)),
                    expected=NAME_RULE,
                )
        if made is not None and not made.layers:
            problems.add("DLC102", f"the block `{name}` has no layers", source.key_span(path))
        blocks[name] = Block(name, kinds, defaults, inputs, path)
    return blocks


def _kind(default: Tree) -> str:
    """The kind of a parameter: named by a kind word, else that of its default."""
    if isinstance(default, str):
        return default if default in Block.KINDS else "string"
    by_type = {bool: "bool", int: "int", float: "float", list: "list"}
    return by_type.get(type(default), "any")
