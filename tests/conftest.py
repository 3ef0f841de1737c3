"""Fixtures that the tests share: a small spec, and a run of it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import settings

from tests.common import CHEAP_FLAGS, SMALL

# What tests cost is compilation. XLA's and LLVM's cheapest ways, here and in processes that tests start; numbers are as
# exact. `XLA_FLAGS= pytest` runs the tests on what a user's run is compiled to.
os.environ.setdefault("XLA_FLAGS", CHEAP_FLAGS)

import dlc
from dlc.backend.jax_config import configure
from dlc.frontend.pipeline import Spec
from dlc.training.run_folder import RunFolder

settings.register_profile("thorough", max_examples=400)  # `pytest --hypothesis-profile thorough`: see `examples`
# The same examples in every run, so that a change is not blamed for what another draw finds;
# `pytest --hypothesis-profile=default` draws others.
settings.register_profile("same", derandomize=True, print_blob=True)
settings.load_profile("same")

pytest.register_assert_rewrite("tests.components.battery", "tests.components.layer_battery")  # as those of test files


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many of the slow tests run beside the others; see `slow` in pyproject.toml."""
    group = parser.getgroup("slow tests")
    group.addoption("--slow-sample", type=int, metavar="N", help="run N of the slow tests beside all others")
    group.addoption("--slow-seed", type=int, default=0, metavar="SEED", help="which N; 0 by default")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the further cases of tests that are `few` as slow, unless `-k` selects; keep a sample of the slow tests."""
    cases: dict[str, list[Any]] = {}
    for item in items if not config.option.keyword else ():
        if item.get_closest_marker("few"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for found in cases.values():
        kept = few_of([item.callspec.id for item in found], *found[0].get_closest_marker("few").args)
        for index, item in enumerate(found):
            if index not in kept:
                item.add_marker(pytest.mark.slow)
    if config.getoption("--slow-sample") is None:
        return
    slow = {item.nodeid: item for item in items if item.get_closest_marker("slow")}
    kept = sampled(list(slow), config.getoption("--slow-sample"), config.getoption("--slow-seed"))
    left_out = [item for name, item in slow.items() if name not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def few_of(names: Sequence[str], count: int | None = None) -> set[int]:
    """The indices of so many cases, spread evenly; if it is None, of the first case of each component.

    >>> sorted(few_of(["adam", "adam: 0.1", "{sgd: 1}", "sgd"]))
    [0, 2]
    >>> sorted(few_of(["a", "b", "c", "d", "e"], 2))
    [0, 4]
    """
    if count is not None:
        return {round(index * (len(names) - 1) / max(1, count - 1)) for index in range(count)}
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        found = re.search(r"[^\W\d]\w*", name)
        first.setdefault(found[0] if found else name, index)
    return set(first.values())


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
    """Functions and classes by name, and bytes as such.

    The addresses of functions differ between two processes that share the tests, and so does the time in an archive.
    """
    if isinstance(val, bytes):
        return "bytes"
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
