"""Using a run: evaluation on a split or new data, and predictions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dlc.diagnostics import SpecError, did_you_mean, listing
from dlc.features.category import Category
from dlc.lower.objective import target_feature
from dlc.lower.program import Program, lower
from dlc.lower.serve import answers, raw_inputs, serving, with_stats
from dlc.options import Wrong
from dlc.pipeline import Spec
from dlc.sources.dataset import load_dataset, read_feature
from dlc.sources.files import Csv, Npz
from dlc.sources.source import Columns, Source
from dlc.training.files import write_atomic
from dlc.training.run_folder import RunFolder

BATCH = 256


@dataclass(frozen=True)
class Model:
    """A trained network, ready to use.

    Args:
        spec: its checked spec.
        program: its program.
        weights: flat weights with what the features fitted, as `serving` takes them.
    """

    spec: Spec
    program: Program
    weights: Mapping[str, Any]

    def predict(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Predictions for raw inputs of n records, by name: probabilities for classes, numbers in the target's unit."""
        count = len(next(iter(inputs.values())))
        function = jax.jit(serving(self.spec, self.program))
        parts: list[dict[str, Any]] = []
        size = min(BATCH, max(count, 1))
        for start in range(0, count, size):
            batch = {name: value[start : start + size] for name, value in inputs.items()}
            rows = len(next(iter(batch.values())))
            if rows < size:  # one shape, one compilation
                batch = {name: np.concatenate([value, np.repeat(value[-1:], size - rows, axis=0)]) for name, value in batch.items()}
            parts.append({name: np.asarray(value)[:rows] for name, value in function(self.weights, batch).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load_model(run: RunFolder) -> Model:
    """The best network of a run.

    Raises:
        SpecError: DLC502 without run or weights, DLC503 when a file is damaged.
    """
    spec = run.load_spec()
    program = lower(spec.graph)
    weights = run.load_weights()
    for name, (shape, dtype) in program.shapes().items():
        if name not in weights or weights[name].shape != shape or weights[name].dtype != dtype:
            raise SpecError.of("DLC503", f"`{run.weights}` does not fit the spec: `{name}` differs or is missing")
    return Model(spec, program, with_stats(weights, run.load_stats()))


# ---- predict ----


def source_for(path: Path) -> Source:
    """The source for a table file, by its ending.

    Raises:
        SpecError: DLC510 for an unknown ending.
    """
    if path.suffix == ".csv":
        return Csv(path=str(path))
    if path.suffix == ".npz":
        return Npz(path=str(path))
    raise SpecError.of("DLC510", f"can't tell what `{path}` is", found=f"the ending `{path.suffix}`", expected="a .csv or .npz file")


def read_table(path: Path) -> Columns:
    """The columns of a table file.

    Raises:
        SpecError: DLC401 when it can't be read, DLC405 when it is empty, DLC510 for an unknown ending.
    """
    try:
        columns = source_for(path).load(Path())
    except Wrong as wrong:
        raise SpecError.of(wrong.code, wrong.message, found=wrong.found, expected=wrong.expected, hint=wrong.hint) from None
    if not len(next(iter(columns.values()))):
        raise SpecError.of("DLC405", f"`{path}` holds no record")
    return columns


def read_inputs(spec: Spec, columns: Columns) -> dict[str, np.ndarray[Any, Any]]:
    """The raw inputs of a network from columns.

    Raises:
        SpecError: DLC402-DLC406.
    """
    found = {}
    for name in raw_inputs(spec):
        feature = spec.document.inputs[name]
        assert feature is not None
        found[name] = read_feature(spec, "inputs", name, feature, columns)
    return found


def present(spec: Spec, predictions: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Predictions as the columns of a table: classes by name, probabilities, numbers."""
    columns: dict[str, Any] = {}
    for name, answer in answers(spec).items():
        value = np.asarray(predictions[name])
        if answer.target is not None:
            columns.update(target_feature(spec, answer.target).present(name, value))
        else:
            flat = value.reshape(len(value), -1)
            columns.update({name if flat.shape[1] == 1 else f"{name}_{i}": flat[:, i] for i in range(flat.shape[1])})
    return columns


def write_table(columns: Mapping[str, Any], path: Path | None) -> str:
    """Columns as CSV or, by the file's ending, one JSON object a line. Numbers keep all their digits.

    Args:
        columns: equally long.
        path: where to write; the text is only returned when None.

    Raises:
        SpecError: DLC507 when it can't be written, DLC510 for an unknown ending.
    """
    suffix = path.suffix if path is not None else ".csv"
    if suffix not in (".csv", ".jsonl"):
        raise SpecError.of("DLC510", f"can't write `{path}`", found=f"the ending `{suffix}`", expected="a .csv or .jsonl file")
    rows = zip(*(np.asarray(values).tolist() for values in _exact(columns).values()), strict=True)
    text = io.StringIO()
    if suffix == ".csv":
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        text.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
    if path is not None:
        write_atomic(path, text.getvalue().encode())
    return text.getvalue()


def _exact(columns: Mapping[str, Any]) -> dict[str, Any]:
    """float32 as the shortest decimal that reads back the same."""
    return {
        name: [float(str(value)) for value in np.asarray(values)] if np.asarray(values).dtype == np.float32 else values
        for name, values in columns.items()
    }


# ---- eval ----


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a network on some records.

    Args:
        split: the split's name, or the file's.
        examples: how many records.
        metrics: loss and metrics by name.
        confusion: for each target of classes, counts by true class (rows) and predicted class.
        classes: the names of the classes of each such target.
    """

    split: str
    examples: int
    metrics: Mapping[str, float]
    confusion: Mapping[str, np.ndarray[Any, Any]]
    classes: Mapping[str, list[str]]


def evaluate(run: RunFolder, split: str | None = None, data: Path | None = None) -> Evaluation:
    """Metrics of a run's best weights.

    Args:
        run: the run.
        split: `train`, `validation` or `test`; the last that exists when None.
        data: a table file to evaluate on instead of the spec's own data.

    Raises:
        SpecError: DLC401-DLC406, DLC502, DLC503, DLC510.
    """
    from dlc.training.fit import evaluate_rows

    model = load_model(run)
    spec = model.spec
    assert spec.document.data is not None
    stats = run.load_stats()
    if data is not None:
        if split is not None:
            raise SpecError.of("DLC510", "`--split` has no effect beside `--data`", hint="remove one of them")
        columns = read_table(data)
        inputs = read_inputs(spec, columns)
        encoded = {name: np.asarray(spec.document.inputs[name].encode(value, stats[name])) for name, value in inputs.items()}  # type: ignore[union-attr]
        raw = {name: read_feature(spec, "targets", name, target_feature(spec, name), columns) for name in spec.document.targets}
        targets = {name: np.asarray(target_feature(spec, name).encode(value, stats[name])) for name, value in raw.items()}
        rows = np.arange(len(next(iter(columns.values()))), dtype=np.int32)
        table = {"inputs": encoded, "targets": targets}
        label = str(data)
    else:
        dataset = load_dataset(spec, stats)
        splits = list(dataset.splits)
        label = split or next(name for name in ("test", "validation", "train") if name in splits)
        if label not in splits:
            raise SpecError.of(
                "DLC510", f"the run has no split `{label}`", expected=f"one of {listing(splits)}", hint=did_you_mean(label, splits)
            )
        rows, table = dataset.splits[label], dataset.rows
    variables = model.program.from_flat(model.weights)
    metrics = evaluate_rows(spec, model.program, variables, table, rows, stats)
    confusion, classes = _confusion(model, table, rows, variables)
    return Evaluation(label, len(rows), metrics, confusion, classes)


def _confusion(model: Model, table: Mapping[str, Any], rows: Any, variables: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    from sklearn.metrics import confusion_matrix

    spec = model.spec
    found: dict[str, Any] = {}
    classes: dict[str, list[str]] = {}
    categories = {
        name: (answer, feature)
        for name, answer in answers(spec).items()
        if answer.target is not None and isinstance(feature := target_feature(spec, answer.target), Category)
    }
    if not categories:
        return found, classes
    apply = jax.jit(lambda variables, inputs: model.program.apply(variables, inputs, train=False)[0])
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        chosen = np.concatenate([part, np.repeat(part[-1:], min(BATCH, len(rows)) - len(part))]) if len(part) < min(BATCH, len(rows)) else part
        outputs = apply(variables, {name: value[chosen] for name, value in table["inputs"].items()})
        for name, (answer, feature) in categories.items():
            value = outputs[answer.output]
            scores = np.asarray(answer.loss.activate(value) if answer.loss else value)[: len(part)]
            if scores.ndim != 2:
                continue
            guess = scores.argmax(-1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)
            truth = table["targets"][answer.target][part]
            truth = truth.argmax(-1) if truth.ndim == 2 else truth
            counts = confusion_matrix(truth, guess, labels=range(len(feature.names)))
            found[name] = found.get(name, 0) + counts
            classes[name] = feature.names
    return found, classes
