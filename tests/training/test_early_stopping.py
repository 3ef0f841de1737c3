"""Early stopping, against Keras' own."""

from __future__ import annotations

import functools
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score

import dlc
from dlc.frontend.plan import Plan
from dlc.training.callbacks.early_stopping import Stopping
from dlc.training.run_folder import RunFolder
from tests.common import SMALL
from tests.reference.keras_conformance import keras


@functools.cache
def plan_of(monitor: str, min_delta: float, patience: int) -> Plan:
    options = f"{{monitor: {monitor}, min_delta: {min_delta}, patience: {patience}}}"
    return dlc.loads(SMALL.replace("epochs: 4,", f"epochs: 40, early_stopping: {options},")).plan


def stop_of_keras(values: list[float], mode: str, min_delta: float, patience: int) -> int | None:
    callback = keras.callbacks.EarlyStopping("value", min_delta, patience, mode=mode)
    callback.set_model(types.SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"value": value})
        if callback.model.stop_training:
            return epoch
    return None


def stop_of(plan: Plan, values: list[float]) -> int | None:
    stopping = Stopping(plan)
    for epoch, value in enumerate(values):
        stopping.see({stopping.monitor: value})
        if stopping.due:
            return epoch
    return None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 8).map(lambda number: number / 4), min_size=1, max_size=14),
    st.sampled_from([("validation/loss", "min"), ("validation/accuracy", "max")]),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.sampled_from([1, 2, 3]),
)
def test_it_stops_when_keras_does(
    values: list[float], monitored: tuple[str, str], min_delta: float, patience: int
) -> None:
    monitor, mode = monitored
    wanted = stop_of_keras(values, mode, min_delta, patience)
    assert stop_of(plan_of(monitor, min_delta, patience), values) == wanted


@pytest.mark.parametrize(("min_delta", "stops"), [(0.0, None), (0.25, 2)])
def test_a_small_improvement_is_none(min_delta: float, stops: int | None) -> None:
    assert stop_of(plan_of("validation/loss", min_delta, 2), [1.0, 0.9, 0.8, 0.7]) == stops


def test_it_sees_r2_of_large_numbers_improve(tmp_path: Path) -> None:
    """Their squares leave float32. With an r2 of 1.0 from the start the run would keep the first epoch's weights."""
    x = np.random.default_rng(0).normal(size=(40, 1))
    y = 1e20 * (3 * x[:, 0] + 1)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    text = (
        f"data: {{source: {{npz: {tmp_path / 't.npz'}}}, split: {{validation: 10}}}}\n"
        "inputs: {x: {tensor: [1]}}\ntargets: {y: {number: standard}}\nnetwork: [dense: 1]\n"
        "loss: mse\nmetrics: [r2]\noptimizer: {sgd: 0.05}\n"
        "train: {epochs: 6, batch_size: 30, monitor: validation/r2, early_stopping: {patience: 1}}\n"
    )
    result = dlc.train(dlc.loads(text), tmp_path / "run")
    values = [record["validation/r2"] for record in result.history]
    assert values == sorted(set(values)) and len(values) == result.best_epoch == 6 and values[-1] < 0.9
    rows = result.data.splits["validation"]
    predicted = dlc.predict(RunFolder(tmp_path / "run").path, {"x": x[rows]})["y"].astype(np.float64)
    assert values[-1] == pytest.approx(r2_score(y[rows] / 1e20, predicted.ravel() / 1e20), rel=1e-5)
