"""The commands `check`, `eval`, `predict`, `report`, `init` and `explain`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dlc
from dlc.cli.console import colorful, exit_code
from dlc.cli.usage import excludes, needs, unknown
from dlc.diagnostics import Report, SpecError, did_you_mean
from dlc.language.options import load_class

if TYPE_CHECKING:
    from dlc.serving.evaluation import Evaluation


def check_files(files: Sequence[Path | str], how: str, sets: Sequence[str], data: bool = False) -> int:
    """Check specs, with `data` also their data, and print the findings; the exit code."""
    from dlc.diagnostics import render

    if how not in render.FORMATS:
        raise unknown("format", how, render.FORMATS)
    report = Report()
    code = 0
    for file in files:
        found = dlc.check(file, sets, data=data)
        code = max(code, exit_code(found))
        report += found
    if how != "text":
        print(render.FORMATS[how](report))
        return code
    color = colorful(sys.stdout)
    if report.diagnostics:
        print(render.text(report, color=color) + "\n")
    print(render.summary(report, len(files)))
    return code


def predict_file(run: Path, given: str, out: Path | None, keep: Sequence[str], output: str | None = None) -> None:
    """Predict for given records, and write a table: the kept columns of the input, then the predictions.

    Raises:
        SpecError: DLC402 when a kept column is missing, DLC510 when it has the name of a prediction.
    """
    from dlc.serving.tables import checked_format, predict_table, write_table

    checked_format(out)  # before the work is done
    table, notes = predict_table(run, given, keep, out, output)
    text = write_table(table, out)
    _print_notes(notes)
    if out is None:
        sys.stdout.write(text)
    else:
        print(f"wrote {out}")


def evaluate_run(run: Path, split: str | None, data: str | None, *, confusion: bool, as_json: bool) -> None:
    """Print the metrics of a run."""
    if as_json and confusion:
        raise excludes("--confusion", "--json", hint="the JSON contains the confusion matrix")
    found = dlc.evaluate(run, split, data)
    _print_notes(found.notes)
    if as_json:
        _print_json(found)
        return
    print(f"{found.split}: {found.examples:,} examples")
    width = max(len(name) for name in found.metrics)
    for name, value in found.metrics.items():
        print(f"  {name:<{width}}  {value:.6g}")
    if confusion:
        _print_confusion(found)


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _print_json(found: Evaluation) -> None:
    import json

    from dlc.support.files import plain

    values = {
        "split": found.split,
        "examples": found.examples,
        "metrics": plain(found.metrics),
        "undefined": dict(found.undefined),
        "confusion": {name: counts.tolist() for name, counts in found.confusion.items()},
        "classes": dict(found.classes),
    }
    print(json.dumps(values, indent=2))


def _print_confusion(found: Evaluation) -> None:
    if not found.confusion:
        raise SpecError.of("DLC510", "there is no confusion matrix: no output predicts a class")
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from dlc.diagnostics.render import clean

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for name, counts in found.confusion.items():
        classes = [Text(clean(label)) for label in found.classes[name]]  # a name such as `[/b]` is no markup
        grid = Table(
            Column("true \\ predicted"),
            *map(Column, classes),
            title=Text(clean(name)),
            title_justify="left",
            title_style="bold",
        )
        for label, row in zip(classes, counts.tolist(), strict=True):
            grid.add_row(label, *(str(value) if value else "." for value in row))
        console.print(grid)


def report_run(run: Path, out: Path | None) -> None:
    """Write the report of a run."""
    from dlc.backend.jax_config import configure

    configure()
    from dlc.reports.page import write_report
    from dlc.training.run_folder import RunFolder

    path, notes = write_report(RunFolder(run), out)
    _print_notes(notes)
    print(f"wrote {path}")


def init_spec(task: str | None, data: Path | None, target: str | None, out: Path | None) -> None:
    """Write a spec for a task, which fits the data if there are some; without a task, list them.

    Raises:
        SpecError: as by `dlc.init`.
    """
    if task is None:
        if data is not None:
            raise needs("--data", "TASK")
        from dlc.tasks import TASKS

        width = max(map(len, TASKS))
        for name in TASKS:
            print(f"{name:<{width}}  {load_class(TASKS, name).title()}")
        print("\n`dlc init TASK` writes TASK.yaml; `--data PATH` makes it fit your data")
        return
    path = dlc.init(task, out, data, target)
    use = "train" if "\noptimizer:" in path.read_text(encoding="utf-8") else "show"
    print(f"wrote {path}\ntry: dlc check{' --data' if data is not None else ''} {path}, then dlc {use} {path}")


def explain_code(code: str) -> None:
    """Print the explanation of a code."""
    from dlc.diagnostics.codes import CODES

    name = code.upper()
    if name not in CODES:
        raise SpecError.of(
            "DLC510", f"unknown code `{code}`", expected="a code from DLC001 to DLC900", hint=did_you_mean(name, CODES)
        )
    print(f"{name}: {CODES[name].title}\n\n{CODES[name].text}")
