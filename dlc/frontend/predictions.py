"""The predictions of a spec: their names, and the columns of a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from dlc.components.features.feature import Feature, array_columns
from dlc.components.losses.loss import Loss
from dlc.diagnostics import SpecError, did_you_mean, listing
from dlc.frontend.plan import Against, LossTerm, Plan
from dlc.ir import Ref, TensorType, TypedGraph, TypedRepeat

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


def results_of_items(graph: TypedGraph) -> dict[str, tuple[Ref, TensorType]]:
    """The results of the items of a network and their types, by the paths of the items, or with the name of a result.

    Items inside of a repeat have none. The result of an item with items inside is that of the last of these.
    """
    found: dict[str, tuple[Ref, TensorType]] = {}
    around: dict[str, tuple[Ref, TensorType]] = {}
    for node in graph.nodes:
        parts = node.path.split("/")
        found[node.path] = Ref(node.path), node.type if isinstance(node, TypedRepeat) else node.signature.output
        around |= {"/".join(parts[:depth]): found[node.path] for depth in range(1, len(parts))}
        if not isinstance(node, TypedRepeat):
            results = node.signature.results
            found |= {f"{node.path}.{key}": (Ref(node.path, key), results[key]) for key in results}
    return {**around, **found}


def with_output(plan: Plan, name: str) -> Plan:
    """A plan with a single output: a prediction, an output, or the result of an item of the network by its path.

    Raises:
        SpecError: DLC510 when there is none of that name.

    Args:
        plan: the plan.
        name: the name; an item as by `results_of_items`.
    """
    graph = plan.graph
    known = {prediction: answer.output for prediction, answer in answers(plan.losses, graph.outputs).items()}
    output = name if name in graph.outputs else known.get(name)
    if output is not None:
        outputs, types = {output: graph.outputs[output]}, {output: graph.types[output]}
    else:
        found = results_of_items(graph).get(name)
        if found is None:
            names = list(dict.fromkeys([*known, *graph.outputs, *results_of_items(graph)]))
            raise SpecError.of(
                "DLC510",
                f"the network has no output or item `{name}`",
                expected=f"one of {listing(names, 12)}",
                hint=did_you_mean(name, names),
            )
        outputs, types = {name: found[0]}, {name: found[1]}
    kept = tuple(term for term in plan.losses if term.output in outputs)
    return replace(plan, graph=replace(graph, outputs=outputs, types=types), losses=kept)


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
