"""Tasks whose records are the rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dlc.diagnostics import listing, plural
from dlc.language.options import RuleViolation
from dlc.tasks.looking_at_tables import FEW_VALUES, Column, Kind, SeenTable, look_at_table
from dlc.tasks.task import Given, Page, Task, class_name, feature_name, length, need_classes, need_records, scalar

MOST_CLASSES = 100
"""The most different values of a target that are classes."""
_MANY = 6  # columns that a pattern replaces
_REASONS = {
    "id": "they number or name the records",
    "text": "they are texts or have many different values",
    "constant": "they never change",
    "empty": "they are empty",
    "array": "they are arrays",
    "pattern": "`*` in a name stands for several columns",
}
"""Why columns are left out."""


class TabularTask(Task):
    """Shared by tasks of tables."""

    reads = "a table: a .csv, .tsv, .parquet or .jsonl file"
    targets = True
    example = ""  # the bundled data set

    def write(self, given: Given) -> str:
        """The spec."""
        seen = look_at_table(given) if given.data is not None else bundled(self.example)
        target = seen.target(given.target)
        where = f"`{given.data}`" if given.data is not None else f"`{self.example}`"
        self.check(target, where)
        count = seen.records - target.missing
        need_records(count, "records with a target", given.data)
        inputs = [column for column in seen.columns if column.name != target.name]
        if not any(column.kind in ("number", "category", "date") for column in inputs):
            found = listing([f"{column.name} ({column.kind})" for column in inputs], 8) or "no other column"
            texts = any(column.kind in ("text", "id") for column in inputs)
            hint = "add columns of numbers, categories or dates"
            hint = "`dlc init text_classification` reads a column of texts" if texts else hint
            raise RuleViolation(
                "DLC402", f"{where} has no columns to predict `{target.name}` from", found=found, hint=hint
            )
        origin = f"Written for {plural(seen.records, 'record')}, to predict `{target.name}`."
        if given.data is None:
            origin = f"It trains as it is, on {plural(seen.records, 'record')} of `{self.example}`, which ships with "
            origin += "scikit-learn; `--data FILE` writes one for your table."
        page = Page(type(self), origin)
        split = ["validation: 0.15", "test: 0.15", *self.divided(target)]
        page.section("data:", f"  source: {seen.source}", f"  split: {{{', '.join(split)}}}")
        odd = [f"`{column.name}` holds {listing(column.odd, 3)}" for column in seen.columns if column.odd]
        if odd:
            page.line("  on_bad_record: skip", f"records that can't be read are left out: {'; '.join(odd)}")
        write_inputs(page, inputs)
        name = feature_name(target.name, [INPUT])
        read = [] if name == target.name else [f"column: {scalar(target.name)}"]
        drops = ["missing: drop"] if target.missing else []
        note = f"{plural(target.missing, 'record')} without it are left out" if drops else ""
        page.section()
        self.write_target(page, name, target, [*read, *drops], note)
        units = 64 if count >= 500 else 32
        page.section(
            "network:",
            f"  - dense: {{units: {units}, activation: relu}}",
            "  - dropout: 0.2",
            f"  - dense: {{units: {units // 2}, activation: relu}}",
            self.output(target),
        )
        page.section(
            f"loss: {self.loss}",
            f"metrics: {self.metrics}",
            "optimizer: {adamw: {learning_rate: {cosine: 3e-3}, weight_decay: 1e-2}}",
            f"train: {{{length(int(0.7 * count), 60)}, early_stopping: {{patience: 15}}}}",
        )
        return page.text()

    loss = ""
    metrics = ""

    def check(self, target: Column, where: str) -> None:
        """Check that a column can be the target."""
        raise NotImplementedError

    def divided(self, target: Column) -> list[str]:
        """More options of `data.split`."""
        return []

    def write_target(self, page: Page, name: str, target: Column, options: Sequence[str], note: str) -> None:
        """Write the target."""
        raise NotImplementedError

    def output(self, target: Column) -> str | tuple[str, str]:
        """The last layer."""
        raise NotImplementedError


class TabularClassification(TabularTask):
    """Tabular classification: a class from the columns of a table."""

    word = "tabular_classification"
    example = "wine"
    loss = "cross_entropy"
    metrics = "[accuracy]"

    def check(self, target: Column, where: str) -> None:
        """It has some values, each of several records."""
        hint = "`dlc init tabular_regression` predicts numbers; `--target` names another column"
        if target.many or len(target.values) > MOST_CLASSES or (target.kind == "number" and not target.whole):
            found = f"more than {MOST_CLASSES}" if target.many else f"{len(target.values):,}"
            message = f"`{target.name}` of {where} is not a class: it has too many different values"
            if not target.many and len(target.values) <= MOST_CLASSES:
                message = f"`{target.name}` of {where} is not a class: its values are numbers with fractions"
            raise RuleViolation("DLC405", message, found=f"{found} different values", hint=hint)
        if target.kind == "array":
            raise RuleViolation("DLC406", f"`{target.name}` of {where} holds arrays", hint=hint)
        need_classes(target.classes, f"`{target.name}` of {where}", "`--target` names another column")

    def divided(self, target: Column) -> list[str]:
        """Each split has its share of each class."""
        return [f"stratify: {scalar(target.name)}"]

    def write_target(self, page: Page, name: str, target: Column, options: Sequence[str], note: str) -> None:
        """The names of the classes."""
        names = [class_name(value) for value in target.classes]
        if names == [str(number) for number in range(len(names))]:
            names = [str(len(names))]
            whole = f"{{classes: {names[0]}, {', '.join(options)}}}" if options else names[0]
            page.line(f"targets: {{{name}: {{category: {whole}}}}}", note)
        elif options:
            page.items(f"targets: {{{name}: {{category: {{classes: [", names, f"], {', '.join(options)}}}}}}}", note)
        else:
            page.items(f"targets: {{{name}: {{category: [", names, "]}}", note)

    def output(self, target: Column) -> str | tuple[str, str]:
        """One logit per class."""
        return f"  - dense: {len(target.classes)}", "one logit per class"


class TabularRegression(TabularTask):
    """Tabular regression: a number from the columns of a table."""

    word = "tabular_regression"
    example = "diabetes"
    loss = "mse"
    metrics = "[rmse, mae]"

    def check(self, target: Column, where: str) -> None:
        """It is a number."""
        numeric = all(_is_number(value) for value in target.values[:100] if value not in target.odd)
        if target.kind not in ("number", "id") or not numeric:
            hint = "`dlc init tabular_classification` predicts classes; `--target` names another column"
            message = f"`{target.name}` of {where} is not a column of numbers"
            if target.kind == "constant":
                message = f"`{target.name}` of {where} has the same value in all records"
            raise RuleViolation("DLC403", message, found=listing([*target.values[:4]]) or "no values", hint=hint)

    def write_target(self, page: Page, name: str, target: Column, options: Sequence[str], note: str) -> None:
        """Scaled, with metrics in its own unit."""
        note = "; ".join(part for part in ("predictions, rmse and mae are in its own unit", note) if part)
        if options:
            page.line(f"targets: {{{name}: {{number: {{normalize: standard, {', '.join(options)}}}}}}}", note)
        else:
            page.line(f"targets: {{{name}: {{number: standard}}}}", note)

    def output(self, target: Column) -> str | tuple[str, str]:
        """One number."""
        return "  - dense: 1"


INPUT = "columns"
"""The name of the input."""


def write_inputs(page: Page, columns: Sequence[Column]) -> None:
    """Write the columns of a table as one input, with a comment on those that are left out."""
    numbers = [column for column in columns if column.kind == "number"]
    categories = [column for column in columns if column.kind == "category"]
    dates = [column for column in columns if column.kind == "date"]
    page.section("inputs:", f"  {INPUT}:", "    table:")
    missing = sum(column.missing > 0 for column in numbers)
    if numbers:
        comment = "scaled to mean 0 and deviation 1"
        if missing:
            comment += f"; {plural(missing, 'column')} with empty fields, filled with the median"
        others = [column for column in columns if column.kind != "number"]
        page.items("      numbers: [", packed(numbers, others), "]", comment)
    if categories:
        parts = [f"{scalar(column.name)}: {_classes(column)}" for column in categories]
        page.items("      categories: {", parts, "}", "rows of 0 and 1, all 0 if the field is empty")
    if dates:
        parts = [f"{scalar(column.name)}: {_date(column)}" for column in dates]
        page.items("      dates: {", parts, "}", "parts of the calendar")
    write_left_out(page, columns)


def _classes(column: Column) -> str:
    """The values of a category; many are found while training."""
    if len(column.values) > FEW_VALUES:
        return f"{{found: {len(column.values)}}}"
    return f"[{', '.join(map(class_name, column.classes))}]"


def write_left_out(page: Page, columns: Sequence[Column]) -> None:
    """A comment on the columns that are no inputs, with the reason."""
    for kind, reason in _REASONS.items():
        names = [column.name for column in columns if column.kind == kind]
        if names:
            page.comment(f"left out, because {reason}: {listing(names, 12)}", 6)


def _date(column: Column) -> str:
    parts = "year, month, weekday"
    return f"[{parts}]" if column.format is None else f'{{parts: [{parts}], format: "{column.format}"}}'


def packed(columns: Sequence[Column], others: Sequence[Column]) -> list[str]:
    """The names of columns as YAML. Many with one beginning and a number at the end are a pattern.

    Args:
        columns: the columns.
        others: those that a pattern must not match.
    """
    groups = Counter(_beginning(column.name) for column in columns)
    found: dict[str, None] = {}
    for column in columns:
        start = _beginning(column.name)
        matched = [other.name for other in (*columns, *others) if other.name.startswith(start)]
        alone = groups[start] >= _MANY and len(matched) == groups[start] and "*" not in start
        found[f'{{"{start}*": {groups[start]}}}' if start and alone else scalar(column.name)] = None
    return list(found)


def _beginning(name: str) -> str:
    """A name without the number at its end."""
    return name.rstrip("0123456789")


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def bundled(word: str) -> SeenTable:
    """A data set that ships with scikit-learn."""
    from dlc.components.registry import KINDS

    source = KINDS["source"].load(word)()
    table = source.load(Path())
    columns: list[Column] = []
    for name, values in table.items():
        if values.ndim > 1:
            continue
        texts = [str(value) for value in values.tolist()]
        kind: Kind = "number" if values.dtype.kind in "fi" else "category"
        distinct = tuple(Counter(texts))
        whole = all(text.endswith(".0") or text.isdigit() for text in distinct)
        columns.append(Column(name, kind, len(values), 0, distinct, len(distinct) > MOST_CLASSES, whole, 1.0))
    return SeenTable(word, tuple(columns), columns[0].records, source)
