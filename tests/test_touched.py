"""`python -m tests.touched` finds the tests of a change, and the slow tests run only when they are asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.components.registry import KINDS
from tests import touched
from tests.common import ROOT
from tests.conftest import sampled

BATTERY = "tests/components/test_battery.py::test_a_component_passes_its_battery[{}]"
KILL = "tests/promises/test_kill.py"


@pytest.fixture(scope="module")
def importers() -> dict[str, set[str]]:
    return touched.import_graph()


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        (
            "dlc/training/checkpoint.py",
            {"tests/training/test_checkpoint.py", "tests/promises/test_exactness.py"},
        ),  # by name
        (
            "dlc/training/callbacks/recovery.py",
            {"tests/training/test_recovery.py"},
        ),  # by name
        ("dlc/components/losses/focal.py", {"tests/components/losses"}),  # by folder
        (
            "dlc/components/losses/focal.py",
            {"tests/components/test_registry.py", "tests/test_docs.py", BATTERY.format("loss-focal")},
        ),  # named in a table
        ("dlc/components/layers/windows.py", {BATTERY.format("layer-conv2d"), BATTERY.format("layer-max_pool2d")}),
        ("dlc/cli/train.py", {"tests/cli"}),
        ("dlc/ir/graph.py", {"tests/frontend/test_networks.py"}),  # imported through the package
        ("dlc/language/loader.py", {"tests/language", "tests/broken"}),  # messages
        ("dlc/kernels/lstm.py", {"dlc/kernels/lstm.py", "tests/test_layout.py"}),  # doctests and layout
        ("tests/reference/keras_conformance.py", {"tests/reference/test_keras_conv.py"}),
        ("tests/data/test_dataset.py", {"tests/data/test_dataset.py"}),
        ("tests/broken/averages.txt", {"tests/broken"}),
        ("benchmarks/damage.py", {"tests/promises/test_damage.py"}),
        ("specs/zoo/resnet50.yaml", {"tests/specs", "tests/reference/test_keras_applications.py"}),
        ("docs/training.md", {"tests/test_docs.py"}),
        ("CHANGELOG.md", set()),
    ],
)
def test_a_change_touches(file: str, tests: set[str], importers: dict[str, set[str]]) -> None:
    found = touched.touched([file], importers)
    assert tests <= set(found)
    assert len([name for name in found if "::" not in name]) < 40
    assert not found or tests


def test_only_the_battery_of_what_changed_runs(importers: dict[str, set[str]]) -> None:
    found = [name for name in touched.touched(["dlc/components/losses/focal.py"], importers) if "::" in name]
    assert found == [BATTERY.format(f"loss-{name}") for name in ("binary_focal", "focal", "poly")]
    whole = touched.touched(["dlc/components/losses/focal.py", "tests/components/test_battery.py"], importers)
    assert "tests/components/test_battery.py" in whole and not any("::" in name for name in whole)


def test_the_distance_is_that_of_imports(importers: dict[str, set[str]]) -> None:
    near, far = (touched.touched(["dlc/backend/compilation_cache.py"], importers, distance) for distance in (1, 2))
    assert set(near) < set(far)


def test_a_folder_stands_for_its_files() -> None:
    files = ["tests/broken/averages.yaml", "tests/broken/test_broken.py", "tests/conftest.py", "docs/none.md"]
    assert touched.touched(files, {}) == ["tests"]
    assert touched.touched(["tests/data/test_that_was_deleted.py"], {}) == []


def test_every_file_that_is_read_is_known() -> None:
    for name, tests in touched.READ_BY.items():
        assert (ROOT / name).exists(), name
        assert all((ROOT / test).exists() for test in tests), tests


def test_changes_are_those_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(touched, "ROOT", tmp_path)
    git("init", "--initial-branch", "main")
    for name in ("kept", "edited", "committed"):
        (tmp_path / name).write_text("before")
    git("add", ".")
    git("commit", "-m", "first")
    assert touched.default_base() and touched.changed(touched.default_base()) == []
    git("checkout", "-b", "branch")
    (tmp_path / "committed").write_text("after")
    git("commit", "-a", "-m", "second")
    (tmp_path / "edited").write_text("after")
    (tmp_path / "new").write_text("after")
    assert touched.changed(touched.default_base()) == ["committed", "edited", "new"]
    assert touched.changed("HEAD") == ["edited", "new"]


def collected(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-q", "-p", "no:cacheprovider", KILL, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith(KILL)]


def test_slow_tests_run_when_asked_for() -> None:
    def count(*arguments: str) -> int:
        (line,) = collected(*arguments)
        return int(line.rpartition(": ")[2])

    usual, slow = count(), count("-m", "slow")
    assert usual >= 1 and slow >= 3
    assert count("--slow-sample", "1") == usual + 1
    assert count("--slow-sample", "100", "--slow-seed", "3") == usual + slow


def test_a_component_that_is_asked_for_passes_its_whole_battery() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", touched.BATTERY]
    named = [[], ["-k", "passes_its_battery"]]
    found = [
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False).stdout
        for more in named
    ]
    counts = [int(re.findall(r"test_battery.py: (\d+)", text)[0]) for text in found]
    assert counts[0] < counts[1] and counts[1] == sum(len(kind.words()) for kind in KINDS.values())


def test_a_sample_follows_from_its_seed() -> None:
    names = [str(number) for number in range(50)]
    assert sampled(names, 5, 1) == sampled(names[::-1], 5, 1) != sampled(names, 5, 2)
    assert len(sampled(names, 5, 1)) == 5
    assert sampled(names[:3], 5, 1) == set(names[:3])
