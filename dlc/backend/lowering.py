"""How a program is lowered: the variants of its operations, and XLA's flags. A resumed run uses the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

import jax

from dlc.ir import TypedGraph
from dlc.support.fast_dataclass import fast_dataclass

YNN = "xla_cpu_experimental_ynn_fusion_type"
_FUSION = "LIBRARY_FUSION_TYPE_(?:DOT|REDUCE|ELTWISE)"
_FUSIONS = re.compile(f"{_FUSION}(?:,{_FUSION}){{0,2}}")
_PLATFORM = re.compile("[a-z0-9_]{1,40}")


@fast_dataclass(frozen=True)
class Lowering:
    """How a program is lowered on a platform.

    Args:
        platform: `cpu`, `gpu` or `tpu`.
        variants: the variant of each site.
        flags: XLA's flags.
    """

    platform: str
    variants: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Lowering:
        """Parse the value in a run folder; raises TypeError, KeyError or ValueError for invalid ones."""
        variants, flags = dict(value["variants"]), dict(value["flags"])
        if not all(isinstance(text, str) for pair in (*variants.items(), *flags.items()) for text in pair):
            raise ValueError("not all names")
        # What XLA gets from a file is a closed list: it ends the process at values that it does not know.
        if not set(flags) <= {YNN} or not all(_FUSIONS.fullmatch(fusions) for fusions in flags.values()):
            raise ValueError("unknown flags")
        platform = value["platform"]
        if (
            not isinstance(platform, str)
            or not _PLATFORM.fullmatch(platform)
            or set(value) != {part.name for part in fields(cls)}
        ):
            raise ValueError("not a platform")
        return cls(platform, variants, flags)

    def plain(self) -> dict[str, Any]:
        """The value for a run folder."""
        return {"platform": self.platform, "variants": dict(self.variants), "flags": dict(self.flags)}


def platform() -> str:
    """The platform that this process computes on."""
    return jax.default_backend()


def flags_of(graph: TypedGraph) -> dict[str, str]:
    """XLA's flags for a network on this platform.

    On a CPU, products and sums use a library where measurements show a gain (docs/performance.md); its other operations
    are slower, and so are its sums over the many short rows of attention.
    """
    attends = any(node.layer.word == "attention" for node, _ in graph.walk())
    return {YNN: "LIBRARY_FUSION_TYPE_DOT" + ("" if attends else ",LIBRARY_FUSION_TYPE_REDUCE")}


def options(flags: Mapping[str, str]) -> dict[str, str] | None:
    """The compiler options for `jax.jit`: flags of the CPU's compiler apply only there."""
    return dict(flags) if flags and platform() == "cpu" else None
