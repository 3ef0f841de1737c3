"""The typed contents of the JSON files of a run folder. Whatever reads one of them reads it through these classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dlc.support.records import Count, Digits, Figure, Hex, Record, Text

StateFile = Literal["state.safetensors", "best.safetensors", "good.safetensors"]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Moment = Annotated[str, StringConstraints(max_length=100)]


class MarkRecord(Record):
    """A position in `metrics.jsonl`, and the digest of what precedes it."""

    bytes: Count
    sha256: Hex


class MemoryRecord(Record):
    """What a run knows of its newest good state: `recovery.Memory`."""

    good: Count
    onward: Count
    returns: Count
    rates: dict[Digits, Factor]


class StopRecord(Record):
    """A run that a callback has ended: `active_run.Stop`."""

    callback: Text
    options: Text
    reason: Text
    epochs: Count


class ProgressRecord(Record):
    """The plain values of a checkpoint: `active_run.Progress`."""

    epoch: Count
    best_epoch: Count
    best_step: Count
    best_value: Figure
    data: Count
    rate: Factor
    plateau_best: Figure
    plateau_waited: Count
    plateau_cooling: Count
    thresholds: dict[Text, list[float]] = Field(default_factory=dict)
    recovery: MemoryRecord
    stop: StopRecord | None = None


class CheckpointRecord(Record):
    """`checkpoint.json`."""

    step: Count
    spec: Hex
    metrics: MarkRecord
    progress: ProgressRecord
    files: dict[StateFile, Hex]
    digest: Hex


class ResultRecord(Record):
    """`result.json`."""

    epochs: Count
    steps: Count
    stopped_early: bool
    best_epoch: Count
    monitor: Text
    best_value: Figure
    test: dict[Text, Figure]
    metrics: MarkRecord
    stop: StopRecord | None = None
    digest: Hex


class SessionRecord(Record):
    """The times of one process in `timing.json`."""

    started: Moment
    device: Moment
    first_step: Count
    last_step: Count
    examples: Count
    first_chunk: Seconds | None
    training: Seconds
    steady_examples: Count
    total: Seconds
    epochs: dict[Digits, Seconds]


class TimingRecord(Record):
    """`timing.json`."""

    sessions: list[SessionRecord]


class EnvironmentRecord(Record):
    """`environment.json`."""

    time: Moment
    command: list[Text]
    python: Moment
    platform: Text
    cpus: Count | None
    packages: dict[Moment, Moment]
    backend: Moment
    devices: list[Moment]


class LocationRecord(Record):
    """The place of a file in `locations.json`."""

    absolute: Text
    relative: Text
