"""Whether a run can continue as it started: on the same platform, with the same variants of its operations."""

from __future__ import annotations

from dlc.backend.lowering import Lowering, platform
from dlc.backend.network import Program
from dlc.diagnostics import SpecError


def need_platform(before: Lowering) -> None:
    """Check that this is the platform on which a run started: others round differently.

    Raises:
        SpecError: DLC504 on another platform.
    """
    if before.platform != platform():
        raise SpecError.of(
            "DLC504",
            f"the run started on {before.platform}, but this is {platform()}: it can't continue with the same bits",
            hint=f"continue it on {before.platform}, or train in a new folder with `--run`",
        )


def need_as_before(program: Program, before: Lowering) -> None:
    """Check that a traced program is lowered as when the run started, on the same platform.

    Raises:
        SpecError: DLC503, naming an operation whose variant is unknown or was not recorded.
    """
    now = program.choices.variants(platform())
    for site in {**before.variants, **now}:
        variant = before.variants.get(site)
        if now.get(site) == variant:
            continue
        message = f"the run uses the variant `{variant}` of `{site}`, which this version of dlc does not have"
        if variant is None:
            message = f"the run records no variant of `{site}`, of which this version of dlc has several"
        hint = "continue it with the version that started it, see `environment.json`, or train in a new folder"
        raise SpecError.of("DLC503", message, hint=hint)
