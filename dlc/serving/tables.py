"""Tables in and out: the records of a file as a network's inputs, predictions as columns of a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlc.backend.loss import feature_of, input_feature, target_feature
from dlc.backend.lowering import platform
from dlc.backend.predict import predictions_of, raw_inputs
from dlc.components.features.feature import as_text, encoded_on_host, present_array, single_values
from dlc.components.sources.files import Csv, Npz
from dlc.components.sources.source import Columns, Source
from dlc.data.dataset import fit_sizes
from dlc.data.fitted import FittedData
from dlc.data.tables import read_feature, selected
from dlc.diagnostics import Report, SpecError, did_you_mean, listing
from dlc.frontend.plan import Plan
from dlc.frontend.predictions import Answer, decoded
from dlc.ir import MASK
from dlc.language.options import RuleViolation
from dlc.serving.model import load_model
from dlc.support.files import plain, write_atomic
from dlc.training.run_folder import RunFolder, check_output


def source_for(path: Path, like: Source | None = None) -> Source:
    """The source for a table file, by its extension; a CSV file has the header and delimiter of `like`.

    Raises:
        SpecError: DLC510 for an unknown extension.
    """
    if path.suffix == ".csv":
        options = {"header": like.header, "delimiter": like.delimiter} if isinstance(like, Csv) else {}
        return Csv.model_validate({"path": str(path), **options})
    if path.suffix == ".npz":
        return Npz(path=str(path))
    raise SpecError.of(
        "DLC510",
        f"unknown file type of `{path}`",
        found=f"the extension `{path.suffix}`",
        expected="a .csv or .npz file",
    )


def read_table(path: Path, plan: Plan) -> Columns:
    """The columns of a table file, read like the spec's own data.

    Raises:
        SpecError: DLC401 when it can't be read, DLC405 when it is empty, DLC510 for an unknown extension.
    """
    try:
        data = plan.data
        columns = source_for(path, data.source if data is not None else None).load(Path())
    except RuleViolation as wrong:
        raise SpecError.of(
            wrong.code, wrong.message, found=wrong.found, expected=wrong.expected, hint=wrong.hint
        ) from None
    if not len(next(iter(columns.values()))):
        raise SpecError.of("DLC405", f"`{path}` has no records")
    return columns


def as_columns(inputs: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Columns given as arrays or lists.

    Raises:
        SpecError: DLC401 unless all have the same number of records, DLC405 when that is zero.
    """
    columns = {name: np.asarray(value) for name, value in inputs.items()}
    counts = {name: len(value) if value.ndim else None for name, value in columns.items()}
    if not columns or None in counts.values() or len(set(counts.values())) != 1:
        found = ", ".join(f"`{name}` {'a single value' if count is None else count}" for name, count in counts.items())
        raise SpecError.of("DLC401", "the columns have different lengths", found=found or "no columns")
    if not next(iter(counts.values())):
        raise SpecError.of("DLC405", "the columns have no records")
    return columns


