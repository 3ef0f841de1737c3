"""The plan: all that a checked spec means, as frozen plain values without syntax.

The front end makes it, and everything after the front end works from it. A plan, or a part of it, can be pickled and
handed to another process: it needs neither the spec's text nor a YAML parser, and names the plugins whose classes it
holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dlc.components.optimizers.optimizer import Optimizer, with_options
from dlc.ir.weight_patterns import matches
from dlc.language.source import Places
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from dlc.components.augmentations.augmentation import Augmentation, Bounds
    from dlc.components.features.feature import Feature
    from dlc.components.losses.loss import Loss
    from dlc.components.metrics.metric import Metric
    from dlc.components.modifiers import OptimizerModifiers
    from dlc.frontend.precision import Precision
    from dlc.frontend.sections import Data, Train
    from dlc.ir import Graph, TypedGraph

Label = tuple[int, ...]  # the numbers of the groups that a weight is in


class Against(NamedTuple):
    """What an output is compared with: a value of one of the sections."""

    section: Literal["targets", "inputs", "outputs"]
    name: str


@fast_dataclass(frozen=True)
class LossTerm:
    """A loss of one output.

    Args:
        name: its name in reports.
        loss: the loss.
        output: the output that it reads.
        against: what it compares that with, or None.
        weight: its factor in the sum.
        sample_weight: the target that says what each example counts, or None.
        reduction: over the elements of an example.
        predicts: whether the output is a prediction of what it is compared with.
    """

    name: str
    loss: Loss
    output: str
    against: Against | None
    weight: float = 1.0
    sample_weight: str | None = None
    reduction: Literal["mean", "sum"] = "mean"
    predicts: bool = True

    @property
    def target(self) -> str | None:
        """The name of what the output is compared with as predictions carry it: a target's or an input's."""
        named = self.predicts and self.against is not None and self.against.section != "outputs"
        return self.against.name if named and self.against is not None else None


@fast_dataclass(frozen=True)
class MetricTerm:
    """A metric of one output; `activate` is the loss that says what the output means, if any."""

    name: str
    metric: Metric
    output: str
    against: Against
    activate: Loss | None
    sample_weight: str | None = None


@fast_dataclass(frozen=True)
class AugmentTerm:
    """An augmentation with the inputs and targets that it acts on.

    Args:
        augmentation: the augmentation.
        on: their names.
        path: `#augment/WORD`, with a count behind the second of a word: its random key follows from this.
        ranges: the ranges of the values by name, as the network sees them, if the augmentation depends on them. A plan
            has none before `dlc.data.ranges` adds them.
    """

    augmentation: Augmentation
    on: tuple[str, ...]
    path: str
    ranges: Mapping[str, Bounds] = field(default_factory=dict)


@fast_dataclass(frozen=True)
class WeightGroup:
    """Options of the optimizer for the weights whose paths match one of its patterns."""

    patterns: tuple[str, ...]
    options: Mapping[str, Any]

    def has(self, weight: str) -> bool:
        """Whether a weight is in the group."""
        return any(matches(pattern, weight) for pattern in self.patterns)


@fast_dataclass(frozen=True)
class UpdateRule:
    """How training changes the weights.

    Args:
        optimizer: the optimizer of the weights that are in no group.
        modifiers: clipping, accumulation, averages and the other settings beside the optimizer.
        groups: a weight in several groups gets the options of all of them; for the same option the last group wins.
        frozen: patterns of the weights that are not trained.
    """

    optimizer: Optimizer
    modifiers: OptimizerModifiers
    groups: tuple[WeightGroup, ...] = ()
    frozen: tuple[str, ...] = ()

    def label(self, weight: str) -> Label:
        """The numbers of the groups that a weight is in."""
        return tuple(index for index, group in enumerate(self.groups) if group.has(weight))

    def freezes(self, weight: str) -> bool:
        """Whether a weight is not trained."""
        return any(matches(pattern, weight) for pattern in self.frozen)

    def for_label(self, label: Label) -> Optimizer:
        """The optimizer of the weights with a label."""
        options = {name: value for index in label for name, value in self.groups[index].options.items()}
        made = with_options(self.optimizer, options)
        assert isinstance(made, Optimizer), made
        return made


@fast_dataclass(frozen=True)
class Plan:
    """A checked spec without its syntax: everything in it is known, proved and used.

    Args:
        name: the spec's name.
        seed: the seed of the initial weights and of every random choice of training.
        graph: the network with inferred shapes.
        inputs: the features of the network's inputs, by name.
        targets: the features of the targets.
        losses: losses paired with outputs and targets.
        metrics: metrics, paired likewise.
        augment: augmentations paired with the inputs and targets that they change.
        update: the update rule, or None without an optimizer.
        data: the sources and the split, or None.
        folder: the folder that relative paths of sources start from.
        train: epochs, batch size and the other settings of the training loop.
        precision: the element types of the computation.
        untyped: the network before shape inference, to infer shapes again for the sizes of the data.
        plugins: the names of the plugins whose components it uses: modules, or full paths of files.
        trial: whether the number of epochs comes from a variable or the command line. The run may then be too short for
            a setting to take effect.
        places: the spans of the sections other than the network, for messages.
    """

    name: str
    seed: int
    graph: TypedGraph
    inputs: Mapping[str, Feature]
    targets: Mapping[str, Feature]
    losses: tuple[LossTerm, ...]
    metrics: tuple[MetricTerm, ...]
    augment: tuple[AugmentTerm, ...]
    update: UpdateRule | None
    data: Data | None
    folder: str
    train: Train
    precision: Precision
    untyped: Graph
    plugins: tuple[str, ...] = ()
    trial: bool = False
    places: Places = field(default_factory=Places)
