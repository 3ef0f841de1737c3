"""Ways to damage a run folder, each followed by a resume: `python -m benchmarks.damage`.

Each resume must end in the bits of the straight run, with a note where something was lost, or in one clear error. Never
in other bits, never in a traceback, never in silence.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np

import dlc
from benchmarks.arguments import parser
from dlc.backend.lowering import YNN
from dlc.frontend.pipeline import Spec
from dlc.support.files import digest, to_json
from dlc.training import checkpoint as checkpoints
from dlc.training import setup as fitting
from dlc.training.callbacks.progress import Silent
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec

TEXT = """
name: damaged
data: {source: iris, split: {validation: 0.2, test: 0.2}}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network: [{dense: {units: 8, activation: relu}}, {batch_norm: 0.9}, {dropout: 0.2}, {dense: 3}]
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 0.05}
train: {epochs: 6, batch_size: 16, checkpoint_seconds: 0, keep_checkpoints: 3%s}
"""
SAME, ERROR = "the same bits", "an error"
WRITES = 12  # files that are synced before a disk is full, at most
COMPARED = ("weights.safetensors", "metrics.jsonl", "result.json", "features.json")


class Notes(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class Case(NamedTuple):
    """A way to damage a run folder.

    Args:
        name: in words.
        damage: does it, to the folder of a run that was stopped within its fifth epoch.
        ends: how the resume must end: in `SAME` or with one of these codes.
        says: a part of a note, or of the error; "" where nothing is lost and nothing need be said.
        finished: of a run that came to its end, instead.
    """

    name: str
    damage: Callable[[Path], None]
    ends: str
    says: str = ""
    finished: bool = False


class Outcome(NamedTuple):
    """What a resume came to: the same bits, an error's code, or what must not be; and what was said."""

    ended: str
    said: str


# ---- how to damage a file ----


def newest(run: Path, place: int = 0) -> Path:
    """A checkpoint, the newest first."""
    return checkpoints.found(RunFolder(run))[place]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, at: float = 0.9) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def folder(path: Path) -> None:
    gone(path)
    path.mkdir()


def loop(path: Path) -> None:
    gone(path)
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    gone(path)
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    gone(path)
    os.mkfifo(path)


def file(path: Path) -> None:
    gone(path)
    path.write_bytes(b"no folder")


