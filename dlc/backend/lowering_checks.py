"""Whether a run can go on as it began: on the same platform, with the same variants of its operations."""

from __future__ import annotations

from dlc.backend.lowering import Lowering, platform
from dlc.backend.network import Program
from dlc.diagnostics import SpecError


def need_platform(before: Lowering) -> None:
    """Check that this is the platform on which a run began: another one rounds otherwise.

    Raises:
        SpecError: DLC504 on another platform.
    """
    if before.platform != platform():
        raise SpecError.of(
            "DLC504",
            f"the run began on {before.platform}, this is {platform()}: it can't go on with the same bits",
            hint=f"continue it on {before.platform}, or train in a new folder with `--run`",
        )


def need_as_before(program: Program, before: Lowering) -> None:
    """Check that a traced program is lowered as a run began, on the same platform.

    Raises:
        SpecError: DLC503, naming an operation whose form is no longer known, or was not named.
    """
    now = program.choices.variants(platform())
    for site in {**before.variants, **now}:
        variant = before.variants.get(site)
        if now.get(site) == variant:
            continue
        message = f"the run computes `{site}` in the form `{variant}`, which this version of dlc does not have"
        if variant is None:
            message = f"the run names no form for `{site}`, of which this version of dlc has several"
        hint = "continue it with the version that began it, see `environment.json`, or train in a new folder"
        raise SpecError.of("DLC503", message, hint=hint)
