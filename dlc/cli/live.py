"""`dlc train` on a terminal: the epochs' lines, and below them a panel with bars, figures and sparklines."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from dlc.cli.console import colorful
from dlc.cli.reporters import WAITING, Plain, epoch_line, figure, headline

if TYPE_CHECKING:
    from dlc.training.callbacks.progress import Moment, RunInfo

REDRAW_SECONDS = 0.1
MOST_POINTS = 512  # of a sparkline's history; beyond that neighbours are averaged
BOLD, DIM, GREEN, CYAN, YELLOW = "1", "2", "32", "36", "33"
Styled = list[tuple[str, str]]  # pieces of a line with the ANSI style of each; "" for none
_ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # a terminal that knows them shows what is between at once


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """Values as a row of bars, each column the mean of its share; a dot where there is none.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)
    '▁▂▃▄▅▆▇█'
    >>> sparkline([3.0, 3.0], 8), sparkline([], 8), sparkline([1.0, float("nan"), 2.0], 3)
    ('▁▁', '', '▁·█')
    """
    levels = " .:-=+*#" if ascii_only else "▁▂▃▄▅▆▇█"
    count = min(width, len(values))
    shares = [values[len(values) * i // count : len(values) * (i + 1) // count] for i in range(count)]
    means = [_mean([value for value in share if math.isfinite(value)]) for share in shares]
    known = [value for value in means if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    last = len(levels) - 1
    return "".join("·" if m is None else levels[round((m - low) / span * last) if span else 0] for m in means)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def bar(share: float, width: int, ascii_only: bool = False) -> Styled:
    """A bar of a width, filled to a share.

    >>> "".join(text for text, _ in bar(0.5, 8))
    '━━━━────'
    """
    filled = round(min(1.0, max(0.0, share)) * width)
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    return [(full * filled, GREEN), (empty * (width - filled), DIM)]


def duration(seconds: float) -> str:
    """A time in few characters.

    >>> duration(7.4), duration(83), duration(7500)
    ('0:07', '1:23', '2:05:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Panel:
    """Lines at the foot of a terminal.

    Each drawing is one write: up to the first line, erase, what goes above, the lines. Lines never reach the last
    column, so the terminal does not wrap them; where it did because it became narrower, the rows that they now take are
    counted. The cursor stays visible and in front of an empty line, so that a process killed at any moment leaves a
    usable terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._lengths: list[int] = []  # of the lines on the screen
        self._color = colorful(stream)

    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal, as they are now."""
        try:
            columns, rows = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            columns, rows = 80, 24
        return (columns or 80), (rows or 24)

    def draw(self, above: Sequence[Styled], lines: Sequence[Styled]) -> None:
        """Print lines for good, and draw the panel anew below them."""
        columns, rows = self.size()
        shown = [_cut(line, columns - 1) for line in lines[: max(0, rows - 2)]]
        text = [self._erasure(columns)]
        text += [self._painted(line) + "\n" for line in above]
        text += [self._painted(line) + "\n" for line in shown]
        self._lengths = [sum(len(piece) for piece, _ in line) for line in shown]
        self.stream.write(_BEGIN + "".join(text) + _END)
        self.stream.flush()

    def _erasure(self, columns: int) -> str:
        rows = sum(max(1, -(-length // columns)) for length in self._lengths)
        return f"\r\x1b[{rows}A\x1b[J" if rows else "\r\x1b[J"

    def _painted(self, line: Styled) -> str:
        if not self._color:
            return "".join(text for text, _ in line)
        return "".join(f"\x1b[{style}m{text}\x1b[0m" if style and text else text for text, style in line)


def _cut(line: Styled, width: int) -> Styled:
    """A line of at most so many columns, without what would act on the terminal."""
    found: Styled = []
    for text, style in line:
        piece = _ANSI.sub("", text)[: max(0, width)]
        found.append((piece, style))
        width -= len(piece)
    return found


def memory_in_use() -> tuple[str, int] | None:
    """What the device holds, in bytes, and whose memory that is; on a CPU it is the process's own. None if unknown."""
    import jax

    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_in_use" in stats:
        return "device memory", stats["bytes_in_use"]
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return "memory", int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


class Live(Plain):
    """A terminal: the epochs' lines, and below them the panel."""

    info: RunInfo

    def __init__(self) -> None:
        self.panel = Panel(sys.stdout)
        self.ascii_only = "utf" not in (sys.stdout.encoding or "").lower()
        self.begun = False
        self._forget()
        self.waiting: list[Styled] = []  # lines that are not printed yet
        self.drawn = 0.0
        self.lock = threading.Lock()  # the training thread draws, and the one that tells of a signal

    def begin(self, info: RunInfo) -> None:
        """The headline and the panel."""
        with self.lock:
            self._forget()
            self.info, self.epochs, self.begun = info, info.epochs, True
            self.waiting.append([(headline(info), BOLD)])
            self._draw()

    def _forget(self) -> None:
        """Begin with what is known of no run."""
        self.last: Moment | None = None
        self.first: tuple[float, int] | None = None  # when and at which step the first chunk was done
        self.best: tuple[int, float] | None = None
        self.losses: list[float] = []
        self.rates: list[float] = []

    def moment(self, moment: Moment) -> None:
        """Move the bars."""
        with self.lock:
            self.last = moment
            now = time.perf_counter()
            self.first = self.first or (now, moment.step)
            _extend(self.losses, moment.metrics.get("loss", math.nan))
            self._due(now)

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """The epoch's line above the panel."""
        with self.lock:
            value = record.get(self.info.monitor, math.nan)
            if best:
                self.best = (int(record["epoch"]), value)
            _extend(self.rates, record["learning_rate"])
            text = epoch_line(record, self.epochs, seconds, best, self.panel.size()[0] - 1)
            self.waiting += [[(line, GREEN if best else "")] for line in text.split("\n")]
            self._due(time.perf_counter())

    def note(self, text: str) -> None:
        """A note above the panel."""
        self._say(f"note: {text}")

    def asked_to_stop(self, text: str) -> None:
        """A signal came: a line above the panel."""
        self._say(text)

    def end(self) -> None:
        """Remove the panel, for good; what was to be printed is."""
        with self.lock:
            self.begun = False
            self._draw()

    def _say(self, text: str) -> None:
        with self.lock:
            self.panel.draw(self._printed(), [])
            print(text, file=sys.stderr, flush=True)
            self._draw()

    def _printed(self) -> list[Styled]:
        """The lines that wait; they are then done."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def _due(self, now: float) -> None:
        """Draw when the last drawing is some time ago: many short epochs then cost little, and nothing flickers."""
        if now - self.drawn >= REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self.drawn = time.perf_counter()
        self.panel.draw(self._printed(), self.lines(self.panel.size()[0]) if self.begun else [])

    def lines(self, columns: int) -> list[Styled]:
        """The panel for a terminal of so many columns."""
        info, moment = self.info, self.last
        if moment is None:
            return [[("compiling", DIM)]]
        batches = info.examples["train"] / info.batch_size
        before, behind = math.ceil((moment.epoch - 1) * batches), math.ceil(moment.epoch * batches)
        done = (moment.step - before) / max(1, behind - before)
        left = [f"epoch {moment.epoch:,}/{info.epochs:,}", f"step {moment.step - before:,}/{behind - before:,}"]
        rate = f"{moment.rate:,.0f} examples/s"
        if moment.waiting >= WAITING:
            rate += f", {moment.waiting:.0%} waiting for records"
        right = [self.time_left(), rate]
        width = max(map(len, left))
        room = columns - 1 - width - len("  100%  ") - max(map(len, right))
        length = max(4, min(40, room - 1))
        rows: list[Styled] = []
        for label, share, text_beside in zip(left, (moment.step / info.steps, done), right, strict=True):
            rows.append([(f"{label:<{width}} ", ""), *bar(share, length, self.ascii_only)])
            rows[-1] += [(f" {math.floor(100 * share):>3}%", ""), (f"  {text_beside}", DIM)]
        rows += _wrapped([f"{name} {figure(value)}" for name, value in moment.metrics.items()], columns - 1, 2)
        rows.append(self.facts())
        return [*rows, self.sparklines(columns - 1)]

    def time_left(self) -> str:
        """How long the rest takes at the speed so far, evaluations included."""
        if self.first is None or self.last is None or self.last.step <= self.first[1]:
            return ""
        per_step = (time.perf_counter() - self.first[0]) / (self.last.step - self.first[1])
        return f"{duration(per_step * (self.info.steps - self.last.step))} left"

    def facts(self) -> Styled:
        """The best so far, and the memory."""
        found: Styled = []
        if self.best is not None:
            epoch, value = self.best
            found += [("best ", DIM), (f"{self.info.monitor} {figure(value)}", ""), (f" in epoch {epoch:,}  ", DIM)]
        memory = memory_in_use()
        if memory is not None:
            found += [(f"{memory[0]} ", DIM), (f"{memory[1] / 2**30:.2f} GiB", "")]
        return found

    def sparklines(self, width: int) -> Styled:
        """The loss and the learning rate so far."""
        assert self.last is not None
        rate = self.info.learning_rate(self.last.step - 1)
        names = ("loss ", "  learning rate ", f" {rate:.3g}")
        room = max(4, min(40, (width - sum(map(len, names))) // 2))
        losses = sparkline(self.losses, room, self.ascii_only)
        rates = sparkline([*self.rates, rate], room, self.ascii_only)
        return [(names[0], DIM), (losses, CYAN), (names[1], DIM), (rates, YELLOW), (names[2], "")]


def _extend(values: list[float], value: float) -> None:
    """Append a value; a list that grew long keeps the mean of each two."""
    values.append(value)
    if len(values) >= MOST_POINTS:
        values[:] = [(one + other) / 2 for one, other in zip(values[::2], values[1::2], strict=True)]


def _wrapped(parts: Sequence[str], width: int, most: int) -> list[Styled]:
    """Parts side by side in rows, as many rows as may be; a part is not broken."""
    rows = [""]
    for part in parts:
        line = f"{rows[-1]}  {part}" if rows[-1] else part
        if len(line) <= width or not rows[-1]:
            rows[-1] = line
        elif len(rows) < most:
            rows.append(part)
        else:
            break
    return [[(row, "")] for row in rows]
