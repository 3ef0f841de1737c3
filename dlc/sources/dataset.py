"""Records of a spec as arrays, and the sampler: a batch is a pure function of (seed, step)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.diagnostics import Diagnostic, Report, SpecError
from dlc.features.feature import Feature, encoded
from dlc.options import Wrong
from dlc.passes.sizes import prove_sizes
from dlc.pipeline import Spec
from dlc.sources.source import Columns, Source, select

Stats = dict[str, dict[str, NDArray[Any]]]
_SPLIT, _ORDER = 0x5E11, 0x0BDE  # keep the streams of the division and of the shuffling apart


@dataclass(frozen=True)
class Dataset:
    """All records of a spec, encoded, in one array a feature; splits are row numbers into them.

    Args:
        inputs: encoded inputs by name, (n, ...).
        targets: encoded targets by name, (n, ...).
        splits: row numbers of each split, int32.
        stats: what the features fitted on the training split.
    """

    inputs: Mapping[str, NDArray[Any]]
    targets: Mapping[str, NDArray[Any]]
    splits: Mapping[str, NDArray[np.int32]]
    stats: Stats

    @property
    def fingerprint(self) -> int:
        """A checksum of all records and how they are divided: a resumed run must have the same."""
        found = 0
        for name, array in sorted({**self.inputs, **self.targets, **self.splits}.items()):
            found = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, zlib.crc32(name.encode(), found))
        return found

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The arrays as a compiled program takes them."""
        return {"inputs": dict(self.inputs), "targets": dict(self.targets)}


