"""What `dlc train` prints: one line per epoch, only the result, or one JSON object per line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc.diagnostics import SpecError, plural

if TYPE_CHECKING:
    from pathlib import Path

    from dlc.serving.folds import CrossValidation
    from dlc.training.callbacks.progress import Moment, RunInfo
    from dlc.training.result import Result

LINE = 120  # characters of the longest line
LEAST_SECONDS = 0.1
WAITING = 0.05  # share of the time spent waiting for records above which it is printed


def headline(info: RunInfo) -> str:
    """The first line of a run."""
    sizes = " / ".join(f"{count:,} {name}" for name, count in info.examples.items())
    work = f"{info.steps:,} steps in {plural(info.epochs, 'epoch')}"
    return f"{info.name}: {plural(info.parameters, 'parameter')}, {sizes} examples, {work}, on {info.device}"


def figure(value: float) -> str:
    """A figure in few characters: four decimals, or four digits if it is very large or small.

    >>> [figure(value) for value in (0.98765432, 0.0, 3012.5, 2.5e7, 0.00012345, float("nan"))]
    ['0.9877', '0.0000', '3012.5000', '2.5e+07', '0.0001234', 'nan']
    """
    plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6
    return f"{value:.4f}" if plain else f"{value:.4g}"


def figures(values: Mapping[str, float]) -> str:
    """Named figures in one line."""
    return ", ".join(f"{name} {figure(value)}" for name, value in values.items())


def epoch_line(record: Mapping[str, float], epochs: int, seconds: float, best: bool, width: int = LINE) -> str:
    """The line of an epoch; if it is too long, one line for each split below it."""
    number = f"epoch {int(record['epoch']):>{len(str(epochs))}}/{epochs}"
    parts = []
    for split in ("train", "validation"):
        named = [(name.partition("/")[2], value) for name, value in record.items() if name.startswith(f"{split}/")]
        if named:
            parts.append(f"{split} " + " ".join(f"{name} {figure(value)}" for name, value in named))
    end = f"{seconds:.2f} s" + ("  best" if best else "")
    line = "  ".join([number, *parts, end])
    return line if len(line) <= width else "\n  ".join([f"{number}  {end}", *parts])


def result_lines(result: Result) -> list[str]:
    """The lines about the result of a run."""
    assert result.folder is not None
    record = result.history[result.best_epoch - 1]
    split = "validation" if "validation/loss" in record else "train"
    kept = {name.partition("/")[2]: value for name, value in record.items() if name.startswith(f"{split}/")}
    lines = [f"best epoch {result.best_epoch}: {split} {figures(kept)}"]
    if result.test:
        lines.append(f"test {figures(result.test)}")
    for name, values in result.thresholds.items():
        lines.append(f"threshold of {name} {', '.join(f'{value:.4g}' for value in values)}")
    if result.input_seconds > max(WAITING * result.seconds, LEAST_SECONDS):
        share = result.input_seconds / result.seconds
        lines.append(f"{share:.0%} of {result.seconds:.1f} s of steps were spent waiting for records")
    return lines


def folds_table(found: CrossValidation) -> list[str]:
    """The metrics of each fold, their means and deviations, as lines."""
    names = list(found.metrics)
    columns = [["fold", *map(str, range(1, len(found.results) + 1)), "mean", "deviation"]]
    for name in names:
        metric = found.metrics[name]
        columns.append([name, *map(figure, [*metric.values, metric.mean, metric.deviation])])
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


class Plain:
    """One line per epoch, for logs and pipes."""

    epochs = 0

    def begin(self, info: RunInfo) -> None:
        """The headline."""
        self.epochs = info.epochs
        print(headline(info), flush=True)

    def moment(self, moment: Moment) -> None:
        """Nothing between epochs."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """The epoch's line."""
        print(epoch_line(record, self.epochs, seconds, best), flush=True)

    def note(self, text: str) -> None:
        """Print a note to standard error."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    def asked_to_stop(self, text: str) -> None:
        """A signal asked for a stop; called from another thread."""
        print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Nothing."""

    def finished(self, result: Result, report: Path | None) -> None:
        """Print the result of the run."""
        assert result.folder is not None
        lines = [*result_lines(result), *([f"report {report}"] if report else []), f"run folder {result.folder.path}"]
        print("\n".join(lines), flush=True)

    def fold(self, fold: int, folds: int, folder: Path) -> None:
        """The run of a fold begins."""
        print(f"fold {fold} of {folds}: {folder}", flush=True)

    def folded(self, found: CrossValidation) -> None:
        """Print the metrics of all folds on their test splits."""
        files = [f"predictions {found.out_of_fold}", f"run folders {found.folder}"]
        print("\n".join([*folds_table(found), *files]), flush=True)

    def profiled(self, result: Result) -> None:
        """Where the time of a run went."""
        from dlc.training.callbacks.profile import table

        assert result.folder is not None
        print("\n".join(table(result.spent)))
        print(f"trace {result.folder.path / 'profile'}, for TensorBoard or ui.perfetto.dev", flush=True)

    def tried(self, result: Result) -> None:
        """A dry run is done."""
        print(f"dry run: compiled and did one step in {result.first_step_seconds:.1f} s")

    def stopped(self, step: int, run: Path | None) -> None:
        """The run stopped because of a signal."""
        again = f"continue with: dlc train {run} --resume" if run else "nothing was kept"
        print(f"stopped at step {step:,}; {again}", file=sys.stderr)

    def failed(self, error: SpecError) -> None:
        """Nothing: the error itself is printed on the way out."""


