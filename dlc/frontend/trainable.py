"""What a spec must have to be trained."""

from __future__ import annotations

from dlc.components.optimizers.optimizers import Optimizer
from dlc.diagnostics import SpecError
from dlc.frontend.document import Item, OptimizerModifiers
from dlc.frontend.pipeline import Spec


def need_trainable(spec: Spec) -> Item[Optimizer, OptimizerModifiers]:
    """The optimizer of a spec that has all that training needs.

    Raises:
        SpecError: DLC115, naming the first section that is missing.
    """
    document = spec.document
    missing = [
        name
        for name, there in (
            ("data", document.data),
            ("loss", spec.losses),
            ("optimizer", document.optimizer),
        )
        if not there
    ]
    if missing or document.optimizer is None:
        names = ", ".join(f"`{name}`" for name in missing)
        raise SpecError.of(
            "DLC115",
            f"the spec can't be trained: it has no {names}",
            hint="`dlc init` writes a whole spec to start from",
        )
    return document.optimizer