def read_inputs(
    plan: Plan, fitted: FittedData, columns: Columns, where: str | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """The raw inputs of a network from columns, found by the names that training read.

    Args:
        plan: the plan of the run.
        fitted: what the run learned about its data.
        columns: the columns.
        where: their origin, for messages.

    Raises:
        SpecError: DLC402-DLC406.
    """
    found = {}
    for name in raw_inputs(plan):
        found[name] = _read(plan, fitted, "inputs", name, columns, where)
    sizes: dict[str, int] = {}
    for name, kind in raw_inputs(plan).items():
        if len(kind.shape) == found[name].ndim:
            sizes |= {
                dim: size
                for dim, size in zip(kind.shape[1:], found[name].shape[1:], strict=True)
                if isinstance(dim, str)
            }
    fit_sizes(plan, sizes)
    return found


def _read(
    plan: Plan, fitted: FittedData, section: str, name: str, columns: Columns, where: str | None
) -> np.ndarray[Any, Any]:
    """`read_feature` for columns from outside the spec: errors refer to the file, not to a span in the spec.

    A feature of several columns may be given as one array under its own name.
    """
    feature = input_feature(plan, name) if section == "inputs" else target_feature(plan, name)
    known = fitted.columns[name]
    whole = name in columns and columns[name].ndim > 1 and not set(known) & set(columns)
    try:
        chosen = (name,) if whole else selected(plan, section, name, feature, columns, known)
        return read_feature(plan, section, name, feature, columns, chosen)
    except SpecError as error:
        prefix = f"{where}: " if where else ""
        items = [replace(item, span=None, message=f"{prefix}{item.message}") for item in error.report.diagnostics]
        raise SpecError(Report(tuple(items))) from None


def read_encoded(plan: Plan, fitted: FittedData, columns: Columns, where: str) -> dict[str, dict[str, Any]]:
    """The encoded inputs and targets, `{"inputs": ..., "targets": ...}`, with the columns and statistics of a run.

    Raises:
        SpecError: DLC402-DLC406.
    """
    inputs = read_inputs(plan, fitted, columns, where)
    targets = {name: _read(plan, fitted, "targets", name, columns, where) for name in plan.targets}
    found: dict[str, dict[str, Any]] = {"inputs": {}, "targets": {}}
    for section, raws, feature in (("inputs", inputs, input_feature), ("targets", targets, target_feature)):
        for name, raw in raws.items():
            found[section].update(encoded_on_host(feature(plan, name), name, raw, fitted.stats[name]))
    return found


def present(plan: Plan, predictions: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Predictions as the columns of a table: classes by name, probabilities, numbers, sequences as strings.

    Raises:
        SpecError: DLC202 when two predictions have a column of the same name.
    """
    columns: dict[str, Any] = {}
    for name, answer in predictions_of(plan).items():
        value = np.asarray(predictions[name])
        feature = feature_of(plan, answer.against)
        if answer.decodes:
            spelt = [None if tokens is None else " ".join(map(str, tokens)) for tokens in sequences(answer, value)]
            _add(columns, name, {decoded(name): np.array(spelt, object)})
            continue
        found = feature.present(name, value) if feature is not None else present_array(name, value)
        mask = predictions.get(name + MASK)
        _add(columns, name, found if mask is None else _without_padding(name, found, mask, value.shape))
    return columns


def sequences(answer: Answer, prediction: np.ndarray[Any, Any]) -> list[list[int] | None]:
    """The tokens that the loss of an output decodes from each record; None where the network gave no numbers."""
    assert answer.loss is not None
    undefined = np.isnan(prediction.reshape(len(prediction), -1)).any(1)
    rows = answer.loss.decode(prediction)
    return [None if lost else row[row >= 0].tolist() for row, lost in zip(rows, undefined, strict=True)]


def _without_padding(
    name: str, columns: Mapping[str, Any], mask: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> dict[str, Any]:
    """The columns of a prediction (n, time, *axes), or of its positions, with None at padding."""
    places: dict[str, Any] = {}
    for whole in (shape[:2], shape):
        real = np.broadcast_to(mask.reshape(*mask.shape, *(1,) * (len(whole) - 2)), whole)
        places |= present_array(name, real)
    found = dict(columns)
    for column in found.keys() & places.keys():
        if not places[column].all():
            values = np.asarray(_exact({column: found[column]})[column]).tolist()
            found[column] = np.array(
                [value if real else None for value, real in zip(values, places[column], strict=True)]
            )
    return found


def as_arrays(plan: Plan, predictions: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Predictions by name, each in its own shape.

    Of a category the class, and the probability of each class; of a decoded sequence a list of tokens. At padding
    numbers are NaN, and tokens -1.
    """
    found: dict[str, Any] = {}
    for name, answer in predictions_of(plan).items():
        value, feature = np.asarray(predictions[name]), feature_of(plan, answer.against)
        if answer.decodes:
            lists = np.empty(len(value), object)
            for row, tokens in enumerate(sequences(answer, value)):
                lists[row] = tokens
            _add(found, name, {decoded(name): lists})
            continue
        arrays = feature.arrays(name, value) if feature is not None else {name: single_values(value)}
        mask = predictions.get(name + MASK)
        if mask is not None and arrays[name].dtype.kind in "iu" and arrays[name].shape == mask.shape:
            arrays[name] = np.where(mask, arrays[name], -1)
        _add(found, name, arrays)
    return found


def _add(columns: dict[str, Any], name: str, more: Mapping[str, Any]) -> None:
    """Add the columns of a prediction.

    Raises:
        SpecError: DLC202 when there is a column of the same name.
    """
    twice = sorted(columns.keys() & more.keys())
    if twice:
        message = f"two predictions have a column `{twice[0]}`"
        raise SpecError.of("DLC202", message, hint=f"rename `{name}`")
    columns.update(more)


def predict_table(run: Path, path: Path, keep: Sequence[str]) -> dict[str, Any]:
    """The predictions of a run for a table file as columns, after the kept columns of the file.

    Raises:
        SpecError: DLC402 when a kept column is missing, DLC406 when it holds arrays, DLC510 when it has the name of a
            prediction, and those of `load_model` and `read_inputs`.
    """
    model = load_model(RunFolder(run), platform())
    columns = read_table(path, model.plan)
    kept: dict[str, Any] = {}
    for name in keep:
        if name not in columns:
            hint, there = did_you_mean(name, list(columns)), f"columns {listing(list(columns), 12)}"
            raise SpecError.of("DLC402", f"`{path}` has no column `{name}`", found=there, hint=hint)
        kept[name] = np.asarray(columns[name])
        if kept[name].ndim > 1 or kept[name].dtype.kind not in "fiubOUS":
            message = f"the column `{name}` of `{path}` can't be kept: it holds no numbers or strings"
            raise SpecError.of("DLC406", message, found=f"{kept[name].dtype} of shape {list(kept[name].shape[1:])}")
        if kept[name].dtype.kind == "S":
            kept[name] = np.array([as_text(value) for value in kept[name]])
    read = {column for part in model.fitted.columns.values() for column in part}
    inputs = {name: column for name, column in columns.items() if name in read or name not in kept}
    found = present(model.plan, model.predict(read_inputs(model.plan, model.fitted, inputs, str(path))))
    for name in sorted(kept.keys() & found.keys()):
        raise SpecError.of("DLC510", f"`--keep {name}`: a prediction has the same name", hint="rename the column")
    return {**kept, **found}


def checked_format(path: Path | None) -> str:
    """The extension of a table to write; that of CSV for the standard output.

    Raises:
        SpecError: DLC507 for a file of a run folder, DLC510 for an unknown extension.
    """
    suffix = path.suffix if path is not None else ".csv"
    if suffix in (".csv", ".jsonl"):
        if path is not None:
            check_output(path)
        return suffix
    found = f"the extension `{suffix}`"
    raise SpecError.of("DLC510", f"can't write `{path}`", found=found, expected="a .csv or .jsonl file")


def write_table(columns: Mapping[str, Any], path: Path | None) -> str:
    """Columns as CSV or, by the file's extension, one JSON object per line. Numbers keep all their digits.

    Args:
        columns: columns of equal length.
        path: the file; if None, the text is only returned.

    Raises:
        SpecError: DLC507 when it can't be written, DLC510 for an unknown extension.
    """
    suffix = checked_format(path)
    rows = zip(*(np.asarray(values).tolist() for values in _exact(columns).values()), strict=True)
    text = io.StringIO()
    if suffix == ".csv":
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        text.writelines(json.dumps(plain(dict(zip(columns, row, strict=True)))) + "\n" for row in rows)
    if path is not None:
        write_atomic(path, text.getvalue().encode())
    return text.getvalue()


def _exact(columns: Mapping[str, Any]) -> dict[str, Any]:
    """float32 as the shortest decimal that reads back the same."""
    return {
        name: [float(str(value)) for value in np.asarray(values)] if np.asarray(values).dtype == np.float32 else values
        for name, values in columns.items()
    }
