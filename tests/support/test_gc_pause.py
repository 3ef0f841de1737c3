"""Garbage is not collected while a program starts, and is afterwards."""

from __future__ import annotations

import gc

import pytest

import dlc
from dlc.support.gc_pause import gc_paused
from dlc.training.callbacks.progress import Moment, Silent

SPEC = """
inputs: {image: {tensor: [8, 8]}}
targets: {digit: {category: 10}}
network: [flatten, dense: 10]
loss: cross_entropy
optimizer: sgd
data: {source: digits}
train: {epochs: 2, batch_size: 500}
"""


def test_collection_goes_on_when_told_or_at_the_end() -> None:
    with gc_paused() as resume:
        assert not gc.isenabled()
        resume()
        assert gc.isenabled()
        gc.disable()
        resume()
        assert not gc.isenabled()  # that was somebody else
        gc.enable()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="no"), gc_paused():
        raise ValueError("no")
    assert gc.isenabled()


def test_who_collects_none_is_not_made_to() -> None:
    gc.disable()
    try:
        with gc_paused() as resume:
            resume()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_run_starts_without_collections() -> None:
    seen: list[bool] = []

    class NonfiniteTracer(Silent):
        def begin(self, _plan: object) -> None:
            seen.append(gc.isenabled())

        def moment(self, _moment: Moment) -> None:
            seen.append(gc.isenabled())

    dlc.train(dlc.loads(SPEC), reporter=NonfiniteTracer())
    assert seen[:2] == [False, True]
    assert all(seen[1:])
