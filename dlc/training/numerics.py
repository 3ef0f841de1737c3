"""What changes a run's numbers from outside its spec: versions, the processor, settings of XLA. `numerics.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dlc.backend.compilation_cache import kind
from dlc.diagnostics import SpecError, listing
from dlc.support.records import Count, Record, Text, read_record

NAME = "numerics.json"

PACKAGES = ("dlc", "jax", "jaxlib", "numpy", "optax")
VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "NPROC")
HARMLESS = ("--xla_dump", "--xla_force_host_platform_device_count", "--xla_hlo_profile")
"""Flags of XLA that change no numbers."""
JAX_SETTINGS = ("jax_softmax_custom_jvp", "jax_use_high_dynamic_range_gumbel", "jax_optimization_level")
"""Settings of JAX whose defaults differ between its versions: dlc leaves them unchanged."""


class Numerics(Record):
    """What changes a run's numbers from outside its spec.

    Args:
        settings: environment variables and settings of JAX: they can be set again.
        versions: of the packages.
        processor: the instruction set, and a digest of the CPU's features.
        processors: how many CPUs the process may use: sums are divided among them.
    """

    settings: dict[Text, Text]
    versions: dict[Text, Text]
    processor: Text
    processors: Count


def numerics() -> Numerics:
    """Those of this process."""
    import jax

    settings = {name: _setting(name) for name in VARIABLES}
    settings |= {name: str(jax.config.values.get(name, "")) for name in JAX_SETTINGS}
    return Numerics(
        settings={name: value for name, value in settings.items() if value},
        versions={name: _version(name) for name in PACKAGES},
        processor=kind().partition("-")[2].partition("-")[2],
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def need_as_began(run: Path) -> str | None:
    """Check that a run continues with the settings that it began with.

    Args:
        run: the run folder.

    Returns:
        A note when versions or the processor changed: the run continues, but maybe not with the same bits.

    Raises:
        SpecError: DLC503 when `numerics.json` is damaged, DLC504 with other settings.
    """
    try:
        before = read_record(run / NAME, Numerics)
    except SpecError as error:
        if "DLC502" not in error.report.codes:
            raise
        return f"`{run / NAME}` is missing: the run may have begun with other versions or settings of JAX and XLA"
    now = numerics()
    changed = _changed(before.settings, now.settings)
    if changed:
        raise SpecError.of(
            "DLC504",
            f"the run in `{run}` began with other settings of JAX or XLA: it can't continue with the same bits",
            found="; ".join(f"`{name}` is {_shown(new)}, was {_shown(old)}" for name, old, new in changed),
            hint=f"set {listing([name for name, _, _ in changed])} as before, or train in a new folder with `--run`",
        )
    others = [f"{name} {old} is now {new}" for name, old, new in _changed(before.versions, now.versions)]
    others += ["this is another kind of processor"] if before.processor != now.processor else []
    if before.processors != now.processors:
        others.append(f"{before.processors} processors are now {now.processors}")
    return f"the run continues, but its bits may differ: {', '.join(others)}" if others else None


def _shown(value: str) -> str:
    return f"`{value}`" if value else "not set"


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [
        (name, before.get(name, ""), now.get(name, ""))
        for name in {**before, **now}
        if before.get(name, "") != now.get(name, "")
    ]


def _setting(name: str) -> str:
    """An environment variable; the flags of XLA in order, of those given twice the last one."""
    value = os.environ.get(name, "")
    if name != "XLA_FLAGS":
        return value
    flags = {flag.partition("=")[0]: flag for flag in value.split() if not flag.startswith(HARMLESS)}
    return " ".join(flags[key] for key in sorted(flags))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
