"""Steps that are begun ahead, while the host deals with the epoch before, change no bit of a run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import dlc
from dlc.data import feeder
from dlc.training import chunks
from dlc.training.chunks import Begun, Chunks
from dlc.training.evaluation import SplitEvaluation
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import SMALL
from tests.training.test_training import same_run, stop_after

PLATEAU = ["optimizer={adam: {learning_rate: {reduce_on_plateau: {value: 0.05, patience: 1, factor: 0.5}}}}"]
EARLY = ["train.early_stopping={monitor: validation/accuracy, patience: 2}"]
AVERAGE = ["optimizer={adam: 0.05, ema: 0.9}"]


class Watched:
    """Counts the chunks that were begun ahead, used and not used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.used = 0
        begin, ahead = Chunks.begin, Chunks.begin_ahead

        def begin_watched(of: Chunks, *arguments: Any, **more: Any) -> Begun:
            waiting = of._ahead
            found = begin(of, *arguments, **more)
            self.used += found is waiting
            return found

        def ahead_watched(of: Chunks, *arguments: Any) -> None:
            ahead(of, *arguments)
            self.begun += of._ahead is not None

        monkeypatch.setattr(Chunks, "begin", begin_watched)
        monkeypatch.setattr(Chunks, "begin_ahead", ahead_watched)


@pytest.mark.few(2)
@pytest.mark.parametrize("sets", [PLATEAU, EARLY, [], AVERAGE], ids=["plateau", "early", "plain", "ema"])
def test_steps_begun_ahead_change_no_bit(sets: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plateau changes the state after the steps were sent, and early stopping ends the run: they are then ignored."""
    spec = dlc.loads(SMALL, ["train.epochs=9", *sets])
    one, other = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "other")
    with monkeypatch.context() as patched:
        patched.setattr(chunks, "AHEAD_SECONDS", 1e9)
        watched = Watched(patched)
        result = train_spec(spec, run=one)
    with monkeypatch.context() as patched:
        patched.setattr(chunks, "AHEAD_SECONDS", -1.0)
        none = Watched(patched)
        train_spec(spec, run=other)
    same_run(one, other)
    assert none.begun == 0
    rates = [record["learning_rate"] for record in result.history]
    lowered = sum(before != after for before, after in pairwise(rates))
    ended_early = len(rates) < 9
    assert lowered == 0 or sets is PLATEAU
    assert lowered > 0 or sets is not PLATEAU
    assert watched.begun == len(rates) - (not ended_early)
    assert watched.begun - watched.used == lowered + ended_early


def test_a_run_that_stops_ignores_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "AHEAD_SECONDS", 1e9)
    spec, one, other = dlc.loads(SMALL), RunFolder(tmp_path / "one"), RunFolder(tmp_path / "other")
    train_spec(spec, run=one)
    for _ in range(3):
        with pytest.raises(Stopped):
            train_spec(spec, run=other, resume=True, stop=stop_after(2))
    train_spec(spec, run=other, resume=True)
    same_run(one, other)


def test_the_evaluation_is_sent_before_the_steps_of_its_epoch_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device goes on with it at once. The batches of a small split are made and sent a single time."""
    order: list[str] = []

    def noted(of: Any, name: str) -> None:
        whole = getattr(of, name)

        def call(*arguments: Any, **more: Any) -> Any:
            order.append(name)
            return whole(*arguments, **more)

        monkeypatch.setattr(of, name, call)

    for of, name in ((Chunks, "begin"), (Chunks, "end"), (SplitEvaluation, "_send"), (feeder, "padded_batches")):
        noted(of, name)
    train_spec(dlc.loads(SMALL))
    assert order.count("padded_batches") == 2  # of validation and test
    sent = [name for name in order if name != "padded_batches"]
    assert list(pairwise(sent)).count(("begin", "_send")) == 4  # epochs


@pytest.mark.parametrize("name", ["AHEAD_SECONDS", "AHEAD_BYTES"])
def test_long_chunks_and_large_states_are_not_begun_ahead(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "AHEAD_SECONDS", 1e9)
    monkeypatch.setattr(chunks, name, 0)
    watched = Watched(monkeypatch)
    train_spec(dlc.loads(SMALL, ["train.epochs=3"]))
    assert watched.begun == 0
