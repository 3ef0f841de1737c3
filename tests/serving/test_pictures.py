"""A run on folders of pictures: evaluation, predictions for files, resuming, export and report."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import dlc
from dlc.components.features.pictures import Target
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


def test_pictures_in_archives_and_tables_have_the_same_answers(project: Path, tmp_path: Path) -> None:
    """WebDataset's layout, and the form in which Hugging Face keeps pictures in Parquet files."""
    files = sorted((project / "test").glob("*/*.png"))
    with tarfile.open(tmp_path / "test.tar", "w") as archive:
        for file in files:
            name = f"{file.parent.name}-{file.stem}"
            archive.add(file, f"{name}.png")
            label = file.parent.name.encode()
            about = tarfile.TarInfo(f"{name}.cls")
            about.size = len(label)
            archive.addfile(about, io.BytesIO(label))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    contents = pa.array([{"bytes": file.read_bytes(), "path": None} for file in files], kind)
    labels = pa.array([file.parent.name for file in files]).dictionary_encode()
    pq.write_table(pa.table({"image": contents, "label": labels}), tmp_path / "test.parquet")
    wanted = dlc.predict(project / "run", str(project / "test"))["label"]
    for name in ("test.tar", "test.parquet"):
        found = dlc.predict(project / "run", str(tmp_path / name))["label"]
        np.testing.assert_array_equal(found, wanted)
    split = dlc.evaluate(project / "run", "test").metrics
    assert dlc.evaluate(project / "run", data=str(tmp_path / "test.parquet")).metrics == split


def test_pictures_of_archives_are_trained_as_those_of_folders(project: Path, tmp_path: Path) -> None:
    """Bits: the same records in the same order; labels are read from JSON documents."""
    with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
        for index, file in enumerate(sorted((project / "train").glob("*/*.png"), key=lambda file: file.parts)):
            archive.add(file, f"{index:03}.png")
            label = json.dumps({"label": file.parent.name}).encode()
            about = tarfile.TarInfo(f"{index:03}.json")
            about.size = len(label)
            archive.addfile(about, io.BytesIO(label))
    text = SPEC.replace("image_folder: train", f"tar: '{tmp_path}/*.tar'").replace(": test}", f": {project}/test}}")
    (tmp_path / "spec.yaml").write_text(text)
    dlc.train(tmp_path / "spec.yaml", run=tmp_path / "tar")
    weights = RunFolder(tmp_path / "tar").load_weights()
    for key, value in RunFolder(project / "run").load_weights().items():
        np.testing.assert_array_equal(value, weights[key])
    wrong = tmp_path / "wrong.tar"
    wrong.write_bytes((tmp_path / "train-0.tar").read_bytes().replace(b"\x89PNG", b"\x89PIG", 1))
    with pytest.raises(dlc.SpecError) as caught:
        dlc.predict(tmp_path / "tar", str(wrong))
    assert "wrong.tar/000.png" in str(caught.value.report.diagnostics[0].found)


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
    other = dlc.load(project / "spec.yaml", ["data.workers=0"])  # may change, as the memory may
    train(other, run=RunFolder(tmp_path / "run"), resume=True)
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


def test_weights_do_not_depend_on_workers_or_on_what_was_decoded_before(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cache, with an empty, a filled and a damaged one, in memory and on disk, with 0, 1 and 3 workers."""
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    weights = (project / "run" / "weights.safetensors").read_bytes()
    decoded: list[bytes] = []
    whole = Target.decode

    def counted(self: Target, data: bytes) -> np.ndarray:
        decoded.append(data)
        return whole(self, data)

    monkeypatch.setattr(Target, "decode", counted)
    cases = [("off", 0, "1 GB"), ("cold", 3, "1 GB"), ("warm", 1, "1 GB"), ("warm", 3, "4 kB"), ("damaged", 0, "1 GB")]
    for number, (state, workers, memory) in enumerate(cases):
        with monkeypatch.context() as patched:
            if state == "off":
                patched.setenv("DLC_CACHE", "off")
            if state == "damaged":
                (segment,) = tmp_path.rglob("*.segment")
                segment.write_bytes(segment.read_bytes()[:-1000])
            decoded.clear()
            spec = dlc.load(project / "spec.yaml", [f"data.workers={workers}", f"data.memory={memory}"])
            dlc.train(spec, run=tmp_path / str(number))
        assert len(decoded) == (0 if state == "warm" else 58), state
        assert (tmp_path / str(number) / "weights.safetensors").read_bytes() == weights, state
