"""The content of a spec's sources: raw values, their records, and the splits that these are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import Feature
from dlc.components.wrong_values import Violations
from dlc.data.bad_records import BadRecord, BadRecords, bad_records_of
from dlc.data.columns import Chosen, Joined
from dlc.data.decoding import FileReader
from dlc.data.errors import DataErrors, wrong_data
from dlc.data.findings import without_absent_targets
from dlc.data.fitted import Bytes, FittedData, Unpadded, record_digests, string_digests
from dlc.data.kept_tables import read_table
from dlc.data.splits import Labels, codes_of, labels_of, split_tables
from dlc.data.tables import Room, features_of
from dlc.data.values import FeatureKey
from dlc.data.windows import Layout, Segment, cut_texts, layout, reach, segments_of, sequential, spans
from dlc.diagnostics import plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dlc.frontend.sections import Data

Table = dict[FeatureKey, Any]
Spans = Mapping[FeatureKey, tuple[int, int]]


@fast_dataclass(frozen=True)
class Content:
    """What the sources of a spec hold.

    Args:
        raws: the raw values of each feature: (n, ...), or the values of all rows if records are windows.
        splits: the numbers of the records of each split.
        digests: of the records, uint64 (n,).
        artifacts: what features learned before there were numbers, by feature.
        layout: the records, if they are windows.
        notes: what is noteworthy about them.
        bad_records: the records that can't be read and were left out.
        source_rows: the rows of the main source that are records, from 0; None for windows.
    """

    raws: Table
    splits: Mapping[str, NDArray[np.int32]]
    digests: NDArray[np.uint64]
    artifacts: Mapping[str, bytes]
    layout: Layout | None = None
    notes: tuple[str, ...] = ()
    bad_records: tuple[BadRecord, ...] = ()
    source_rows: NDArray[np.int32] | None = None


def read_content(
    plan: Plan, data: Data, room: Room, columns: dict[str, tuple[str, ...]], fitted: FittedData | None
) -> Content:
    """Read all sources of a spec.

    Args:
        plan: the plan of the spec.
        data: its section.
        room: the memory for raw values.
        columns: the columns that each feature reads; those of the first table are added.
        fitted: what a run learned about its data; None for a new run, whose records are divided.

    Raises:
        SpecError: DLC401-DLC406, with everything that is wrong in all sources.
    """
    features = features_of(plan)
    found = spans(features)
    if found:
        return _windows(plan, data, room, columns, fitted, found)
    labels = labels_of(plan) if fitted is None else {}
    tables, notes, bad = _tables(plan, data, room, columns, {"source": list(labels.values())})
    kept = {}
    for name, table in tables.items():
        tables[name], kept[name], dropped = without_absent_targets(features, table)
        if (records := bad.get(name)) is not None:
            kept[name] = records.sound[kept[name]]
            notes += records.notes()
        notes += dropped
    codes = {option: numbers[kept["source"]] for option, numbers in codes_of(plan, labels).items()}
    counts = {name: _count(table) for name, table in tables.items()}
    splits, more = split_tables(plan, counts, codes if fitted is None else None)
    notes += more
    parts = list(tables.values())
    raws = {key: _joined(plan, key, [part.pop(key) for part in parts]) for key in list(parts[0])}
    digests = record_digests(_unpadded(plan, raws))
    train = splits["train"] if fitted is None else None
    artifacts = _learned(plan, raws, train) if fitted is None else dict(fitted.artifacts)
    bad_records = tuple(record for records in bad.values() for record in records.found)
    return Content(
        prepared(plan, raws, artifacts), splits, digests, artifacts, None, tuple(notes), bad_records, kept["source"]
    )


def prepared(plan: Plan, raws: Mapping[FeatureKey, Any], artifacts: Mapping[str, bytes]) -> Table:
    """Raw values with numbers in the place of strings.

    Raises:
        SpecError: DLC404, for all features with strings that don't fit.
    """
    errors, features = DataErrors(plan), features_of(plan)
    found = dict(raws)
    for key, raw in raws.items():
        feature = features[key]
        if not feature.learns:
            continue
        try:
            found[key] = feature.prepare(raw[:], artifacts[key[1]], key[1])
        except (RuleViolation, Violations) as wrong:
            errors.add((*key, feature.word), wrong)
    errors.check()
    return found


def _learned(plan: Plan, raws: Mapping[FeatureKey, Any], rows: NDArray[np.int32] | None) -> dict[str, bytes]:
    """What features learn from the strings of the training split; from all of them without `rows`.

    Raises:
        SpecError: DLC405, for all features that can't learn from them.
    """
    errors, features = DataErrors(plan), features_of(plan)
    found: dict[str, bytes] = {}
    for key, raw in raws.items():
        if not features[key].learns:
            continue
        chosen: Any = raw if rows is None else raw[np.sort(rows)] if isinstance(raw, np.ndarray) else Chosen(raw, rows)
        try:
            found[key[1]] = features[key].learn(chosen, Path(plan.folder))
        except RuleViolation as wrong:
            errors.add((*key, features[key].word), wrong)
    errors.check()
    return found


def _windows(
    plan: Plan,
    data: Data,
    room: Room,
    columns: dict[str, tuple[str, ...]],
    fitted: FittedData | None,
    found: Spans,
) -> Content:
    """The content of sources whose records are windows."""
    features = features_of(plan)
    sources = [name for name in ("source", "validation", "test") if getattr(data, name) is not None]
    series = data.windows.series
    labels = {name: [Labels(series, "series")] if series is not None else [] for name in sources}
    tables, _, _ = _tables(plan, data, room, columns, labels)
    if sequential(features):
        return _token_windows(plan, tables, fitted, found)
    segments: list[Segment] = []
    start = 0
    for name, table in tables.items():
        count = _count(table)
        bounds, order = series_of(labels[name], count)
        if order is not None:
            tables[name] = {key: raw[order] for key, raw in table.items()}
        segments += segments_of(plan, name, bounds, start)
        start += count
    parts = list(tables.values())
    raws = {key: _joined(plan, key, [part[key] for part in parts]) for key in parts[0]}
    return _laid_out(plan, raws, segments, {}, found)


def _token_windows(plan: Plan, tables: Mapping[str, Table], fitted: FittedData | None, found: Spans) -> Content:
    """The content of texts whose tokens are the rows."""
    features = features_of(plan)
    keys = list(found)
    parts: dict[FeatureKey, list[tuple[str, str]]] = {key: [] for key in keys}
    for name, table in tables.items():
        for key in keys:
            texts = table[key][:].tolist()
            parts[key] += cut_texts(plan, texts) if name == "source" else [(name, text) for text in texts]
    strings = {key: _objects([text for _, text in own]) for key, own in parts.items()}
    owners = [split for split, _ in parts[keys[0]]]
    train = np.flatnonzero(np.array([owner == "train" for owner in owners])).astype(np.int32)
    artifacts = _learned(plan, strings, train) if fitted is None else dict(fitted.artifacts)
    errors = DataErrors(plan)
    tokens: dict[FeatureKey, list[Any]] = {}
    for key in keys:
        try:
            tokens[key] = features[key].sequences(strings[key], artifacts[key[1]], key[1])
        except RuleViolation as wrong:
            errors.add((*key, features[key].word), wrong)
    errors.check()
    lengths = {key: [len(each) for each in own] for key, own in tokens.items()}
    different = next((key for key in keys if lengths[key] != lengths[keys[0]]), None)
    if different is not None:
        message = f"`{different[1]}` and `{keys[0][1]}` have different numbers of tokens"
        hint = "windows of several texts need the same column and the same options"
        raise wrong_data(plan, RuleViolation("DLC406", message, hint=hint), (*different, features[different].word))
    ends = np.cumsum(lengths[keys[0]]).tolist()
    starts = [0, *ends[:-1]]
    segments = [Segment(owner, first, stop, first) for owner, first, stop in zip(owners, starts, ends, strict=True)]
    raws = {key: np.concatenate([np.asarray(each, np.int32) for each in own]) for key, own in tokens.items()}
    low, high = reach(found)
    short = sum(segment.stop - segment.start < high - low for segment in segments)
    notes = []
    if short:
        are, size = "is" if short == 1 else "are", high - low
        what = f"{short:,} of {plural(len(segments), 'part')} of texts {are} shorter than a window of {size:,} tokens"
        notes = [f"{what} and left out; `records: file` reads a file as one text"]
    return _laid_out(plan, raws, segments, artifacts, found, notes)


def _laid_out(
    plan: Plan,
    raws: Table,
    segments: Sequence[Segment],
    artifacts: Mapping[str, bytes],
    found: Spans,
    notes: Sequence[str] = (),
) -> Content:
    placed = layout(plan, found, segments)
    digests = placed.digests(record_digests(list(raws.values())), *reach(found))
    return Content(raws, placed.splits, digests, artifacts, placed, tuple(notes))


def series_of(labels: Sequence[Labels], count: int) -> tuple[list[tuple[int, int]], NDArray[np.intp] | None]:
    """The bounds of the series of a table, and the order of its rows in which each is together; None for their own."""
    if not labels:
        return [(0, count)], None
    codes = labels[0].codes()
    changes = np.flatnonzero(np.diff(codes)) + 1
    order = None
    if len(changes) + 1 > len(np.unique(codes)):
        order = np.argsort(codes, kind="stable")
        changes = np.flatnonzero(np.diff(codes[order])) + 1
    ends = [0, *changes.tolist(), count]
    return list(pairwise(ends)), order


def _tables(
    plan: Plan, data: Data, room: Room, columns: dict[str, tuple[str, ...]], also: Mapping[str, Sequence[Labels]]
) -> tuple[dict[str, Table], list[str], dict[str, BadRecords]]:
    """The raw values of each feature in each source, notes about files, and the records that are left out, if any.

    Raises:
        SpecError: DLC401-DLC406, with everything that is wrong in all sources.
    """
    sources = {"source": data.source, "validation": data.validation, "test": data.test}
    errors, tables, skipped = DataErrors(plan), {}, {}
    with FileReader(data.workers, cached=True) as files:
        for name, source in sources.items():
            if source is None:
                continue
            path, more = ("data", name, source.word), also.get(name, ())
            bad = bad_records_of(plan, name, source)
            tables[name] = read_table(plan, source, room, columns, errors, path, more, files, bad)
            if bad is not None:
                skipped[name] = bad
    errors.check()
    return tables, list(files.notes), skipped


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _unpadded(plan: Plan, raws: Mapping[FeatureKey, Any]) -> list[Any]:
    """The values of all features, in which padding is marked: it is no part of a record's content."""
    features = features_of(plan)
    return [content_of(features[key], raw) for key, raw in raws.items()]


def content_of(feature: Feature, raw: Any) -> Any:
    """Raw values as their digests are computed: strings as numbers, and padding marked."""
    if feature.learns:
        return string_digests(raw)
    if feature.value_type().mask:
        return Unpadded(raw, feature)
    return Bytes(raw) if feature.packed and feature.raw_type().dtype == "u8" else raw


def _count(table: Mapping[FeatureKey, Any]) -> int:
    return len(next(iter(table.values())))


def _joined(plan: Plan, key: FeatureKey, parts: list[Any]) -> Any:
    """The concatenated raw values of a feature from all sources."""
    feature = features_of(plan)[key]
    sizes = sorted({part.shape[1:] for part in parts})
    if len(sizes) > 1:
        after = feature.aligned([part[:0] for part in parts])
        if len({part.shape[1:] for part in after}) > 1:
            found = " and ".join(str(list(size)) for size in sizes)
            message = f"the sources have records of different sizes for `{key[1]}`"
            hint = "use records of one size; `tokens` and series with `padding` are padded automatically"
            raise wrong_data(plan, RuleViolation("DLC406", message, found=found, hint=hint), key)
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(feature.aligned(parts))
    return Joined(parts, feature.aligned)
