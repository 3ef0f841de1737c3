"""Containers: the items of a network that hold lists of items."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from dlc.components.layers import MERGES
from dlc.components.layers.activations import Activation
from dlc.ir import Layer
from dlc.language.options import OptionError, Options, main, option, reject, word_field, wrong_type

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


def _first(value: Any) -> Any:
    if not isinstance(value, (list, dict, type(None))):
        raise reject(wrong_type("first", value, "options, or a list of items"))
    return value


class Residual(Options):
    """A body whose input is added to its result (He et al. 2015, arXiv:1512.03385): x + body(x)."""

    word = "residual"
    holds_items = ("layers", "shortcut")
    layers: Items = main(description="items of the body")
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
    times: int = option(ge=0, le=10_000, description="number of iterations; 0 passes the input on")
    layers: Items = main(description="items of the body")
    first: Annotated[Items | dict[str, Any] | None, BeforeValidator(_first)] = option(
        None, description="options of the body's only item in the first iteration, or a list of items for it"
    )
    unroll: bool = option(False, description="compile each iteration separately: slower to compile, the same numbers")


class Share(Options):
    """An earlier item again, with the same weights."""

    word = "share"
    item: str = main(description="the item's name")


CONTAINERS: dict[str, type[Options]] = {"residual": Residual, "parallel": Parallel, "repeat": Repeat, "share": Share}
