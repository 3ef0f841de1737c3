"""expand: the items of a network -> steps. Blocks are expanded, containers read, options checked, paths assigned.

A path is the names from the outside in, separated by slashes. An item without a `name` is named after its layer, the
second one `dense_2`, so that inserting a layer does not rename layers of other kinds. Inside a repeat the iteration's
number is part of the path; here it is `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import NamedTuple

from dlc.components.modifiers import ItemModifiers, settings_of
from dlc.components.registry import KINDS, Kind, kind_of, words_of
from dlc.diagnostics import Note, Problems, Span, did_you_mean, listing, nearest, one_of, plural
from dlc.frontend.blocks import Block
from dlc.frontend.containers import CONTAINERS, Parallel, Repeat, Residual, Share
from dlc.frontend.document import Document
from dlc.frontend.passes.steps import (
    BlockStep,
    BrokenStep,
    LayerStep,
    Name,
    ParallelStep,
    RepeatStep,
    ResidualStep,
    Step,
)
from dlc.ir import MAX_NODES, CompositeBlock, Layer, Origin, Settings
from dlc.language.item_syntax import NAME_RULE, read_options, valid_name
from dlc.language.options import (
    OptionError,
    judged,
    report_option_errors,
    spell,
    split_item,
    validate,
    wrong_type,
)
from dlc.language.source import SET_FILE, Broken, Path, Source, Tree, holds_broken
from dlc.language.variables import Substitution
from dlc.support.fast_dataclass import fast_dataclass

__all__ = ["CONTAINERS", "expand"]

MAX_NESTING = 48

Placed = tuple[Tree, Path]  # an item and its path in the source


class _Shared(NamedTuple):
    """A named item that can be shared: its path, the path of its weights, its tree and its settings."""

    path: str
    weights: str
    tree: Tree
    location: Path
    settings: tuple[Settings, ...]


@fast_dataclass
class _Scope:
    """The names that are taken in a scope, and the named items that can be shared from it.

    Args:
        parent: the enclosing scope; none for a block.
        taken: names of inputs, which no item may have, with their spans.
        items: the items that can be shared, by name.
        spans: the span of each name.
        settings: the settings of the enclosing items.
    """

    parent: _Scope | None = None
    taken: Mapping[str, Span | None] = field(default_factory=dict)
    items: dict[str, _Shared] = field(default_factory=dict)
    spans: dict[str, Span | None] = field(default_factory=dict)
    settings: tuple[Settings, ...] = ()

    def inside(self, settings: tuple[Settings, ...]) -> _Scope:
        """The scope of a list inside an item with these settings."""
        return _Scope(self, settings=settings)

    def find(self, name: str) -> _Shared | None:
        """The item of this name that can be shared."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.items:
                return scope.items[name]
            scope = scope.parent
        return None

    def names(self) -> list[str]:
        """All names of items that can be shared."""
        return [*self.items, *(self.parent.names() if self.parent else ())]

    def given(self, name: str) -> tuple[str, Span | None] | None:
        """What already has this name, and its span."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.taken:
                return "an input", scope.taken[name]
            if name in scope.spans:
                return "an item", scope.spans[name]
            scope = scope.parent
        return None


def expand(document: Document, problems: Problems) -> tuple[Step, ...]:
    """The steps of a document's network. Finds DLC101-DLC117, DLC202 and DLC211."""
    tree, source = document.source.tree.get("network"), document.source
    expander = _Expander(document, problems)
    steps: tuple[Step, ...] = ()
    if isinstance(tree, list):
        inputs = {name: source.key_span(("inputs", name)) for name in document.inputs}
        root = _Scope(taken=inputs, settings=_root_settings(document))
        steps = expander.items(expander.placed(tree, ("network",)), "", "", root, ())
        expander.unused()
        if expander.count > MAX_NODES:
            steps = tuple(map(_broken, steps))  # the other passes need not go through a part of it
    elif tree not in (None, {}) and not isinstance(tree, Broken):
        report_option_errors([wrong_type("network", tree, "a list of items")], source, ("network",), problems)
    return steps


