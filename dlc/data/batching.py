"""The sizes of splits, the number of batches, and the length of a run: what follows from the number of records."""

from __future__ import annotations

from typing import NamedTuple

from dlc.components.schedules.schedule import Horizon
from dlc.data.errors import wrong_data
from dlc.diagnostics import SpecError, plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation

MOST_STEPS = 2**31 - 1  # the number of a step has 32 bits


class Batching(NamedTuple):
    """The number of batches of a split.

    Args:
        examples: rows of an epoch: those of the split, unless `steps_per_epoch` is set.
        batch_size: rows per batch.
    """

    examples: int
    batch_size: int

    @property
    def steps_per_epoch(self) -> float:
        """Batches of one pass; the last batch of an epoch may continue into the next."""
        return self.examples / self.batch_size

    def steps(self, epochs: int) -> int:
        """Steps of that many epochs."""
        return -(-epochs * self.examples // self.batch_size)


def split_sizes(plan: Plan, count: int) -> dict[str, int]:
    """The number of the main source's records in each split, unless groups must be kept together.

    Raises:
        SpecError: DLC405 when nothing is left to train on.
    """
    folds = plan.data.split.folds if plan.data is not None else None
    if folds is not None and folds > count:
        wrong = RuleViolation(
            "DLC405", "there are fewer records than folds", found=plural(count, "record"), option="folds"
        )
        raise wrong_data(plan, wrong, ("data", "split"))
    sizes = rounded_sizes(plan, count)
    if sizes["train"] <= 0:
        message = "the splits leave nothing to train on"
        found = f"{count - sizes['train']:,} of {plural(count, 'record')} held out"
        raise wrong_data(plan, RuleViolation("DLC405", message, found=found), ("data", "split"))
    return sizes


def fold_sizes(count: int, folds: int) -> list[int]:
    """The sizes of folds of `count` records, which differ by at most one.

    >>> fold_sizes(11, 3)
    [4, 4, 3]
    """
    return [count // folds + (index < count % folds) for index in range(folds)]


def rounded_sizes(plan: Plan, count: int) -> dict[str, int]:
    """The sizes of the splits of `count` records; that of the training split may be 0 or less."""
    assert plan.data is not None
    split = plan.data.split
    sizes = {
        name: part if isinstance(part, int) else max(1, round(float(part) * count)) if part else 0
        for name, part in (("validation", split.validation), ("test", split.test))
    }
    if split.folds is not None:
        sizes["test"] = fold_sizes(count, split.folds)[split.fold - 1]
    return {"train": count - sum(sizes.values()), **{name: size for name, size in sizes.items() if size}}


def batching_of(plan: Plan, count: int) -> Batching:
    """The batches of a training split of `count` examples.

    Raises:
        SpecError: DLC405 when a batch is larger than the split.
    """
    train = plan.train
    size = count if train.batch_size == "full" else train.batch_size
    if plan.update is not None:
        size *= plan.update.modifiers.accumulate
    if size > count:
        parts = size != train.batch_size
        spelled = str(size) if size < 10**15 else f"{size:.3g}"
        raise SpecError.of(
            "DLC405",
            f"a batch of {spelled} is larger than the training split of {plural(count, 'example')}",
            plan.places.span(("train", "batch_size")),
            found=f"`batch_size` {train.batch_size}, `accumulate` {size // int(train.batch_size)}" if parts else None,
            hint="lower `accumulate`" if parts else "lower `batch_size`, or write `batch_size: full`",
        )
    return Batching(count if train.steps_per_epoch is None else train.steps_per_epoch * size, size)


def horizon_of(plan: Plan, batching: Batching) -> Horizon:
    """The length of a run in steps.

    Raises:
        SpecError: DLC104 when the number of a step would not fit into 31 bits.
    """
    steps = batching.steps(plan.train.epochs)
    if steps > MOST_STEPS:
        wrong = RuleViolation(
            "DLC104",
            "the run has too many steps",
            found=f"{float(steps):.3g}" if steps < 10**300 else "more than 1e300",
            expected=f"at most {MOST_STEPS:,}",
            hint="lower `epochs`, or raise `batch_size`",
        )
        raise wrong_data(plan, wrong, ("train", "epochs"))
    return Horizon(steps, batching.steps_per_epoch)
