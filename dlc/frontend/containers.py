"""The items that hold lists of items, and the keys that may stand beside any item of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dlc.components.initializers.initializer import ByConstraint, ByWeight
from dlc.components.layers import MERGES
from dlc.components.layers.activations import Activation
from dlc.diagnostics import Note, Span
from dlc.ir import DTYPES, Layer, Settings
from dlc.language.options import OptionError, Options, main, option, reject, spell, word_field, wrong_type

Items = list[Any]


def _branches(value: Any) -> Any:
    if isinstance(value, (list, dict)) and len(value) < 2:
        found, expected = "1 branch" if value else "no branches", "at least 2 branches"
        raise reject(OptionError((), "DLC104", "there is nothing to merge", found=found, expected=expected))
    if isinstance(value, list):
        wrong = [(index, branch) for index, branch in enumerate(value) if not isinstance(branch, list)]
        if wrong:
            errors = [wrong_type(f"branch {index}", branch, "a list") for index, branch in wrong]
            hint = "put the items of a branch in brackets"
            raise reject(
                *(error._replace(loc=(index,), hint=hint) for error, (index, _) in zip(errors, wrong, strict=True))
            )
        return {str(index): branch for index, branch in enumerate(value)}
    return value


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
        None, description="initializer of its kernels, or a mapping of weight names to initializers"
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

    def settings(self, spans: Mapping[str, Span | None], uses: tuple[Note, ...], path: str) -> tuple[Settings, ...]:
        """The settings of the item at `path` for its contents; `spans` are the spans of its keys."""
        values = settings_of(
            self.trainable, self.dtype, self.l1, self.l2, self.initializer, self.constraint, self.rematerialize
        )
        places = {key: spans.get(key) or spans.get(key.partition(".")[0]) for key in values}
        return (Settings(values, places, uses, path),) if values else ()


def _first(value: Any) -> Any:
    if isinstance(value, (list, dict)) and not value:
        raise reject(OptionError((), "DLC104", "`first` is empty", expected="options, or a list of items"))
    if not isinstance(value, (list, dict, type(None))):
        raise reject(wrong_type("first", value, "options, or a list of items"))
    return value


class Residual(Options):
    """A body whose input is added to its result (He et al. 2015, arXiv:1512.03385): x + body(x)."""

    word = "residual"
    holds_items = ("layers", "shortcut")
    layers: Items = main(min_length=1, description="items of the body")
    shortcut: Items | None = option(None, description="items applied to the input before the sum; [] for none")
    activation: Activation = option(None, description="activation after the sum")


class Parallel(Options):
    """Branches on the same input, merged at the end (Szegedy et al. 2014, arXiv:1409.4842)."""

    word = "parallel"
    holds_items = ("branches",)
    branches: Annotated[dict[str, Items], BeforeValidator(_branches)] = main(
        description="lists of items, or a mapping of names to such lists"
    )
    merge: Annotated[Layer, word_field(lambda: MERGES, "merge")] = option(
        description="how the branches are merged: concat, add, ..."
    )


class Repeat(Options):
    """A body that runs several times, each time with its own weights.

    Iterations whose output has the shape of their input are compiled once and run as a loop. `first` specifies how the
    first one differs: options for the only item of the body, or a list of items in its place.
    """

    word = "repeat"
    holds_items = ("layers", "first")
    times: int = option(ge=1, le=10_000, description="number of iterations")
    layers: Items = main(min_length=1, description="items of the body")
    first: Annotated[Items | dict[str, Any] | None, BeforeValidator(_first)] = option(
        None, description="options of the body's only item in the first iteration, or a list of items for it"
    )
    unroll: bool = option(False, description="compile each iteration separately: slower to compile, the same numbers")


class Share(Options):
    """An earlier item again, with the same weights."""

    word = "share"
    item: str = main(description="the item's name")


CONTAINERS: dict[str, type[Options]] = {"residual": Residual, "parallel": Parallel, "repeat": Repeat, "share": Share}
