"""Checkpoints: folders that are whole or absent, with a digest for every file, written off the training thread."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dlc.diagnostics import SpecError, reason
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import (
    cannot_write,
    digest,
    pack,
    sync_folder,
    to_json,
    unpack,
)
from dlc.support.records import read_record
from dlc.support.regular_files import read_whole
from dlc.training.records import CheckpointRecord
from dlc.training.run_folder import RunFolder

STATE, BEST, GOOD = "state.safetensors", "best.safetensors", "good.safetensors"
INDEX = "checkpoint.json"
_NAME = re.compile(r"step-\d{10,}")


def flatten_state(state: Any) -> dict[str, np.ndarray[Any, Any]]:
    """A pytree's leaves by their path, copied to the host."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves}


def restore_state(template: Any, arrays: Mapping[str, Any]) -> Any:
    """The pytree of the template's form with the arrays' values.

    Raises:
        SpecError: DLC503 when they don't have that form.
    """
    leaves, form = jax.tree_util.tree_flatten_with_path(template)
    found = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        array = arrays.get(name)
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise SpecError.of("DLC503", f"the checkpoint does not fit the spec: `{name}` differs")
        found.append(array)
    return jax.tree_util.tree_unflatten(form, found)


@fast_dataclass(frozen=True)
class Checkpoint:
    """One moment of a run.

    Args:
        step: steps done.
        state: the training state's leaves by name.
        progress: plain values: best so far, patience left.
        metrics: length and digest of `metrics.jsonl` at that moment.
        best: the best weights so far by name, or None.
        spec: the digest of the spec, without what may change, and of its lowering.
        good: the state at the end of an epoch that the run goes back to when it diverges, or None.
    """

    step: int
    state: Mapping[str, Any]
    progress: Mapping[str, Any]
    metrics: Mapping[str, Any]
    best: Mapping[str, Any] | None
    spec: str
    good: Mapping[str, Any] | None = None


@fast_dataclass(frozen=True)
class Policy:
    """Which checkpoints stay.

    Args:
        last: how many of the newest.
        best: whether that of the best epoch does.
        lasting: the steps of those that always do.
    """

    last: int
    best: bool = False
    lasting: Container[int] = ()

    def surplus(self, paths: Sequence[Path], best: int) -> list[Path]:
        """Those that go, of checkpoints that are sorted from the newest on; `best` is the step of the best epoch."""
        steps = {path: step_of(path) for path in paths[self.last :]}
        return [path for path, step in steps.items() if step not in self.lasting and not (self.best and step == best)]


