"""Tables in and out: the records of a file as a network's inputs, predictions as columns of a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from dlc.backend.loss import feature_of
from dlc.backend.lowering import platform
from dlc.backend.predict import predictions_of, raw_inputs
from dlc.components.features.feature import as_text, present_array, single_values
from dlc.components.sources.folders import FolderSource
from dlc.components.sources.source import Source
from dlc.data.bad_records import BadRecords, bad_records_of
from dlc.data.columns import Windows
from dlc.data.content import prepared, series_of
from dlc.data.dataset import encode_records, fit_sizes
from dlc.data.errors import DataErrors
from dlc.data.findings import without_absent_targets
from dlc.data.fitted import FittedData
from dlc.data.splits import Labels
from dlc.data.tables import COPIES, Kept, Other, Room, allowed_memory, features_of, read_values
from dlc.data.values import FeatureKey
from dlc.data.windows import Layout, reach, sequential, spans, whole_windows
from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.frontend.predictions import Answer, decoded
from dlc.ir import MASK, over
from dlc.serving.model import load_model
from dlc.serving.sources import FILE, GivenColumns, source_of
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.files import plain, write_atomic
from dlc.support.optional import require
from dlc.training.evaluation import undefined_note
from dlc.training.run_folder import RunFolder, check_output, inputs_of


def read_raw(
    plan: Plan,
    fitted: FittedData,
    source: Source,
    where: str | None,
    *,
    targets: bool,
    kept: Kept | None = None,
    bad: BadRecords | None = None,
    labels: Sequence[Labels] = (),
) -> dict[FeatureKey, Any]:
    """The raw values of new records: those of the network's inputs, and with `targets` those of all features.

    Columns are found by the names that training read.

    Args:
        plan: the plan of the run.
        fitted: what the run learned about its data.
        source: the records.
        where: their origin, for messages.
        targets: whether to read the targets and the inputs that only losses read.
        kept: receives columns of the table.
        bad: receives the records that can't be read; they are errors if None.
        labels: receives the column of the series.

    Raises:
        SpecError: DLC401-DLC406.
    """
    features = {
        key: feature
        for key, feature in features_of(plan).items()
        if targets or (key[0] == "inputs" and key[1] in plan.graph.inputs)
    }
    errors, columns = DataErrors(plan, where or ""), dict(fitted.columns)
    room = Room(allowed_memory(plan) // COPIES)
    also: list[Other] = [*labels, *([] if kept is None else [kept])]
    found = read_values(plan, source, room, columns, errors, (), features, also, folder=Path(), bad=bad)
    errors.check()
    return found


def _placed(
    plan: Plan, fitted: FittedData, table: Mapping[FeatureKey, Any], where: str, labels: Sequence[Labels]
) -> tuple[dict[FeatureKey, Any], Layout | None]:
    """Raw values as numbers; and their records, if these are windows.

    Raises:
        SpecError: DLC404 for strings that don't fit, DLC405 when there is no whole window.
    """
    features = {key: feature for key, feature in features_of(plan).items() if key in table}
    found = spans(features)
    if not found:
        return prepared(plan, table, fitted.artifacts), None
    low, high = reach(found)
    raws = dict(table)
    bounds, order = series_of(labels, len(next(iter(table.values()))))
    if order is not None:
        message, hint = f"the rows of a series are not together in `{where}`", "sort the table by its series and time"
        raise SpecError.of("DLC405", message, hint=hint)
    lengths = [stop - start for start, stop in bounds]
    if sequential(features):
        tokens = {key: features[key].sequences(raw[:], fitted.artifacts[key[1]], key[1]) for key, raw in table.items()}
        lengths = [len(each) for each in next(iter(tokens.values()))]
        raws = {key: np.concatenate([np.asarray(each, np.int32) for each in own]) for key, own in tokens.items()}
    ends = np.cumsum(lengths)
    parts = [whole_windows(length, low, high) + end - length for length, end in zip(lengths, ends, strict=True)]
    rows = np.concatenate(parts).astype(np.int32)
    if not len(rows):
        message, expected = f"`{where}` is shorter than a window", f"at least {high - low:,} rows"
        raise SpecError.of("DLC405", message, found=f"{max(lengths):,} rows", expected=expected)
    return raws, Layout(rows, {}, rows[:0])


def read_inputs(
    plan: Plan,
    fitted: FittedData,
    source: Source,
    where: str | None = None,
    kept: Kept | None = None,
    bad: BadRecords | None = None,
) -> dict[str, Any]:
    """The raw inputs of a network, found by the names that training read.

    Args:
        plan: the plan of the run.
        fitted: what the run learned about its data.
        source: the records.
        where: their origin, for messages.
        kept: receives columns of the table.
        bad: receives the records that can't be read; they are errors if None.

    Raises:
        SpecError: DLC401-DLC406.
    """
    labels = _series_labels(plan)
    table = read_raw(plan, fitted, source, where, targets=False, kept=kept, labels=labels, bad=bad)
    raws, layout = _placed(plan, fitted, table, where or "the data", labels)
    found: dict[str, Any] = {}
    for key, raw in raws.items():
        span = features_of(plan)[key].span
        found[key[1]] = raw if layout is None or span is None else Windows(raw, layout.rows, span)
    if kept is not None and layout is not None and not sequential(features_of(plan)):
        kept.rows = np.maximum(layout.rows - 1, 0)
    sizes: dict[str, int] = {}
    for name, kind in raw_inputs(plan).items():
        if len(kind.shape) == len(found[name].shape):
            sizes |= {
                dim: size
                for dim, size in zip(kind.shape[1:], found[name].shape[1:], strict=True)
                if isinstance(dim, str)
            }
    fit_sizes(plan, sizes)
    return found


def read_encoded(
    plan: Plan, fitted: FittedData, source: Source, where: str
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The encoded inputs and targets, `{"inputs": ..., "targets": ...}`, with the columns and statistics of a run.

    Records without a target that `missing: drop` leaves out in training are left out, as are those that can't be read
    with `on_bad_record: skip`, and notes say how many.

    Raises:
        SpecError: DLC401-DLC406.
    """
    labels, bad = _series_labels(plan), bad_records_of(plan, where, source)
    table = read_raw(plan, fitted, source, where, targets=True, labels=labels, bad=bad)
    raws, rows, notes = without_absent_targets(features_of(plan), table)
    notes = [*(bad.notes() if bad is not None else ()), *notes]
    if not len(rows):
        raise SpecError.of("DLC405", f"{where}: no record has all targets")
    raws, layout = _placed(plan, fitted, raws, where, labels)
    return encode_records(plan, raws, fitted.stats, allowed_memory(plan) // COPIES, layout), notes


def _series_labels(plan: Plan) -> list[Labels]:
    """What receives the column that names the series of windows."""
    series = plan.data.windows.series if plan.data is not None else None
    return [] if series is None else [Labels(series, "series")]


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
        real = np.broadcast_to(over(mask, len(whole)), whole)
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
        if mask is not None and arrays[name].dtype.kind in "iuO" and arrays[name].shape == mask.shape:
            padded: np.ndarray[Any, Any] = np.where(mask, arrays[name], -1)
            arrays[name] = padded if any(token is None for token in padded.flat) else padded.astype(np.int64)
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


def undefined_notes(predictions: Mapping[str, Any]) -> list[str]:
    """For each prediction that is NaN for some records, how many these are."""
    notes = []
    for name, value in predictions.items():
        if name.endswith(MASK):
            continue
        undefined = np.isnan(value)
        mask = predictions.get(name + MASK)
        if mask is not None:
            undefined &= over(mask, value)
        count = int(undefined.reshape(len(value), -1).any(1).sum())
        if count:
            notes.append(undefined_note(name, count, len(value)))
    return notes


@noticing_exhaustion()
def predict_table(
    run: Path, given: str | Path, keep: Sequence[str], out: Path | None = None, output: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The predictions of a run for a table as columns, after the kept columns of the table; and notes about them.

    With `on_bad_record: skip` records that can't be read have empty predictions.

    Raises:
        SpecError: DLC402 when a kept column is missing, DLC406 when it holds arrays, DLC510 when it has the name of a
            prediction, and those of `load_model` and `read_inputs`.
    """
    model = load_model(RunFolder(run), platform(), output)
    if out is not None:
        check_output(out, [*inputs_of(model.plan), *([Path(given)] if given != "-" else [])])
    source = source_of(model, given)
    named = isinstance(source, FolderSource) or (isinstance(source, GivenColumns) and FILE in source.given)
    kept = Kept(tuple(dict.fromkeys([*([FILE] if named else []), *(normalize("NFC", name) for name in keep)])))
    bad = bad_records_of(model.plan, str(given), source)
    inputs = read_inputs(model.plan, model.fitted, source, str(given), kept, bad)
    beside: dict[str, Any] = {}
    for name in kept.names:
        beside[name] = kept.column(name)
        if beside[name].ndim > 1 or beside[name].dtype.kind not in "fiubOUS":
            message = f"the column `{name}` of `{given}` can't be kept: it holds no numbers or strings"
            found_type = f"{beside[name].dtype} of shape {list(beside[name].shape[1:])}"
            raise SpecError.of("DLC406", message, found=found_type)
        if beside[name].dtype.kind == "S":
            beside[name] = np.array([as_text(value) for value in beside[name]])
    predictions = model.predict(inputs)
    found, notes = present(model.plan, predictions), undefined_notes(predictions)
    if bad is not None:
        found, notes = bad.spread(found, None), [*bad.notes("have no predictions"), *notes]
    for name in sorted(beside.keys() & found.keys()):
        raise SpecError.of("DLC510", f"`--keep {name}`: a prediction has the same name", hint="rename the column")
    return {**beside, **found}, notes


def checked_format(path: Path | None) -> str:
    """The extension of a table to write; that of CSV for the standard output.

    Raises:
        SpecError: DLC507 for a file of a run folder, DLC510 for an unknown extension.
    """
    suffix = path.suffix if path is not None else ".csv"
    if suffix in (".csv", ".jsonl", ".parquet"):
        if suffix == ".parquet":
            require("pyarrow")
        if path is not None:
            check_output(path)
        return suffix
    found = f"the extension `{suffix}`"
    raise SpecError.of("DLC510", f"can't write `{path}`", found=found, expected="a .csv, .jsonl or .parquet file")


def write_table(columns: Mapping[str, Any], path: Path | None) -> str:
    """Columns as CSV or, by the file's extension, one JSON object per line, or Parquet. Numbers keep all their digits.

    Args:
        columns: columns of equal length.
        path: the file; if None, the text is only returned. Nothing is returned of a Parquet file.

    Raises:
        SpecError: DLC507 when it can't be written, DLC510 for an unknown extension.
    """
    suffix = checked_format(path)
    if suffix == ".parquet" and path is not None:
        write_atomic(path, _parquet(columns), follow=True)
        return ""
    rows = zip(*(np.asarray(values).tolist() for values in _exact(columns).values()), strict=True)
    text = io.StringIO()
    if suffix == ".csv":
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        text.writelines(json.dumps(plain(dict(zip(columns, row, strict=True)))) + "\n" for row in rows)
    if path is not None:
        write_atomic(path, text.getvalue().encode(), follow=True)
    return text.getvalue()


def _parquet(columns: Mapping[str, Any]) -> bytes:
    """Columns as a Parquet file, each of the type that its values have."""
    arrow, parquet = require("pyarrow"), require("pyarrow", "pyarrow.parquet")
    file = io.BytesIO()

    def column(values: Any) -> Any:
        found = np.asarray(values)
        if found.dtype.kind in "iufb":
            return arrow.array(found)
        try:
            return arrow.array(found.tolist())
        except (arrow.ArrowInvalid, arrow.ArrowTypeError):  # values of several types
            return arrow.array([None if value is None else as_text(value) for value in found.tolist()])

    parquet.write_table(arrow.table({name: column(values) for name, values in columns.items()}), file)
    return file.getvalue()


def _exact(columns: Mapping[str, Any]) -> dict[str, Any]:
    """float32 as the shortest decimal that reads back the same."""
    return {
        name: [float(str(value)) for value in np.asarray(values)] if np.asarray(values).dtype == np.float32 else values
        for name, values in columns.items()
    }
