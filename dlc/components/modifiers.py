"""Modifiers: the keys that stand beside a layer, a loss, a metric, an optimizer or an augmentation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from dlc.components.initializers.initializer import ByConstraint, ByWeight
from dlc.components.schedules.schedule import Length, RunLength
from dlc.diagnostics import Note, Span
from dlc.ir import DTYPES, Settings
from dlc.language.options import OptionError, Options, main, option, reject, short_form, spell, wrong_type
from dlc.language.source import Broken


def settings_of(
    trainable: bool | None = None,
    dtype: str | None = None,
    l1: float | None = None,
    l2: float | None = None,
    initializer: Mapping[str, Any] | None = None,
    constraint: Mapping[str, Any] | None = None,
    rematerialize: bool | str | None = None,
) -> dict[str, Any]:
    """The values of a `Settings`."""
    short = {name: key for key, name in DTYPES.items()}
    plain = {"trainable": trainable, "dtype": short[dtype] if dtype else None, "l1": l1, "l2": l2}
    plain["rematerialize"] = rematerialize
    named = {
        f"{key}.{name}" if name else key: thing
        for key, things in (("initializer", initializer), ("constraint", constraint))
        for name, thing in (things or {}).items()
    }
    return {**{key: value for key, value in plain.items() if value is not None}, **named}


def _rematerialize(value: Any) -> Any:
    if isinstance(value, bool) or value in ("dots", None):
        return value
    expected = "`true`, `false` or `dots`"
    raise reject(OptionError((), "DLC104", "unknown value for `rematerialize`", found=spell(value), expected=expected))


class ItemModifiers(Options):
    """The keys allowed beside a layer."""

    name: str | None = option(None, description="name for other items; part of its weights' paths")
    inputs: Any = option(None, description="the names of its inputs, instead of the item before")
    share: str | None = option(None, description="the item whose weights it shares")
    trainable: bool | None = option(None, description="`false` freezes the weights inside, including statistics")
    dtype: Literal["float32", "bfloat16", "float16"] | None = option(
        None, description="the element type it computes in"
    )
    l1: float | None = option(None, ge=0, description="factor of the sum of |w| of its kernels in the loss")
    l2: float | None = option(None, ge=0, description="factor of the sum of w^2 of its kernels in the loss")
    initializer: ByWeight | None = option(
        None,
        description="initializer of its kernels (`pytorch` and `keras`: of all its weights), or a mapping of weight "
        "names to initializers",
    )
    constraint: ByConstraint | None = option(
        None,
        description="constraint of its kernels after every step, or a mapping of weight names to constraints",
    )
    rematerialize: Annotated[bool | Literal["dots"] | None, BeforeValidator(_rematerialize)] = option(
        None,
        description="`true` recomputes the values inside in the backward pass instead of keeping them; `dots` keeps "
        "matrix products",
    )

    def settings(
        self, spans: Mapping[str, Span | None], uses: tuple[Note, ...], path: str, given: Collection[str], varies: bool
    ) -> tuple[Settings, ...]:
        """The settings of an item for its contents.

        Args:
            spans: the spans of its keys.
            uses: for notes.
            path: the item's path.
            given: the keys whose values come from variables or parameters.
            varies: whether other values of these may give the item more weights.
        """
        values = settings_of(
            self.trainable, self.dtype, self.l1, self.l2, self.initializer, self.constraint, self.rematerialize
        )
        places = {key: spans.get(key) or spans.get(key.partition(".")[0]) for key in values}
        varies = varies or "trainable" in given  # penalties and constraints are those of trained weights
        fixed = {key: value for key, value in values.items() if not varies and key.partition(".")[0] not in given}
        loose = {key: value for key, value in values.items() if key not in fixed}
        both = (Settings(fixed, places, uses, path), Settings(loose, places, uses, path, given=True))
        return tuple(level for level in both if level.values)


class LossModifiers(Options):
    """What may stand beside a loss."""

    output: str | None = option(None, description="the output it reads")
    target: str | None = option(None, description="what it is compared with: a target, an input or another output")
    weight: float = option(1.0, gt=0, description="its factor in the sum")
    sample_weight: str | None = option(None, description="the target, a `number`, with the weight of each example")
    reduction: Literal["mean", "sum"] = option("mean", description="over the elements of an example")
    name: str | None = option(None, description="its name in reports")


class MetricModifiers(Options):
    """What may stand beside a metric."""

    output: str | None = option(None, description="the output it reads")
    target: str | None = option(None, description="what it is compared with: a target, an input or another output")
    sample_weight: str | None = option(None, description="the target, a `number`, with the weight of each example")
    name: str | None = option(None, description="its name in reports")


def _patterns(value: Any) -> Any:
    parts = [value] if isinstance(value, str) else value
    if isinstance(parts, (list, tuple)) and all(isinstance(part, str) for part in parts):
        return tuple(parts)
    expected = "a pattern of paths such as `encoder/**`, or a list of them"
    raise reject(OptionError((), "DLC103", "not a valid list of patterns", found=spell(value), expected=expected))


def _groups(value: Any) -> Any:
    form = "`{match: PATTERN, OPTION: VALUE}`"
    if not isinstance(value, (list, tuple)):
        raise reject(wrong_type("groups", value, f"a list of mappings, {form}"))
    option_errors = [
        wrong_type("a group", part, f"a mapping, {form}")._replace(loc=(index,))
        for index, part in enumerate(value)
        if not isinstance(part, (dict, Broken))
    ]
    if option_errors:
        raise reject(*option_errors)
    return tuple(part for part in value if isinstance(part, dict))


Groups = Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(_groups)]


class Swa(Options):
    """Stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407): the mean of the weights from `start` on."""

    start: RunLength = main(Length(75, "%"), description="when it begins: steps, `10 epochs` or `75%`")
    every: RunLength = option(Length(1, "epochs"), description="the time between two averaged weights")

    @model_validator(mode="after")
    def _check(self) -> Swa:
        if not self.every.amount:
            raise reject(
                OptionError(("every",), "DLC104", "`every` is not a valid length", spell(str(self.every)), "above 0")
            )
        return self


class Lookahead(Options):
    """Lookahead (Zhang et al. 2019, arXiv:1907.08610): slow weights follow the fast ones every `period` steps."""

    period: int = main(5, ge=1, description="steps between two moves of the slow weights")
    slow: float = option(0.5, gt=0, le=1, description="share of the way that the slow weights move")

    @model_validator(mode="after")
    def _check(self) -> Lookahead:
        if self.period == 1 and self.slow == 1:
            message, hint = "`lookahead` has no effect: its weights move at every step, all the way", "raise `period`"
            raise reject(OptionError((), "DLC303", message, hint=hint))
        return self


class OptimizerModifiers(Options):
    """What may stand beside an optimizer."""

    clip_norm: float | None = option(None, gt=0, description="scale gradients down to this norm of all together")
    clip_weight_norm: float | None = option(None, gt=0, description="scale each weight's gradient down to this norm")
    clip_value: float | None = option(None, gt=0, description="clip gradients to this magnitude, element by element")
    clip_adaptive: float | None = option(
        None, gt=0, description="clip each unit's gradient to this share of its weights' norm (Brock et al. 2021)"
    )
    accumulate: int = option(1, ge=1, description="batches whose gradients make one step")
    groups: Groups = option((), description="options for some weights: `{match: PATTERN, OPTION: VALUE}`")
    freeze: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = option(
        (), description="patterns of weights that stay as they are"
    )
    ema: float | None = option(
        None, gt=0, lt=1, description="evaluate and keep a running mean of the weights, with this decay"
    )
    swa: Annotated[Swa | None, short_form(Swa)] = option(
        None, description="evaluate and keep the mean of the weights from some step on"
    )
    lookahead: Annotated[Lookahead | None, short_form(Lookahead)] = option(
        None, description="slow weights that follow the fast ones"
    )
    sam: float | None = option(
        None, gt=0, description="sharpness-aware minimization: radius of the neighbourhood (Foret et al. 2020)"
    )


def _on(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    expected = "the name of an input or target, or a list of them"
    raise reject(OptionError((), "DLC103", "`on` names no values", found=spell(value), expected=expected))


class AugmentationModifiers(Options):
    """What may stand beside an augmentation."""

    on: Annotated[tuple[str, ...] | None, BeforeValidator(_on)] = option(
        None, description="the inputs and targets that it acts on; the only input that fits when left out"
    )


class NoModifiers(Options):
    """What may stand beside a feature: nothing."""
