"""expand: the items of a network -> steps. Blocks are opened, containers read, options checked, paths given.

A path is the names from the outside in, joined by slashes. An item without a `name` is called after its word, the
second one `dense_2`, so that inserting a layer renames no layer of another kind. Inside a repeat the number of the
iteration is part of the path; here it is `*`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from dlc.diagnostics import Note, Problems, Span, did_you_mean, listing, nearest
from dlc.expressions import ExpressionFault, names_in
from dlc.ir import Layer, Origin
from dlc.layers import LAYERS, MERGES
from dlc.layers.activations import Activation
from dlc.options import (
    Fault,
    Options,
    as_options,
    load_class,
    main,
    option,
    report_faults,
    spell,
    split_item,
    unshorten,
    validate,
    word_field,
)
from dlc.passes.steps import BlockStep, BrokenStep, LayerStep, Name, ParallelStep, RepeatStep, ResidualStep, Step
from dlc.source import Path, Source, Tree
from dlc.spec import NAME_RULE, Block, Broken, Document, holds_broken, replace, valid_name

MAX_STEPS = 20_000

Items = list[Any]


def _branches(value: Any) -> Any:
    if isinstance(value, list):
        return {str(index): branch for index, branch in enumerate(value)}
    return value


class Keys(Options):
    """What may stand beside a layer."""

    name: str | None = option(None, description="what other items call it; part of its weights' paths")
    inputs: Any = option(None, description="the names of what it takes, instead of the item before")
    share: str | None = option(None, description="the item whose weights it uses")


class Residual(Options):
    """A body whose input is added to its result (He et al. 2015, arXiv:1512.03385): x + body(x)."""

    word = "residual"
    layers: Items = main(min_length=1, description="items of the body")
    shortcut: Items | None = option(None, min_length=1, description="items that the input goes through before the sum")
    activation: Activation = option(None, description="what follows the sum")


class Parallel(Options):
    """Branches on the same input, merged at the end (Szegedy et al. 2014, arXiv:1409.4842)."""

    word = "parallel"
    branches: Annotated[dict[str, Items], BeforeValidator(_branches)] = main(
        min_length=2, description="lists of items, or a mapping of names to such lists"
    )
    merge: Annotated[Layer, word_field(lambda: MERGES, "merge")] = option(description="concat or add")


class Repeat(Options):
    """A body that runs several times, each time with weights of its own."""

    word = "repeat"
    times: int = option(ge=1, le=10_000, description="how many times")
    layers: Items = main(min_length=1, description="items of the body")


class Share(Options):
    """An earlier item once more, with the same weights."""

    word = "share"
    item: str = main(description="the item's name")


CONTAINERS: dict[str, type[Options]] = {"residual": Residual, "parallel": Parallel, "repeat": Repeat, "share": Share}


@dataclass
class _Scope:
    """The named items that can be shared from here, each with its weights and how it was written."""

    parent: _Scope | None = None
    items: dict[str, tuple[str, Tree, Path]] = field(default_factory=dict)

    def find(self, name: str) -> tuple[str, Tree, Path] | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.items:
                return scope.items[name]
            scope = scope.parent
        return None

    def names(self) -> list[str]:
        return [*self.items, *(self.parent.names() if self.parent else ())]


def expand(document: Document, problems: Problems) -> tuple[Step, ...]:
    """The steps of a document's network. Finds DLC101-DLC117, DLC202 and DLC211."""
    tree = document.source.tree.get("network")
    if tree is None or isinstance(tree, Broken):
        return ()
    source = document.source
    if not isinstance(tree, list) or not tree:
        problems.add(
            "DLC103",
            "`network` must be a list of items",
            source.span(("network",)),
            found=spell(tree),
            expected="`- dense: 10`",
        )
        return ()
    expander = _Expander(document, problems)
    steps = expander.items(tree, ("network",), "", "", _Scope(), ())
    expander.unused()
    return steps


