"""augment: pairs augmentations with the inputs and targets that they act on. Finds DLC104, DLC2xx and DLC303."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.components.modifiers import AugmentationModifiers
from dlc.components.value_ranges import ValueRange, contradicted
from dlc.diagnostics import Note, Problems, Span, did_you_mean, listing
from dlc.frontend.document import Document, Item
from dlc.frontend.plan import AugmentTerm
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, flow

if TYPE_CHECKING:
    from dlc.components.augmentations.augmentation import Augmentation
    from dlc.components.features.feature import Feature


def augment(document: Document, problems: Problems) -> tuple[AugmentTerm, ...]:
    """Pair augmentations with the values that they act on."""
    if not document.augment:
        return ()
    matcher = _Matcher(document, problems)
    terms: list[AugmentTerm] = []
    counts: dict[str, int] = {}
    mixing: Item[Augmentation, AugmentationModifiers] | None = None
    for item in document.augment:
        word = item.thing.word
        counts[word] = counts.get(word, 0) + 1
        if mixing is not None:
            matcher.after(item, mixing)
        mixing = mixing or (item if item.thing.mixes else None)
        on = matcher.on(item) if matcher.acts(item) else None
        if on:
            suffix = f"_{counts[word]}" if counts[word] > 1 else ""
            terms.append(AugmentTerm(item.thing, on, f"#augment/{word}{suffix}"))
    return tuple(terms)


class _Matcher:
    def __init__(self, document: Document, problems: Problems) -> None:
        self.document, self.problems = document, problems
        self.inputs = _types(document.inputs)
        self.targets = _types(document.targets)

    def acts(self, item: Item[Augmentation, AugmentationModifiers]) -> bool:
        """Report an augmentation that changes nothing; returns whether it changes something."""
        name = item.thing.idle()
        if name is None:
            return True
        found = f"`{name}: {flow(getattr(item.thing, name))}`"
        message, hint = f"`{item.thing.word}` changes nothing", f"remove the item, or change `{name}`"
        self.problems.add("DLC303", message, self.span_of(item, name), found=found, hint=hint)
        return False

    def after(
        self, item: Item[Augmentation, AugmentationModifiers], mixing: Item[Augmentation, AugmentationModifiers]
    ) -> None:
        """Report an item after one that mixes."""
        word, other = item.thing.word, mixing.thing.word
        source = self.document.source
        notes = [Note(f"`{other}` is here", source.key_span(mixing.path))]
        if item.thing.mixes:
            message, hint = "a batch can only be mixed once", f"keep one of `{other}` and `{word}`"
            hint = f"remove one `{word}`" if word == other else hint
        else:
            message = f"`{word}` comes after `{other}`, where an example has two targets"
            hint = f"make `{other}` the last item"
        self.problems.add("DLC104", message, source.key_span(item.path), hint=hint, notes=notes)

    # ---- what an item acts on ----

    def on(self, item: Item[Augmentation, AugmentationModifiers]) -> tuple[str, ...] | None:
        """The names that an item acts on, or None after its problems were added, or while types are unknown."""
        if item.modifiers.on is not None:
            return self.named(item, item.modifiers.on)
        if not self.inputs or None in self.inputs.values():
            return None
        types = {name: kind for name, kind in self.inputs.items() if kind is not None}
        if item.thing.mixes:
            return (
                tuple(types)
                if self.fit(item, types, "all inputs are mixed in the same way; select some with `on:`")
                else None
            )
        fitting = [name for name, kind in types.items() if _wrong(item.thing, kind) is None]
        if not fitting:
            self.unfit(item, types)
            return None
        aligned = self.aligned(item.thing, types[fitting[0]]) if len(fitting) == 1 else []
        if len(fitting) == 1 and not aligned:
            return tuple(fitting) if self.fit(item, {fitting[0]: types[fitting[0]]}) else None
        self.unclear(item, fitting, aligned)
        return None

    def named(self, item: Item[Augmentation, AugmentationModifiers], names: Sequence[str]) -> tuple[str, ...] | None:
        """The values that `on` names."""
        source, known = self.document.source, {**self.inputs, **self.targets}
        good = True
        for index, name in enumerate(names):
            path = (*item.path, "on", index)
            span = source.values.get(path) or source.span((*item.path, "on"))
            if name in names[:index]:
                self.problems.add("DLC104", f"`{name}` is named twice", span, hint="remove one of them")
            elif name not in known:
                hint = did_you_mean(name, known) or f"known: {listing(known)}"
                message = f"no input or target is named `{name}`"
                self.problems.add("DLC201", message, span, hint=hint)
            elif item.thing.mixes and name in self.targets:
                message, hint = (
                    f"`{name}` is a target, but `{item.thing.word}` mixes inputs",
                    "remove it: the loss mixes targets",
                )
                self.problems.add("DLC104", message, span, hint=hint)
            else:
                continue
            good = False
        types = {name: known.get(name) for name in names}
        if not good or None in types.values():
            return None
        return tuple(names) if self.fit(item, {name: kind for name, kind in types.items() if kind}) else None

    def fit(
        self, item: Item[Augmentation, AugmentationModifiers], types: Mapping[str, TensorType], hint: str | None = None
    ) -> bool:
        """Whether values fit an item, each and all together; errors are reported."""
        for name, kind in types.items():
            wrong = _wrong(item.thing, kind)
            if wrong is not None:
                self.report(item, wrong, f"`{name}`: {kind}" if wrong.found == str(kind) else wrong.found, hint)
                return False
        wrong = _wrong(item.thing, *types.values())
        if wrong is not None:
            self.report(item, wrong, ", ".join(f"`{name}`: {kind}" for name, kind in types.items()), hint)
            return False
        return self.in_range(item, types)

    def report(
        self,
        item: Item[Augmentation, AugmentationModifiers],
        wrong: RuleViolation,
        found: str | None,
        hint: str | None = None,
    ) -> None:
        """Report a violated rule of an augmentation."""
        span, hint = self.span_of(item, wrong.option), wrong.hint or hint
        self.problems.add(wrong.code, wrong.message, span, found=found, expected=wrong.expected, hint=hint)

    def span_of(self, item: Item[Augmentation, AugmentationModifiers], option: str | None) -> Span | None:
        """The span of an option or of its short form; of the item's name if the option is not given."""
        source, word = self.document.source, (*item.path, item.thing.word)
        if option is not None and (*word, option) in source.values:
            return source.values[(*word, option)]
        short = option is not None and option == item.thing.main_option()
        return source.span(word) if short and not isinstance(self.body(item), dict) else source.key_span(word)

    def body(self, item: Item[Augmentation, AugmentationModifiers]) -> object:
        """The value of an item's key."""
        tree: Any = self.document.source.tree
        for step in item.path:
            tree = tree[step]
        return tree.get(item.thing.word) if isinstance(tree, dict) else None

    def aligned(self, thing: Augmentation, kind: TensorType) -> list[str]:
        """The targets aligned with an input whose positions an augmentation moves."""
        if not thing.moves:
            return []
        return [
            name for name, other in self.targets.items() if other is not None and _wrong(thing, kind, other) is None
        ]

    def unfit(self, item: Item[Augmentation, AugmentationModifiers], types: Mapping[str, TensorType]) -> None:
        """Report that no input fits."""
        kind = next(iter(types.values()))
        wrong = _wrong(item.thing, kind)
        assert wrong is not None
        found = ", ".join(f"`{name}`: {kind}" for name, kind in types.items())
        if len(types) == 1:
            self.report(item, wrong, found if wrong.found == str(kind) else wrong.found)
            return
        span = self.document.source.key_span((*item.path, item.thing.word))
        message = f"no input fits `{item.thing.word}`"
        self.problems.add("DLC210", message, span, found=found, expected=wrong.expected)

    def unclear(
        self, item: Item[Augmentation, AugmentationModifiers], fitting: Sequence[str], aligned: Sequence[str]
    ) -> None:
        """Report that an item must select what it acts on."""
        word = item.thing.word
        span = self.document.source.key_span((*item.path, word))
        if aligned:
            message = f"`{word}` needs `on`: it moves positions, and a target is aligned with them"
            both = flow([*fitting, *aligned])
            hint = f"write `on: {both}` beside it to move both in the same way, or `on: {fitting[0]}`"
            found = f"input {listing(fitting)}, target {listing(aligned)}"
        else:
            message = f"`{word}` needs `on`: several inputs fit"
            found = f"inputs {listing(fitting)}"
            hint = (
                f"write `on: {fitting[0]}` beside it, or `on: {flow(list(fitting))}` to change all with the same draws"
            )
        self.problems.add("DLC210", message, span, found=found, hint=hint)

    def in_range(self, item: Item[Augmentation, AugmentationModifiers], names: Iterable[str]) -> bool:
        """Whether values can lie in the range that an augmentation states; if not, it is reported."""
        own = item.thing.own_range()
        for name in names:
            feature, held = self.document.inputs.get(name), self.range_of(name)
            if item.thing.ranged and feature is not None and feature.indicators:
                message = f"`{item.thing.word}` would change the indicators of missing values of `{name}`"
                span = self.document.source.key_span((*item.path, item.thing.word))
                self.problems.add("DLC313", message, span, hint=f"remove `missing_indicator` from `{name}`")
                return False
            wrong = contradicted(item.thing.word, "value_range", own, held, name)
            if wrong is not None:
                self.problems.add(wrong.code, wrong.message, self.span_of(item, "value_range"), hint=wrong.hint)
                return False
        return True

    def range_of(self, name: str) -> ValueRange | None:
        """The range of the network's values, as far as it is known without the data."""
        feature = self.document.inputs.get(name) or self.document.targets.get(name)
        return feature.encoded_range() if feature is not None else None


def _types(features: Mapping[str, Feature | None]) -> dict[str, TensorType | None]:
    """The types of inputs or targets by name; None for invalid declarations."""
    return {name: feature.value_type() if feature is not None else None for name, feature in features.items()}


def _wrong(thing: Augmentation, *types: TensorType) -> RuleViolation | None:
    """The rule of an augmentation that values of some types violate, or None."""
    try:
        thing.infer(*types)
    except RuleViolation as wrong:
        return wrong
    return None
