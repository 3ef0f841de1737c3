"""Tasks whose records are windows of a series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from dlc.components.features.feature import as_text
from dlc.diagnostics import listing, plural
from dlc.language.options import RuleViolation
from dlc.tasks.looking_at_tables import Column, SeenTable, blocks_of_table, look_at_table
from dlc.tasks.task import Given, Page, Task, length, scalar

_LENGTHS = ((27 * 86400, 12, 24), (6 * 86400, 4, 16), (86400, 7, 28), (3600, 24, 96), (60, 24, 96))
"""Seconds from one row to the next, at least; and the rows of the future and of the past."""
_SHORT = 30  # rows: fewer can't be divided
_TREND = 25  # rows of the moving average, as in DLinear


class _Dates(NamedTuple):
    """The dates of a table.

    Args:
        step: the seconds from one row to the next.
        rows: the rows of the shortest series.
        series: the column that names the series, if there are several.
    """

    step: float
    rows: int
    series: str | None


class Forecasting(Task):
    """Forecasting: the next values of a series from the values before (DLinear)."""

    word = "forecasting"
    reads = "a table with a column of dates"
    targets = True

    def write(self, given: Given) -> str:
        """The trend and the rest of the past, each with a linear map to the future (Zeng et al. 2022)."""
        if given.data is None:
            return self._page(
                "`series.csv` is a placeholder: `--data FILE` writes a spec for your table.",
                ["source: {csv: series.csv}    # CHANGE: a table with a row for each point in time, oldest first"],
                ["a", "b"],
                (96, 24),
                10_000,
                ["CHANGE: `a` and `b` are the columns of numbers"],
            )
        seen = look_at_table(given)
        dates = _dates(seen, str(given.data))
        columns = [name for name in self._columns(seen, given) if name != dates.series]
        past, future = _window(dates)
        origin = f"Written for {plural(seen.records, 'row')} of {plural(len(columns), 'column')}."
        left = [column.name for column in seen.columns if column.name not in columns and column.kind != "date"]
        notes = [f"left out: {listing(left, 12)}"] if left and given.target is None else []
        data = [f"source: {seen.source}"]
        if dates.series is not None:
            data.append(f"windows: {{series: {scalar(dates.series)}, history: true}}")
        else:
            data.append("windows: {history: true}    # inputs of later splits may begin in earlier ones")
        return self._page(origin, data, columns, (past, future), seen.records, notes)

    def _columns(self, seen: SeenTable, given: Given) -> list[str]:
        """The columns to forecast: the target, or all numbers without gaps.

        Raises:
            RuleViolation: DLC402, DLC403.
        """
        if given.target is not None:
            column = seen.column(given.target)
            if column.kind not in ("number", "id") or column.missing:
                what = "has empty fields" if column.missing else "is not a column of numbers"
                hint = "fill them first: a network would learn invented values" if column.missing else None
                raise RuleViolation("DLC403", f"`{column.name}` of `{given.data}` {what}", hint=hint)
            return [column.name]
        found = [column.name for column in seen.columns if column.kind == "number" and not column.missing]
        if not found:
            kinds = listing([f"{column.name} ({_described(column)})" for column in seen.columns], 8)
            message = f"`{given.data}` has no column of numbers without empty fields"
            raise RuleViolation("DLC402", message, found=kinds, hint="fill the gaps of a column first")
        return found

    def _page(
        self,
        origin: str,
        data: Sequence[str],
        columns: Sequence[str],
        window: tuple[int, int],
        count: int,
        notes: Sequence[str],
    ) -> str:
        past, future = window
        page = Page(type(self), origin)
        page.section("data:", *(f"  {line}" for line in data))
        page.line("  split: {validation: 0.15, test: 0.15}", "the last rows")
        names = [scalar(name) for name in columns]
        page.section()
        for note in notes:
            page.comment(note)
        page.items("inputs: {past: {series: {columns: [", names, f"], past: {past}, normalize: standard}}}}}}")
        page.items("targets: {future: {series: {columns: [", names, f"], future: {future}, normalize: standard}}}}}}")
        trend = min(_TREND, past - 1 | 1)
        page.section("network:")
        pooling = f"{{window: {trend}, strides: 1, padding: same}}"
        page.line(f"  - {{avg_pool1d: {pooling}, name: trend}}", "a moving average")
        page.line("  - subtract: [past, trend]", "the rest: seasons and noise")
        page.line("  - permute: [2, 1]", "a row for each column")
        page.line(f"  - {{dense: {future}, name: season}}", "a linear map from the past to the future")
        page.line("  - {permute: [2, 1], inputs: trend}")
        page.line(f"  - dense: {future}")
        page.line("  - add: [previous, season]")
        page.line("  - permute: [2, 1]")
        page.section(
            "loss: mse",
            "metrics: [mae]",
            "optimizer: {adam: {learning_rate: {cosine: 2e-3}}}",
            f"train: {{{length(int(0.7 * count), 20)}}}",
        )
        return page.text()


def _described(column: Column) -> str:
    return f"{column.kind}, {column.missing} empty" if column.missing else column.kind


def _window(dates: _Dates) -> tuple[int, int]:
    """The rows of the past and of the future."""
    wanted = next(((past, future) for least, future, past in _LENGTHS if dates.step >= least), (30, 10))
    future = max(1, min(wanted[1], int(0.15 * dates.rows) // 2))
    past = max(3, min(wanted[0], int(0.7 * dates.rows) - 2 * future))
    return past, future


def _dates(seen: SeenTable, where: str) -> _Dates:
    """The dates of a table, whose rows must be in their order.

    Raises:
        RuleViolation: DLC402 without dates, DLC405 for too few rows, DLC403 when they are in another order.
    """
    column = next((column for column in seen.columns if column.kind == "date"), None)
    if column is None:
        kinds = listing([f"{each.name} ({each.kind})" for each in seen.columns], 8)
        message, hint = (
            f"`{where}` has no column of dates",
            "add one, such as `date` with `2024-05-31` or `2024-05-31 14:30`",
        )
        raise RuleViolation("DLC402", message, found=kinds, hint=hint)
    groups = [
        each.name for each in seen.columns if each.kind in ("category", "text", "id", "number") and not each.missing
    ]
    times: list[datetime] = []
    labels: dict[str, list[str]] = {name: [] for name in groups}
    for block in blocks_of_table(seen.table):
        times += [_time(as_text(value), column.format, where, column.name) for value in block[column.name].tolist()]
        for name in groups:
            labels[name] += [as_text(value) for value in block[name].tolist()]
    steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    forward = sorted(step for step in steps if step > 0)
    series, rows = None, len(times)
    if any(step <= 0 for step in steps):
        ordered = {name: _shortest(times, own) for name, own in labels.items()}
        series = next((name for name, shortest in ordered.items() if shortest), None)
        if series is None:
            row = next(index for index, step in enumerate(steps) if step <= 0) + 2
            message = f"row {row} of `{where}` is not later than the row before"
            hint = f"sort the table by `{column.name}`; several series need a column that names them"
            raise RuleViolation("DLC403", message, found=f"`{times[row - 1]}` after `{times[row - 2]}`", hint=hint)
        rows = ordered[series]
    if rows < _SHORT:
        message = f"`{where}` has too few rows to divide into training, validation and test"
        raise RuleViolation("DLC405", message, found=f"{rows:,}", expected=f"at least {_SHORT} of each series")
    return _Dates(forward[len(forward) // 2], rows, series)


def _shortest(times: Sequence[datetime], labels: Sequence[str]) -> int:
    """The rows of the shortest series, if a column divides the rows into few series in the order of time; else 0."""
    last: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    for time, label in zip(times, labels, strict=True):
        if label in last and time <= last[label]:
            return 0
        last[label] = time
        counts[label] = counts.get(label, 0) + 1
    return min(counts.values()) if len(counts) * 10 <= len(times) else 0


def _time(text: str, form: str | None, where: str, column: str) -> datetime:
    """A point in time.

    Raises:
        RuleViolation: DLC403.
    """
    try:
        found = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
    except ValueError:
        message, hint = f"`{column}` of `{where}` has a field that is not a date", "correct it, or remove the row"
        raise RuleViolation("DLC403", message, found=f"`{text}`" if text else "an empty field", hint=hint) from None
    return found.replace(tzinfo=None)
