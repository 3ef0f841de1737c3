"""Fixtures that the tests share: a small spec, and a run of it."""

from __future__ import annotations

import os
import shutil
import tempfile

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


def pytest_configure(config: pytest.Config) -> None:
    """Compiled programs are shared by the workers and by all processes that tests start, and by nothing else."""
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
