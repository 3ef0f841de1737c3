"""Weights alone."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dlc.components.exports.export import Export, TrainedNetwork
from dlc.language.options import RuleViolation
from dlc.support.files import pack, unpack, write_atomic
from dlc.support.lazy import np


class Safetensors(Export):
    """One file with all weights and state by path, and what the features fitted.

    Its metadata are the name of the spec, and `decisions`, as in `signature.json` of `stablehlo`.
    """

    word = "safetensors"
    examples = ("safetensors",)
    default_name: ClassVar[str] = "weights.safetensors"

    def write(self, network: TrainedNetwork, target: Path) -> None:
        """Write the file."""
        decisions = {name: dict(rule) for name, rule in network.decisions.items()}
        metadata = {"spec": network.name, "format": "dlc", "decisions": decisions}
        write_atomic(target, pack(network.weights, metadata))

    def verify(self, network: TrainedNetwork, target: Path) -> None:
        """Compare every array bit by bit."""
        found = unpack(target.read_bytes(), target)
        same = set(found) == set(network.weights)
        if not same or not all(np.array_equal(found[name], value) for name, value in network.weights.items()):
            raise RuleViolation("DLC509", "the weights read back differ from those written")
