"""Fixtures that the tests share: a small spec, and a run of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from random import Random

import pytest

# What tests cost is compilation. XLA's and LLVM's cheapest ways, here and in processes that tests start; numbers are as
# exact. `XLA_FLAGS= pytest` runs the tests on what a user's run is compiled to.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import dlc
from dlc.backend.jax_config import configure
from dlc.frontend.pipeline import Spec
from dlc.training.run_folder import RunFolder
from tests.common import SMALL

pytest.register_assert_rewrite("tests.components.battery", "tests.components.layer_battery")  # as those of test files


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many of the slow tests run beside the others; see `slow` in pyproject.toml."""
    group = parser.getgroup("slow tests")
    group.addoption("--slow-sample", type=int, metavar="N", help="run N of the slow tests beside all others")
    group.addoption("--slow-seed", type=int, default=0, metavar="SEED", help="which N; 0 by default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a sample of the slow tests."""
    if config.getoption("--slow-sample") is None:
        return
    slow = {item.nodeid: item for item in items if item.get_closest_marker("slow")}
    kept = sampled(list(slow), config.getoption("--slow-sample"), config.getoption("--slow-seed"))
    left_out = [item for name, item in slow.items() if name not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def sampled(names: Sequence[str], count: int, seed: int) -> set[str]:
    """So many of the names, the same for a seed in every process that shares the tests."""
    return set(Random(seed).sample(sorted(names), min(count, len(names))))


def pytest_configure(config: pytest.Config) -> None:
    """Compiled programs are shared by the workers and by all processes that tests start, and by nothing else."""
    if config.getoption("--slow-sample") is not None:
        config.option.markexpr = ""  # in place of `not slow`
    if not hasattr(config, "workerinput"):
        os.environ["DLC_CACHE"] = tempfile.mkdtemp(prefix="dlc-cache-")
    configure()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache of compiled programs."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["DLC_CACHE"], ignore_errors=True)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Functions and classes by name: their addresses differ between two processes that share the tests."""
    return getattr(val, "__name__", None) if callable(val) else None


@pytest.fixture(scope="session")
def small() -> Spec:
    """A small trainable spec with state, dropout and fitted statistics."""
    return dlc.loads(SMALL)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, small: Spec) -> RunFolder:
    """A finished run of the small spec. Tests must not change it."""
    path = tmp_path_factory.mktemp("small") / "run"
    dlc.train(small, path)
    return RunFolder(path)