def swap(one: Path, other: Path) -> None:
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def writes(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def reworded(path: Path, **changes: Any) -> None:
    """Change an index and make its digest right again."""
    index = json.loads(path.read_bytes()) | changes
    index.pop("digest")
    writes(path, index | {"digest": digest(to_json(index))})


def garbled(path: Path) -> None:
    """One digit of a figure changed."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"0.") + 3
    data[at] = ord("5") if data[at] != ord("5") else ord("4")
    path.write_bytes(data)


def old_times(run: Path) -> None:
    """The clock jumped: files of today are of 1980, older ones of 2100."""
    for index, path in enumerate(sorted(run.rglob("*"))):
        seconds = 315_532_800 if index % 2 else 4_102_444_800
        os.utime(path, (seconds, seconds), follow_symlinks=False)


def left_by_a_kill(run: Path) -> None:
    """A checkpoint half written, another half replaced, a file half written."""
    path = newest(run)
    (path.parent / ".part-step-0000000099").mkdir()
    (path.parent / ".part-step-0000000099" / "state.safetensors").write_bytes(b"half")
    path.rename(path.parent / f".old-{path.name}")
    (run / ".weights.safetensors.77.part").write_bytes(b"half")


def replaced(place: Path, other: Path) -> None:
    gone(place)
    shutil.copytree(newest(other), place)


WAYS: dict[str, Callable[[Path], None]] = {
    "cut in half": truncate,
    "a bit flipped": flip,
    "empty": empty,
    "zeros": zeros,
    "deleted": gone,
    "a folder instead": folder,
    "a link to itself": loop,
    "a link to nowhere": dangling,
    "a pipe instead": pipe,
}
NOT_FILES = ("a folder instead", "a pipe instead")  # what dlc does not replace
UNSEEN = ("deleted", "a link to itself", "a link to nowhere")  # as if it had never been there


def ways(
    label: str,
    path: Callable[[Path], Path],
    ends: str,
    says: str,
    *,
    only: Iterable[str] = WAYS,
    but: Iterable[str] = (),
    finished: bool = False,
) -> list[Case]:
    """the ways to damage one file that have the same outcome."""

    def case(how: str) -> Case:
        return Case(f"{label}: {how}", lambda run: WAYS[how](path(run)), ends, says, finished)

    return [case(how) for how in only if how not in but]


def cases(other: Path) -> list[Case]:
    """All of them. `other` is the folder of a run of another seed, stopped at the same step."""
    state, index, best = "state.safetensors", "checkpoint.json", "best.safetensors"
    metrics, weights, result = "metrics.jsonl", "weights.safetensors", "result.json"
    features, resolved, finished = "features.json", "resolved.yaml", "finished run's "

    def in_run(name: str, act: Callable[..., Any], *more: Any) -> Callable[[Path], None]:
        return lambda run: act(run / name, *more)

    def indexed(**changes: Any) -> Callable[[Path], None]:
        return lambda run: reworded(newest(run) / index, **changes)

    def on_newest(act: Callable[..., Any], *more: Any) -> Callable[[Path], None]:
        return lambda run: act(newest(run), *more)

    return [
        Case("nothing", lambda _run: None, SAME),
        *ways("newest state", lambda run: newest(run) / state, SAME, "using step-"),
        *ways("newest best weights", lambda run: newest(run) / best, SAME, "using step-"),
        *ways("newest index", lambda run: newest(run) / index, SAME, "using step-"),
        Case("newest index: a list", lambda run: writes(newest(run) / index, [1]), SAME, "using step-"),
        Case("newest index: 100,000 brackets", lambda run: nested(newest(run) / index), SAME, "using step-"),
        Case("newest index, digest right: step is a text", indexed(step="9"), SAME, "using step-"),
        Case("newest index, digest right: progress is a list", indexed(progress=[]), SAME, "using step-"),
        Case("newest index, digest right: no mark of metrics", indexed(metrics=None), SAME, "using step-"),
        Case("newest index, digest right: a file outside", indexed(files={"../x": ""}), SAME, "using step-"),
        Case("newest checkpoint: its two files swapped", on_newest(swap_in, state, best), SAME, "using step-"),
        Case("newest checkpoint deleted", on_newest(gone), SAME),
        Case("newest checkpoint: a file instead", on_newest(file), SAME, "using step-"),
        Case("newest checkpoint: a link to itself", on_newest(loop), SAME, "using step-"),
        Case("newest checkpoint: a link to nowhere", on_newest(dangling), SAME, "using step-"),
        Case("newest checkpoint: renamed to a later step", on_newest(renamed, "step-0000000099"), SAME, "renamed"),
        Case("newest checkpoint: that of another run", on_newest(replaced, other), SAME, "another spec"),
        Case("two checkpoints damaged", lambda run: each(run, flip, 2), SAME, "using step-"),
        Case("two checkpoints swapped", lambda run: swap(newest(run), newest(run, 1)), SAME, "renamed"),
        Case(
            "their states swapped", lambda run: swap(newest(run) / state, newest(run, 1) / state), SAME, "using step-"
        ),
        Case("all checkpoints damaged", lambda run: each(run, flip, 3), "DLC503", "all checkpoints"),
        Case("checkpoints deleted", in_run("checkpoints", gone), SAME, "begins again"),
        Case("checkpoints: an empty folder", in_run("checkpoints", folder), SAME, "begins again"),
        Case("checkpoints: a file instead", in_run("checkpoints", file), "DLC507", "checkpoints"),
        Case("checkpoints: a link to nowhere", in_run("checkpoints", dangling), "DLC507", "checkpoints"),
        Case("what a kill leaves", left_by_a_kill, SAME),
        Case("metrics: half a line more", in_run(metrics, extended), SAME),
        Case("metrics: a figure changed", in_run(metrics, garbled), "DLC503", metrics),
        *ways("metrics", lambda run: run / metrics, "DLC503", metrics, but=["a bit flipped"]),
        *ways("weights", lambda run: run / weights, SAME, "", but=NOT_FILES),
        *ways("weights", lambda run: run / weights, "DLC507", weights, only=NOT_FILES),
        *ways("features", lambda run: run / features, SAME, features, but=NOT_FILES),
        *ways("features", lambda run: run / features, "DLC507", features, only=NOT_FILES),
        *ways("resolved", lambda run: run / resolved, "DLC503", resolved, but=["cut in half", "a bit flipped"]),
        Case("resolved: cut in half", in_run(resolved, truncate), "DLC504", "was not set, is"),
        Case("resolved: another seed", in_run(resolved, reseeded), "DLC504", "`seed` was 1, is 0"),
        Case("spec.yaml deleted", in_run("spec.yaml", gone), SAME),
        Case("environment.json deleted", in_run("environment.json", gone), SAME),
        *ways("lowering", lambda run: run / "lowering.json", "DLC503", "lowering.json", but=("a bit flipped", *UNSEEN)),
        *ways("lowering", lambda run: run / "lowering.json", "DLC502", "lowering.json", only=UNSEEN[::2]),
        Case("lowering: another form", in_run("lowering.json", other_form), "DLC503", "another spec or lowering"),
        Case("a result where there was none", in_run(result, writes, [1]), SAME, result),
        Case("a folder for a result", in_run(result, Path.mkdir), "DLC507", result),
        Case("the lock deleted", in_run(".lock", gone), SAME),
        Case("the lock: a folder instead", in_run(".lock", folder), "DLC507", "directory"),
        Case("all times wrong", old_times, SAME),
        *ways(finished + "result", lambda run: run / result, SAME, "", only=UNSEEN, finished=True),
        *ways(finished + "result", lambda run: run / result, SAME, result, but=(*UNSEEN, *NOT_FILES), finished=True),
        *ways(finished + "result", lambda run: run / result, "DLC507", result, only=NOT_FILES[:1], finished=True),
        *ways(finished + "weights", lambda run: run / weights, SAME, "weights", but=NOT_FILES, finished=True),
        *ways(finished + "weights", lambda run: run / weights, "DLC507", weights, only=NOT_FILES, finished=True),
        *ways(finished + "metrics", lambda run: run / metrics, "DLC503", metrics, but=["a bit flipped"], finished=True),
        Case(finished + "test line lost", in_run(metrics, shortened, 1), SAME, metrics, finished=True),
        Case(finished + "last two lines lost", in_run(metrics, shortened, 2), "DLC503", metrics, finished=True),
        Case(finished + "test figure changed", in_run(metrics, garbled), SAME, metrics, finished=True),
        Case(finished + "result: a figure changed", in_run(result, garbled), SAME, result, finished=True),
        Case(finished + "checkpoints deleted", in_run("checkpoints", gone), SAME, finished=True),
        Case(finished + "checkpoints and weights deleted", all_gone, "DLC503", "weights", finished=True),
        Case("the folder deleted", gone, SAME),
        Case("the folder: a file instead", file, "DLC507", "can't write"),
    ]


def nested(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def swap_in(path: Path, one: str, other: str) -> None:
    swap(path / one, path / other)


def renamed(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def each(run: Path, act: Callable[[Path], None], count: int) -> None:
    for place in range(count):
        act(newest(run, place) / "state.safetensors")


def extended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"epoch": 5')


def reseeded(path: Path) -> None:
    text = path.read_text()
    assert "seed: 0\n" in text
    path.write_text(text.replace("seed: 0\n", "seed: 1\n", 1))


def other_form(path: Path) -> None:
    lowering = json.loads(path.read_bytes())
    writes(path, lowering | {"flags": {YNN: "LIBRARY_FUSION_TYPE_ELTWISE"}})


def all_gone(run: Path) -> None:
    gone(run / "checkpoints")
    gone(run / "weights.safetensors")


def shortened(path: Path, count: int) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-count]))


# ---- what a resume does ----


class Bench:
    """Runs of one spec that share its compiled programs.

    Args:
        base: an empty folder.
        sets: more settings of `train`.
    """

    def __init__(self, base: Path, sets: str = "") -> None:
        self.base = base
        self.spec: Spec = dlc.loads(TEXT % sets)
        self._made: dict[str, Any] = {}
        self.straight, self.stopped = base / "straight", base / "stopped"
        with self.shared():
            train_spec(self.spec, run=RunFolder(self.straight))
            self.stop(self.stopped)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Within it trainings of the spec compile nothing twice."""

        def compiled_steps(*arguments: Any) -> Any:
            if "compiled_steps" not in self._made:
                made = fitting_make_compiled_steps(*arguments)
                self._made["compiled_steps"] = replace(made, start=self._first(made.start))
            return self._made["compiled_steps"]

        def evaluator(*arguments: Any) -> Any:
            if "evaluator" not in self._made:
                self._made["evaluator"] = fitting_make_evaluate(*arguments)
            return self._made["evaluator"]

        with (
            mock.patch.object(fitting, "make_compiled_steps", compiled_steps),
            mock.patch.object(fitting, "make_evaluate", evaluator),
        ):
            yield

    def _first(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """A start that is computed once: the weights follow from the seed alone."""

        def once(*arguments: Any) -> Any:
            if "start" not in self._made:
                self._made["start"] = jax.tree.map(np.array, start(*arguments))
            return jax.tree.map(np.array, self._made["start"])

        return once

    def stop(self, run: Path, spec: Spec | None = None) -> None:
        """Train to the middle of the fifth epoch."""
        asked = iter([False] * 12 + [True])
        try:
            train_spec(spec or self.spec, run=RunFolder(run), chunk_iterations=2, stop=lambda: next(asked))
        except Stopped:
            return
        raise AssertionError("the run was not stopped")

    def resumed(self, run: Path) -> Outcome:
        """What a resume comes to."""
        notes = Notes()
        try:
            with self.shared():
                train_spec(self.spec, run=RunFolder(run), resume=True, reporter=notes)
        except dlc.SpecError as error:
            items = error.report.diagnostics
            return Outcome(
                items[0].code if len(items) == 1 else "several errors", f"{items[0].message}: {items[0].found}"
            )
        except Exception as error:
            return Outcome(f"A TRACEBACK: {type(error).__name__}", str(error))
        wrong = [name for name in COMPARED if (run / name).read_bytes() != (self.straight / name).read_bytes()]
        batch_statistics = [text for text in notes.texts if not text.startswith("resuming")]
        return Outcome(f"OTHER BITS: {', '.join(wrong)}" if wrong else SAME, "; ".join(batch_statistics))

    def tried(self, case: Case, run: Path) -> Outcome:
        """Damage a copy of the stopped or finished run, and resume it."""
        shutil.copytree(self.straight if case.finished else self.stopped, run, symlinks=True)
        case.damage(run)
        return self.resumed(run)

    def filled(self, run: Path, calls: int, fresh: bool) -> Outcome:
        """Run out of space at a write, then resume with space: one clear error, then the same bits."""
        if not fresh:
            shutil.copytree(self.stopped, run, symlinks=True)
        with full_after(calls):
            first = self.resumed(run)
        if first.ended == SAME:
            return Outcome("no write so late", "")
        second = self.resumed(run)
        return Outcome(second.ended if first.ended == "DLC507" else first.ended, first.said)

    def read_only(self, run: Path) -> Outcome:
        """Resume where nothing may be written; then where it may."""
        shutil.copytree(self.stopped, run, symlinks=True)
        paths = [run, *run.rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        root = os.geteuid() == 0
        if root:  # whom permissions don't hold back
            os.seteuid(65534)
        try:
            first = self.resumed(run)
        finally:
            if root:
                os.seteuid(0)
            for path in paths:
                path.chmod(0o755 if path.is_dir() else 0o644)
        second = self.resumed(run)
        return Outcome(second.ended if first.ended == "DLC507" else first.ended, first.said)

    def small_disk(self, mount: Path) -> Outcome | None:
        """Run out of space on a file system of 256 KiB; None where none may be mounted."""
        mount.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        try:
            run, ballast = mount / "run", mount / "ballast"
            shutil.copytree(self.stopped, run, symlinks=True)
            with suppress(OSError), open(ballast, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            first = self.resumed(run)
            ballast.unlink()
            second = self.resumed(run)
            return Outcome(second.ended if first.ended == "DLC507" else first.ended, first.said)
        finally:
            subprocess.run(["umount", str(mount)], check=True)


@contextmanager
def full_after(calls: int) -> Iterator[None]:
    """A disk that is full from some call of fsync on."""
    left = iter(range(calls))
    real = os.fsync

    def fsync(handle: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with mock.patch.object(os, "fsync", fsync):
        yield


fitting_make_compiled_steps, fitting_make_evaluate = fitting.make_compiled_steps, fitting.make_evaluate


def well(case: Case, outcome: Outcome) -> bool:
    """Whether a case ended as it must."""
    return outcome.ended == case.ends and case.says in outcome.said


def main() -> None:
    """Try all; print a table."""
    parser("damage", __doc__).parse_args()
    results: list[tuple[str, Outcome, bool]] = []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o755)
        bench = Bench(base)
        other = base / "other"
        bench.stop(other, dlc.loads("seed: 1\n" + TEXT % ""))
        for number, case in enumerate(cases(other)):
            outcome = bench.tried(case, base / f"case-{number}")
            results.append((case.name, outcome, well(case, outcome)))
        for fresh in (False, True):
            for calls in range(WRITES):
                what = f"disk full at write {calls + 1} of a {'new' if fresh else 'resumed'} run, then resumed"
                outcome = bench.filled(base / f"full-{fresh}-{calls}", calls, fresh)
                results.append((what, outcome, outcome.ended == SAME))
        outcome = bench.read_only(base / "read-only")
        results.append(("read-only, then resumed", outcome, outcome.ended == SAME))
        small = bench.small_disk(base / "disk")
        if small is not None:
            results.append(("a small file system full, then resumed", small, small.ended == SAME))
        for what, (ended, said), good in results:
            print(f"{'' if good else 'WRONG: '}{what:<60} {ended:<14} {said.replace(str(base), '')[:130]}")
    bad = sum(not good for _, _, good in results)
    print(f"{len(results)} ways, {bad} ended wrongly")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
