"""The run folder: the files of a run, and how they are read."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.components.features.feature import fitted_types
from dlc.components.sources.paths import is_pattern, matches
from dlc.components.value_ranges import ValueRange
from dlc.data.fitted import FittedData
from dlc.data.ranges import ranged_features
from dlc.diagnostics import SpecError, reason
from dlc.frontend.pipeline import Spec, check_file
from dlc.frontend.plan import Plan
from dlc.language.yaml_text import MAX_BYTES, parse_yaml
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import (
    cannot_write,
    digest,
    pack,
    to_json,
    unpack,
    write_atomic,
)
from dlc.support.records import check_digest, read_value
from dlc.support.regular_files import read_whole
from dlc.training.locations import Key, location_keys, moved, recorded

if TYPE_CHECKING:
    from dlc.backend.lowering import Lowering

PACKAGES = ("dlc", "jax", "jaxlib", "optax", "numpy", "pydantic", "safetensors", "scikit-learn")
MAY_CHANGE = (
    ("train", "epochs"),
    ("train", "early_stopping"),
    ("train", "checkpoint_every"),
    ("train", "checkpoint_seconds"),
    ("train", "keep_checkpoints"),
    ("train", "tensorboard"),
    ("train", "on_nan"),
    ("train", "callbacks"),
    ("train", "memory"),
    ("data", "memory"),
    ("data", "workers"),
)
"""The settings that a resumed run may change."""


@fast_dataclass(frozen=True)
class SpecTexts:
    """What a run folder keeps of its spec.

    Args:
        given: the spec as it was written.
        resolved: the spec with every default filled in.
    """

    given: str
    resolved: str


class RunFolder:
    """The paths and files of one run."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """A JSON object per line: an epoch's metrics by split. No times, so that equal runs have equal files."""
        return self.path / "metrics.jsonl"

    @property
    def features(self) -> Path:
        """The columns that the features read, and their statistics of the training split."""
        return self.path / "features.json"

    @property
    def splits(self) -> Path:
        """The digests of the records of each split, by which they are found again."""
        return self.path / "splits.safetensors"

    @property
    def weights(self) -> Path:
        """The best weights, by the monitored value."""
        return self.path / "weights.safetensors"

    @property
    def result(self) -> Path:
        """The result of the finished run; missing until then."""
        return self.path / "result.json"

    @property
    def timing(self) -> Path:
        """How long the run took; differs between runs that are otherwise equal."""
        return self.path / "timing.json"

    @property
    def report(self) -> Path:
        """The run as a page."""
        return self.path / "report.html"

    @property
    def exists(self) -> bool:
        """Whether a run began here."""
        return (self.path / "resolved.yaml").is_file()

    @property
    def spec_name(self) -> str | None:
        """The name of the spec that began this run; None when that can't be read."""
        path = self.path / "resolved.yaml"
        try:
            name = parse_yaml(read_whole(path, MAX_BYTES).decode(), str(path)).tree.get("name")
        except (OSError, ValueError, SpecError):
            return None
        return name if isinstance(name, str) else None

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return self.result.is_file()

    def need_own(self, path: Path) -> None:
        """Check that a folder within the run folder is no link: files written there would land elsewhere.

        Raises:
            SpecError: DLC507.
        """
        if path.is_symlink():
            hint = f"replace the link with a folder, or move `{self.path}` as a whole"
            raise SpecError.of("DLC507", f"can't write to `{path}`: it is a symbolic link", hint=hint)

    def lock(self) -> None:
        """Hold the folder until this process ends.

        Raises:
            SpecError: DLC505 when another process holds it, DLC507 when it can't be made.
        """
        if self._lock is not None:  # `new_run_folder` has locked it
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if not isinstance(error, BlockingIOError):  # a file system without locks
                raise cannot_write(self.path / ".lock", error) from None
            raise SpecError.of(
                "DLC505",
                f"another process is training in `{self.path}`",
                hint="wait for it, or choose another folder with `--run`",
            ) from None
        self._lock = handle

    def unlock(self) -> None:
        """Release the folder; one in which no run began is removed."""
        if self._lock is None:
            return
        with suppress(OSError):  # somebody took the folder away
            if not self.exists and [path.name for path in self.path.iterdir()] == [".lock"]:
                (self.path / ".lock").unlink()
                self.path.rmdir()
        os.close(self._lock)
        self._lock = None

    def begin(
        self,
        plan: Plan,
        texts: SpecTexts,
        fitted: FittedData,
        environment: Mapping[str, Any],
        lowering: Mapping[str, Any],
        numerics: Mapping[str, Any],
    ) -> None:
        """Write what describes the run. `resolved.yaml` comes last: with it the run exists."""
        write_atomic(self.path / "spec.yaml", texts.given.encode())
        write_atomic(self.path / "environment.json", to_json(environment))
        write_atomic(self.path / "lowering.json", to_json(lowering))
        write_atomic(self.path / "numerics.json", to_json(numerics))
        write_atomic(self.path / "locations.json", to_json(recorded(plan, self.path)))
        write_atomic(self.features, _features(fitted))
        write_atomic(self.splits, pack(fitted.splits))
        write_atomic(self.path / "resolved.yaml", texts.resolved.encode())

    def restore(self, fitted: FittedData) -> list[Path]:
        """Rewrite the files of what was learned about the data if they hold something else; those that did."""
        changed = []
        for path, data in ((self.features, _features(fitted)), (self.splits, pack(fitted.splits))):
            with suppress(OSError):
                if read_whole(path) == data:
                    continue
            write_atomic(path, data)
            changed.append(path)
        return changed

    def need_spec(self, plan: Plan, texts: SpecTexts) -> None:
        """Check that a spec is the one that began this run, but for what may change.

        Raises:
            SpecError: DLC504, with each difference; DLC503 when the run's own spec is damaged.
        """
        path = self.path / "resolved.yaml"
        try:
            before = _leaves(parse_yaml(read_whole(path).decode(), str(path)).tree)
        except (OSError, ValueError, SpecError) as error:
            raise SpecError.of("DLC503", f"`{path}` is damaged: {_reason(error)}") from None
        after = _leaves(parse_yaml(texts.resolved, "resolved").tree)
        rule = plan.update
        labels = [(), *((index,) for index in range(len(rule.groups)))] if rule is not None else []
        rates = [rate for label in labels for rate in rule.for_label(label).schedules().values()] if rule else []
        free_keys: tuple[Key, ...] = MAY_CHANGE
        averaging = rule.modifiers.swa if rule is not None else None
        shares = averaging is not None and "%" in (averaging.start.unit, averaging.every.unit)
        if shares or any(rate.follows_length() for rate in rates):  # another length would be another schedule
            free_keys = tuple(key for key in MAY_CHANGE if key != ("train", "epochs"))
        free_keys = (*free_keys, *location_keys(plan))
        changed = [
            key
            for key in [*before, *(key for key in after if key not in before)]
            if before.get(key) != after.get(key) and not _is_free(key, free_keys)
        ]
        if not changed:
            return
        lines = [
            f"`{'.'.join(map(str, key))}` was {before.get(key, 'not set')}, is {after.get(key, 'not set')}"
            for key in changed
        ]
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise SpecError.of(
            "DLC504",
            f"the spec changed since the run in `{self.path}` began",
            found="; ".join(lines[:5]) + more,
            expected="the same spec; " + ", ".join(f"`{'.'.join(key)}`" for key in free_keys) + " may change",
            hint="train in a new folder with `--run`",
        )

    def keep_spec(self, plan: Plan, texts: SpecTexts) -> None:
        """Write a spec as that of the run, if a setting changed."""
        self.keep("locations.json", recorded(plan, self.path))
        self.keep("resolved.yaml", texts.resolved.encode())

    def keep(self, name: str, content: Mapping[str, Any] | bytes) -> None:
        """Write a file, if it holds something else."""
        data = content if isinstance(content, bytes) else to_json(content)
        with suppress(OSError):
            if read_whole(self.path / name) == data:
                return
        write_atomic(self.path / name, data)

    def need_epochs(self, plan: Plan, done: int) -> None:
        """Check that a spec asks for the epochs that the run has begun.

        Raises:
            SpecError: DLC504 when it asks for fewer than `done`.
        """
        epochs = plan.train.epochs
        if epochs < done:
            raise SpecError.of(
                "DLC504",
                f"the run in `{self.path}` has come to epoch {done} already",
                found=f"`train.epochs` {epochs}",
                expected=f"at least {done}",
                hint=f"give at least `--set train.epochs={done}`, or train in a new folder with `--run`",
            )

    def load_spec(self, sets: Sequence[str] = ()) -> Spec:
        """The checked spec of the run. Its files are found where they are now, relative to the run folder.

        Args:
            sets: settings that override those of the run, as passed to `--set`.

        Raises:
            SpecError: DLC502 when this is no run folder, DLC503 when a file is damaged.
        """
        if not self.exists:
            kind = "is not a run folder" if self.path.exists() else "does not exist"
            raise SpecError.of("DLC502", f"`{self.path}` {kind}", expected="a folder that `dlc train` made")
        spec, report = check_file(self.path / "resolved.yaml", [*moved(self.path, sets), *sets], resolved=True)
        if spec is None:
            raise SpecError(report)
        return spec

    def load_lowering(self) -> Lowering:
        """How the run's program is lowered.

        Raises:
            SpecError: DLC502 or DLC503 when that is missing or damaged.
        """
        from dlc.backend.lowering import Lowering

        path = self.path / "lowering.json"
        try:
            return Lowering.read(read_value(path))
        except (KeyError, TypeError, ValueError):
            raise SpecError.of("DLC503", f"`{path}` is damaged: it names no variants and flags") from None

    def load_fitted(self, plan: Plan) -> FittedData:
        """What the run learned about its data.

        Raises:
            SpecError: DLC502 or DLC503 when it is missing or does not fit the spec.
        """
        path = self.features
        found = read_value(path)
        stats: dict[str, dict[str, Any]] = {}
        columns: dict[str, tuple[str, ...]] = {}
        try:
            check_digest(found, "sha256")
            ranges = {name: ValueRange(*map(float, found["ranges"][name])) for name in ranged_features(plan)}
            if not all(isfinite(held.span) and held.span > 0 for held in ranges.values()):
                raise ValueError("ranges")
            wanted_weights = [term.name for term in plan.losses if term.loss.balances]
            class_weights = {name: tuple(map(float, found["class_weights"][name])) for name in wanted_weights}
            if not all(isfinite(value) and value > 0 for part in class_weights.values() for value in part):
                raise ValueError("class_weights")
            read, documents, found = found["columns"], found["artifacts"], found["fitted"]
            learning = [name for name, feature in {**plan.inputs, **plan.targets}.items() if feature.learns]
            artifacts = {name: documents[name].encode() for name in learning}
            for name, feature in {**plan.inputs, **plan.targets}.items():
                columns[name] = tuple(read[name])
                named = isinstance(read[name], list) and all(isinstance(column, str) for column in read[name])
                if not named or not read[name]:
                    raise ValueError(name)
                wanted = fitted_types(feature)
                stats[name] = {key: np.asarray(found[name][key], np.float64) for key in wanted}
                if any(array.ndim != 1 or not np.isfinite(array).all() for array in stats[name].values()):
                    raise ValueError(name)
                sizes = {key: kind.shape for key, kind in wanted.items()}
                if any(array.shape != sizes[key] for key, array in stats[name].items()):
                    raise ValueError(name)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
            raise SpecError.of("DLC503", f"`{path}` is damaged: it does not fit the spec") from None
        return FittedData(columns, stats, self._splits(), ranges, artifacts, class_weights)

    def _splits(self) -> dict[str, Any]:
        """The digests of the records of each split.

        Raises:
            SpecError: DLC502 or DLC503 when they are missing or damaged.
        """
        try:
            splits = unpack(read_whole(self.splits), self.splits)
        except FileNotFoundError:
            raise SpecError.of("DLC502", f"`{self.splits}` is missing") from None
        except OSError as error:
            raise SpecError.of("DLC503", f"`{self.splits}` can't be read: {reason(error)}") from None
        whole = all(array.ndim == 1 and array.dtype == np.uint64 and len(array) for array in splits.values())
        if "train" not in splits or not splits.keys() <= {"train", "validation", "test"} or not whole:
            raise SpecError.of("DLC503", f"`{self.splits}` is damaged: it holds no splits of records")
        return {name: splits[name] for name in ("train", "validation", "test") if name in splits}

    def save_weights(self, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        """Replace the best weights."""
        write_atomic(self.weights, pack(arrays, metadata))

    def load_weights(self) -> dict[str, Any]:
        """The best weights by name.

        Raises:
            SpecError: DLC502 when there are none yet, DLC503 when they are damaged.
        """
        if not self.weights.is_file():
            raise SpecError.of(
                "DLC502", f"the run in `{self.path}` has no weights yet", hint="let `dlc train` finish an epoch first"
            )
        try:
            return unpack(read_whole(self.weights), self.weights)
        except OSError as error:
            raise SpecError.of("DLC503", f"`{self.weights}` can't be read: {reason(error)}") from None


def check_output(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Check that a file to write is none of a run's own, and none of its inputs.

    Args:
        path: the file.
        inputs: files and folders that are read.

    Raises:
        SpecError: DLC507 when it is an input, or lies in a folder that is one; or when it lies in a run folder, and is
            neither its report nor in its folder `exports`.
    """
    try:
        place = Path(os.path.realpath(path))
        for given in inputs:
            read = Path(os.path.realpath(given))
            same = read.exists() and place.exists() and read.samefile(place)
            if same or read == place or (read.is_dir() and read in place.parents):
                message = f"can't write `{path}`: `{given}` is an input"
                raise SpecError.of("DLC507", message, hint="write to another file")
        runs = [folder for folder in (place, *place.parents) if RunFolder(folder).exists]
    except (OSError, ValueError):  # reported when it is written
        return
    for folder in runs:
        if place != folder / "report.html" and folder / "exports" not in place.parents:
            hint = f"write it elsewhere, or into `{folder / 'exports'}`"
            raise SpecError.of("DLC507", f"can't write `{path}`: `{folder}` is a run folder", hint=hint)


def inputs_of(plan: Plan) -> list[Path]:
    """The files and folders that the sources of a spec read."""
    data = plan.data
    sources = [source for source in (data.source, data.validation, data.test) if source is not None] if data else []
    paths = [path for source in sources for path in source.rooted(Path(plan.folder)).places().values()]
    return [file for path in paths for file in ([Path(path)] if not is_pattern(path) else matches(Path(path)))]


def new_run_folder(name: str, base: Path | None = None) -> RunFolder:
    """The first free folder `runs/NAME`, `runs/NAME-2`, ..., made and locked: two runs that start at once get two.

    Raises:
        SpecError: DLC507 when it can't be made.
    """
    base = base or Path("runs")
    number = 1
    while True:
        path = base / (name if number == 1 else f"{name}-{number}")
        try:
            base.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:  # a link to nowhere, too
            if not base.is_dir():
                raise cannot_write(base, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))) from None
            number += 1
            continue
        except OSError as error:
            raise cannot_write(path, error) from None
        run = RunFolder(path)
        run.lock()
        return run


def last_run_folder(name: str, base: Path | None = None, inside: str = "") -> RunFolder | None:
    """The newest folder of `runs/NAME`, `runs/NAME-2`, ... that holds a run of that name, or has one `inside`."""
    base = base or Path("runs")
    numbered = []
    for path in base.iterdir() if base.is_dir() else ():
        stem, _, number = path.name.rpartition("-")
        count = 1 if path.name == name else int(number) if stem == name and number.isdecimal() else 0
        run = RunFolder(path / inside)
        if count and run.exists and run.spec_name == name:
            numbered.append((count, path))
    return RunFolder(max(numbered)[1]) if numbered else None


def environment() -> dict[str, Any]:
    """The versions and devices of this process, for `environment.json` and `dlc doctor`."""
    import jax

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    devices = jax.devices()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [os.fsencode(argument).decode(errors="backslashreplace") for argument in sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in devices],
    }


def identity(plan: Plan, texts: SpecTexts, lowering: Mapping[str, Any]) -> str:
    """The digest of what decides a run's bits: a run's checkpoints carry it.

    Args:
        plan: the plan of the spec.
        texts: of the spec; settings that a resumed run may change are left out.
        lowering: as `lowering.json` has it.
    """
    leaves = _leaves(parse_yaml(texts.resolved, "resolved").tree)
    free = (*MAY_CHANGE, *location_keys(plan))
    fixed = [(key, value) for key, value in leaves.items() if not _is_free(key, free)]
    return digest(repr(fixed).encode() + json.dumps(lowering, sort_keys=True).encode())


def _features(fitted: FittedData) -> bytes:
    plain = {
        "columns": {name: list(columns) for name, columns in fitted.columns.items()},
        "fitted": {
            name: {key: np.asarray(value).tolist() for key, value in stats.items()}
            for name, stats in fitted.stats.items()
        },
        "ranges": {name: list(held) for name, held in fitted.ranges.items()},
        "class_weights": {name: list(weights) for name, weights in fitted.class_weights.items()},
        "artifacts": {name: document.decode() for name, document in fitted.artifacts.items()},
    }
    return to_json({**plain, "sha256": digest(to_json(plain))})


def _is_free(key: tuple[str | int, ...], free_keys: Sequence[Key]) -> bool:
    """Whether a setting may change in a resumed run."""
    return any(key[: len(free)] == free for free in free_keys)


def _reason(error: Exception) -> str:
    return error.report.diagnostics[0].message if isinstance(error, SpecError) else reason(error)


def _leaves(tree: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    if isinstance(tree, dict) and tree:
        return {key: value for name, item in tree.items() for key, value in _leaves(item, (*path, name)).items()}
    if isinstance(tree, list) and tree:
        return {key: value for index, item in enumerate(tree) for key, value in _leaves(item, (*path, index)).items()}
    return {path: tree}
