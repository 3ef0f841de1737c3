"""How a program is lowered: which forms its operations take, and XLA's flags. A run keeps it, and goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import jax

from dlc.ir import TypedGraph
from dlc.support.fast_dataclass import fast_dataclass

YNN = "xla_cpu_experimental_ynn_fusion_type"


@fast_dataclass(frozen=True)
class Lowering:
    """How a program is lowered on a platform.

    Args:
        platform: `cpu`, `gpu` or `tpu`.
        forms: form by site.
        flags: of XLA.
    """

    platform: str
    variants: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Lowering:
        """What a run folder holds; raises TypeError, KeyError or ValueError for anything else."""
        variants, flags = dict(value["forms"]), dict(value["flags"])
        if not all(isinstance(text, str) for pair in (*variants.items(), *flags.items()) for text in pair):
            raise ValueError("not all names")
        if not set(flags) <= {YNN}:  # no other flag of XLA comes from a file
            raise ValueError("unknown flags")
        return cls(str(value["platform"]), variants, flags)

    def plain(self) -> dict[str, Any]:
        """As a run folder holds it."""
        return {"platform": self.platform, "forms": dict(self.variants), "flags": dict(self.flags)}


def platform() -> str:
    """What this process computes on."""
    return jax.default_backend()


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
