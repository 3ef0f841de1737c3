"""The contract of export formats: a format writes an artifact of a trained network, and reads it back to verify it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from dlc.ir import TensorType
from dlc.language.options import Options
from dlc.support.fast_dataclass import fast_dataclass


@fast_dataclass(frozen=True)
class TrainedNetwork:
    """A trained network as export formats see it.

    Args:
        name: the name of its spec.
        weights: weights, state and what the features fitted, by path.
        weight_shapes: their shapes and element types, by path, as `jax.ShapeDtypeStruct`.
        inputs: the types of the raw inputs, the batch axis first; a size that is a symbol may vary.
        outputs: the names of the predictions.
        decisions: how a class or labels follow from a prediction, by its name: `classes`, the names in order, and
            `threshold`, the score above which a label, or the second of two classes, is predicted; None where the
            largest score decides. Plain values.
        least: the smallest allowed value of each symbol.
        function: (weights, inputs) -> predictions by name, which JAX can trace.
        predict: inputs -> predictions by name as numpy arrays, computed by dlc.
        sample: a number of records -> raw inputs of that many, the same every time.
    """

    name: str
    weights: Mapping[str, Any]
    weight_shapes: Mapping[str, Any]
    inputs: Mapping[str, TensorType]
    outputs: tuple[str, ...]
    decisions: Mapping[str, Mapping[str, Any]]
    least: Mapping[str, int]
    function: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
    predict: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    sample: Callable[[int], Mapping[str, Any]]


class Export(Options):
    """A format that a trained network is written in.

    The driver calls `write` with a path that does not exist, then `verify` with the same path. Only an artifact that
    passes replaces what was there before.
    """

    default_name: ClassVar[str] = ""  # of the artifact in the folder `exports` of a run; a format has to name it
    folder: ClassVar[bool] = False  # whether the artifact is a folder with files, rather than a file

    def write(self, network: TrainedNetwork, target: Path) -> None:
        """Write the artifact.

        Args:
            network: the network.
            target: the file to write, or an empty folder that exists.

        Raises:
            RuleViolation: when the format can't express the network.
        """
        raise NotImplementedError(f"{type(self).__name__} writes nothing")

    def verify(self, network: TrainedNetwork, target: Path) -> None:
        """Read the artifact and compare it with the network.

        Args:
            network: the network.
            target: the file or the folder that `write` made.

        Raises:
            RuleViolation: DLC509 when they differ.
        """
        raise NotImplementedError(f"{type(self).__name__} verifies nothing")
