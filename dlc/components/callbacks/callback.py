"""The contract of callbacks: code that runs while a network is trained, and sees the metrics of each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from dlc.diagnostics import did_you_mean, listing
from dlc.language.options import Options, RuleViolation
from dlc.support.fast_dataclass import fast_dataclass

Status = Literal["training", "finished", "interrupted", "failed"]


@fast_dataclass(frozen=True)
class RunView:
    """What a callback sees of a run. It can't change the run, except by `stop`.

    Args:
        name: the spec's name.
        folder: the run folder, or None for a run that is not kept.
        epoch: the current epoch, from 1; in `on_begin` the number of epochs done.
        epochs: the epochs that the spec asks for.
        step: the steps done.
        steps: the steps that the spec asks for.
        metrics: in `on_epoch` the epoch's line of `metrics.jsonl`: `epoch`, `step`, `learning_rate`, `train/NAME` and
            `validation/NAME`, NaN for a metric without a value. In `on_chunk` the values of the epoch so far, as
            `train/NAME`. In `on_end` of a finished run the line of the test split. Empty in `on_begin`.
        learning_rate: the learning rate of the newest step; in `on_begin` that of the next one.
        history: the lines of the finished epochs, including those from before a resume.
        status: `training`, or in `on_end` how the run ended: `finished`, `interrupted` (it can be resumed), `failed`.
        store: a dictionary for values of this callback. It lasts until the run ends; checkpoints do not hold it.
        stop: ends the run after the current epoch. Its argument is the reason, as in "the loss is below 0.1".
        note: prints a note to the user.
    """

    name: str
    folder: Path | None
    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: Mapping[str, float]
    learning_rate: float
    history: tuple[Mapping[str, float], ...]
    status: Status
    store: MutableMapping[str, Any] = field(repr=False)
    stop: Callable[[str], None] = field(repr=False)
    note: Callable[[str], None] = field(repr=False)


class Callback(Options):
    """Code that runs while a network is trained. A subclass defines the methods that it needs.

    A callback holds options, and these are frozen. Values that it collects belong into `run.store`. A resumed run calls
    it for new epochs only; what the earlier ones came to is in `run.history`. The methods run on the training thread:
    training waits for them. An exception ends the run with DLC511 after a checkpoint was written.

    For example a class with `word = "announce"` and
    `def on_epoch(self, run): run.note(f"the loss is {run.metrics['train/loss']}")`. Standard output belongs to the
    command, so that what a method prints goes to standard error.
    """

    @classmethod
    def check_class(cls) -> None:
        """A hook by another name would never be called."""
        hooks = [name for name in vars(Callback) if name.startswith("on_")]
        for name in (name for base in cls.__mro__ for name in vars(base) if name.startswith("on_")):
            if name not in hooks:
                hint = did_you_mean(name, hooks) or f"the hooks are {listing(hooks)}"
                raise RuleViolation("DLC119", f"its method `{name}` is not a hook of callbacks", hint=hint)
        if all(getattr(cls, name) is getattr(Callback, name) for name in hooks):
            raise RuleViolation("DLC119", "it defines no hook", hint=f"define one of {listing(hooks)}")

    def monitored(self) -> str | None:
        """The value that it reads of an epoch's metrics, from its option `monitor`; checked to exist with the spec."""
        return None

    def on_begin(self, run: RunView) -> None:
        """Training is about to begin, or to go on after a resume."""

    def on_chunk(self, run: RunView) -> None:
        """Some steps are done: about twice a second, and at the end of each epoch. How many depends on the machine."""

    def on_epoch(self, run: RunView) -> None:
        """An epoch is done: it was evaluated, and its line is in `metrics.jsonl`."""

    def on_end(self, run: RunView) -> None:
        """Training is over, whatever ended it: see `run.status`. Called once for each call of `on_begin`."""
