"""A run on folders of pictures: evaluation, predictions for files, resuming, export and report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import dlc
from dlc.training.run_folder import RunFolder
from tests.cli.test_commands import dlc_command  # noqa: F401 - a fixture
from tests.training.test_training import same_run

SPEC = """
data: {source: {image_folder: train}, test: {image_folder: test}, split: {validation: 8}}
inputs: {photo: {image: {size: 6, normalize: standard, column: image}}}
targets: {label: {category: [cat, dog]}}
network: [conv2d: {filters: 2, kernel: 3, activation: relu}, flatten, dense: 2]
loss: cross_entropy
metrics: [accuracy]
augment: [random_brightness: 0.2, random_flip]
optimizer: {adam: 0.01}
train: {epochs: 2, batch_size: 8, checkpoint_seconds: 0}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec beside folders of dark dogs and bright cats of different sizes, and its run."""
    folder = tmp_path_factory.mktemp("project")
    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 5)):
        for label, low in (("cat", 128), ("dog", 0)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                size = tuple(generator.integers(6, 20, 2))
                pixels = generator.integers(low, low + 128, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{number}.png")
    (folder / "spec.yaml").write_text(SPEC)
    dlc.train(folder / "spec.yaml", run=folder / "run")
    return folder


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_a_split_and_its_folder_have_the_same_metrics(project: Path) -> None:
    split = dlc.evaluate(project / "run", "test")
    folder = dlc.evaluate(project / "run", data=str(project / "test"))
    assert split.examples == folder.examples == 10
    assert split.metrics == folder.metrics


def test_predictions_for_files_name_them(project: Path, dlc_command, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(project)
    code, whole, _ = dlc_command("predict", "run", "test")
    assert code == 0
    assert [row["file"] for row in rows_of(whole)][:2] == ["cat/0.png", "cat/1.png"]
    assert list(rows_of(whole)[0]) == ["file", "label", "label_cat", "label_dog"]
    code, some, _ = dlc_command("predict", "run", "test/*/1.png")
    assert [row["file"] for row in rows_of(some)] == ["test/cat/1.png", "test/dog/1.png"]
    code, one, _ = dlc_command("predict", "run", "test/dog/1.png")
    by_name = {row["file"]: row for row in rows_of(whole)}
    for row in (*rows_of(some), *rows_of(one)):
        same = by_name[row["file"].removeprefix("test/")]
        assert float(row["label_dog"]) == pytest.approx(float(same["label_dog"]), rel=1e-5)
    code, _, err = dlc_command("predict", "run", "nothing/*.png")
    assert code == 1 and "no file matches" in err
    (project / "bad.png").write_text("not a picture")
    code, _, err = dlc_command("predict", "run", "bad.png")
    assert code == 1 and "`bad.png`: it is not a picture of a known format" in err


def test_a_table_may_name_pictures(project: Path, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("image\n" + f"{project}/test/cat/0.png\n{project}/test/dog/0.png\n")
    from_table = dlc.predict(project / "run", tmp_path / "names.csv")
    arrays = [np.asarray(Image.open(project / f"test/{kind}/0.png").resize((6, 6), 2)) for kind in ("cat", "dog")]
    from_arrays = dlc.predict(project / "run", {"image": np.stack(arrays)})
    np.testing.assert_array_equal(from_table["label_cat"], from_arrays["label_cat"])


def test_a_resumed_run_has_the_bits_of_a_straight_one(project: Path, tmp_path: Path) -> None:
    def stop(*_: object) -> bool:
        return True

    from dlc.training.loop import Stopped
    from dlc.training.train import train

    spec = dlc.load(project / "spec.yaml")
    with pytest.raises(Stopped):
        train(spec, run=RunFolder(tmp_path / "run"), stop=stop)
    train(spec, run=RunFolder(tmp_path / "run"), resume=True)
    same_run(RunFolder(project / "run"), RunFolder(tmp_path / "run"))


def test_an_exported_program_takes_bytes(project: Path) -> None:
    artifact = dlc.export(project / "run", "stablehlo")
    signature = json.loads((artifact / "signature.json").read_text())
    assert signature["inputs"]["photo"]["dtype"] == "uint8"
    exported = jax.export.deserialize(bytearray((artifact / "model.stablehlo").read_bytes()))
    assert any("uint8" in str(kind) for kind in jax.tree.leaves(exported.in_avals))


def test_the_report_shows_pictures(project: Path) -> None:
    page = dlc.report(project / "run", project / "page.html").read_text()
    assert page.count("data:image/png;base64,") >= 5
