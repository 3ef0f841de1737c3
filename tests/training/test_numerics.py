"""What changes a run's numbers from outside is recorded, and compared when the run continues."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import pytest

from dlc.backend.jax_config import SETTINGS, configure
from dlc.diagnostics import SpecError
from dlc.support.files import to_json
from dlc.training.numerics import NAME, need_as_began, numerics


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
