"""Tables in and out: the records of a file as a network's inputs, predictions as columns of a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from dlc.backend.loss import feature_of, input_feature
from dlc.backend.lowering import platform
from dlc.backend.predict import predictions_of, raw_inputs
from dlc.components.features.feature import as_text, present_array, single_values
from dlc.components.modifiers import NoModifiers
from dlc.components.registry import KINDS
from dlc.components.sources.files import FileSource
from dlc.components.sources.folders import IMAGES, FolderSource, ImageFolder
from dlc.components.sources.references import FileEntry
from dlc.components.sources.source import Opened, Source, kind_of_file
from dlc.data.dataset import encode_records, fit_sizes
from dlc.data.errors import DataErrors
from dlc.data.findings import without_absent_targets
from dlc.data.fitted import FittedData
from dlc.data.tables import COPIES, Kept, Room, allowed_memory, features_of, read_values
from dlc.data.values import FeatureKey
from dlc.diagnostics import Problems, SpecError, listing
from dlc.frontend.plan import Plan
from dlc.frontend.plugins import active
from dlc.frontend.predictions import Answer, decoded
from dlc.ir import MASK, over
from dlc.language.item_syntax import read_item
from dlc.language.yaml_text import parse_yaml
from dlc.serving.model import Model, load_model
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.files import plain, write_atomic
from dlc.support.regular_files import open_regular
from dlc.training.evaluation import undefined_note
from dlc.training.run_folder import RunFolder, check_output, inputs_of


def source_for(text: str | Path, like: Source | None = None) -> Source:
    """The source for new data.

    A folder is read as pictures, unless the spec reads folders of another kind. A file is read by the source that
    recognizes its content, else by that of the spec if its file has the same ending, else by the one whose files have
    its ending, else by that of the spec. Other sources are written as in a spec, such as `digits` or
    `csv: {path: new.txt, delimiter: ";"}`.

    Args:
        text: a path, or a source as in a spec.
        like: the source of the spec, whose format other files of its kind have.

    Raises:
        SpecError: DLC510 when no source reads such a file, DLC1xx when a source is wrong.
    """
    path, table = Path(text), KINDS["source"].table
    if isinstance(text, str) and (text in table or ": " in text) and not _exists(path):
        return read_source(text)
    if _exists(path) and path.is_dir():
        return (like if isinstance(like, FolderSource) else ImageFolder(path=str(path))).for_folder(path)
    classes = [cls for word in table if issubclass(cls := KINDS["source"].load(word), FileSource)]
    kind, head = kind_of_file(path), _head(path)
    found = next((cls for cls in classes if cls.recognizes(head)), None)
    if found is None and isinstance(like, FileSource) and kind == kind_of_file(Path(like.path)):
        return like.for_file(path)
    found = found or next((cls for cls in classes if kind in cls.suffixes), None)
    if found is None and isinstance(like, FileSource) and head:
        return like.for_file(path)
    if found is None:
        known = listing([ending for cls in classes for ending in cls.suffixes])
        raise SpecError.of(
            "DLC510",
            f"unknown file type of `{path}`",
            found=f"the extension `{path.suffix}`",
            expected=f"a file with the extension {known}, which may be compressed",
            hint=f"name its source, for example `csv: {path.name}`",
        )
    return like.for_file(path) if isinstance(like, found) else found.model_validate({"path": str(path)})


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for the name of a file
        return False


def _head(path: Path) -> bytes:
    """The beginning of a file; empty if it can't be read, which is reported when the source reads it."""
    try:
        file, size = open_regular(path)
        with file:
            return file.read(min(size, 512))  # files of /proc have no size, and may block
    except (OSError, ValueError):
        return b""


def read_source(text: str) -> Source:
    """The source that a text names, with its options.

    Raises:
        SpecError: DLC1xx when it is wrong.
    """
    source = parse_yaml(f"data:\n  {text}\n", "--data")
    problems = Problems()
    table = KINDS["source"].table
    made = read_item(source.tree["data"], ("data",), source, table, Source, NoModifiers, "source", problems)
    if made is None:
        raise SpecError(problems.report(source.texts))
    return made.thing


FILE = "file"
"""The column of the names of files: a table of predictions for files begins with it."""


class GivenColumns(Source):
    """Columns that are in memory."""

    word = "columns"
    given: dict[str, Any]

    def open(self, base: Path, room: int) -> Opened:
        """The columns."""
        return self.given