def save(run: RunFolder, checkpoint: Checkpoint, policy: Policy) -> None:
    """Write a checkpoint, then delete those that the policy does not keep.

    Raises:
        SpecError: DLC507 when it can't be written; nothing is lost then.
    """
    final = run.checkpoints / name_of(checkpoint.step)
    part = run.checkpoints / f".part-{final.name}"
    try:
        run.need_own(run.checkpoints)
        run.checkpoints.mkdir(exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        files = {STATE: pack(checkpoint.state)}
        if checkpoint.best is not None:
            files[BEST] = pack(checkpoint.best)
        if checkpoint.good is not None:
            files[GOOD] = pack(checkpoint.good)
        index: dict[str, Any] = {
            "step": checkpoint.step,
            "spec": checkpoint.spec,
            "metrics": checkpoint.metrics,
            "progress": checkpoint.progress,
            "files": {name: digest(data) for name, data in files.items()},
        }
        index["digest"] = digest(to_json(index))
        files[INDEX] = to_json(index)
        for name, data in files.items():
            with open(part / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(part)
        if run.metrics.exists():
            with open(run.metrics, "rb") as file:
                os.fsync(file.fileno())
        if final.exists():
            old = final.rename(run.checkpoints / f".old-{final.name}")
            part.rename(final)
            shutil.rmtree(old)
        else:
            part.rename(final)
        sync_folder(run.checkpoints)
        for surplus in policy.surplus(found(run), checkpoint.progress["best_step"]):
            shutil.rmtree(surplus, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise cannot_write(final, error) from None


def found(run: RunFolder) -> list[Path]:
    """The checkpoints' folders, newest first.

    Raises:
        OSError: when something else stands in the place of the folder that holds them, or it can't be read.
    """
    try:
        named = [path for path in run.checkpoints.iterdir() if _NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    return sorted(named, key=step_of, reverse=True)


def name_of(step: int) -> str:
    """The name of the folder of a step's checkpoint."""
    return f"step-{step:010d}"


def step_of(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


def tidy(run: RunFolder) -> None:
    """Clear up what a kill left: a checkpoint that was being replaced is put back, parts are removed."""
    for old in run.checkpoints.glob(".old-*"):
        final = run.checkpoints / old.name.removeprefix(".old-")
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(final)
    for part in run.checkpoints.glob(".part-*"):
        shutil.rmtree(part, ignore_errors=True)
    for file in run.path.glob(".*.part"):
        with suppress(OSError):  # a folder that is called so
            file.unlink()


def _remove(path: Path) -> None:
    """Remove a folder, or whatever stands in its place."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def load(path: Path) -> Checkpoint:
    """A checkpoint, its digests checked.

    Raises:
        SpecError: DLC503 when a file is missing or damaged.
    """
    try:
        index = read_record(path / INDEX, CheckpointRecord, signed="digest")
        files: dict[str, Any] = {}
        for name, wanted in index.files.items():
            data = read_whole(path / name)
            if digest(data) != wanted:
                raise SpecError.of("DLC503", f"`{path / name}` is damaged: its digest differs")
            files[name] = unpack(data, path / name)
    except OSError as error:
        raise SpecError.of("DLC503", f"`{error.filename or path}` can't be read: {reason(error)}") from None
    if STATE not in files:
        raise SpecError.of("DLC503", f"`{path / INDEX}` is damaged: it names no `{STATE}`")
    progress, best, good = index.progress.plain(), files.get(BEST), files.get(GOOD)
    found = Checkpoint(index.step, files[STATE], progress, index.metrics.plain(), best, index.spec, good)
    at = index.progress
    if max(at.best_step, at.recovery.good) > index.step or at.best_epoch > at.epoch:
        raise SpecError.of("DLC503", f"`{path / INDEX}` is damaged: its steps and epochs don't fit together")
    if found.step != step_of(path):
        raise SpecError.of("DLC503", f"`{path}` holds the checkpoint of step {found.step}: it was renamed")
    return found


class Newest(NamedTuple):
    """What a run can continue from.

    Args:
        checkpoint: the newest that can be used, or None when the run has none.
        errors: what is wrong with each newer one.
    """

    checkpoint: Checkpoint | None
    errors: Mapping[Path, str]

    def set_aside(self, warn: Callable[[str], None]) -> None:
        """Name the newer ones, and keep them under another name."""
        if self.checkpoint is None:
            return
        for path, message in self.errors.items():
            warn(f"{message}; using {name_of(self.checkpoint.step)} instead")
            aside = path.with_name(f".damaged-{path.name}")
            _remove(aside)
            path.rename(aside)


def newest(run: RunFolder, spec: str) -> Newest:
    """The newest good checkpoint of a spec; nothing is lost, whatever is found.

    Args:
        run: the run folder.
        spec: the identity that a checkpoint must have.

    Raises:
        SpecError: DLC503 when there are checkpoints but none can be used.
    """
    run.need_own(run.checkpoints)
    tidy(run)
    errors: dict[Path, str] = {}
    foreign = 0
    for path in found(run):
        try:
            checkpoint = load(path)
        except SpecError as error:
            errors[path] = error.report.diagnostics[0].message
            continue
        if checkpoint.spec == spec:
            return Newest(checkpoint, errors)
        errors[path] = f"`{path}` belongs to a run of another spec or lowering"
        foreign += 1
    if errors:
        what = "belong to runs of another spec or lowering" if foreign else "are damaged"
        if 0 < foreign < len(errors):
            what = f"are damaged or {what}"
        raise SpecError.of(
            "DLC503",
            f"all checkpoints of `{run.path}` {what}",
            found="; ".join(errors.values()),
            hint="train again in another folder with `--run`",
        )
    return Newest(None, {})


class Writer:
    """Writes checkpoints on a thread of its own, each before the next is taken: a kill loses one interval at most."""

    def __init__(self, run: RunFolder, policy: Policy) -> None:
        self.run, self.policy = run, policy
        self._wake = threading.Condition()
        self._next: Checkpoint | None = None
        self._weights: tuple[Mapping[str, Any], Mapping[str, str]] | None = None
        self._busy = False
        self._closed = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None  # begins with the first checkpoint

    def submit(
        self, checkpoint: Checkpoint, weights: tuple[Mapping[str, Any], Mapping[str, str]] | None = None
    ) -> None:
        """Ask for a checkpoint, and for new best weights when they are given; waits for an earlier one.

        Raises:
            SpecError: when an earlier one could not be written.
        """
        with self._wake:
            self._idle()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
                self._thread.start()
            self._next, self._weights = checkpoint, weights
            self._wake.notify_all()

    def flush(self) -> None:
        """Wait until all is written."""
        with self._wake:
            self._idle()

    def close(self) -> None:
        """Write what waits, then end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _idle(self) -> None:
        self._wake.wait_for(lambda: self._error is not None or (self._next is None and not self._busy))
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._next is not None or self._closed)
                if self._next is None:
                    return
                checkpoint, weights = self._next, self._weights
                self._next, self._weights, self._busy = None, None, True
            try:
                # best weights first: a checkpoint that speaks of them must find them
                if weights is not None:
                    self.run.save_weights(*weights)
                save(self.run, checkpoint, self.policy)
            except BaseException as error:
                with self._wake:
                    self._error, self._busy = error, False
                    self._wake.notify_all()
                return
            with self._wake:
                self._busy = False
                self._wake.notify_all()
