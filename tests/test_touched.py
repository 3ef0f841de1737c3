"""`python -m tests.touched` finds the tests of a change, and the slow tests run only when they are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlc.components.registry import KINDS
from tests import touched
from tests.common import ROOT
from tests.conftest import pytest_collection_modifyitems, sampled

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


class Item:
    """A test as pytest collects it, with its markers: `few` with its argument, and `slow`."""

    def __init__(self, nodeid: str, *markers: str, few: int | None = None) -> None:
        self.nodeid = nodeid
        self.callspec = SimpleNamespace(id=nodeid.partition("[")[2].rstrip("]"))
        self.markers = dict.fromkeys(markers, pytest.mark.slow)
        if few is not None:
            self.markers["few"] = pytest.mark.few(few)

    def get_closest_marker(self, name: str) -> Any:
        mark = self.markers.get(name)
        return mark and mark.mark

    def add_marker(self, mark: Any) -> None:
        self.markers[mark.name] = mark


def collected(items: list[Item], keyword: str = "", sample: int | None = None, seed: int = 0) -> list[str]:
    """The names of the tests that are left, those that are slow with a star."""
    left_out: list[Any] = []

    def leave_out(items: list[Any]) -> None:
        left_out.extend(items)

    config: Any = SimpleNamespace(
        option=SimpleNamespace(keyword=keyword),
        getoption={"--slow-sample": sample, "--slow-seed": seed}.__getitem__,
        hook=SimpleNamespace(pytest_deselected=leave_out),
    )
    kept: list[Any] = list(items)
    pytest_collection_modifyitems(config, kept)
    assert [item for item in items if item not in left_out] == kept
    return [item.nodeid + "*" * ("slow" in item.markers) for item in kept]


def test_slow_tests_run_when_asked_for() -> None:
    usual, slow = [Item("a"), Item("b")], [Item(f"slow_{number}", "slow") for number in range(9)]
    assert collected(usual + slow) == ["a", "b", *(f"{item.nodeid}*" for item in slow)]
    for sample, seed, count in ((1, 0, 1), (4, 3, 4), (100, 3, 9)):
        found = collected(usual + slow, sample=sample, seed=seed)
        assert found[:2] == ["a", "b"] and len(found) == 2 + count
        assert set(found[2:]) == {f"{name}*" for name in sampled([item.nodeid for item in slow], sample, seed)}


def test_further_cases_of_a_few_are_slow_unless_they_are_asked_for() -> None:
    def cases() -> list[Item]:
        return [Item(f"test[{name}]", few=2) for name in "abcde"] + [Item("other")]

    assert collected(cases()) == ["test[a]", "test[b]*", "test[c]*", "test[d]*", "test[e]", "other"]
    assert not any(name.endswith("*") for name in collected(cases(), keyword="test"))
    assert len(collected(cases(), sample=1)) == 4


def test_a_component_that_is_asked_for_passes_its_whole_battery() -> None:
    from tests.components.test_battery import ALL
    from tests.components.test_battery import test_a_component_passes_its_battery as whole

    marks = {mark.name: mark for mark in whole.pytestmark}  # type: ignore[attr-defined]
    assert marks["parametrize"].args[1] is ALL and marks["few"].args[0] < len(ALL)
    assert [(kind, word) for kind in KINDS.values() for word in kind.words()] == ALL


def test_pytest_samples_the_slow_tests() -> None:
    """The options and the markers, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", KILL]
    done = subprocess.run([*command, "--slow-sample", "2"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith(KILL)]
    assert len(found) == 3 and f"{KILL}::test_sigterm_writes_a_checkpoint_and_says_resume_me[digits_mlp]" in found


def test_a_sample_follows_from_its_seed() -> None:
    names = [str(number) for number in range(50)]
    assert sampled(names, 5, 1) == sampled(names[::-1], 5, 1) != sampled(names, 5, 2)
    assert len(sampled(names, 5, 1)) == 5
    assert sampled(names[:3], 5, 1) == set(names[:3])
