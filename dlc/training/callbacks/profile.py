"""Where the time of a run goes: a table of its parts, and a trace of some steps (`dlc train --profile`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax

from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Chunk, LoopCallback

TRACE_SECONDS = 5.0  # a trace of more is too large for its viewers
PARTS = {
    "data": "reading and encoding records",
    "compile": "tracing and compiling, with the first chunk of steps",
    "steps": "steps, but for compiling and waiting",
    "input": "waiting for records",
    "evaluation": "evaluation, with compiling it",
    "checkpoints": "copying the state, waiting for the writer",
}


class Profile(LoopCallback):
    """The seconds of each part of a run, as the training thread sees them, and a trace of some steps.

    Args:
        began: when the run was asked for, on `time.perf_counter`.
        folder: where the trace goes, or None for no trace.
        note: prints why there is none after all: the run continues without it.
    """

    def __init__(self, began: float, folder: Path | None, note: Callable[[str], None]) -> None:
        self.began, self.folder, self.note = began, folder, note
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.final: dict[str, float] = {}  # `spent` at the end of the run
        self._traced: float | None = None  # since when a trace is being taken

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The time of a block counts for a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - began

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Count the time of a chunk of steps."""
        chunks = run.chunks
        if chunk.first:
            self.seconds["compile"] += chunk.seconds
        else:
            self.seconds |= {"steps": chunks.blocked - chunks.input_seconds, "input": chunks.input_seconds}
        self.trace()

    def on_finish(self, run: ActiveRun, test: Mapping[str, float]) -> None:
        """Keep what the run spent."""
        self.final = self.spent()

    def close(self) -> None:
        """Write the trace."""
        self.end()

    def trace(self) -> None:
        """A chunk of steps is done that compiled nothing: trace the next ones, for some seconds."""
        if self.folder is None:
            return
        now = time.perf_counter()
        if self._traced is None:
            with self._noted("taken"):
                jax.profiler.start_trace(self.folder)
                self._traced = now
        elif now - self._traced > TRACE_SECONDS:
            self.end()

    def end(self) -> None:
        """Write the trace, if one is being taken."""
        if self._traced is not None and self.folder is not None:
            with self._noted("written"):
                jax.profiler.stop_trace()
            self.folder = None

    @contextmanager
    def _noted(self, done: str) -> Iterator[None]:
        """What goes wrong with the trace is a note, and there is no other trace."""
        try:
            yield
        except Exception as error:
            self.folder = None
            reason = (str(error).splitlines() or [""])[0]
            self.note(f"the trace was not {done} ({type(error).__name__}: {reason})")

    def spent(self) -> dict[str, float]:
        """Seconds by part, what is left as `other`, and the `total`."""
        total = time.perf_counter() - self.began
        return {**self.seconds, "other": total - sum(self.seconds.values()), "total": total}


def table(spent: Mapping[str, float]) -> list[str]:
    r"""The lines that tell where the time went.

    >>> print("\n".join(table({"data": 0.25, "steps": 0.75, "other": 0.0, "total": 1.0})))
    data             0.25 s   25%  reading and encoding records
    steps            0.75 s   75%  steps, but for compiling and waiting
    other            0.00 s    0%
    total            1.00 s
    """
    whole = max(spent["total"], 1e-9)
    lines = []
    for name, seconds in spent.items():
        share = f"{seconds / whole:6.0%}  {PARTS.get(name, '')}" if name != "total" else ""
        lines.append(f"{name:<11} {seconds:9.2f} s{share}".rstrip())
    return lines
