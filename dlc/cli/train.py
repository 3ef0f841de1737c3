"""`dlc train`: what it prints while it runs, and how it stops."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlc
from dlc.cli import EXIT_CLEAN, EXIT_RESUME
from dlc.diagnostics import SpecError, plural

if TYPE_CHECKING:
    from dlc.training.fit import Result
    from dlc.training.progress import Moment, Plan
    from dlc.training.run_folder import RunFolder

LINE = 120  # characters of the longest line
WAITING = 0.05  # share of the time spent on waiting for records that is worth a word


def train_file(file: Path, run: Path | None, *, resume: bool, dry_run: bool, quiet: bool, sets: Sequence[str]) -> int:
    """Train a spec file, or continue a run folder; the exit code."""
    if dry_run and (resume or run is not None):
        given = "--resume" if resume else "--run"
        raise SpecError.of("DLC510", f"`{given}` has no effect beside `--dry-run`", hint="a dry run writes nothing")
    if file.is_dir():
        if not resume or run is not None:
            raise SpecError.of(
                "DLC001",
                f"`{file}` is a directory",
                expected="a YAML file",
                hint=f"`dlc train {file} --resume` continues a run",
            )
        run, file = file, file / "resolved.yaml"
        if not file.is_file():
            raise SpecError.of("DLC502", f"`{run}` is not a run folder", expected="a folder that `dlc train` made")
    spec = dlc.load(file, sets)
    from dlc.training.fit import Stopped, fit, need_trainable

    need_trainable(spec)
    from dlc.lower.jax_config import configure

    configure()
    folder = None if dry_run else choose_folder(spec.name, run, resume)
    reporter: Plain = Quiet() if quiet else Live() if sys.stdout.isatty() else Plain()
    stop = Interruption()
    try:
        result = fit(spec, run=folder, resume=resume, reporter=reporter, dry_run=dry_run, stop=stop.asked)
    except Stopped as stopped:
        again = f"continue with: dlc train {folder.path} --resume" if folder else "nothing was kept"
        print(f"stopped at step {stopped.step:,}; {again}", file=sys.stderr)
        return EXIT_RESUME
    finally:
        stop.restore()
    if dry_run:
        print(f"dry run: compiled and did one step in {result.first_step_seconds:.1f} s")
        return EXIT_CLEAN
    print_result(result)
    return EXIT_CLEAN


def choose_folder(name: str, run: Path | None, resume: bool) -> RunFolder:
    """The folder that a command means: the named one, the last one to resume, or a new one."""
    from dlc.training.run_folder import RunFolder, last_run_folder, new_run_folder

    if run is not None:
        return RunFolder(run)
    last = last_run_folder(name) if resume else None
    return last or new_run_folder(name)


def print_result(result: Result) -> None:
    """Print what a run came to."""
    assert result.folder is not None
    record = result.history[result.best_epoch - 1]
    split = "validation" if "validation/loss" in record else "train"
    kept = {name.partition("/")[2]: value for name, value in record.items() if name.startswith(f"{split}/")}
    print(f"best epoch {result.best_epoch}: {split} {figures(kept)}")
    if result.test:
        print(f"test {figures(result.test)}")
    if result.input_seconds > WAITING * result.seconds:
        share = result.input_seconds / result.seconds
        print(f"{share:.0%} of {result.seconds:.1f} s of steps were spent waiting for records")
    print(f"run folder {result.folder.path}")


class Interruption:
    """SIGTERM and Ctrl-C ask for a stop at the end of a chunk; a second one stops at once."""

    def __init__(self) -> None:
        self.wanted = False
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def _ask(self, number: int, frame: Any) -> None:
        if self.wanted:
            self.restore()
            raise KeyboardInterrupt
        self.wanted = True
        print("stopping after this chunk of steps; once more stops at once", file=sys.stderr)

    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self.wanted

    def restore(self) -> None:
        """Put the signals' former handlers back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)


def headline(plan: Plan) -> str:
    """The first line of a run."""
    sizes = " / ".join(f"{count:,} {name}" for name, count in plan.examples.items())
    work = f"{plan.steps:,} steps in {plural(plan.epochs, 'epoch')}"
    return f"{plan.name}: {plural(plan.parameters, 'parameter')}, {sizes} examples, {work}, on {plan.device}"


def figure(value: float) -> str:
    """A figure in few characters: four places behind the point, four digits of what is very large or small.

    >>> [figure(value) for value in (0.98765432, 0.0, 3012.5, 2.5e7, 0.00012345, float("nan"))]
    ['0.9877', '0.0000', '3012.5000', '2.5e+07', '0.0001234', 'nan']
    """
    plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6
    return f"{value:.4f}" if plain else f"{value:.4g}"


def figures(values: Mapping[str, float]) -> str:
    """Figures by name in a line."""
    return ", ".join(f"{name} {figure(value)}" for name, value in values.items())


def epoch_line(record: Mapping[str, float], epochs: int, seconds: float, best: bool) -> str:
    """The line of an epoch; of many figures one for each split below it."""
    number = f"epoch {int(record['epoch']):>{len(str(epochs))}}/{epochs}"
    parts = []
    for split in ("train", "validation"):
        named = [(name.partition("/")[2], value) for name, value in record.items() if name.startswith(f"{split}/")]
        if named:
            parts.append(f"{split} " + " ".join(f"{name} {figure(value)}" for name, value in named))
    end = f"{seconds:.2f} s" + ("  best" if best else "")
    line = "  ".join([number, *parts, end])
    return line if len(line) <= LINE else "\n  ".join([f"{number}  {end}", *parts])


class Plain:
    """One line an epoch, for logs and pipes."""

    epochs = 0

    def begin(self, plan: Plan) -> None:
        """The headline."""
        self.epochs = plan.epochs
        print(headline(plan), flush=True)

    def moment(self, moment: Moment) -> None:
        """Nothing between epochs."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """The epoch's line."""
        print(epoch_line(record, self.epochs, seconds, best), flush=True)

    def note(self, text: str) -> None:
        """A note, apart from the result."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Nothing."""


class Quiet(Plain):
    """Only notes."""

    def begin(self, plan: Plan) -> None:
        """Nothing."""

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """Nothing."""


class Live(Plain):
    """A terminal: the epochs' lines, and below them a bar with step, loss, metrics, examples a second and time left."""

    def begin(self, plan: Plan) -> None:
        """The headline and the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.epochs = plan.epochs
        self.console = Console(highlight=False)
        self.console.print(headline(plan), style="bold")
        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=24),
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.task = self.progress.add_task(
            "train", total=plan.steps, completed=plan.start, epoch=1, epochs=plan.epochs, values="compiling"
        )
        self.progress.start()
        self.started = time.perf_counter()

    def moment(self, moment: Moment) -> None:
        """Move the bar."""
        values = " ".join(f"{name} {figure(value)}" for name, value in moment.metrics.items())
        values += f"  {moment.rate:,.0f} examples/s"
        if moment.waiting >= WAITING:
            values += f", {moment.waiting:.0%} waiting for records"
        self.progress.update(self.task, completed=moment.step, epoch=moment.epoch, values=values)

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """The epoch's line above the bar."""
        self.console.print(epoch_line(record, self.epochs, seconds, best), style="green" if best else "")

    def note(self, text: str) -> None:
        """A note above the bar."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove the bar."""
        self.progress.stop()
