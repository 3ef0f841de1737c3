"""How a program is lowered: which forms its operations take, and XLA's flags. A run keeps it, and goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import jax

from dlc.diagnostics import SpecError
from dlc.ir import TypedGraph
from dlc.records import record

if TYPE_CHECKING:
    from dlc.lower.program import Program

YNN = "xla_cpu_experimental_ynn_fusion_type"


@record(frozen=True)
class Lowering:
    """How a program is lowered on a platform.

    Args:
        platform: `cpu`, `gpu` or `tpu`.
        forms: form by site.
        flags: of XLA.
    """

    platform: str
    forms: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Lowering:
        """What a run folder holds; raises TypeError, KeyError or ValueError for anything else."""
        forms, flags = dict(value["forms"]), dict(value["flags"])
        if not all(isinstance(text, str) for pair in (*forms.items(), *flags.items()) for text in pair):
            raise ValueError("not all names")
        if not set(flags) <= {YNN}:  # no other flag of XLA comes from a file
            raise ValueError("unknown flags")
        return cls(str(value["platform"]), forms, flags)

    def plain(self) -> dict[str, Any]:
        """As a run folder holds it."""
        return {"platform": self.platform, "forms": dict(self.forms), "flags": dict(self.flags)}


def platform() -> str:
    """What this process computes on."""
    return jax.default_backend()


def lowering_of(program: Program) -> Lowering:
    """How a program that was traced is lowered here."""
    return Lowering(platform(), program.choices.forms(platform()), program.flags)


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
    now = program.choices.forms(platform())
    for site in {**before.forms, **now}:
        form = before.forms.get(site)
        if now.get(site) == form:
            continue
        message = f"the run computes `{site}` in the form `{form}`, which this version of dlc does not have"
        if form is None:
            message = f"the run names no form for `{site}`, of which this version of dlc has several"
        hint = "continue it with the version that began it, see `environment.json`, or train in a new folder"
        raise SpecError.of("DLC503", message, hint=hint)


def flags_of(graph: TypedGraph) -> dict[str, str]:
    """XLA's flags for a network on this platform.

    On a CPU a library makes products and sums, by measurement (docs/performance.md); what else it offers costs more
    than it saves. In attention's many short rows its sums do, too.
    """
    attends = any(node.layer.word == "attention" for node, _ in graph.walk())
    return {YNN: "LIBRARY_FUSION_TYPE_DOT" + ("" if attends else ",LIBRARY_FUSION_TYPE_REDUCE")}


def options(flags: Mapping[str, str]) -> dict[str, str] | None:
    """What `jax.jit` takes as compiler options: flags of the CPU's compiler have a meaning only there."""
    return dict(flags) if flags and platform() == "cpu" else None
