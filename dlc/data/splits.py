"""How the records of the main source are divided: at random, by classes, or by groups; or into folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from math import isfinite, nan
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from dlc.components.features.feature import as_text
from dlc.components.sources.arrow_text import Fields
from dlc.components.sources.source import Columns, missing_column
from dlc.components.wrong_values import field as spelled_field
from dlc.data.batching import fold_sizes, split_sizes
from dlc.data.errors import wrong_data
from dlc.diagnostics import did_you_mean, listing, plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPLIT = 0x5E11  # separates the random stream of splitting from others

Splits = dict[str, "NDArray[np.int32]"]


@fast_dataclass
class Labels:
    """A column of the main source whose values are only compared: classes to stratify by, or groups.

    Args:
        name: the column.
        option: the option of `data.split` that names it.
        numbers: a number for each value, by its spelling.
        parts: the numbers of the records, block by block.
    """

    name: str
    option: str
    numbers: dict[str, int] = field(default_factory=dict)
    parts: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, block: Columns) -> None:
        """Add the values of a block.

        Raises:
            RuleViolation: DLC402 when the column is missing, DLC406 when it holds arrays.
        """
        name = normalize("NFC", self.name)
        if name not in block:
            raise missing_column(name, block, option=self.option)
        column: Any = block[name][:]
        if isinstance(column, Fields):
            values, codes = column.coded()
            self.parts.append(self._numbered(values)[codes])
            return
        column = np.asarray(column)
        if column.size != len(column):
            found = f"arrays of shape {list(column.shape[1:])}"
            message = f"the column `{name}` can't divide records"
            raise RuleViolation("DLC406", message, found=found, expected="single values", option=self.option)
        self.parts.append(self._numbered(column.reshape(len(column))))

    def _numbered(self, column: NDArray[Any]) -> NDArray[np.int32]:
        """The number of each value; new ones get the next."""
        texts, numbers = [as_text(value) for value in column.tolist()], self.numbers
        return np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)

    def codes(self) -> NDArray[np.int32]:
        """A number for each record, in the order of the spelled values, whatever the order of the records."""
        ranks = np.empty(len(self.numbers), np.int32)
        ranks[[self.numbers[text] for text in sorted(self.numbers)]] = np.arange(len(self.numbers), dtype=np.int32)
        found: NDArray[np.int32] = ranks[np.concatenate(self.parts)]
        return found

    def ranks(self) -> NDArray[np.int32]:
        """A number for each record, in the order of the values, which are numbers or dates.

        Raises:
            RuleViolation: DLC403 when one is neither.
        """
        texts = list(self.numbers)
        keys: list[float] = []
        wrong: str | None = None
        for read in (_number, _moment):
            keys = [read(text) for text in texts]
            wrong = next((text for text, key in zip(texts, keys, strict=True) if not isfinite(key)), None)
            if wrong is None:
                break
        if wrong is not None:
            message = f"the column `{self.name}` has a value that is neither a number nor a date"
            expected = "numbers, or dates as ISO 8601 spells them, such as `2024-05-31`, in every row"
            raise RuleViolation("DLC403", message, found=spelled_field(wrong), expected=expected, option="time")
        order = sorted(range(len(texts)), key=keys.__getitem__)
        places = np.empty(len(texts), np.int32)
        places[order] = np.arange(len(texts), dtype=np.int32)
        found: NDArray[np.int32] = places[np.concatenate(self.parts)]
        return found

    def owners(self, values: Sequence[str]) -> NDArray[np.int32]:
        """For each record 1 plus the position of its value among these; 0 if it is none of them.

        Raises:
            RuleViolation: DLC405 when no record has one of them.
        """
        owner = np.zeros(max(len(self.numbers), 1), np.int32)
        for position, value in enumerate(values):
            if value not in self.numbers:
                message, hint = (
                    f"no record has `{value}` in the column `{self.name}`",
                    did_you_mean(value, self.numbers),
                )
                found = f"values {listing(list(self.numbers), 8)}"
                raise RuleViolation("DLC405", message, found=found, hint=hint, option="column")
            owner[self.numbers[value]] = position + 1
        found_owners: NDArray[np.int32] = owner[np.concatenate(self.parts)]
        return found_owners


def _number(text: str) -> float:
    """A number; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        return nan


