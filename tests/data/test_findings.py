"""Notes about data that can be used, but hold less than they seem to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.data.dataset import load_dataset

TEXT = "data: {source: {npz: PATH}}\ninputs: {x: FEATURE}\ntargets: {y: number}\nnetwork: [NETWORK]\nloss: mse\n"
LARGE = 2.0**24 + np.arange(3)  # 16,777,217 is the first integer that float32 does not have


def notes_of(folder: Path, feature: str, x: np.ndarray) -> tuple[str, ...]:
    np.savez(folder / "t.npz", x=x, y=np.arange(float(len(x))))
    text = TEXT.replace("PATH", str(folder / "t.npz")).replace("FEATURE", feature)
    network = "global_avg_pool1d, dense: 1" if "time" in feature else "dense: 1"
    return load_dataset(dlc.loads(text.replace("NETWORK", network)).plan).notes


def test_values_that_float32_can_not_tell_apart_are_noted(tmp_path: Path) -> None:
    said = "float32 holds 2 of the 3 distinct values of `x`; `normalize: standard` keeps them apart"
    assert len(np.unique(LARGE.astype(np.float32))) == 2
    assert notes_of(tmp_path, "number", LARGE) == (said,)
    assert notes_of(tmp_path, "{number: standard}", LARGE) == ()
    assert notes_of(tmp_path, "number", LARGE - 2.0**24) == ()
    assert notes_of(tmp_path, "number", np.repeat(LARGE[:1], 3)) == ()


@pytest.mark.parametrize("padding", ["", ", padding: 0"])
def test_each_column_of_an_array_is_looked_at(tmp_path: Path, padding: str) -> None:
    """Padding is none of its values."""
    x = np.stack([LARGE, np.arange(1.0, 4), 2 * LARGE], -1)
    feature = "{tensor: {shape: [3]}}"
    if padding:
        x, feature = np.pad(x[:, None], ((0, 0), (0, 1), (0, 0))), f"{{tensor: {{shape: [time, 3]{padding}}}}}"
    found = notes_of(tmp_path, feature, x)
    assert [note.partition(";")[0] for note in found] == [
        "float32 holds 2 of the 3 distinct values of `x[..., 0]`",
        "float32 holds 2 of the 3 distinct values of `x[..., 2]`",
    ]
