"""What a plan must have to be trained."""

from __future__ import annotations

from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan, UpdateRule


def need_trainable(plan: Plan) -> UpdateRule:
    """The update rule of a plan that has all that training needs.

    Raises:
        SpecError: DLC115, naming the sections that are missing.
    """
    sections = {"data": plan.data, "loss": plan.losses, "optimizer": plan.update}
    missing = [name for name, section in sections.items() if not section]
    if missing or plan.update is None:
        names = ", ".join(f"`{name}`" for name in missing)
        raise SpecError.of(
            "DLC115",
            f"the spec can't be trained: it has no {names}",
            hint="`dlc init` writes a whole spec to start from",
        )
    return plan.update