def _moment(text: str) -> float:
    """The seconds of a date in ISO 8601 since 1970, in UTC unless it has another zone; NaN for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return nan
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


DIVIDING = ("group", "stratify", "column", "time")
"""The options of `data.split` that name a column."""


def labels_of(plan: Plan) -> dict[str, Labels]:
    """What receives the columns that `data.split` names, by option."""
    assert plan.data is not None
    named = {option: getattr(plan.data.split, option) for option in DIVIDING}
    return {option: Labels(column, option) for option, column in named.items() if column is not None}


def codes_of(plan: Plan, labels: Mapping[str, Labels]) -> dict[str, NDArray[np.int32]]:
    """The numbers of the records that `divide` takes.

    Raises:
        SpecError: DLC405 when no record is in a split.
    """
    assert plan.data is not None
    found = {}
    for option, label in labels.items():
        try:
            if option == "column":
                found[option] = label.owners(list(plan.data.split.parts.values()))
            else:
                found[option] = label.ranks() if option == "time" else label.codes()
        except RuleViolation as wrong:
            raise wrong_data(plan, wrong, ("data", "split")) from None
    return found


def split_tables(
    plan: Plan, counts: Mapping[str, int], labels: Mapping[str, NDArray[np.int32]] | None
) -> tuple[Splits, list[str]]:
    """The rows of each split in the records of all sources, one source after another; and what is noteworthy.

    Args:
        plan: the plan.
        counts: the number of records of each source; the main one is `source`.
        labels: as `divide` takes them; None if the main source is not divided.

    Raises:
        SpecError: DLC405 when a split is empty, and those of `divide`.
    """
    splits, notes = ({}, []) if labels is None else divide(plan, counts["source"], labels)
    start = counts["source"]
    for name, count in counts.items():
        if name != "source":
            splits[name] = np.arange(start, start + count, dtype=np.int32)
            start += count
    for name, rows in splits.items():
        if not len(rows):
            raise wrong_data(plan, RuleViolation("DLC405", f"the {name} split is empty"), ("data",))
    return splits, notes


def divide(plan: Plan, count: int, labels: Mapping[str, NDArray[np.int32]]) -> tuple[Splits, list[str]]:
    """The splits of the main source, and what is noteworthy about them.

    Args:
        plan: the plan.
        count: the number of records.
        labels: for the options in `DIVIDING`, if they are set, a number for each record.

    Raises:
        SpecError: DLC405 when there are too few records or groups.
    """
    assert plan.data is not None
    split = plan.data.split
    if "column" in labels:
        names = ("train", *split.parts)
        return {
            name: np.flatnonzero(labels["column"] == place).astype(np.int32) for place, name in enumerate(names)
        }, []
    sizes = split_sizes(plan, count)
    order = np.arange(count, dtype=np.int32)
    if "time" in labels:
        order = np.argsort(labels["time"], kind="stable").astype(np.int32)
        cuts = _between_values(labels["time"][order], np.cumsum(list(sizes.values()))[:-1])
        return dict(zip(sizes, np.split(order, cuts), strict=True)), []
    if split.shuffle:
        order = np.random.Generator(np.random.Philox(key=[split.seed, _SPLIT])).permutation(order)
    notes = _undivided(labels["stratify"], str(split.stratify)) if "stratify" in labels else []
    try:
        if split.folds is None:
            owner = _owners(order, labels, list(sizes.values()))
        else:
            owner = _owners_of_fold(order, labels, sizes, split.folds, split.fold)
    except RuleViolation as wrong:
        raise wrong_data(plan, wrong, ("data", "split")) from None
    if "group" in labels:
        notes += _other_sizes(owner, sizes, str(split.group))
    splits = {name: order[owner == index] for index, name in enumerate(sizes)}
    if not plan.train.shuffle:
        splits["train"] = np.sort(splits["train"])  # the order of the file
    return splits, notes


def _between_values(times: NDArray[np.int32], cuts: NDArray[Any]) -> NDArray[Any]:
    """Cuts of ordered values, moved to the nearest place between different ones: records of one time stay together."""
    first = np.searchsorted(times, times[cuts], side="left")
    last = np.searchsorted(times, times[cuts], side="right")
    nearer = np.where((last - cuts < cuts - first) & (last < len(times)), last, first)
    found: NDArray[Any] = np.where(nearer > 0, nearer, last)
    return found


def _owners(
    order: NDArray[np.int32], labels: Mapping[str, NDArray[np.int32]], sizes: Sequence[int]
) -> NDArray[np.intp]:
    """The number of the part that each record is in.

    Args:
        order: row numbers of the records, in random order or that of the file.
        labels: for `stratify` and `group`, if they are set, a number for each row.
        sizes: the wanted number of records of each part.

    Raises:
        RuleViolation: DLC405 when there are fewer groups than parts.
    """
    if "group" in labels:
        groups = labels["group"][order]
        return _by_groups(groups, labels["stratify"][order] if "stratify" in labels else np.zeros_like(groups), sizes)
    if "stratify" in labels:
        return _by_classes(labels["stratify"][order], sizes)
    return np.repeat(np.arange(len(sizes)), sizes)


def _owners_of_fold(
    order: NDArray[np.int32],
    labels: Mapping[str, NDArray[np.int32]],
    sizes: Mapping[str, int],
    folds: int,
    fold: int,
) -> NDArray[np.intp]:
    """The number of the split that each record is in, with one of the folds as the test split.

    The folds do not depend on which of them is chosen. The other splits are drawn from the rest.

    Raises:
        RuleViolation: DLC405 when there are fewer groups than folds, or nothing is left to train on.
    """
    held = _owners(order, labels, fold_sizes(len(order), folds)) == fold - 1
    rest = order[~held]
    others = [name for name in sizes if name != "test"]
    wanted = [len(rest) - sum(sizes[name] for name in others[1:]), *(sizes[name] for name in others[1:])]
    if wanted[0] <= 0:
        found = f"{len(order) - wanted[0]:,} of {plural(len(order), 'record')} held out"
        raise RuleViolation("DLC405", "the splits leave nothing to train on", found=found)
    owner = np.full(len(order), list(sizes).index("test"))
    owner[~held] = _owners(rest, labels, wanted)
    return owner


def _by_classes(classes: NDArray[np.int32], sizes: Sequence[int]) -> NDArray[np.intp]:
    """The split of each record. Each split has its share of each class, but for less than one record.

    Args:
        classes: the class of each record, in random order.
        sizes: the number of records of each split.
    """
    table = rounded_shares(np.bincount(classes), sizes)
    owner = np.empty(len(classes), np.intp)
    by_class = np.argsort(classes, kind="stable")
    owner[by_class] = np.repeat(np.tile(np.arange(len(sizes)), len(table)), table.reshape(-1))
    return owner


def rounded_shares(counts: NDArray[Any], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Integers close to counts[i] * sizes[j] / n, with n the sum of `sizes` and of `counts`: (classes, splits).

    Each is rounded down or up, and the sums of rows and columns are exactly `counts` and `sizes`: a controlled rounding
    (Cox 1987), which always exists. Rows are rounded by their largest remainders first. Then units are moved between
    columns, along at most one other column.
    """
    exact = np.multiply.outer(np.asarray(counts, np.int64), np.asarray(sizes, np.int64))
    total = int(sum(sizes))
    table, rest = exact // total, exact % total
    up = np.zeros_like(table)
    units = np.asarray(counts, np.int64) - table.sum(1)
    largest = np.argsort(-rest, axis=1, kind="stable")
    np.put_along_axis(up, largest, (np.arange(len(sizes)) < units[:, None]).astype(np.int64), axis=1)
    surplus = (table + up).sum(0) - np.asarray(sizes)
    while surplus.any():
        giver, taker = int(surplus.argmax()), int(surplus.argmin())
        moved = _move(up, rest, giver, taker, min(int(surplus[giver]), -int(surplus[taker])))
        surplus[giver] -= moved
        surplus[taker] += moved
    found: NDArray[np.int64] = table + up
    return found


