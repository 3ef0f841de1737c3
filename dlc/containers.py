"""The items that hold lists of items, and the keys that may stand beside any item of a network."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from dlc.ir import Layer
from dlc.layers import MERGES
from dlc.layers.activations import Activation
from dlc.options import Fault, Options, main, option, reject, word_field, wrong_type

Items = list[Any]


def _branches(value: Any) -> Any:
    if isinstance(value, (list, dict)) and len(value) < 2:
        found, expected = "1 branch" if value else "no branches", "at least 2 branches"
        raise reject(Fault((), "DLC104", "there is nothing to merge", found=found, expected=expected))
    if isinstance(value, list):
        wrong = [(index, branch) for index, branch in enumerate(value) if not isinstance(branch, list)]
        if wrong:
            faults = [wrong_type(f"branch {index}", branch, "a list") for index, branch in wrong]
            hint = "put the items of a branch into brackets"
            raise reject(
                *(fault._replace(loc=(index,), hint=hint) for fault, (index, _) in zip(faults, wrong, strict=True))
            )
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
    holds_items = ("layers", "shortcut")
    layers: Items = main(min_length=1, description="items of the body")
    shortcut: Items | None = option(None, min_length=1, description="items that the input goes through before the sum")
    activation: Activation = option(None, description="what follows the sum")


class Parallel(Options):
    """Branches on the same input, merged at the end (Szegedy et al. 2014, arXiv:1409.4842)."""

    word = "parallel"
    holds_items = ("branches",)
    branches: Annotated[dict[str, Items], BeforeValidator(_branches)] = main(
        description="lists of items, or a mapping of names to such lists"
    )
    merge: Annotated[Layer, word_field(lambda: MERGES, "merge")] = option(description="concat or add")


class Repeat(Options):
    """A body that runs several times, each time with weights of its own."""

    word = "repeat"
    holds_items = ("layers",)
    times: int = option(ge=1, le=10_000, description="how many times")
    layers: Items = main(min_length=1, description="items of the body")


class Share(Options):
    """An earlier item once more, with the same weights."""

    word = "share"
    item: str = main(description="the item's name")


CONTAINERS: dict[str, type[Options]] = {"residual": Residual, "parallel": Parallel, "repeat": Repeat, "share": Share}
