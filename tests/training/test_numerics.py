"""What changes a run's numbers from outside is recorded, and compared when the run continues."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import jax
import pytest

from dlc.backend import jax_config
from dlc.backend.jax_config import SETTINGS, configure
from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import Spec
from dlc.support.files import to_json
from dlc.training.callbacks.progress import Silent
from dlc.training.loop import Stopped
from dlc.training.numerics import NAME, need_as_began, numerics
from dlc.training.run_folder import RunFolder
from dlc.training.train import train
from tests.common import SMALL, run_dlc


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(to_json(numerics().plain()))
    return tmp_path


def rewrite(run: Path, **changes: object) -> None:
    record = json.loads((run / NAME).read_text())
    (run / NAME).write_text(json.dumps(record | changes))


def test_nothing_is_said_where_nothing_changed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert need_as_began(run) is None
    flags = numerics().settings.get("XLA_FLAGS", "").split()
    monkeypatch.setenv("XLA_FLAGS", "  ".join([*reversed(flags), "--xla_dump_to=/nowhere"]))
    assert need_as_began(run) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"), ("NVIDIA_TF32_OVERRIDE", "1"), ("NPROC", "1")],
)
def test_other_settings_are_refused(run: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SpecError, match=r"DLC504: .* other settings of JAX or XLA") as caught:
        need_as_began(run)
    assert f"`{name}` is `{value}`" in str(caught.value.report.diagnostics[0].found)


def test_versions_and_processors_are_said(run: Path) -> None:
    rewrite(run, versions=numerics().versions | {"jaxlib": "0.9.9"}, processors=977, processor="x86_64-another")
    text = need_as_began(run)
    assert text is not None
    assert "jaxlib 0.9.9 is now" in text
    assert "another kind of processor" in text
    assert "977 processors are now" in text


def test_a_missing_or_damaged_record_is_not_silent(run: Path) -> None:
    rewrite(run, settings={"XLA_FLAGS": 3})
    with pytest.raises(SpecError, match="DLC503"):
        need_as_began(run)
    (run / NAME).unlink()
    assert "is missing" in str(need_as_began(run))


def test_dlc_sets_what_it_needs() -> None:
    """`JAX_ENABLE_X64`, `JAX_DISABLE_JIT` and others would change the bits of a run, or make it fail."""
    try:
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_random_seed_offset", 5)
        jax.config.update("jax_disable_jit", True)
        jax.config.update("jax_numpy_dtype_promotion", "strict")
    finally:
        configure()
    assert {name: jax.config.values[name] for name in SETTINGS if name in jax.config.values} == SETTINGS


class Notes(Silent):
    """Keeps the notes of a run."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def stopped(small: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small spec that was stopped. Tests must not change it."""
    run = RunFolder(tmp_path_factory.mktemp("stopped") / "run")
    answers = iter([False] * 4 + [True] * 9)
    with pytest.raises(Stopped):
        train(small, run=run, chunk_iterations=2, stop=lambda: next(answers))
    return run.path


@pytest.fixture
def stopped_run(stopped: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(stopped, tmp_path / "run"))


def files_of(run: RunFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_a_run_is_not_resumed_with_other_settings(
    small: Spec, stopped_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(stopped_run)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    with pytest.raises(SpecError, match=r"DLC504: .* other settings of JAX or XLA"):
        train(small, run=stopped_run, resume=True)
    assert files_of(stopped_run) == before


def test_a_run_is_resumed_with_other_versions_and_a_note(
    small: Spec, small_run: RunFolder, stopped_run: RunFolder
) -> None:
    rewrite(stopped_run.path, versions=numerics().versions | {"jaxlib": "0.9.9"})
    notes = Notes()
    train(small, run=stopped_run, resume=True, reporter=notes)
    assert any("its bits may differ: jaxlib 0.9.9 is now" in text for text in notes.texts), notes.texts
    assert json.loads((stopped_run.path / NAME).read_text())["versions"]["jaxlib"] != "0.9.9", "the next note is new"
    assert stopped_run.weights.read_bytes() == small_run.weights.read_bytes()


def test_variables_of_jax_change_no_bit(
    small_run: RunFolder, stopped_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    for name, value in {
        "JAX_ENABLE_X64": "1",
        "JAX_RANDOM_SEED_OFFSET": "7",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_DISABLE_JIT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    done = run_dlc(["train", str(tmp_path / "small.yaml"), "--run", str(stopped_run.path), "--resume", "-q"])
    assert done.returncode == 0, done.stderr
    assert stopped_run.weights.read_bytes() == small_run.weights.read_bytes()
    assert stopped_run.metrics.read_bytes() == small_run.metrics.read_bytes()


def test_too_little_address_space_for_jax_is_said_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_config, "address_space_left", lambda: 1 << 30)
    configure()  # JAX is loaded
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "jax")
        with pytest.raises(SpecError, match="DLC513") as caught:
            configure()
    item = caught.value.report.diagnostics[0]
    assert item.found == "1.00 GiB of address space"
    assert item.hint is not None and "ulimit -v" in item.hint
