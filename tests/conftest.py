"""Fixtures that the tests share: a small spec, and a run of it."""

from __future__ import annotations

import pytest

import dlc
from dlc.pipeline import Spec
from dlc.training.run_folder import RunFolder
from tests.support import SMALL


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