class Quiet(Plain):
    """Only notes and the result."""

    def begin(self, info: RunInfo) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """Nothing."""

    def fold(self, fold: int, folds: int, folder: Path) -> None:
        """Nothing."""


class Json(Plain):
    """One JSON object per line: `fold`, `begin`; `moment`, `epoch`, `note`; `profile`; `end`. Null if not finite."""

    def begin(self, info: RunInfo) -> None:
        """The facts of the run that starts."""
        self._rate = info.learning_rate
        values = ("name", "folder", "epochs", "steps", "start", "batch_size", "parameters", "device", "monitor")
        self._print("begin", {name: getattr(info, name) for name in values} | {"examples": dict(info.examples)})

    def moment(self, moment: Moment) -> None:
        """A chunk of steps is done."""
        values = {"epoch": moment.epoch, "step": moment.step, "examples_per_second": moment.rate}
        self._print("moment", {**values, "learning_rate": self._rate(moment.step - 1), "metrics": dict(moment.metrics)})

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """The line of `metrics.jsonl`, the time of the epoch, whether it is the best so far."""
        self._print("epoch", {"record": dict(record), "seconds": seconds, "best": best})

    def note(self, text: str) -> None:
        """Print a note."""
        self._print("note", {"text": text})

    def fold(self, fold: int, folds: int, folder: Path) -> None:
        """The run of a fold begins."""
        self._print("fold", {"fold": fold, "folds": folds, "folder": str(folder)})

    def folded(self, found: CrossValidation) -> None:
        """Print the metrics of all folds."""
        metrics = {
            name: {"mean": metric.mean, "deviation": metric.deviation, "values": list(metric.values)}
            for name, metric in found.metrics.items()
        }
        files = {"folder": str(found.folder), "predictions": str(found.out_of_fold)}
        self._print("end", {"status": "finished", "folds": len(found.results), **files, "metrics": metrics})

    def profiled(self, result: Result) -> None:
        """Seconds by part."""
        assert result.folder is not None
        self._print("profile", {"seconds": dict(result.spent), "trace": str(result.folder.path / "profile")})

    def finished(self, result: Result, report: Path | None) -> None:
        """Print the result of the run."""
        assert result.folder is not None
        values = {
            "status": "finished",
            "folder": str(result.folder.path),
            "report": str(report) if report else None,
            "steps": result.steps,
            "best_epoch": result.best_epoch,
            "best": dict(result.history[result.best_epoch - 1]),
            "test": dict(result.test),
            **({"thresholds": dict(result.thresholds)} if result.thresholds else {}),
        }
        self._print("end", values)

    def tried(self, result: Result) -> None:
        """A dry run is done."""
        self._print("end", {"status": "dry run", "first_step_seconds": result.first_step_seconds})

    def stopped(self, step: int, run: Path | None) -> None:
        """The run stopped because of a signal."""
        self._print("end", {"status": "stopped", "folder": str(run) if run else None, "step": step})

    def failed(self, error: SpecError) -> None:
        """The first finding; the whole report goes to standard error."""
        first = error.report.diagnostics[0]
        self._print("end", {"status": "failed", "code": first.code, "message": first.message})

    def _print(self, event: str, values: Mapping[str, Any]) -> None:
        from dlc.support.files import plain

        print(json.dumps({"event": event, **plain(values)}, allow_nan=False), flush=True)