def _move(up: NDArray[np.int64], rest: NDArray[np.int64], giver: int, taker: int, most: int) -> int:
    """Move at most that many units from a column to another one, possibly through a third one; returns how many."""

    def movable(source: int, target: int) -> NDArray[np.intp]:
        return np.flatnonzero((up[:, source] == 1) & (up[:, target] == 0) & (rest[:, target] > 0))

    for through in (taker, *(index for index in range(up.shape[1]) if index not in (giver, taker))):
        path = [(giver, through)] if through == taker else [(giver, through), (through, taker)]
        rows = [movable(source, target) for source, target in path]
        count = min(most, *(len(found) for found in rows))
        if count:
            for (source, target), found in zip(path, rows, strict=True):
                up[found[:count], source], up[found[:count], target] = 0, 1
            return count
    raise AssertionError("a controlled rounding exists")


def _by_groups(groups: NDArray[np.int32], classes: NDArray[np.int32], sizes: Sequence[int]) -> NDArray[np.intp]:
    """The split of each record. All records of a group are in the same split.

    Groups are assigned one after another, each to the split whose numbers of records of each class it brings closest
    to the wanted ones, relative to these.

    Args:
        groups: the group of each record, in random order.
        classes: the class of each record.
        sizes: the wanted number of records of each split.

    Raises:
        RuleViolation: DLC405 when there are fewer groups than splits.
    """
    names, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    if len(names) < len(sizes):
        message = "there are fewer groups than splits"
        found = f"{plural(len(names), 'group')} for {len(sizes)} splits"
        raise RuleViolation("DLC405", message, found=found, option="group")
    pairs, counts = np.unique(inverse * (int(classes.max()) + 1) + classes, return_counts=True)
    owners, kinds = np.divmod(pairs, int(classes.max()) + 1)
    members: list[list[tuple[int, int]]] = [[] for _ in names]
    for owner, kind, count in zip(owners.tolist(), kinds.tolist(), counts.tolist(), strict=True):
        members[owner].append((kind, count))
    shares = np.bincount(classes) / len(classes)
    wanted = np.multiply.outer(np.asarray(sizes, float), shares).tolist()
    missing = [list(row) for row in wanted]
    assigned = np.zeros(len(names), np.intp)
    for group in np.argsort(first, kind="stable").tolist():
        gains = [
            sum(count * (2 * missing[split][kind] - count) / wanted[split][kind] for kind, count in members[group])
            for split in range(len(sizes))
        ]
        best = gains.index(max(gains))
        assigned[group] = best
        for kind, count in members[group]:
            missing[best][kind] -= count
    _fill_empty(assigned, np.bincount(inverse), len(sizes))
    return assigned[inverse.reshape(-1)]


