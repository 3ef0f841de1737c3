"""How long a run took: `timing.json` of the run folder, beside the files that equal runs have equal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dlc.diagnostics import SpecError
from dlc.support.files import read_json, to_json, write_atomic
from dlc.training.callbacks.progress import Moment, Reporter, RunInfo
from dlc.training.run_folder import RunFolder

WRITE_SECONDS = 30.0  # a killed process loses no more


class Timed:
    """Passes on what a training tells, and keeps the times in the run folder: one session for each process.

    A session holds `started` (UTC), `device`, `first_step`, `last_step`, `examples`; in seconds: `first_chunk`, from
    the call to the end of the first chunk, with reading data and compiling; `training`, all later chunks, which did
    `steady_examples`; `total`; and `epochs`, the seconds of each epoch by number. Times are a record, no part of the
    result: where they can't be written or read, the run goes on without.

    Args:
        reporter: who is told.
        run: the run folder.
    """

    def __init__(self, reporter: Reporter, run: RunFolder) -> None:
        self.reporter, self.run = reporter, run
        self.began = self.written = time.perf_counter()
        self.earlier: list[Any] = []
        self.session: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds")}

    def begin(self, info: RunInfo) -> None:
        """The run is about to compile."""
        if info.start:
            with contextlib.suppress(SpecError):
                self.earlier = read_sessions(self.run)
        self.batch_size = info.batch_size
        self.session |= {"device": info.device, "first_step": info.start, "last_step": info.start, "examples": 0}
        self.session |= {"first_chunk": None, "training": 0.0, "steady_examples": 0, "total": 0.0, "epochs": {}}
        self.reporter.begin(info)

    def moment(self, moment: Moment) -> None:
        """A chunk of steps is done."""
        session, now = self.session, time.perf_counter()
        examples = moment.iterations * self.batch_size
        if session["first_chunk"] is None:
            session["first_chunk"] = now - self.began
        else:
            session["training"] += examples / moment.rate
            session["steady_examples"] += examples
        session["examples"] += examples
        session["last_step"] = moment.step
        self.reporter.moment(moment)
        if now - self.written > WRITE_SECONDS:
            self._write()

    def epoch(self, record: Mapping[str, float], seconds: float, best: bool) -> None:
        """An epoch is done."""
        self.session["epochs"][str(int(record["epoch"]))] = round(seconds, 6)
        self.reporter.epoch(record, seconds, best)

    def note(self, text: str) -> None:
        """Something worth saying."""
        self.reporter.note(text)

    def end(self) -> None:
        """Nothing more will come."""
        self._write()
        self.reporter.end()

    def _write(self) -> None:
        self.written = time.perf_counter()
        self.session["total"] = self.written - self.began
        with contextlib.suppress(SpecError):
            write_atomic(self.run.timing, to_json({"sessions": [*self.earlier, self.session]}))


def read_sessions(run: RunFolder) -> list[dict[str, Any]]:
    """The sessions of a run, oldest first; none when the run kept no times.

    Raises:
        SpecError: DLC503 when the file is damaged.
    """
    if not run.timing.is_file():
        return []
    found = read_json(run.timing)
    numbers = ("first_step", "last_step", "examples", "training", "steady_examples", "total")
    try:
        for session in found["sessions"]:
            figures = [session[name] for name in numbers] + list(session["epochs"].values())
            figures += [session["first_chunk"]] if session["first_chunk"] is not None else []
            whole = isinstance(session["started"], str) and all(name.isdecimal() for name in session["epochs"])
            if not whole or not all(isinstance(value, (int, float)) for value in figures):
                raise ValueError
        return list(found["sessions"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SpecError.of("DLC503", f"`{run.timing}` is damaged: it holds no times") from None