def as_columns(inputs: Mapping[str, Any]) -> Source:
    """Columns given as arrays or lists, as a source.

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
    return GivenColumns(given=columns)


def read_raw(
    plan: Plan, fitted: FittedData, source: Source, where: str | None, *, targets: bool, kept: Kept | None = None
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
    also = () if kept is None else (kept,)
    found = read_values(plan, source, room, columns, errors, (), features, also, folder=Path())
    errors.check()
    return found


def read_inputs(
    plan: Plan, fitted: FittedData, source: Source, where: str | None = None, kept: Kept | None = None
) -> dict[str, Any]:
    """The raw inputs of a network, found by the names that training read.

    Args:
        plan: the plan of the run.
        fitted: what the run learned about its data.
        source: the records.
        where: their origin, for messages.
        kept: receives columns of the table.

    Raises:
        SpecError: DLC401-DLC406.
    """
    found = {key[1]: raw for key, raw in read_raw(plan, fitted, source, where, targets=False, kept=kept).items()}
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

    Records without a target that `missing: drop` leaves out in training are left out, and a note says how many.

    Raises:
        SpecError: DLC401-DLC406.
    """
    table = read_raw(plan, fitted, source, where, targets=True)
    raws, rows, notes = without_absent_targets(features_of(plan), table)
    if not len(rows):
        raise SpecError.of("DLC405", f"{where}: no record has all targets")
    return encode_records(plan, raws, fitted.stats, allowed_memory(plan) // COPIES), notes


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
    run: Path, given: str | Path, keep: Sequence[str], out: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The predictions of a run for a table as columns, after the kept columns of the table; and notes about them.

    Raises:
        SpecError: DLC402 when a kept column is missing, DLC406 when it holds arrays, DLC510 when it has the name of a
            prediction, and those of `load_model` and `read_inputs`.
    """
    model = load_model(RunFolder(run), platform())
    if out is not None:
        check_output(out, [*inputs_of(model.plan), Path(given)])
    source = source_of(model, given)
    named = isinstance(source, (GivenColumns, FolderSource))
    kept = Kept(tuple(dict.fromkeys([*([FILE] if named else []), *(normalize("NFC", name) for name in keep)])))
    inputs = read_inputs(model.plan, model.fitted, source, str(given), kept)
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
    found = present(model.plan, predictions)
    for name in sorted(beside.keys() & found.keys()):
        raise SpecError.of("DLC510", f"`--keep {name}`: a prediction has the same name", hint="rename the column")
    return {**beside, **found}, undefined_notes(predictions)


def source_of(model: Model, text: str | Path) -> Source:
    """The source for new data of a run: as by `source_for`, or pictures that a path or a pattern with `*` names.

    Raises:
        SpecError: as by `source_for`, DLC401 when no file matches a pattern.
    """
    data = model.plan.data
    files = picture_files(text)
    if files is not None:
        return picture_source(model, files)
    with active(model.plugins):
        return source_for(text, data.source if data is not None else None)


def picture_files(text: str | Path) -> list[Path] | None:
    """The files that a path or a pattern of pictures names, in the order of their names; None if it is none.

    Raises:
        SpecError: DLC401 when no file matches a pattern.
    """
    path = Path(text)
    if path.suffix.lower() not in IMAGES:
        return None
    if _exists(path) or "*" not in str(text):
        return [path]
    found = sorted(Path(name) for name in glob(str(text), recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not found:
        raise SpecError.of("DLC401", f"no file matches `{text}`")
    return found


def picture_source(model: Model, files: Sequence[Path]) -> Source:
    """Pictures as the column that the only input of pictures of a run reads, and their names as the column `file`.

    Raises:
        SpecError: DLC510 when the run has no such input, or several.
    """
    names = [name for name in model.plan.graph.inputs if input_feature(model.plan, name).reads_files]
    if len(names) != 1:
        message = "the run has no input that reads pictures" if not names else "the run has several inputs of pictures"
        hint = "give a table that names the files of each" if names else "give a table with its inputs"
        raise SpecError.of("DLC510", message, found=f"`{files[0]}`", hint=hint)
    (column,) = model.fitted.columns[names[0]]
    entries = np.empty(len(files), object)
    entries[:] = [FileEntry(str(file), str(file)) for file in files]
    return GivenColumns(given={column: entries, FILE: np.array([str(file) for file in files], object)})


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
        write_atomic(path, text.getvalue().encode(), follow=True)
    return text.getvalue()


def _exact(columns: Mapping[str, Any]) -> dict[str, Any]:
    """float32 as the shortest decimal that reads back the same."""
    return {
        name: [float(str(value)) for value in np.asarray(values)] if np.asarray(values).dtype == np.float32 else values
        for name, values in columns.items()
    }
