"""How long a run took: `timing.json` of the run folder, beside the files that equal runs have equal."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Any

from dlc.diagnostics import SpecError
from dlc.support.files import to_json, write_atomic
from dlc.support.records import read_record
from dlc.training.active_run import ActiveRun
from dlc.training.callbacks.loop_callback import Chunk, Epoch, LoopCallback
from dlc.training.callbacks.progress import device_name
from dlc.training.records import TimingRecord
from dlc.training.run_folder import RunFolder

WRITE_SECONDS = 30.0  # a killed process loses no more


class Timing(LoopCallback):
    """Keeps the times of a run in its folder: one session for each process.

    A session holds `started` (UTC), `device`, `first_step`, `last_step`, `examples`; in seconds: `first_chunk`, from
    the call to the end of the first chunk, with reading data and compiling; `training`, all later chunks, which did
    `steady_examples`; `total`; and `epochs`, the seconds of each epoch by number. Times are a record, not part of the
    result: where they can't be written or read, the run continues without them.

    Args:
        run: the run folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.began = self.written = time.perf_counter()
        self.earlier: list[Any] = []
        self.session: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds")}
        self.batch_size = 0

    def on_begin(self, run: ActiveRun) -> None:
        """Read the earlier sessions."""
        if run.step:
            with contextlib.suppress(SpecError):
                self.earlier = read_sessions(self.run)
        self.begin(run.step, run.setup.sampler.batch_size, device_name())

    def on_chunk(self, run: ActiveRun, chunk: Chunk) -> None:
        """Add a chunk; write the file now and then."""
        self.add(run.step, chunk.iterations, chunk.seconds)
        if time.perf_counter() - self.written > WRITE_SECONDS:
            self._write()

    def on_epoch(self, run: ActiveRun, epoch: Epoch) -> None:
        """Add an epoch."""
        self.session["epochs"][str(run.epoch)] = round(time.perf_counter() - epoch.began, 6)

    def close(self) -> None:
        """Write the file."""
        self._write()

    def begin(self, step: int, batch_size: int, device: str) -> None:
        """Begin the session at a step."""
        self.batch_size = batch_size
        self.session |= {"device": device, "first_step": step, "last_step": step, "examples": 0}
        self.session |= {"first_chunk": None, "training": 0.0, "steady_examples": 0, "total": 0.0, "epochs": {}}

    def add(self, step: int, iterations: int, seconds: float) -> None:
        """Add a chunk that ended at a step."""
        session, examples = self.session, iterations * self.batch_size
        if session["first_chunk"] is None:
            session["first_chunk"] = time.perf_counter() - self.began
        else:
            session["training"] += seconds
            session["steady_examples"] += examples
        session["examples"] += examples
        session["last_step"] = step

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
    return [session.model_dump() for session in read_record(run.timing, TimingRecord).sessions]
