"""What `dlc check --data` finds: everything that is wrong with the data of a spec, and what is noteworthy about them.

The data are read once, block by block. No values are kept but a digest of each record and the numbers of its classes,
and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.components.features.category import Category
from dlc.components.features.feature import Feature, as_text, encoded_on_host
from dlc.components.sources.source import Columns, Source
from dlc.components.wrong_values import WrongValues
from dlc.data.bad_records import BadRecords
from dlc.data.column_facts import ColumnFacts, Resemblance, comparable
from dlc.data.content import content_of, series_of
from dlc.data.dataset import check_values, fit_features
from dlc.data.decoding import FileReader
from dlc.data.errors import DataErrors
from dlc.data.findings import untrained_classes
from dlc.data.fitted import record_digests, string_digests
from dlc.data.splits import Labels, codes_of, labels_of, split_tables
from dlc.data.tables import COPIES, Reading, ValueBlock, allowed_memory, features_of
from dlc.data.values import Entries, FeatureKey
from dlc.data.windows import Segment, layout, segments_of, sequential, spans
from dlc.diagnostics import Diagnostic, SpecError, listing, plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 1 << 28
"""Of targets that are compared with what losses and metrics are defined for."""
MOST_FILES = 1000  # that can't be read, each with a finding of its own
_IMBALANCE = 10  # how many times as many records the largest class has as the smallest
_SHOWN = 3  # duplicates and classes in a message


def data_findings(plan: Plan) -> tuple[Diagnostic, ...]:
    """All findings about the data of a plan, in the order of the spec.

    Errors are what would stop training. Warnings are columns that are missing for the most part or constant, inputs
    that reveal a target, classes that training doesn't see, and records that several splits share. Notes are the
    numbers of records, missing values and classes.
    """
    if plan.data is None:
        hint = "for example `data: {source: digits}`"
        return (Diagnostic("DLC115", "the spec has no `data` section to read", hint=hint),)
    try:
        found = _Check(plan).findings()
    except SpecError as error:
        found = list(error.report.diagnostics)
    return tuple(sorted(found, key=lambda item: (item.span.line, item.span.column) if item.span else (0, 0)))


@fast_dataclass
class _Table:
    """What is kept of the records of one source.

    Args:
        bad: those that can't be read.
        digests: of the inputs of each record that can be read.
        whole: of all columns of each record that can be read.
        lacking: which of them `missing: drop` leaves out.
        classes: their class numbers for each feature of classes.
        targets: the raw values of targets, unless they are large.
        labels: the columns by which the records are divided.
        characters: of texts whose tokens are the rows of windows.
    """

    bad: BadRecords
    digests: list[NDArray[np.uint64]] = field(default_factory=list)
    whole: list[NDArray[np.uint64]] = field(default_factory=list)
    lacking: list[NDArray[np.bool_]] = field(default_factory=list)
    classes: dict[FeatureKey, list[NDArray[Any]]] = field(default_factory=dict)
    targets: dict[FeatureKey, list[NDArray[Any]]] = field(default_factory=dict)
    labels: dict[str, Labels] = field(default_factory=dict)
    characters: int = 0

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which of the records that can be read are used."""
        return ~np.concatenate([np.zeros(0, bool), *self.lacking])

    def of_kept(self, parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
        """The digests of the records that are used."""
        found: NDArray[np.uint64] = np.concatenate(parts)[self.kept]
        return found

    @property
    def rows(self) -> NDArray[np.int32]:
        """The rows of the records that are used, from 0."""
        return self.bad.sound[self.kept]


class _Check:
    """The findings about the data of a plan while they are collected."""

    def __init__(self, plan: Plan) -> None:
        assert plan.data is not None
        self.plan, self.data, self.features = plan, plan.data, features_of(plan)
        self.spans = spans(self.features)
        self.errors, self.wrong = DataErrors(plan), DataErrors(plan)
        self.items: list[Diagnostic] = []
        self.files, self.room = 0, MOST_BYTES
        self.entries: Entries | None = None
        self.placed: set[tuple[FeatureKey, str, str]] = set()  # kinds of errors whose first file is known
        self.chosen: dict[str, tuple[str, ...]] = {}  # columns by feature
        self.facts: dict[tuple[FeatureKey, str], ColumnFacts] = {}
        self.resemblances: dict[tuple[FeatureKey, FeatureKey, str], Resemblance] = {}
        self.tables: dict[str, _Table] = {}

    def findings(self) -> list[Diagnostic]:
        """Read all sources, and collect what there is to say."""
        sources = {"source": self.data.source, "validation": self.data.validation, "test": self.data.test}
        for name, source in sources.items():
            if source is not None:
                self._read(name, source)
        broken = self.errors.error().report.diagnostics
        wrong = self.wrong.error().report.diagnostics
        self.items += [*broken, *(replace(item, severity=self._severity) for item in wrong)]
        self._describe_columns()
        self._describe_resemblances()
        if not broken and any(table.lacking for table in self.tables.values()):
            if self.spans:
                self._describe_windows()
            else:
                self._describe_splits()
        return self.items

    @property
    def _severity(self) -> str:
        """How bad a record is that can't be read."""
        return "error" if self.data.on_bad_record == "stop" else "warning"

    def _add(self, code: str, message: str, path: tuple[str, ...], severity: str = "warning", **facts: Any) -> None:
        span = self.plan.places.values.get(path) or self.plan.places.key_span(path)
        self.items.append(Diagnostic(code, message, span, severity=severity, **facts))

    def _place(self, key: FeatureKey) -> tuple[str, ...]:
        return (*key, self.features[key].word)

    def _read(self, name: str, source: Source) -> None:
        """Read one source."""
        series = self.data.windows.series
        labels = labels_of(self.plan) if not self.spans and name == "source" else {}
        if self.spans and series is not None:
            labels = {"series": Labels(series, "series")}
        base, path = Path(self.plan.folder), ("data", name, source.word)
        table = _Table(BadRecords(name, source, self._report), labels=labels)
        entries = self.entries = Entries.of(source, base, FileReader(self.data.workers))
        reading = Reading(self.plan, self.features, self.chosen, self.errors, entries, table.bad)
        limit = allowed_memory(self.plan) // COPIES
        try:
            for block in reading.blocks(source, base, limit, path, list(labels.values())):
                self._look_at(block, reading, table)
            if self._severity == "warning":
                table.bad.check()
        except RuleViolation as wrong:
            self.errors.add(path[:1] if wrong.option == "on_bad_record" else path, wrong)
        self.tables[name] = table

    def _report(self, key: FeatureKey, wrong: list[WrongValues]) -> None:
        """Add the errors of one record: each file that can't be read has a finding of its own."""
        for error in wrong:
            if not self.features[key].reads_files:
                place = (key, error.kind, error.column)
                found = error if place in self.placed or self.entries is None else self.entries.placed(error)
                self.placed.add(place)
                self.wrong.add(self._place(key), found, self.chosen.get(key[1], ()))
                continue
            self.files += 1
            if self.files > MOST_FILES:
                continue
            single = DataErrors(self.plan)
            single.add(self._place(key), error, self.chosen.get(key[1], ()))
            self.items += [replace(item, severity=self._severity) for item in single.error().report.diagnostics]

    def _look_at(self, block: ValueBlock, reading: Reading, table: _Table) -> None:
        """Add one block to what is known."""
        columns: dict[tuple[FeatureKey, str], list[Any]] = {}
        for key, chosen in reading.chosen.items():
            feature = self.features[key]
            if feature.reads_files or (feature.value_type().mask and not feature.learns):
                continue
            for column in chosen:
                values = np.asarray(block.columns[column])
                facts = self.facts.setdefault((key, column), ColumnFacts())
                if values.size == len(values):
                    columns[key, column] = comparable(values)
                    facts.add(columns[key, column])
                else:
                    facts.add_array(values)
        if not self.spans:  # the past of a series is an input, and its future a target
            self._compare(columns, reading)
        count = int(block.sound.sum())
        if not count or len(block.values) < len(self.features):
            return
        inputs = [
            content_of(self.features[key], values)
            for key, values in block.values.items()
            if key[0] == "inputs" and key[1] in self.plan.graph.inputs
        ]
        if self.spans:
            first = next(iter(block.values.values()))
            table.characters += sum(map(len, first.tolist())) if sequential(self.features) else 0
        else:
            table.digests.append(record_digests(inputs))
            table.whole.append(_row_digests(block.columns)[block.sound])
        lacking = np.zeros(count, bool)
        for key, values in block.values.items():
            feature = self.features[key]
            if feature.drops:
                lacking |= np.asarray(feature.absent(values)).reshape(count, -1).any(1)
            if isinstance(feature, Category):
                table.classes.setdefault(key, []).append(values)
            if key[0] == "targets" and not feature.packed and not feature.learns:
                self.room -= values.nbytes
                table.targets.setdefault(key, []).append(values)
        if self.room < 0:
            table.targets.clear()
        table.lacking.append(lacking)

    def _compare(self, columns: Mapping[tuple[FeatureKey, str], list[Any]], reading: Reading) -> None:
        """Compare the columns of inputs with those of targets that read a single one."""
        for target, chosen in reading.chosen.items():
            if target[0] != "targets" or len(chosen) > 1 or (target, chosen[0]) not in columns:
                continue
            for (key, column), values in columns.items():
                if key[0] == "inputs" and key[1] in self.plan.graph.inputs:
                    resemblance = self.resemblances.setdefault((target, key, column), Resemblance(column == chosen[0]))
                    resemblance.add(values, columns[target, chosen[0]])

    def _describe_columns(self) -> None:
        """What is missing, and what is constant."""
        for (key, column), facts in self.facts.items():
            feature, path = self.features[key], self._place(key)
            if facts.missing:
                share = facts.missing / facts.count
                number = f"{facts.missing:,} of {plural(facts.count, facts.unit)}"
                message = f"{_percent(share)} of the column `{column}` are missing"
                severity = "warning" if 2 * share > 1 else "note"
                treatment = _treatment(feature)
                self._add("DLC410", message, path, severity, found=f"{number}; {treatment}" if treatment else number)
            if facts.constant:
                hint = "remove it: it tells the network nothing" if key[0] == "inputs" else "there is nothing to learn"
                what = f"the column `{column}` has the same value in all records"
                self._add("DLC411", what, path, found=f"`{_spelled(facts.value)}`", hint=hint)

    def _describe_resemblances(self) -> None:
        """Inputs that reveal a target."""
        for (target, key, column), resemblance in self.resemblances.items():
            how = resemblance.found()
            if how is not None:
                aim = self.chosen[target[1]][0]
                message = f"the input `{key[1]}` reveals the target `{target[1]}`: the column `{column}` {how}"
                message = message if column == aim else f"{message} of `{aim}`"
                self._add("DLC330", message, self._place(key), hint="remove the column from the inputs")

    def _describe_splits(self) -> None:
        """How many records there are, and what splits share or lack."""
        tables = self.tables
        if any(not table.lacking for table in tables.values()):
            return  # no record can be read
        known = codes_of(self.plan, tables["source"].labels)
        labels = {option: numbers[tables["source"].rows] for option, numbers in known.items()}
        counts = {name: int(table.kept.sum()) for name, table in tables.items()}
        splits, notes = split_tables(self.plan, counts, labels)
        sizes = ", ".join(f"{len(rows):,} for {_purpose(name)}" for name, rows in splits.items())
        dropped = [
            f"{plural(count, 'record')} {reason}"
            for reason, count in (
                ("without a target are left out", sum(int(np.concatenate(t.lacking).sum()) for t in tables.values())),
                ("can't be read", sum(len(table.bad.found) for table in tables.values())),
            )
            if count
        ]
        found = "; ".join([sizes, *dropped])
        total = plural(sum(counts.values()), "record")
        self._add("DLC414", f"the data have {total}", ("data", "source"), "note", found=found)
        for note in notes:
            self._add("DLC414", note, ("data", "split"), "note")
        classes = {
            key: np.concatenate([np.concatenate(table.classes[key])[table.kept] for table in tables.values()])
            for key in tables["source"].classes
        }
        for key, codes in classes.items():
            self._describe_classes(key, codes, splits)
        self._describe_duplicates(splits)
        if self.room >= 0 and not any(table.bad.found for table in tables.values()):
            self._check_targets(splits)

    def _check_targets(self, splits: Mapping[str, NDArray[np.int32]]) -> None:
        """Add the targets that a loss or metric is not defined for."""
        plan, tables = self.plan, list(self.tables.values())
        parts = {key: [np.concatenate(table.targets[key])[table.kept] for table in tables] for key in tables[0].targets}
        raws = {key: np.concatenate(self.features[key].aligned(part)) for key, part in parts.items()}
        losses = [term for term in plan.losses if term.against is None or term.against in raws]
        metrics = [term for term in plan.metrics if term.against in raws]
        known = replace(plan, losses=tuple(losses), metrics=tuple(metrics))
        try:
            stats = fit_features(known, raws, splits["train"])
            encoded = {
                name: value
                for (_, own), raw in raws.items()
                for name, value in encoded_on_host(self.features["targets", own], own, raw, stats[own]).items()
            }
            check_values(known, {"targets": encoded}, stats)
        except SpecError as error:
            self.items += error.report.diagnostics

    def _describe_windows(self) -> None:
        """How many windows there are."""
        if sequential(self.features):
            sizes = ", ".join(f"{table.characters:,} in `{name}`" for name, table in self.tables.items())
            count = sum(table.bad.count for table in self.tables.values())
            self._add(
                "DLC414",
                f"the data have {plural(count, 'text')}",
                ("data", "source"),
                "note",
                found=f"characters: {sizes}",
            )
            return
        segments: list[Segment] = []
        start = 0
        for name, table in self.tables.items():
            bounds, _ = series_of(list(table.labels.values()), table.bad.count)
            segments += segments_of(self.plan, name, bounds, start)
            start += table.bad.count
        splits = layout(self.plan, self.spans, segments).splits
        sizes = ", ".join(f"{len(rows):,} for {_purpose(name)}" for name, rows in splits.items())
        self._add(
            "DLC414", f"the data have {plural(start, 'row')}", ("data", "source"), "note", found=f"windows: {sizes}"
        )

    def _describe_classes(self, key: FeatureKey, codes: NDArray[Any], splits: Mapping[str, NDArray[np.int32]]) -> None:
        """Classes that no record has, that training lacks, or that are much larger than others."""
        feature, path = self.features[key], self._place(key)
        assert isinstance(feature, Category)
        known = codes[(codes >= 0) & (codes < feature.count)]
        numbers, counts = np.unique(known, return_counts=True)
        if len(numbers) < feature.count:
            absent = [feature.class_name(number) for number in _first_absent(numbers, feature.count)]
            count = feature.count - len(numbers)
            shown = listing(absent, _SHOWN) + (f" and {count - len(absent):,} more" if count > len(absent) else "")
            self._add("DLC412", f"no record of `{key[1]}` has the class {shown}", path, hint="remove it from `classes`")
        for note in untrained_classes({key: feature}, {key: codes}, splits):
            self._add("DLC412", note.partition("; ")[0], path, hint=note.partition("; ")[2] or None)
        if key[0] == "targets" and len(numbers) > 1 and counts.max() >= _IMBALANCE * counts.min():
            largest, smallest = numbers[counts.argmax()], numbers[counts.argmin()]
            shares = ", ".join(
                f"`{feature.class_name(int(number))}` {_percent(counts[numbers == number][0] / len(known))}"
                for number in (largest, smallest)
            )
            message = f"the classes of `{key[1]}` have very different numbers of records"
            hint = f"`train: {{balance: {key[1]}}}` and the metric `balanced_accuracy` make all classes count alike"
            self._add("DLC413", message, path, "note", found=shares, hint=hint)

    def _describe_duplicates(self, splits: Mapping[str, NDArray[np.int32]]) -> None:
        """Records of a split whose inputs are those of a record of an earlier split.

        It is a warning if they are files, or equal in all columns. Rows of a table with few columns may have the same
        inputs by chance.
        """
        digests = np.concatenate([table.of_kept(table.digests) for table in self.tables.values()])
        whole = np.concatenate([table.of_kept(table.whole) for table in self.tables.values()])
        files = any(feature.reads_files for (section, _), feature in self.features.items() if section == "inputs")
        places = [(name, int(row) + 1) for name, table in self.tables.items() for row in table.rows]
        names = list(splits)
        for index, name in enumerate(names):
            for earlier in names[:index]:
                rows = splits[name][np.isin(digests[splits[name]], digests[splits[earlier]])]
                if not len(rows):
                    continue
                equal = int(np.isin(whole[rows], whole[splits[earlier]]).sum())
                first = {digest: row for row, digest in zip(*_reversed(splits[earlier], digests), strict=True)}
                pairs = [(places[row], places[first[digests[row]]]) for row in sorted(rows.tolist())[:_SHOWN]]
                found = ", ".join(f"{_place_of(one)} and {_place_of(other)}" for one, other in pairs)
                found += f" and {len(rows) - len(pairs):,} more" if len(rows) > len(pairs) else ""
                found += "" if files else f"; {equal:,} of them are equal in all columns"
                message = f"{len(rows):,} of {plural(len(splits[name]), 'record')} of the {name} split have the inputs"
                hint = "remove the duplicates, or keep them in one split with `data.split: {group: COLUMN}`"
                place = ("data", name) if name in self.tables else ("data", "split")
                severity = "warning" if files or equal else "note"
                end = f"of a record of the {earlier} split"
                self._add("DLC322", f"{message} {end}", place, severity, found=found, hint=hint)


def _row_digests(columns: Columns) -> NDArray[np.uint64]:
    """A digest of all values of each record as the source has them."""
    parts = []
    for name in columns:
        column = np.asarray(columns[name])
        if column.dtype.kind in "fiub":
            parts.append(column)
        else:
            flat = column.reshape(len(column), -1)
            texts = np.empty(len(column), object)
            texts[:] = ["\0".join(map(as_text, row)) for row in flat.tolist()]
            parts.append(string_digests(texts))
    return record_digests(parts)


def _reversed(rows: NDArray[np.int32], digests: NDArray[np.uint64]) -> tuple[list[int], list[int]]:
    """Rows in descending order and their digests: in a mapping by digest the first row wins."""
    ordered = np.sort(rows)[::-1]
    return ordered.tolist(), digests[ordered].tolist()


def _place_of(place: tuple[str, int]) -> str:
    return f"row {place[1]:,} of `{place[0]}`"


def _first_absent(numbers: NDArray[Any], count: int) -> list[int]:
    """The first class numbers below `count` that are not among some sorted ones."""
    present = set(numbers.tolist())
    return [number for number in range(min(count, len(present) + _SHOWN)) if number not in present][:_SHOWN]


def _percent(share: float) -> str:
    """A share as a percentage, never rounded to 0 or 100.

    >>> _percent(0.0001), _percent(0.125), _percent(0.99999)
    ('less than 0.1 %', '12.5 %', 'more than 99.9 %')
    """
    if share < 0.001:
        return "less than 0.1 %"
    return "more than 99.9 %" if 0.999 < share < 1 else f"{100 * share:.3g} %"


def _spelled(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _treatment(feature: Feature) -> str:
    """What happens to records without a value."""
    if feature.drops:
        return "these records are left out"
    return f"`missing: {dict(feature).get('missing')}` replaces them" if feature.fills else ""


def _purpose(split: str) -> str:
    return "training" if split == "train" else f"the {split} split"
