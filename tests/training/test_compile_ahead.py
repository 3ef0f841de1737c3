"""The program of training, compiled while the records are read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.components.layers.dense import Dense
from dlc.training import compile_ahead
from dlc.training.run_folder import RunFolder
from dlc.training.setup import Setup, set_up
from dlc.training.train import train as train_spec
from tests.common import ROOT

TABLE = """
data: {{source: {{{word}: {file}}}, memory: {memory}}}
inputs: {{x: {{tensor: [2]}}}}
targets: {{y: {{category: {{classes: 3, one_hot: true}}}}}}
network: [dense: 3]
loss: cross_entropy
optimizer: {{sgd: 0.1}}
train: {{epochs: 2, batch_size: 8}}
"""


def begun(spec: dlc.Spec) -> Setup:
    return set_up(spec.plan)


def was_compiled_ahead(setup: Setup) -> bool:
    return not hasattr(setup.compiled_steps.chunk, "lower")  # what `jax.jit` gives would


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sets_of_the_specs_are_foreseen(path: Path) -> None:
    assert was_compiled_ahead(begun(dlc.load(path)))


def test_it_is_the_same_program(small: dlc.Spec, small_run: RunFolder, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(compile_ahead, "_foreseen", lambda spec: None)
    assert not was_compiled_ahead(begun(small))
    run = RunFolder(tmp_path / "run")
    train_spec(small, run=run)
    assert run.weights.read_bytes() == small_run.weights.read_bytes()
    assert run.metrics.read_bytes() == small_run.metrics.read_bytes()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "t.npz"
    np.savez(path, x=np.zeros((60, 2), np.float32), y=np.arange(60) % 3)
    return path


@pytest.mark.parametrize("memory", ["auto", "1500 B"])
def test_an_archive_is_counted_by_its_head(archive: Path, memory: str) -> None:
    spec = dlc.loads(TABLE.format(word="npz", file=archive, memory=memory))
    setup = begun(spec)
    assert was_compiled_ahead(setup)
    assert setup.feeder.portions.resident == (memory == "auto")
    assert train_spec(spec).steps == 15


def test_what_comes_otherwise_is_compiled_then(archive: Path, tmp_path: Path, monkeypatch: Any) -> None:
    spec = dlc.loads(TABLE.format(word="npz", file=archive, memory="auto"))
    count = type(spec.plan.data.source).count  # type: ignore[union-attr]
    monkeypatch.setattr(type(spec.plan.data.source), "count", lambda self, base: count(self, base) + 1)  # type: ignore[union-attr]
    setup = begun(spec)
    assert not was_compiled_ahead(setup)
    assert train_spec(spec).steps == 15
    (tmp_path / "t.csv").write_text("x,y\n" + "1,0\n2,1\n" * 20)
    text = TABLE.format(word="csv", file=tmp_path / "t.csv", memory="auto").replace("[2]", "[1]")
    assert not was_compiled_ahead(begun(dlc.loads(text)))  # nobody knows how long a text is


@pytest.mark.parametrize("memory", ["auto", "20 kB"])
@pytest.mark.parametrize("count", [10**12, 10**28])
def test_a_header_that_tells_of_too_much_is_an_error_of_the_data(tmp_path: Path, count: int, memory: str) -> None:
    """Also where the archive agrees with it on the size."""
    path = tmp_path / "t.npz"
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 2)}}".encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
        archive.writestr("y.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
        for member in archive.infolist():
            member.file_size = 2**63
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(dlc.loads(TABLE.format(word="npz", file=path, memory=memory)))
    assert caught.value.report.codes == ("DLC401",)


def test_errors_are_those_of_the_data(archive: Path, tmp_path: Path) -> None:
    for file, code in ((tmp_path / "none.npz", "DLC401"), (archive, "DLC405")):
        text = TABLE.format(word="npz", file=file, memory="auto").replace("batch_size: 8", "batch_size: 61")
        with pytest.raises(dlc.SpecError) as caught:
            train_spec(dlc.loads(text))
        assert caught.value.report.codes == (code,)


@pytest.mark.parametrize("more", ["", "accumulate: 2", "sam: 0.05"])
def test_a_network_is_traced_once_for_the_shapes_and_for_the_step(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    plain = Dense.apply

    def counted(self: Dense, *given: Any, **named: Any) -> Any:
        calls.append(self.word)
        return plain(self, *given, **named)

    spec = dlc.loads(
        "inputs: {image: {tensor: [8, 8]}}\ntargets: {digit: {category: 10}}\nnetwork: [flatten, dense: 10]\n"
        f"loss: cross_entropy\noptimizer: {{sgd: 0.1, {more}}}\ndata: {{source: digits}}\ntrain: {{batch_size: 100}}\n"
    )
    monkeypatch.setattr(Dense, "apply", counted)
    train_spec(spec, dry_run=True)
    once = 2 if more.startswith("accumulate") else 1  # the parts' weights are found before their gradients
    assert len(calls) == once
