"""Where the files of a run's data are: several of them, patterns and folders are found again after a move."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dlc
from dlc.frontend.resolved import resolved_text
from dlc.training.locations import location_keys, moved, recorded
from dlc.training.run_folder import RunFolder, inputs_of

SPEC = """
data:
  source: {text: {path: {a.b: data/1.txt, c: 'data/*.log'}}}
  test: {image_folder: pictures}
inputs: {kind: {category: {classes: [a.b, c], one_hot: true, column: label}}}
targets: {label: {category: [a.b, c]}}
network: [dense: 2]
loss: cross_entropy
optimizer: adam
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in ("data/1.txt", "data/2.log", "pictures/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n")
    (folder / "spec.yaml").write_text(SPEC)
    spec = dlc.load(folder / "spec.yaml")
    (folder / "run").mkdir()
    (folder / "run/resolved.yaml").write_text(resolved_text(spec))
    (folder / "run/locations.json").write_text(json.dumps(recorded(spec.plan, folder / "run")))
    return folder


def test_every_file_of_a_source_is_a_location(project: Path) -> None:
    plan = dlc.load(project / "spec.yaml").plan
    assert location_keys(plan) == {
        ("data", "source", "text", "path", "a.b"): "data/1.txt",
        ("data", "source", "text", "path", "c"): "data/*.log",
        ("data", "test", "image_folder", "path"): "pictures",
    }
    assert inputs_of(plan) == [project / "data/1.txt", project / "data/2.log", project / "pictures"]


def test_files_patterns_and_folders_that_moved_are_found(project: Path, tmp_path: Path) -> None:
    assert moved(project / "run") == []
    project.rename(tmp_path / "new")
    new = tmp_path / "new"
    paths = {"a.b": str(new / "data/1.txt"), "c": str(new / "data/*.log")}
    assert moved(new / "run") == [
        f"data.source.text.path={json.dumps(paths)}",
        f'data.test.image_folder.path="{new / "pictures"}"',
    ]
    assert moved(new / "run", ["data.source.text.path=x", "data.test.image_folder.path=y"]) == []
    spec = RunFolder(new / "run").load_spec()
    assert spec.plan.data is not None and dict(spec.plan.data.source)["path"] == paths
    (new / "data/2.log").unlink()
    assert moved(new / "run")[0] == f"data.source.text.path={json.dumps(paths | {'c': str(project / 'data/*.log')})}"