def _fill_empty(assigned: NDArray[np.intp], sizes: NDArray[Any], splits: int) -> None:
    """Give each split without a group the smallest group of the split that has the most."""
    for split in range(splits):
        if not (assigned == split).any():
            donor = int(np.bincount(assigned, minlength=splits).argmax())
            groups = np.flatnonzero(assigned == donor)
            assigned[groups[sizes[groups].argmin()]] = split


def _other_sizes(owner: NDArray[np.intp], sizes: Mapping[str, int], group: str) -> list[str]:
    """A note for splits whose size differs from the wanted one by more than a tenth, because groups stay together."""
    found = np.bincount(owner, minlength=len(sizes)).tolist()
    notes = []
    for (name, wanted), size in zip(sizes.items(), found, strict=True):
        if abs(size - wanted) > max(1, wanted / 10):
            reason = f"because groups of `{group}` stay together"
            notes.append(f"the {name} split has {plural(size, 'record')} instead of {wanted:,}, {reason}")
    return notes


def _undivided(classes: NDArray[np.int32], column: str) -> list[str]:
    """A note for a column whose values can't be divided: most of them occur once, or there is only one.

    Args:
        classes: the class of each record.
        column: the column that `stratify` names.
    """
    counts = np.bincount(classes)
    distinct, single = int((counts > 0).sum()), int((counts == 1).sum())
    if distinct == 1 and len(classes) > 1:
        return [f"`stratify` has no effect: all records have the same value of `{column}`"]
    if 2 * single <= distinct:
        return []
    which = f"{single:,} of the {distinct:,} values of `{column}` occur only once"
    return [f"`stratify` hardly divides the records: {which}; name a column of classes"]
