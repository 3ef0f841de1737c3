"""Records of a spec as arrays, and the sampler: a batch is a pure function of (seed, step)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from dlc.components.features.feature import Feature, encoded_on_host
from dlc.components.features.feature import fitted as fit_feature
from dlc.data.bad_records import BadRecord
from dlc.data.balance import find_class_weights
from dlc.data.batching import Batching, fold_sizes
from dlc.data.columns import Chosen, Encoded, Windows, block_slices, blocks_of
from dlc.data.content import read_content
from dlc.data.errors import DataErrors, wrong_data
from dlc.data.findings import all_of, lost_values, untrained_classes
from dlc.data.fitted import FittedData, Stats, device_stats
from dlc.data.ranges import find_ranges, ranged_features
from dlc.data.tables import COPIES, Room, allowed_memory, features_of
from dlc.data.values import FeatureKey
from dlc.data.windows import Layout
from dlc.diagnostics import Report, SpecError
from dlc.frontend.passes.sizes import prove_sizes
from dlc.frontend.plan import Against, Plan
from dlc.ir import MASK
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ORDER = 0x0BDE  # separates the random stream of shuffling from others


@fast_dataclass(frozen=True)
class Dataset:
    """All records of a spec, encoded; splits are row numbers into them.

    Args:
        inputs: encoded inputs by name, (n, ...): arrays, or `Encoded` if the records stay on disk.
        targets: encoded targets by name, like the inputs.
        splits: row numbers of each split, int32.
        fitted: what was learned about the data; its splits hold the digests of the records of `splits`.
        stats: its statistics as compiled programs take them.
        notes: what is noteworthy about the data.
        bad_records: the records that can't be read and were left out.
        source_rows: the rows of the main source that are records, from 0; None for windows.
    """

    inputs: Mapping[str, Any]
    targets: Mapping[str, Any]
    splits: Mapping[str, NDArray[np.int32]]
    fitted: FittedData
    stats: Stats
    notes: tuple[str, ...] = ()
    bad_records: tuple[BadRecord, ...] = ()
    source_rows: NDArray[np.int32] | None = None

    @property
    def fingerprint(self) -> int:
        """A checksum of the records of all splits, in their order: it must be the same in a resumed run."""
        found = 0
        for name, digests in sorted(self.fitted.splits.items()):
            found = zlib.crc32(digests.tobytes(), zlib.crc32(name.encode(), found))
        return found

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The arrays as a compiled program takes them."""
        return {"inputs": dict(self.inputs), "targets": dict(self.targets)}


