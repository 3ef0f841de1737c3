"""Exactness in one process: each trainable spec of specs/ gives the same bits twice, and stopped and resumed.

`specs/digits_cnn.yaml` is trained twice, and killed and resumed, by real processes in `test_kill.py`.
"""

from __future__ import annotations

import pytest

import dlc
from dlc.training import checkpoint as checkpoints
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import ROOT
from tests.promises import test_kill
from tests.training.test_training import same_run, stop_after

EPOCHS = {
    "diabetes_regression": 4,
    "digits_mlp": 3,
    "iris_perceptron": 4,
    "tabular_classification": 3,
    "tabular_regression": 3,
}
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
PICTURES = {"autoencoder", "denoising_autoencoder", "image_classification"}
"""Convolutional networks like that of `digits_cnn`: `tests/tasks` trains them."""


def test_no_spec_with_data_is_left_out() -> None:
    trainable = {path.stem for path in SPECS if dlc.load(path).plan.data is not None}
    assert trainable == {*EPOCHS, *PICTURES, test_kill.SPEC.stem}


@pytest.mark.parametrize("name", EPOCHS)
def test_twice_and_resumed_gives_the_same_bits(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    spec = dlc.load(ROOT / "specs" / f"{name}.yaml", [f"train.epochs={EPOCHS[name]}"])
    one, again, resumed = (RunFolder(tmp_path_factory.mktemp(name) / "run") for _ in range(3))
    steps = train_spec(spec, run=one).steps
    train_spec(spec, run=again)
    with pytest.raises(Stopped) as stopped:  # within the last epoch but one
        train_spec(spec, run=resumed, chunk_iterations=5, stop=stop_after(int(steps * 0.6 / 5)))
    assert 0 < stopped.value.step < steps
    train_spec(spec, run=resumed, resume=True)
    for other in (again, resumed):
        same_run(one, other)
        assert one.result.read_bytes() == other.result.read_bytes()
        kept = [checkpoints.load(checkpoints.found(run)[0]) for run in (one, other)]
        assert (kept[0].step, kept[0].progress, kept[0].spec) == (kept[1].step, kept[1].progress, kept[1].spec)