def _root_settings(document: Document) -> tuple[Settings, ...]:
    """The settings of all items from the sections `initializer`, `regularization` and `precision`."""
    rules, dtype = document.regularization, document.precision.dtype
    half = dtype if dtype != "float32" else None  # float32 is the default of items
    values = settings_of(l1=rules.l1 or None, l2=rules.l2 or None, initializer=document.initializer, dtype=half)
    paths: dict[str, Path] = {"l1": ("regularization", "l1"), "l2": ("regularization", "l2")}
    long = isinstance(document.source.tree.get("precision"), dict)
    paths["dtype"] = ("precision", "dtype") if long else ("precision",)
    for key in values:
        paths.setdefault(key, tuple(key.split(".", 1)))
    return (Settings(values, {key: document.source.key_span(paths[key]) for key in values}),) if values else ()


class _Expander:
    """The state of one expansion: the document, the problems, which blocks are open and which were used."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.source: Source = document.source
        self.blocks: Mapping[str, Block] = document.blocks
        self.problems = problems
        self.bodies = Substitution(document.source, problems)
        self.open: list[str] = []
        self.used: set[str] = set()
        self.mentioned: dict[str, set[str]] = {}  # the parameters used in the bodies of blocks
        self.count = 0
        self.nesting = 0
        self.words = {**dict.fromkeys(self.blocks, ""), **words_of("network"), **dict.fromkeys(CONTAINERS, "")}

    def placed(self, trees: Sequence[Tree], path: Path) -> list[Placed]:
        """The items of the list at `path`; the items of a list that a variable or a parameter holds are among them."""
        found: list[Placed] = []
        base = self.source.place(path)
        for index, tree in enumerate(trees):
            at = (*base, index)
            if isinstance(tree, list) and self.source.is_reference(at):
                found += self.placed(tree, at)
            else:
                found.append((tree, self.source.place(at)))
        return found

    def items(
        self,
        trees: Sequence[Placed],
        prefix: str,
        weights: str,
        scope: _Scope,
        uses: tuple[Note, ...],
        reserved: Iterable[str] = (),
    ) -> tuple[Step, ...]:
        """The steps of one list; `prefix` starts the paths of its items."""
        taken = {*reserved, *scope.taken}
        taken |= {tree["name"] for tree, _ in trees if isinstance(tree, dict) and isinstance(tree.get("name"), str)}
        counts: dict[str, int] = {}
        steps: list[Step] = []
        self.nesting += 1
        for tree, location in trees:
            if not self.within_bounds(location[:-1], uses):
                break
            name = tree.get("name") if isinstance(tree, dict) else None
            good = isinstance(name, str) and self.name(name, location, scope, set(reserved), uses)
            label = str(name) if good else self.label(tree, counts, taken)
            step = self.item(tree, location, f"{prefix}{label}", f"{weights}{label}", scope, uses)
            steps.append(step)
            if good and isinstance(tree, dict):
                scope.items[label] = _Shared(step.path, step.weights, tree, location, step.settings)
        self.nesting -= 1
        return tuple(steps)

    def within_bounds(self, path: Path, uses: tuple[Note, ...]) -> bool:
        """Count one more item; returns whether it is within the bounds."""
        self.count += 1
        span = self.source.span(path)
        if self.count == MAX_NODES + 1:
            message = f"the network expands to more than {MAX_NODES:,} layers"
            self.problems.add("DLC117", message, span, notes=uses[:1])
        elif self.nesting > MAX_NESTING:
            self.problems.add("DLC117", f"layers nest more than {MAX_NESTING} levels deep", span, notes=uses[:1])
        return self.count <= MAX_NODES and self.nesting <= MAX_NESTING

    def label(self, tree: Tree, counts: dict[str, int], taken: set[str]) -> str:
        """The generated name of an item without one."""
        keys: list[Tree] = list(tree) if isinstance(tree, dict) else [tree]
        word = next((key for key in keys if isinstance(key, str) and key in self.words and valid_name(key)), "item")
        while True:
            counts[word] = counts.get(word, 0) + 1
            label = word if counts[word] == 1 else f"{word}_{counts[word]}"
            if label not in taken:
                return label

    def name(self, name: str, location: Path, scope: _Scope, reserved: set[str], uses: tuple[Note, ...]) -> bool:
        """Whether an item may have its name."""
        span = self.source.span((*location, "name"))
        given = scope.given(name)
        if name == "previous":
            hint = "choose another name"
            self.problems.add("DLC202", "`previous` is reserved for the item before", span, hint=hint, notes=uses)
        elif name in reserved:
            message = f"`{name}` is the name of a part of the residual"
            self.problems.add("DLC202", message, span, hint="choose another name", notes=uses)
        elif not valid_name(name):
            message = f"`{name}` is not a valid item name" if name else "the name is empty"
            self.problems.add("DLC104", message, span, expected=NAME_RULE, notes=uses)
        elif given is not None:
            what, first = given
            notes = [Note("first given here", first), *uses]
            message = f"`{name}` is already the name of {what}"
            self.problems.add("DLC202", message, span, hint="choose another name", notes=notes)
        else:
            scope.spans[name] = span
            return True
        return False

    def item(self, tree: Tree, location: Path, path: str, weights: str, scope: _Scope, uses: tuple[Note, ...]) -> Step:
        """One item."""
        name = tree.get("name") if isinstance(tree, dict) else None
        origin = Origin(self.source.key_span(location), {}, uses)
        broken = BrokenStep(path, name if isinstance(name, str) else None, None, origin, weights, "", ())
        if isinstance(tree, Broken):
            return broken
        parts = split_item(tree, self.words, "layer", self.beside(tree), self.options)
        if isinstance(parts, list):
            report_option_errors([_mended(error, tree) for error in parts], self.source, location, self.problems, uses)
            words = list(tree) if isinstance(tree, dict) else [tree]
            self.used |= {str(nearest(word, self.blocks)) for word in words if isinstance(word, str)}  # what is meant
            return broken
        report_option_errors(parts.errors, self.source, location, self.problems, uses)
        keys = validate(ItemModifiers, {key: value for key, value in parts.common.items() if not holds_broken(value)})
        if isinstance(keys, list):
            report_option_errors(keys, self.source, location, self.problems, uses)
            keys = ItemModifiers()
            bad = True
        else:
            bad = bool(parts.errors) or holds_broken(parts.common)
        assert isinstance(keys, ItemModifiers)
        at = (*location, *parts.loc)
        names = self.names(keys.inputs, parts.word, (*location, "inputs"), uses) if keys.inputs is not None else None
        given = self.from_variables(parts.word, parts.body, at)
        origin = Origin(self.source.key_span(at), self.option_spans(parts.body, at), uses, given)
        if keys.share is not None:
            shared = self.shared(keys.share, (*location, "share"), scope, uses)
            bad = bad or shared is None
            weights = shared.weights if shared else weights
        spans = {key: self.source.key_span((*location, key)) for key in parts.common}
        for what, named in (("initializer", keys.initializer), ("constraint", keys.constraint)):
            spans.update({f"{what}.{key}": self.source.key_span((*location, what, key)) for key in named or ()})
        settings = scope.settings
        if set(parts.common) - {"name", "inputs", "share"}:
            given = frozenset(key for key in parts.common if not self.source.is_literal((*location, key)))
            settings = (*settings, *keys.settings(spans, uses, path, given, self.varies(parts.body, at)))
        step = Step(path, keys.name, names, origin, weights, parts.word, settings)
        kind = self.kind(parts.word)
        if self.is_block(parts.word):
            made = self.block(step, parts.body, at, parts.misplaced)
        elif kind is KINDS["layer"]:
            made = self.layer(step, parts.body, at, scope, parts.misplaced, keys.share is not None)
        elif kind is not None:
            made = self.macro(step, parts.body, at, parts.misplaced)
        else:
            made = self.container(step, parts.body, at, scope, parts.misplaced)
        return _broken(made) if bad or (keys.inputs is not None and names is None) else made

    def is_block(self, word: str) -> bool:
        """Whether a word is a block of the file here; inside a block that replaces a component, it is the component."""
        return word in self.blocks and not (self.blocks[word].shadows and word in self.open[-1:])

    def kind(self, word: str) -> Kind | None:
        """The kind of component that a word names here; none for blocks of the file and containers."""
        return None if self.is_block(word) else kind_of(word, "network")

    def beside(self, tree: Tree) -> list[str]:
        """The keys allowed beside this item's name; `share` may be the item itself."""
        keys = list(ItemModifiers.model_fields)
        if isinstance(tree, dict) and "share" in tree and all(key in keys for key in tree):
            keys.remove("share")
        return keys

    def options(self, word: str) -> list[str]:
        """The options of a layer, container or block."""
        kind = self.kind(word)
        if kind is not None:
            return list(kind.load(word).model_fields)
        return list(self.blocks[word].params if self.is_block(word) else CONTAINERS[word].model_fields)

    def option_spans(self, body: Tree, at: Path) -> dict[str, Span]:
        """The span of each option."""
        if not isinstance(body, dict):
            return {}
        return {key: span for key in body if (span := self.source.span((*at, key))) is not None}

    def from_variables(self, word: str, body: Tree, at: Path) -> frozenset[str]:
        """The options of a layer whose values come from a variable or a parameter."""
        kind = self.kind(word)
        if kind is not KINDS["layer"] or (not self.source.moved and self.source.is_literal(at)):
            return frozenset()
        if isinstance(body, dict):
            return frozenset(key for key in body if not self.source.is_literal((*at, key)))
        main = kind.load(word).main_option() if body is not None else None
        return frozenset({main} if main is not None and not self.source.is_literal(at) else ())

    def varies(self, tree: Tree, path: Path) -> bool:
        """Whether a variable or a parameter takes items or weights away: it holds items, or is false, null or 0."""
        if self.source.is_reference(path):
            holds = path[-1] if isinstance(path[-1], str) else "layers"
            return not tree or any(holds in cls.holds_items for cls in CONTAINERS.values())
        items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
        return any(self.varies(item, (*path, key)) for key, item in items)

    def names(self, value: Tree, word: str, at: Path, uses: tuple[Note, ...]) -> tuple[Name, ...] | None:
        """The names in `inputs:` or a merge's short form, or None after an error was added."""
        single = not isinstance(value, list)
        parts = [value] if single else value
        locations = [at] if single else [(*at, index) for index in range(len(parts))]
        good = True
        for part, location in zip(parts, locations, strict=True):
            if isinstance(part, Broken):
                good = False
            elif not isinstance(part, str):
                hint = "give the other item a `name:` and use that" if isinstance(part, int) else None
                error = OptionError(
                    (), "DLC103", f"`{word}` takes names", spell(part), "the name of an item or input", hint
                )
                report_option_errors([error], self.source, location, self.problems, uses)
                good = False
        if not parts:
            span = self.source.span(at)
            self.problems.add(
                "DLC206", f"`{word}` has no inputs", span, expected="a name, or a list of names", notes=uses
            )
        if not parts or not good:
            return None
        return tuple(Name(part, self.source.span(location)) for part, location in zip(parts, locations, strict=True))

    def shared(self, name: str, at: Path, scope: _Scope, uses: tuple[Note, ...]) -> _Shared | None:
        """The earlier item whose weights are shared, or None after an error was added."""
        found = scope.find(name)
        if found is None:
            known = scope.names()
            hint = did_you_mean(name, known) or (
                f"names so far: {listing(known)}" if known else "give the item a `name:`"
            )
            self.problems.add(
                "DLC211", f"no earlier item is named `{name}`", self.source.span(at), hint=hint, notes=uses
            )
        return found

    # ---- layers ----

    def layer(self, step: Step, body: Tree, at: Path, scope: _Scope, given: tuple[str, ...], shares: bool) -> Step:
        cls = KINDS["layer"].load(step.word)
        assert issubclass(cls, Layer)
        uses = step.origin.uses
        if cls.short_form_inputs and isinstance(body, (list, str)):
            if step.inputs is not None:
                message, hint = f"`{step.word}` has its inputs twice", "keep either the short form or `inputs:`"
                self.problems.add("DLC106", message, step.origin.span, hint=hint, notes=uses)
                return _broken(step)
            names = self.names(body, step.word, at, uses)
            if names is None:
                return _broken(step)
            step, body = replace(step, inputs=names), None
        layer = read_options(cls, body, at, self.source, self.problems, given, ItemModifiers.model_fields, uses)
        if layer is not None and layer.ties_weights:
            if shares:
                message, hint = f"`share` has no effect: `{step.word}` already names the shared item", "remove `share`"
                self.problems.add("DLC106", message, step.origin.span, hint=hint, notes=uses)
                return _broken(step)
            name = cls.main_option() or ""
            found = self.shared(getattr(layer, name), (*at, name) if isinstance(body, dict) else at, scope, uses)
            if found is None:
                return _broken(step)
            step = replace(step, weights=found.weights)
        return LayerStep(**vars(step), layer=layer)

    # ---- containers ----

    def container(self, step: Step, body: Tree, at: Path, scope: _Scope, given: tuple[str, ...]) -> Step:
        cls = CONTAINERS[step.word]
        uses = step.origin.uses
        made = read_options(cls, body, at, self.source, self.problems, given, ItemModifiers.model_fields, uses)
        main_at = (*at, cls.main_option() or "") if isinstance(body, dict) else at
        if isinstance(made, Residual):
            within = scope.inside(step.settings)
            reserved = ("shortcut",) * bool(made.shortcut) + ("activation",) * (made.activation is not None)
            layers = self.placed(made.layers, main_at)
            inner = self.items(layers, f"{step.path}/", f"{step.weights}/", within, uses, reserved)
            shortcut = None
            if made.shortcut:
                prefixes = f"{step.path}/shortcut/", f"{step.weights}/shortcut/"
                layers = self.placed(made.shortcut, (*at, "shortcut"))
                shortcut = self.items(layers, *prefixes, scope.inside(step.settings), uses)
            return ResidualStep(**vars(step), body=inner, shortcut=shortcut, activation=made.activation)
        if isinstance(made, Parallel):
            return self.parallel(step, made, main_at, scope)
        if isinstance(made, Repeat):
            return self.repeat(step, made, main_at, at, scope)
        if isinstance(made, Share):
            found = self.shared(made.item, main_at, scope, uses)
            return self.again(step, found, scope) if found else _broken(step)
        return _broken(step)

    def repeat(self, step: Step, made: Repeat, main_at: Path, at: Path, scope: _Scope) -> Step:
        uses = step.origin.uses
        prefixes = f"{step.path}/*/", f"{step.weights}/*/"
        body = self.placed(made.layers, main_at)
        inner = self.items(body, *prefixes, scope.inside(step.settings), uses)
        first: tuple[Step, ...] | None = None
        if made.first is not None:
            location, moved = (*at, "first"), dict(self.source.moved)
            if isinstance(made.first, dict):
                merged = self.first(body, made.first, location, uses)
                if merged is None:
                    return _broken(step)
            else:
                merged = self.placed(made.first, location)
            note = Note("in the first iteration", self.source.key_span(location))
            prefixes = f"{step.path}/0/", f"{step.weights}/0/"
            if [tree for tree, _ in merged] != [tree for tree, _ in body]:
                first = self.items(merged, *prefixes, scope.inside(step.settings), (note, *uses))
            self.source.moved.clear()
            self.source.moved.update(moved)
        if made.unroll and made.times < 2:
            what = "a single iteration" if made.times else "no iterations"
            message, because = f"`unroll` has no effect on {what}", ("unroll", "times")
            error = OptionError(("unroll",), "DLC303", message, hint="remove it", at_key=True, because=because)
            self.idle(error, at, uses)
        return RepeatStep(**vars(step), times=made.times, body=inner, first=first, unroll=made.unroll)

    def first(
        self, trees: Sequence[Placed], options: dict[str, Tree], at: Path, uses: tuple[Note, ...]
    ) -> list[Placed] | None:
        """The body of the first iteration: its only item with other options; None after an error was added."""
        if not options:
            expected, because = "options, or a list of items", ("first",)
            error = OptionError(("first",), "DLC104", "`first` is empty", expected=expected, because=because)
            self.idle(error, at[:-1], uses)
            return list(trees)
        span = self.source.key_span(at)
        if len(trees) != 1:
            message = "`first` has options, but the body has several items"
            if not trees:
                message = "`first` has options, but the body has no items"
            hint = "put them into a block, or make `first` a list of items"
            self.problems.add("DLC106", message, span, found=plural(len(trees), "item"), hint=hint, notes=uses)
            return None
        tree, location = trees[0]
        item = {tree: None} if isinstance(tree, str) else tree
        words = [key for key in item if key in self.words] if isinstance(item, dict) else []
        if not isinstance(item, dict) or len(words) != 1:
            return None if isinstance(item, Broken) else list(trees)  # its errors are reported in the body
        word = words[0]
        body = item[word]
        if body is not None and not isinstance(body, dict):
            message = f"`first` has options, but `{word}` is in the short form"
            self.problems.add("DLC106", message, span, hint=f"write them out: `{word}: {{...}}`", notes=uses)
            return None
        for key, value in options.items():
            same = body is not None and key in body and body[key] == value
            if same and self.source.is_literal((*location, word, key)):
                message = f"`{key}` of the first iteration is the same as in all"
                error = OptionError((key,), "DLC303", message, hint="remove it", at_key=True, because=(key,))
                self.idle(error, at, uses)
            self.source.moved[(*location, word, key)] = (*at, key)
        return [({**item, word: {**(body or {}), **options}}, location)]

    def idle(self, error: OptionError, path: Path, uses: tuple[Note, ...]) -> None:
        """Report an option without effect."""
        if judged(error, self.source, path):
            report_option_errors([error], self.source, path, self.problems, uses)

    def parallel(self, step: Step, made: Parallel, at: Path, scope: _Scope) -> Step:
        uses = step.origin.uses
        branches = []
        for key, trees in made.branches.items():
            location: Path = (*at, key)
            number = re.fullmatch("[0-9]{1,6}", key) is not None  # branches in a list are numbered
            if number and location not in self.source.keys:
                location = (*at, int(key))
            if not valid_name(key) and not number:
                span = self.source.key_span(location)
                self.problems.add("DLC104", f"`{key}` is not a valid branch name", span, expected=NAME_RULE, notes=uses)
                return _broken(step)
            prefixes = f"{step.path}/{key}/", f"{step.weights}/{key}/"
            layers = self.placed(trees, location)
            branches.append((key, self.items(layers, *prefixes, scope.inside(step.settings), uses)))
        return ParallelStep(**vars(step), branches=tuple(branches), merge=made.merge)

    def again(self, step: Step, found: _Shared, scope: _Scope) -> Step:
        """An earlier item again, at a path of its own, with the weights of the earlier one."""
        _, weights, tree, location, _ = found
        beside = self.beside(tree)
        tree = {key: value for key, value in tree.items() if key not in beside}
        note = Note(f"shared by `{step.path}`", step.origin.span)
        own = step.settings[len(scope.settings) :]  # the item as before, with the settings given here
        within = replace(scope, settings=(*_moved(found, scope.settings, step.path), *own))
        again = self.item(tree, location, step.path, weights, within, (note, *step.origin.uses))
        origin = replace(again.origin, span=step.origin.span, uses=step.origin.uses)
        return replace(again, name=step.name, inputs=step.inputs, origin=origin)

    # ---- blocks ----

    def macro(self, step: Step, body: Tree, at: Path, given: tuple[str, ...]) -> Step:
        """A built-in block, expanded like a block of the file."""
        cls = KINDS["block"].load(step.word)
        assert issubclass(cls, CompositeBlock)
        uses = step.origin.uses
        made = read_options(cls, body, at, self.source, self.problems, given, ItemModifiers.model_fields, uses)
        if made is None:
            return _broken(step)
        within = _Scope(taken=dict.fromkeys(cls.names), settings=step.settings)
        note = Note(f"in `{step.word}`, used here", step.origin.span)
        layers = [(tree, (*at, index)) for index, tree in enumerate(made.items())]
        inner = self.items(layers, f"{step.path}/", f"{step.weights}/", within, (note, *uses))
        spans = (None,) * len(cls.names)
        return BlockStep(**vars(step), block=step.word, names=cls.names, spans=spans, body=inner, composite=made)

    def block(self, step: Step, body: Tree, at: Path, misplaced: tuple[str, ...]) -> Step:
        block = self.blocks[step.word]
        self.used.add(block.name)
        if block.name in self.open:
            circle = [*self.open[self.open.index(block.name) :], block.name]
            message = f"the block `{block.name}` uses itself"
            if len(circle) > 2:
                message = "blocks use each other in a cycle: " + " -> ".join(f"`{name}`" for name in circle)
            self.problems.add("DLC113", message, step.origin.span)
            return _broken(step)
        form = self.source.tree["blocks"][block.name]
        trees = form.get("layers") if isinstance(form, dict) else None
        arguments, places = self.arguments(block, body, at, step.origin, misplaced)
        if not block.sound or not isinstance(trees, list):
            return _broken(step)
        location: Path = (*block.path, "layers")
        uses = (Note(f"in the block `{block.name}`, used here", step.origin.span), *step.origin.uses)
        self.source.arguments[block.name] = places
        self.bodies.used = set()
        bound = self.bodies.replace(trees, location, arguments, uses[:1])
        self.mentioned.setdefault(block.name, set()).update(self.bodies.used)
        inputs = {name: self.source.span((*block.path, "inputs", at)) for at, name in enumerate(block.inputs)}
        self.open.append(block.name)
        within = _Scope(taken=inputs, settings=step.settings)
        inner = self.items(self.placed(bound, location), f"{step.path}/", f"{step.weights}/", within, uses)
        self.open.pop()
        return BlockStep(**vars(step), block=block.name, names=block.inputs, spans=tuple(inputs.values()), body=inner)

    def arguments(
        self, block: Block, body: Tree, at: Path, origin: Origin, misplaced: tuple[str, ...]
    ) -> tuple[dict[str, Tree], dict[str, Path]]:
        """The values of a block's parameters in one use, `BROKEN` for those that are wrong or missing; their paths."""
        values: dict[str, Tree] = {
            name: Broken() if param.required else param.default for name, param in block.params.items()
        }
        places = {name: param.path for name, param in block.params.items()}
        if not block.sound:
            return values, places
        given = self.given(block, body)
        if given is None:
            expected = f"a mapping of {listing(block.params)}" if block.params else "no arguments"
            message, span = f"the block `{block.name}` has no short form", self.source.span(at)
            self.problems.add("DLC112", message, span, found=spell(body), expected=expected, notes=origin.uses)
            return values, places
        meant = set(misplaced)
        for name, value in given.items():
            location = at if given is not body else (*at, name)
            param = block.params.get(name)
            if param is None:
                likely = self.no_parameter(name, block, location, origin) - set(given)
                values.update(dict.fromkeys(likely, Broken()))  # its default would cause further errors
                meant |= likely
            elif isinstance(value, Broken) or param.accepts(value):
                values[name], places[name] = value, self.source.place(location)
            else:
                notes = (Note("declared here", self.declaration(block, name)), *origin.uses)
                error = wrong_type(f"{name}` of the block `{block.name}", value, param.expected)
                report_option_errors([error._replace(code="DLC112")], self.source, location, self.problems, notes)
                values[name] = Broken()
        for name, param in block.params.items():
            if param.required and name not in given and name not in meant:
                notes = (Note("declared here", self.declaration(block, name)), *origin.uses)
                message = f"the block `{block.name}` needs `{name}`"
                self.problems.add("DLC112", message, origin.span, expected=param.expected, notes=notes)
        return values, places

    def given(self, block: Block, body: Tree) -> dict[str, Tree] | None:
        """The arguments by name; None if the block has no short form and this is one."""
        if body is None:
            return {}
        short = block.short
        if isinstance(body, dict):
            item = len(body) == 1 and not set(body) & set(block.params) and set(body) <= set(self.words)
            if not item or short is None or block.params[short].type != "item":
                return body
        return {short: body} if short is not None else None

    def declaration(self, block: Block, name: str) -> Span | None:
        """Where a parameter is declared."""
        return self.source.key_span((*block.path, "params", name))

    def no_parameter(self, name: str, block: Block, location: Path, origin: Origin) -> set[str]:
        """Report an argument without parameter; returns the parameter that it probably means."""
        expected, hint = one_of(block.params) or "no arguments", did_you_mean(name, block.params)
        if name in ItemModifiers.model_fields:
            hint = f"`{name}` goes beside `{block.name}`, not inside it"
        message, span = f"the block `{block.name}` has no parameter `{name}`", self.source.key_span(location)
        self.problems.add("DLC112", message, span, expected=expected, hint=hint, notes=origin.uses)
        return {param for param in block.params if hint == f"did you mean `{param}`?"}

    def unused(self) -> None:
        """Report unused blocks, and parameters that their body does not use."""
        for name, block in self.blocks.items():
            span = self.source.key_span(block.path)
            if not block.sound or (span is not None and span.file not in (self.source.main, SET_FILE)):
                continue  # a shared base file may define more than one spec needs
            if name not in self.used:
                hint = f"use it as `- {name}`, or remove it"
                self.problems.add("DLC114", f"the block `{name}` is never used", span, hint=hint)
                continue
            for param in block.params:
                if name in self.mentioned and param not in self.mentioned[name]:
                    message, hint = (
                        f"the parameter `{param}` of `{name}` is never used",
                        f"use it as `${param}`, or remove it",
                    )
                    span = self.source.key_span((*block.path, "params", param))
                    self.problems.add("DLC109", message, span, hint=hint)


def _moved(found: _Shared, around: Sequence[Settings], path: str) -> tuple[Settings, ...]:
    """The settings inside a shared item at another path. Rematerialization is that of the items around it there."""
    key = "rematerialize"
    outside = [replace(level, values={key: level.values[key]}) for level in around if key in level.values]
    inside = []
    for level in found.settings:
        own = level.path == found.path
        values = {name: value for name, value in level.values.items() if name != key or own}
        if values:
            inside.append(replace(level, values=values, path=path if own else level.path))
    return (*outside, *inside)


def _broken(step: Step) -> BrokenStep:
    """A step that is not reported again, with the names of its inputs."""
    return BrokenStep(step.path, step.name, step.inputs, step.origin, step.weights, step.word, step.settings)


def _mended(error: OptionError, tree: Tree) -> OptionError:
    """An error of an item's form, with a hint for networks."""
    if isinstance(tree, list):
        return error._replace(hint="put a list of items into `residual`, `parallel` or `repeat`")
    return error