@dataclass(frozen=True)
class Sampler:
    """Batches of a split.

    The stream of rows is one permutation after another, cut into batches: every batch is full, and every row comes once
    an epoch.

    Args:
        rows: the split's row numbers.
        batch_size: rows a batch.
        seed: the run's seed.
        shuffle: whether each epoch has a new order.
    """

    rows: NDArray[np.int32]
    batch_size: int
    seed: int
    shuffle: bool = True

    @property
    def steps_per_epoch(self) -> float:
        """Batches in one pass; the last of an epoch may reach into the next."""
        return len(self.rows) / self.batch_size

    def steps(self, epochs: int) -> int:
        """Steps until every row came `epochs` times."""
        return math.ceil(epochs * len(self.rows) / self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int32]:
        """The rows in the order of one epoch, counted from 0."""
        if not self.shuffle:
            return self.rows
        stream = np.random.Philox(key=[self.seed, _ORDER], counter=[0, 0, 0, epoch])
        return np.random.Generator(stream).permutation(self.rows)

    def batches(self, step: int, count: int) -> NDArray[np.int32]:
        """The row numbers of `count` batches from a step on: (count, batch_size)."""
        first, last = step * self.batch_size, (step + count) * self.batch_size
        size = len(self.rows)
        epochs = range(first // size, -(-last // size))
        stream = np.concatenate([self.order(epoch) for epoch in epochs]) if epochs else self.rows[:0]
        start = first - epochs.start * size
        return stream[start : start + last - first].reshape(count, self.batch_size)


def padded_batches(rows: NDArray[np.int32], batch_size: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """A split in batches for evaluation: row numbers, and which of them are no padding; both (batches, batch_size)."""
    count = -(-len(rows) // batch_size)
    indices = np.resize(rows, count * batch_size)
    real = np.arange(count * batch_size) < len(rows)
    return indices.reshape(count, batch_size), real.reshape(count, batch_size)


def load_dataset(spec: Spec, fitted: Stats | None = None) -> Dataset:
    """Read, divide, fit and encode the data of a spec. What a run has `fitted` before is used again when given.

    Raises:
        SpecError: DLC115 without `data`, DLC401-DLC406 when the data don't fit.
    """
    data = spec.document.data
    if data is None:
        raise SpecError.of("DLC115", "the spec has no `data` section", hint="for example `data: {source: digits}`")
    tables = [_read(spec, data.source, "source")]
    splits = _divide(spec, len(next(iter(tables[0].values()))))
    for name, source in (("validation", data.validation), ("test", data.test)):
        if source is not None:
            start = sum(len(next(iter(table.values()))) for table in tables)
            tables.append(_read(spec, source, name))
            splits[name] = np.arange(start, start + len(next(iter(tables[-1].values()))), dtype=np.int32)
    _not_empty(spec, splits)
    stats: Stats = {}
    values: dict[str, dict[str, Any]] = {"inputs": {}, "targets": {}}
    for section, features in (("inputs", spec.document.inputs), ("targets", spec.document.targets)):
        for name, feature in features.items():
            assert feature is not None
            raw = _joined(spec, section, name, feature, tables)
            stats[name] = feature.fit(raw[splits["train"]]) if fitted is None else fitted[name]
            found = encoded(feature, name, raw, stats[name])
            values[section].update({key: np.asarray(value) for key, value in found.items()})
    _sizes_agree(spec, values)
    check_values(spec, values)
    return Dataset(values["inputs"], values["targets"], splits, stats)


def check_values(spec: Spec, values: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Losses make sense of all that they compare with, and no example counts less than nothing."""
    for term in spec.losses:
        if term.against is not None and term.against.section != "outputs":
            compared = values[term.against.section][term.against.name]
            features = spec.document.targets if term.against.section == "targets" else spec.document.inputs
            nothing = getattr(features[term.against.name], "ignored", None)
            try:
                if nothing is not None and np.all(compared == nothing):
                    raise Wrong(
                        "DLC403", f"no record of `{term.against.name}` has a class", found=f"nothing but {nothing}"
                    )
                term.loss.check_values(compared)
            except Wrong as wrong:
                raise wrong_data(spec, wrong, term.against) from None
    names = [*(term.sample_weight for term in spec.losses), *(term.sample_weight for term in spec.metrics)]
    for name in sorted({name for name in names if name is not None}):
        weights = values["targets"][name]
        if weights.min() < 0 or not weights.any():
            message = f"`{name}` holds what each example counts"
            found = f"{weights.min():g}" if weights.any() else "nothing but 0"
            fault = Wrong("DLC403", message, found=found, expected="numbers from 0 on, not all 0")
            raise wrong_data(spec, fault, ("targets", name))


def _joined(spec: Spec, section: str, name: str, feature: Feature, tables: Sequence[Columns]) -> NDArray[Any]:
    """The raw values of a feature from all sources, one below the other."""
    parts = [read_feature(spec, section, name, feature, table) for table in tables]
    sizes = sorted({part.shape[1:] for part in parts})
    if len(sizes) > 1:
        parts = feature.aligned(parts)
        if len({part.shape[1:] for part in parts}) > 1:
            found = " and ".join(str(list(size)) for size in sizes)
            message = f"the sources have records of different sizes for `{name}`"
            hint = "bring them to one size; `tokens` with `padding` do so by themselves"
            raise wrong_data(spec, Wrong("DLC406", message, found=found, hint=hint), (section, name))
    return np.concatenate(parts)


def _sizes_agree(spec: Spec, values: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Bind the symbols of the declared shapes to the data's sizes, and check that every layer takes them."""
    sizes: dict[str, int] = {}
    for section, features in (("inputs", spec.document.inputs), ("targets", spec.document.targets)):
        for name, feature in features.items():
            assert feature is not None
            for dim, size in zip(feature.value_type().shape[1:], values[section][name].shape[1:], strict=True):
                if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                    message = f"the size `{dim}` is {sizes[dim]} in one feature and {size} in `{name}`"
                    hint = "give sizes that differ different names"
                    raise wrong_data(spec, Wrong("DLC406", message, hint=hint), (section, name))
    fit_sizes(spec, sizes)


def fit_sizes(spec: Spec, sizes: Mapping[str, int]) -> None:
    """Prove the network's shapes once more, with the sizes of data in the place of symbols.

    Raises:
        SpecError: DLC406 with what a layer says of these sizes.
    """
    if not sizes:
        return
    report = prove_sizes(spec, sizes)
    if not report.ok:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        items = [
            replace(item, code="DLC406", message=f"{item.message}, for data of {told}") for item in report.diagnostics
        ]
        raise SpecError(Report(tuple(items), spec.texts))


def _read(spec: Spec, source: Source, key: str) -> Columns:
    try:
        columns = source.load(spec.document.folder)
    except Wrong as wrong:
        raise wrong_data(spec, wrong, ("data", key, source.word)) from None
    if not columns or not len(next(iter(columns.values()))):
        raise wrong_data(spec, Wrong("DLC405", "the data hold no record"), ("data", key))
    return columns


def read_feature(
    spec: Spec, section: str, name: str, feature: Feature, columns: Columns, whole: bool = False
) -> NDArray[Any]:
    """The raw values of one feature: from the columns that it reads, or `whole` from the one of its own name.

    Raises:
        SpecError: DLC402-DLC406.
    """
    try:
        chosen = select((name,) if whole else feature.reads(name), _visible(spec, section, columns))
        return feature.read([columns[column] for column in chosen], ", ".join(chosen[:3]))
    except Wrong as wrong:
        raise wrong_data(spec, wrong, (section, name, feature.word)) from None


def _visible(spec: Spec, section: str, columns: Columns) -> tuple[str, ...]:
    """The columns that a feature may select: a pattern of an input, such as `*`, does not reach what a target reads."""
    known = tuple(columns)
    if section != "inputs":
        return known
    named = {column for feature in _reads(spec.document.inputs) for column in feature if "*" not in column}
    hidden = {column for feature in _reads(spec.document.targets) for column in _selected(feature, known)} - named
    return tuple(column for column in known if column not in hidden)


def _reads(features: Mapping[str, Feature | None]) -> list[tuple[str, ...]]:
    return [feature.reads(name) for name, feature in features.items() if feature is not None]


def _selected(columns: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    try:
        return select(columns, known)
    except Wrong:  # a target that is not there, as in prediction
        return []


def wrong_data(spec: Spec, wrong: Wrong, path: tuple[str, ...]) -> SpecError:
    """What was wrong with data, at the place of the spec that says what the data should be."""
    source = spec.document.source
    place = (*path, wrong.option) if wrong.option else path
    span = source.values.get(place) or source.key_span(path)
    item = Diagnostic(wrong.code, wrong.message, span, wrong.found, wrong.expected, wrong.hint)
    return SpecError(Report((item,), spec.texts))


def _divide(spec: Spec, count: int) -> dict[str, NDArray[np.int32]]:
    """The splits of the main source. Held-out parts are drawn first, so that the rest trains."""
    assert spec.document.data is not None
    split = spec.document.data.split
    order = np.arange(count, dtype=np.int32)
    if split.shuffle:
        order = np.random.Generator(np.random.Philox(key=[split.seed, _SPLIT])).permutation(order)
    sizes = {
        name: part if isinstance(part, int) else max(1, round(part * count)) if part else 0
        for name, part in (("test", split.test), ("validation", split.validation))
    }
    held = sum(sizes.values())
    if held >= count:
        raise wrong_data(
            spec,
            Wrong("DLC405", "the splits leave nothing to train on", found=f"{held} of {count} records held out"),
            ("data", "split"),
        )
    train = count - held
    splits = {"train": order[:train]}
    start = train
    for name in ("validation", "test"):
        if sizes[name]:
            splits[name] = order[start : start + sizes[name]]
            start += sizes[name]
    return splits


def _not_empty(spec: Spec, splits: Mapping[str, NDArray[np.int32]]) -> None:
    for name, rows in splits.items():
        if not len(rows):
            raise wrong_data(spec, Wrong("DLC405", f"the {name} split is empty"), ("data",))
