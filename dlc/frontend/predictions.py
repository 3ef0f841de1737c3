"""The predictions of a spec: their names, and the columns of a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from dlc.components.features.feature import Feature, array_columns
from dlc.components.losses.loss import Loss
from dlc.frontend.plan import Against, LossTerm
from dlc.ir import TensorType

MOST_COLUMNS = 100_000  # whose names are compared before training


class Answer(NamedTuple):
    """An output for predictions: its name, the loss that interprets it, and its target."""

    output: str
    loss: Loss | None
    against: Against | None

    @property
    def decodes(self) -> bool:
        """Whether the loss decodes sequences, which are not aligned with the target."""
        return self.loss is not None and self.loss.decodes and self.against is not None

    def columns(self, name: str, feature: Feature | None, sizes: Sequence[int]) -> list[str]:
        """The names of its columns in a table of predictions, whose records have these sizes."""
        if self.decodes:
            return [decoded(name)]
        return feature.prediction_columns(name, sizes) if feature is not None else array_columns(name, sizes)


def decoded(name: str) -> str:
    """The name of a decoded sequence, which is not read place by place as its target is."""
    return f"{name}_decoded"


def answers(losses: Sequence[LossTerm], outputs: Iterable[str]) -> dict[str, Answer]:
    """The predictions of a spec by name: the target's if a loss pairs the output with one, else the output's."""
    found: dict[str, Answer] = {}
    paired = {term.output: term for term in reversed(losses)}
    for output in outputs:
        term = paired.get(output)
        if term is not None and term.target is not None and term.target not in found:
            found[term.target] = Answer(output, term.loss, term.against)
        else:
            found[output] = Answer(output, term.loss if term else None, None)
    return found


def ambiguous(
    found: Mapping[str, Answer], features: Mapping[str, Feature], types: Mapping[str, TensorType]
) -> tuple[str, str, str] | None:
    """A column that two predictions would have in a table, and the names of these; None if there is none.

    Args:
        found: the predictions by name.
        features: the features of inputs and targets by name.
        types: the types of the outputs.
    """
    owners: dict[str, str] = {}
    for name, answer in found.items() if len(found) > 1 else ():
        sizes = tuple(dim for dim in types[answer.output].shape[1:] if isinstance(dim, int))
        unknown = len(sizes) < len(types[answer.output].shape) - 1
        if not answer.decodes and (unknown or prod(sizes) > MOST_COLUMNS):
            continue  # the number of columns is that of the data
        feature = features.get(answer.against.name) if answer.against is not None else None
        for column in answer.columns(name, feature, sizes):
            if owners.setdefault(column, name) != name:
                return column, owners[column], name
    return None