class _Expander:
    """The state of one expansion: the document, the problems, which blocks are open and which were used."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.source: Source = document.source
        self.blocks: Mapping[str, Block] = document.blocks
        self.problems = problems
        self.open: list[str] = []
        self.used: set[str] = set()
        self.count = 0
        self.words = {**LAYERS, **dict.fromkeys(CONTAINERS, ""), **dict.fromkeys(self.blocks, "")}

    def items(
        self,
        trees: Sequence[Tree],
        path: Path,
        prefix: str,
        weights: str,
        scope: _Scope,
        uses: tuple[Note, ...],
        reserved: tuple[str, ...] = (),
    ) -> tuple[Step, ...]:
        """The steps of one list. `path` leads to it in the source; `prefix` begins the paths of its items."""
        named = {tree["name"] for tree in trees if isinstance(tree, dict) and isinstance(tree.get("name"), str)}
        taken: dict[str, Span | None] = {}
        counts: dict[str, int] = {}
        steps = []
        for index, tree in enumerate(trees):
            if self.count > MAX_STEPS:
                break
            self.count += 1
            if self.count > MAX_STEPS:
                self.problems.add(
                    "DLC117",
                    f"the network expands to more than {MAX_STEPS:,} layers",
                    self.source.span(path),
                    notes=uses,
                )
                break
            place = (*path, index)
            name = tree.get("name") if isinstance(tree, dict) else None
            label = name if isinstance(name, str) else self._label(tree, counts, named | set(reserved))
            if isinstance(name, str):
                self._check_name(name, place, taken, reserved, uses)
            step = self.item(tree, place, f"{prefix}{label}", f"{weights}{label}", scope, uses)
            steps.append(step)
            if isinstance(name, str):
                scope.items[name] = (step.weights, tree, place)
        return tuple(steps)

    def _label(self, tree: Tree, counts: dict[str, int], named: set[str]) -> str:
        word = (
            tree
            if isinstance(tree, str)
            else next((key for key in tree if key in self.words), None)
            if isinstance(tree, dict)
            else None
        )
        if not isinstance(word, str) or not valid_name(word):
            word = "item"
        while True:
            counts[word] = counts.get(word, 0) + 1
            label = word if counts[word] == 1 else f"{word}_{counts[word]}"
            if label not in named:
                return label

    def _check_name(
        self, name: str, place: Path, taken: dict[str, Span | None], reserved: tuple[str, ...], uses: tuple[Note, ...]
    ) -> None:
        span = self.source.span((*place, "name"))
        if name in taken:
            notes = [Note("first given here", taken[name]), *uses]
            self.problems.add(
                "DLC202", f"the name `{name}` is given twice", span, hint="names are unique in their list", notes=notes
            )
        elif name == "previous" or name in reserved:
            self.problems.add(
                "DLC202", f"the name `{name}` is taken here", span, hint="choose another name", notes=uses
            )
        elif not valid_name(name):
            self.problems.add("DLC104", f"`{name}` can't name an item", span, expected=NAME_RULE, notes=uses)
        taken.setdefault(name, span)

    def item(self, tree: Tree, place: Path, path: str, weights: str, scope: _Scope, uses: tuple[Note, ...]) -> Step:
        """One item."""
        broken = BrokenStep(path, None, None, Origin(self.source.key_span(place), {}, uses), weights, "")
        name = tree.get("name") if isinstance(tree, dict) else None
        if isinstance(name, str):
            broken = BrokenStep(path, name, None, broken.origin, weights, "")
        parts = split_item(tree, self.words, "layer", self._beside(tree))
        if isinstance(parts, list):
            faults = [self._misplaced(fault, tree) for fault in parts] if not isinstance(tree, Broken) else []
            report_faults(faults, self.source, place, self.problems, uses)
            return broken
        keys = validate(Keys, {key: value for key, value in parts.common.items() if not holds_broken(value)})
        if isinstance(keys, list):
            report_faults(keys, self.source, place, self.problems, uses)
            return broken
        assert isinstance(keys, Keys)
        options_at = (*place, *parts.loc)
        inputs = self._names(keys.inputs, (*place, "inputs"), uses) if keys.inputs is not None else None
        origin = Origin(
            self.source.key_span((*place, parts.word) if parts.loc else place),
            self._places(parts.body, options_at),
            uses,
        )
        if keys.share is not None:
            shared = self._shared(keys.share, (*place, "share"), scope, uses)
            weights = shared[0] if shared else weights
        step = Step(path, keys.name, inputs, origin, weights, parts.word)
        if holds_broken(parts.body):
            return broken
        if parts.word in self.blocks:
            return self._block(step, parts.body, options_at)
        if parts.word in CONTAINERS:
            return self._container(step, parts.body, options_at, scope)
        return self._layer(step, parts.body, options_at)

    def _beside(self, tree: Tree) -> list[str]:
        """The keys that may stand beside this item's word; `share` may be the word itself."""
        keys = list(Keys.model_fields)
        if isinstance(tree, dict) and "share" in tree and all(key in keys for key in tree):
            keys.remove("share")
        return keys

    def _misplaced(self, fault: Fault, tree: Tree) -> Fault:
        """Mend the hint of a bare list that stands where one item should."""
        if isinstance(tree, list):
            return fault._replace(hint="a list of items goes into `residual`, `parallel` or `repeat`")
        if (
            fault.code == "DLC105"
            and isinstance(tree, dict)
            and len(tree) == 1
            and fault.loc
            and str(fault.loc[0]) in Keys.model_fields
        ):
            return fault._replace(hint="a layer's word is missing beside it")
        return fault

    def _places(self, body: Tree, at: Path) -> dict[str, Span]:
        if not isinstance(body, dict):
            return {}
        return {key: span for key in body if (span := self.source.span((*at, key))) is not None}

    def _names(self, value: Any, at: Path, uses: tuple[Note, ...]) -> tuple[Name, ...] | None:
        """The names in `inputs:` or a merge's short form."""
        parts = value if isinstance(value, list) else [value]
        if parts and all(isinstance(part, str) for part in parts):
            single = not isinstance(value, list)
            return tuple(
                Name(part, self.source.span(at if single else (*at, index))) for index, part in enumerate(parts)
            )
        numbers = any(isinstance(part, int) for part in parts)
        hint = "name the other item with `name:` and use that" if numbers else None
        self.problems.add(
            "DLC103",
            "`inputs` takes names",
            self.source.span(at),
            found=spell(value),
            expected="a name or a list of names",
            hint=hint,
            notes=uses,
        )
        return None

    def _shared(self, name: str, at: Path, scope: _Scope, uses: tuple[Note, ...]) -> tuple[str, Tree, Path] | None:
        found = scope.find(name)
        if found is None:
            known = scope.names()
            hint = did_you_mean(name, known) or (
                f"named so far: {listing(known)}" if known else "give the item a `name:`"
            )
            self.problems.add(
                "DLC211", f"no earlier item is called `{name}`", self.source.span(at), hint=hint, notes=uses
            )
        return found

    # ---- layers ----

    def _layer(self, step: Step, body: Tree, at: Path) -> Step:
        cls = load_class(LAYERS, step.word)
        assert issubclass(cls, Layer)
        inputs = step.inputs
        if cls.short_form_inputs and isinstance(body, (list, str)):
            if inputs is not None:
                self.problems.add(
                    "DLC106",
                    f"`{step.word}` names its inputs twice",
                    step.origin.span,
                    hint="keep the short form or `inputs:`",
                    notes=step.origin.uses,
                )
            inputs, body = self._names(body, at, step.origin.uses), None
        layer = self._options(cls, body, at, step.origin)
        return LayerStep(
            step.path,
            step.name,
            inputs,
            step.origin,
            step.weights,
            step.word,
            layer if isinstance(layer, Layer) else None,
        )

    def _options(self, cls: type[Options], body: Tree, at: Path, origin: Origin) -> Options | None:
        options = as_options(cls, body, ())
        made = [options] if isinstance(options, Fault) else validate(cls, options[0])
        if isinstance(made, Options):
            return made
        faults = unshorten(made, body if body is not None else {}, cls.main_option())
        report_faults(faults, self.source, at, self.problems, origin.uses)
        return None

    # ---- containers ----

    def _container(self, step: Step, body: Tree, at: Path, scope: _Scope) -> Step:
        broken = BrokenStep(step.path, step.name, step.inputs, step.origin, step.weights, step.word)
        made = self._options(CONTAINERS[step.word], body, at, step.origin)
        uses = step.origin.uses
        main_at = (*at, CONTAINERS[step.word].main_option() or "") if isinstance(body, dict) else at
        if isinstance(made, Residual):
            reserved = ("shortcut",) * (made.shortcut is not None) + ("activation",) * (made.activation is not None)
            inner = self.items(made.layers, main_at, f"{step.path}/", f"{step.weights}/", _Scope(scope), uses, reserved)
            shortcut = None
            if made.shortcut is not None:
                prefixes = f"{step.path}/shortcut/", f"{step.weights}/shortcut/"
                shortcut = self.items(made.shortcut, (*at, "shortcut"), *prefixes, _Scope(scope), uses)
            return ResidualStep(**vars(step), body=inner, shortcut=shortcut, activation=made.activation)
        if isinstance(made, Parallel):
            branches = []
            for key, trees in made.branches.items():
                place = (*main_at, int(key) if key.isdigit() else key)
                if not trees or not (valid_name(key) or key.isdigit()):
                    message = f"the branch `{key}` has no items" if not trees else f"`{key}` can't name a branch"
                    self.problems.add(
                        "DLC104",
                        message,
                        self.source.span(place),
                        expected="a list of items" if not trees else NAME_RULE,
                        notes=uses,
                    )
                    continue
                prefixes = f"{step.path}/{key}/", f"{step.weights}/{key}/"
                branches.append((key, self.items(trees, place, *prefixes, _Scope(scope), uses)))
            return ParallelStep(**vars(step), branches=tuple(branches), merge=made.merge)
        if isinstance(made, Repeat):
            prefixes = f"{step.path}/*/", f"{step.weights}/*/"
            return RepeatStep(
                **vars(step), times=made.times, body=self.items(made.layers, main_at, *prefixes, _Scope(scope), uses)
            )
        if isinstance(made, Share):
            found = self._shared(made.item, main_at, scope, uses)
            return self._again(step, found, scope) if found else broken
        return broken

    def _again(self, step: Step, found: tuple[str, Tree, Path], scope: _Scope) -> Step:
        """An earlier item once more, at a path of its own, with the earlier one's weights."""
        weights, tree, place = found
        tree = {key: value for key, value in tree.items() if key not in Keys.model_fields}
        note = Note(f"shared by `{step.path}`", step.origin.span)
        again = self.item(tree, place, step.path, weights, scope, (note, *step.origin.uses))
        return type(again)(
            **{
                **vars(again),
                "name": step.name,
                "inputs": step.inputs,
                "origin": Origin(step.origin.span, again.origin.options, step.origin.uses),
            }
        )

    # ---- blocks ----

    def _block(self, step: Step, body: Tree, at: Path) -> Step:
        block = self.blocks[step.word]
        broken = BrokenStep(step.path, step.name, step.inputs, step.origin, step.weights, step.word)
        self.used.add(block.name)
        if block.name in self.open:
            circle = " -> ".join([*self.open[self.open.index(block.name) :], block.name])
            self.problems.add("DLC113", f"blocks use each other in a circle: {circle}", step.origin.span)
            return broken
        arguments = self._arguments(block, body, at, step.origin)
        form = self.source.tree["blocks"][block.name]
        trees = form.get("layers") if isinstance(form, dict) else None
        if arguments is None or not isinstance(trees, list) or not trees:
            return broken
        place: Path = (*block.path, "layers")
        uses = (Note(f"in the block `{block.name}`, used here", step.origin.span), *step.origin.uses)
        bound = replace(trees, place, self.source, arguments, self.problems, set(), notes=uses)
        self.open.append(block.name)
        inner = self.items(bound, place, f"{step.path}/", f"{step.weights}/", _Scope(), uses)
        self.open.pop()
        return BlockStep(**vars(step), block=block.name, names=block.inputs, body=inner)

    def _arguments(self, block: Block, body: Tree, at: Path, origin: Origin) -> dict[str, Tree] | None:
        """The values of a block's parameters in one use."""
        required = [name for name in block.params if name not in block.defaults]
        if body is None:
            given: dict[str, Tree] = {}
        elif isinstance(body, dict):
            given = body
        elif len(required) == 1 or len(block.params) == 1:
            given, at = {(required or list(block.params))[0]: body}, at
        else:
            self.problems.add(
                "DLC112",
                f"the block `{block.name}` has no short form",
                self.source.span(at),
                found=spell(body),
                expected=f"a mapping of {listing(block.params)}" if block.params else "no arguments",
                notes=origin.uses,
            )
            return None
        good = True
        for name, value in given.items():
            place = (*at, name) if isinstance(body, dict) else at
            if name not in block.params:
                self.problems.add(
                    "DLC112",
                    f"the block `{block.name}` has no parameter `{name}`",
                    self.source.key_span(place),
                    expected=f"one of {listing(block.params)}" if block.params else "no arguments",
                    hint=did_you_mean(name, block.params),
                    notes=origin.uses,
                )
                good = False
            elif not _is_kind(value, block.params[name]):
                note = Note("declared here", self.source.key_span((*block.path, "params", name)))
                self.problems.add(
                    "DLC112",
                    f"`{name}` of the block `{block.name}` must be of kind {block.params[name]}",
                    self.source.span(place),
                    found=spell(value),
                    notes=[note, *origin.uses],
                )
                good = False
        for name in required:
            if name not in given:
                note = Note("declared here", self.source.key_span((*block.path, "params", name)))
                self.problems.add(
                    "DLC112",
                    f"the block `{block.name}` needs `{name}`",
                    origin.span,
                    expected=f"`{name}: {block.params[name]}`",
                    notes=[note, *origin.uses],
                )
                good = False
        return {**block.defaults, **given} if good else None

    def unused(self) -> None:
        """Blocks that nothing uses, and parameters that their body does not mention."""
        for name, block in self.blocks.items():
            span = self.source.key_span(block.path)
            if span is not None and span.file not in (self.source.main, "--set"):
                continue  # a shared base file may define more than one spec needs
            if name not in self.used:
                near = nearest(name, self.words)
                self.problems.add(
                    "DLC114",
                    f"the block `{name}` is never used",
                    span,
                    hint=f"use it as `- {name}`, or delete it" if near else None,
                )
            form = self.source.tree["blocks"][name]
            mentioned = _mentioned(form.get("layers") if isinstance(form, dict) else None)
            for param in block.params:
                if param not in mentioned:
                    self.problems.add(
                        "DLC109",
                        f"the parameter `{param}` of `{name}` is never used",
                        self.source.key_span((*block.path, "params", param)),
                        hint=f"use it as `${param}`, or delete it",
                    )


def _mentioned(tree: Tree) -> set[str]:
    if isinstance(tree, dict):
        return set().union(*(_mentioned(item) for item in tree.values())) if tree else set()
    if isinstance(tree, list):
        return set().union(*(_mentioned(item) for item in tree)) if tree else set()
    if not isinstance(tree, str):
        return set()
    try:
        return {name for name, _ in names_in(tree)}
    except ExpressionFault:
        return set()


def _is_kind(value: Tree, kind: str) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "int": number and isinstance(value, int),
        "float": number,
        "bool": isinstance(value, bool),
        "string": isinstance(value, str),
        "list": isinstance(value, list),
        "any": True,
    }[kind]