@fast_dataclass(frozen=True)
class Sampler:
    """Batches of a split.

    The stream of rows is one permutation after another, cut into batches: every batch is full, and every row is used
    once per epoch. With `classes`, each pass has equally many rows of each class instead: rows of a rare class occur
    several times in it, and of a frequent one each pass has others, until all were used.

    Args:
        rows: the split's row numbers.
        batch_size: rows per batch.
        seed: the run's seed.
        shuffle: whether each pass over the rows has a new order.
        per_epoch: the rows of an epoch; all when None.
        classes: the class of each row, if all classes are to occur equally often.
    """

    rows: NDArray[np.int32]
    batch_size: int
    seed: int
    shuffle: bool = True
    per_epoch: int | None = None
    classes: NDArray[Any] | None = field(default=None, repr=False, compare=False)
    _orders: dict[int, NDArray[np.int32]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def batching(self) -> Batching:
        """The number of batches."""
        return Batching(self.per_epoch or len(self.rows), self.batch_size)

    def steps(self, epochs: int) -> int:
        """Steps of that many epochs."""
        return self.batching.steps(epochs)

    def order(self, epoch: int) -> NDArray[np.int32]:
        """The rows in the order of one pass over them, counted from 0."""
        if not self.shuffle:
            return self.rows
        if (known := self._orders.get(epoch)) is not None:
            return known
        stream = np.random.Philox(key=[self.seed, _ORDER], counter=[0, 0, 0, epoch])
        order = np.random.Generator(stream).permutation(self.rows if self.classes is None else self._balanced(epoch))
        for old in [number for number in self._orders if abs(number - epoch) > 1]:
            del self._orders[old]
        self._orders[epoch] = order
        return order

    def _balanced(self, epoch: int) -> NDArray[np.int32]:
        """The rows of one pass, equally many of each class, in the order of the classes.

        The rows of a class make a stream of permutations, of which each pass takes the next part.
        """
        assert self.classes is not None
        names = np.unique(self.classes)
        parts = []
        for number, (name, size) in enumerate(zip(names, fold_sizes(len(self.rows), len(names)), strict=True)):
            own = self.rows[self.classes == name]
            first = epoch * size
            passes = range(first // len(own), -(-(first + size) // len(own)))
            found = [
                np.random.Generator(
                    np.random.Philox(key=[self.seed, _ORDER], counter=[0, 0, number + 1, index])
                ).permutation(own)
                for index in passes
            ]
            start = first - passes.start * len(own)
            parts.append(np.concatenate(found)[start : start + size])
        return np.concatenate(parts)

    def batches(self, step: int, count: int) -> NDArray[np.int32]:
        """The row numbers of `count` batches, starting at a step: (count, batch_size)."""
        first, last = step * self.batch_size, (step + count) * self.batch_size
        size = len(self.rows)
        epochs = range(first // size, -(-last // size))
        stream = np.concatenate([self.order(epoch) for epoch in epochs]) if epochs else self.rows[:0]
        start = first - epochs.start * size
        return stream[start : start + last - first].reshape(count, self.batch_size)


def padded_batches(rows: NDArray[np.int32], batch_size: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """A split in batches for evaluation: row numbers, and which of them are not padding; both (batches, batch_size)."""
    count = -(-len(rows) // batch_size)
    indices = np.resize(rows, count * batch_size)
    real = np.arange(count * batch_size) < len(rows)
    return indices.reshape(count, batch_size), real.reshape(count, batch_size)


def load_dataset(plan: Plan, fitted: FittedData | None = None) -> Dataset:
    """Read, split, fit and encode the data of a spec.

    Args:
        plan: the plan of the spec.
        fitted: what a run learned about its data. Its columns, statistics and splits are used instead of new ones: the
            records of each split are found by their content, in whatever order the data have them.

    Raises:
        SpecError: DLC115 without `data`, DLC401-DLC406 when the data don't fit, DLC504 when they are not those of
            `fitted`, DLC507 without space to unpack them.
    """
    data = plan.data
    if data is None:
        raise SpecError.of("DLC115", "the spec has no `data` section", hint="for example `data: {source: digits}`")
    limit = allowed_memory(plan) // COPIES
    columns = dict(fitted.columns) if fitted is not None else {}
    found = read_content(plan, data, Room(limit), columns, fitted)
    raws, splits, notes = found.raws, found.splits, list(found.notes)
    if fitted is None:
        members = {name: found.digests[rows] for name, rows in splits.items()}
        train = splits["train"] if found.layout is None else found.layout.train
        if found.layout is None:
            notes += untrained_classes(features_of(plan), raws, splits)
        stats = fit_features(plan, raws, train)
        asked = {name: (section, name) for name, (section, _) in ranged_features(plan).items()}
        ranges = find_ranges(plan, {name: _chosen(raws[key], train) for name, key in asked.items()}, stats)
    else:
        bad = [str(record) for record in found.bad_records]
        members, splits = dict(fitted.splits), fitted.find(found.digests, bad)
        stats, ranges = dict(fitted.stats), dict(fitted.ranges)
    values = encode_records(plan, raws, stats, limit, found.layout)
    notes += all_of(
        [
            note
            for (section, name), raw in raws.items()
            for note in lost_values(_feature(plan, section, name), name, columns[name], raw, values[section][name])
        ]
    )
    weights = find_class_weights(plan, values, splits["train"]) if fitted is None else dict(fitted.class_weights)
    learned = FittedData(columns, stats, members, ranges, found.artifacts, weights)
    return Dataset(
        values["inputs"],
        values["targets"],
        splits,
        learned,
        device_stats(stats),
        tuple(notes),
        found.bad_records,
        found.source_rows,
    )


def fit_features(plan: Plan, raws: Mapping[FeatureKey, Any], rows: NDArray[np.int32]) -> Stats:
    """What each feature learns from the training split.

    Raises:
        SpecError: DLC405, for all features that can't learn from it.
    """
    stats: Stats = {}
    errors = DataErrors(plan)
    for (section, name), raw in raws.items():
        feature = _feature(plan, section, name)
        try:
            stats[name] = fit_feature(feature, name, _chosen(raw, rows))
        except RuleViolation as wrong:
            errors.add((section, name, feature.word), wrong)
    errors.check()
    return stats


def encode_records(
    plan: Plan, raws: Mapping[FeatureKey, Any], stats: Stats, limit: int, layout: Layout | None = None
) -> dict[str, dict[str, Any]]:
    """The encoded inputs and targets of records, `{"inputs": ..., "targets": ...}`, checked against the plan.

    Args:
        plan: the plan of the spec.
        raws: the raw values of each feature.
        stats: the features' statistics, in float64.
        limit: the most bytes of encoded values in memory; more than that are encoded on access.
        layout: the records, if they are windows of the raw values.

    Raises:
        SpecError: DLC403 and DLC406 when a loss is not defined for them, or they don't fit together.
    """
    values: dict[str, dict[str, Any]] = {"inputs": {}, "targets": {}}
    packed: dict[str, dict[str, Any]] = {"inputs": {}, "targets": {}}
    for (section, name), raw in raws.items():
        feature = _feature(plan, section, name)
        keys = encoded_on_host(feature, name, raw[:1], stats[name])
        found = {key: Encoded(feature, name, key, raw, stats[name]) for key in keys}
        (packed if feature.packed else values)[section].update(found)
    values = _in_memory(values, limit)
    if layout is not None:
        values = {
            section: {name: Windows(value, layout.rows, _span(plan, section, name)) for name, value in part.items()}
            for section, part in values.items()
        }
    network = {section: {**values[section], **packed[section]} for section in values}
    _sizes_agree(plan, network)
    check_values(plan, network, stats)
    return {
        section: {**values[section], **{value.name: value.raw for value in packed[section].values()}}
        for section in values
    }


def _span(plan: Plan, section: str, name: str) -> tuple[int, int]:
    span = _feature(plan, section, name).span
    assert span is not None, "records are windows only if all features have one"
    return span


def _feature(plan: Plan, section: str, name: str) -> Feature:
    return (plan.inputs if section == "inputs" else plan.targets)[name]


def _in_memory(values: dict[str, dict[str, Any]], limit: int) -> dict[str, dict[str, Any]]:
    """The encoded values as arrays if all of them fit into `limit` bytes; else they are encoded on access."""
    lazy = [value for part in values.values() for value in part.values()]
    if sum(value.nbytes for value in lazy) > limit or not all(isinstance(value.raw, np.ndarray) for value in lazy):
        return values
    return {
        section: {key: np.ascontiguousarray(value[:]) for key, value in part.items()}
        for section, part in values.items()
    }


def _chosen(raw: Any, rows: NDArray[np.int32]) -> Any:
    """The records that a feature is fitted to, in the order of the file, in memory or on disk."""
    return np.take(raw, np.sort(rows), axis=0) if isinstance(raw, np.ndarray) else Chosen(raw, rows)


def check_values(plan: Plan, values: Mapping[str, Mapping[str, Any]], stats: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that losses and metrics are defined for all targets, and that sample weights are not negative.

    Raises:
        SpecError: DLC403 and others, with everything that is wrong.
    """
    errors = DataErrors(plan)
    for term in plan.losses:
        if term.against is not None and term.against.section != "outputs":
            compared = values[term.against.section][term.against.name]
            nothing = _feature(plan, *term.against).unlabelled
            try:
                if nothing is not None and all(np.all(block == nothing) for block in blocks_of(compared)):
                    raise RuleViolation(
                        "DLC403", f"no record of `{term.against.name}` has a class", found=f"only {nothing}"
                    )
                for block in _real_blocks(values, term.against):
                    term.loss.check_values(block)
            except RuleViolation as wrong:
                errors.add(term.against, wrong)
    for measured in plan.metrics:
        against = measured.against
        if measured.metric.domain is not None and against.section != "outputs":
            try:
                for block in _real_blocks(values, against):
                    measured.metric.check_values(_feature(plan, *against).decode(block, stats[against.name]))
            except RuleViolation as wrong:
                errors.add(against, wrong)
    names = [*(term.sample_weight for term in plan.losses), *(term.sample_weight for term in plan.metrics)]
    for name in sorted({name for name in names if name is not None}):
        least, some = 0.0, False
        for weights in blocks_of(values["targets"][name]):
            least, some = min(least, weights.min()), some or bool(weights.any())
        if least < 0 or not some:
            message = f"`{name}` is not a valid `sample_weight`"
            found = f"{least:g}" if some else "only 0"
            expected = "numbers of at least 0, not all 0"
            errors.add(("targets", name), RuleViolation("DLC403", message, found=found, expected=expected))
    errors.check()


def _real_blocks(values: Mapping[str, Mapping[str, Any]], against: Against) -> Iterator[NDArray[Any]]:
    """The values of a target in blocks, without padding."""
    compared = values[against.section][against.name]
    mask = values[against.section].get(against.name + MASK)
    if mask is None:
        yield from blocks_of(compared)
        return
    if isinstance(compared, Windows):
        compared, mask = compared.values, mask.values
    for rows in block_slices(len(compared), compared.nbytes):
        yield compared[rows][mask[rows]]


def _sizes_agree(plan: Plan, values: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Check that the data have one size for each symbol, and that every layer accepts these sizes."""
    fit_sizes(plan, data_sizes(plan, values))


def data_sizes(plan: Plan, values: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The data's sizes for the symbols of the declared shapes.

    Args:
        plan: the plan of a spec.
        values: the encoded `inputs` and `targets` by name.

    Raises:
        SpecError: DLC406 when a symbol would have two sizes.
    """
    sizes: dict[str, int] = {}
    for section, features in (("inputs", plan.inputs), ("targets", plan.targets)):
        for name, feature in features.items():
            for dim, size in zip(feature.value_type().shape[1:], values[section][name].shape[1:], strict=True):
                if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                    message = f"the size `{dim}` is {sizes[dim]} in one feature and {size} in `{name}`"
                    hint = "use different names for different sizes"
                    raise wrong_data(plan, RuleViolation("DLC406", message, hint=hint), (section, name))
    return sizes


def fit_sizes(plan: Plan, sizes: Mapping[str, int]) -> None:
    """Check the network's shapes again, with the sizes of the data in place of symbols.

    Raises:
        SpecError: DLC406 when a layer does not accept these sizes.
    """
    if not sizes:
        return
    report = prove_sizes(plan, sizes)
    if not report.ok:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        items = [
            replace(item, code="DLC406", message=f"{item.message}, for data of {listed}") for item in report.diagnostics
        ]
        raise SpecError(Report(tuple(items)))
