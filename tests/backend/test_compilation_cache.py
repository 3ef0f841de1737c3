"""The compilation cache: kept, found again, harmless when it is damaged or not to be had."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.backend import compilation_cache
from dlc.support.cache_folder import cache_folder
from tests.common import SMALL, run_dlc

ONCE = SMALL.replace("epochs: 4", "epochs: 1")


def trained(folder: Path, name: str) -> bytes:
    (folder / "small.yaml").write_text(ONCE)
    done = run_dlc(["train", "small.yaml", "--run", name], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return (folder / name / "weights.safetensors").read_bytes()


@pytest.mark.slow  # .ci/run runs it; the tests share a cache of compiled programs themselves
def test_a_program_is_compiled_once_and_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CACHE", "off")
    without = trained(tmp_path, "without")
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    assert trained(tmp_path, "cold") == without
    folder = tmp_path / "cache" / "xla" / compilation_cache.kind()
    programs = {path.name: path.read_bytes() for path in folder.glob("*-cache")}
    assert any(name.startswith("jit_chunk-") for name in programs)
    assert trained(tmp_path, "warm") == without
    assert {path.name for path in folder.glob("*-cache")} == set(programs)  # nothing was compiled anew

    for path in folder.glob("jit_chunk-*"):  # as a kill leaves it
        path.write_bytes(path.read_bytes()[:1000])
    for path in folder.glob("jit_evaluate-*"):
        path.write_bytes(b"")
    assert trained(tmp_path, "torn") == without
    sizes = {path.name: path.stat().st_size for path in folder.glob("*-cache")}
    assert all(sizes[name] > 0.9 * len(data) for name, data in programs.items())


def test_doctor_tells_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    said = run_dlc(["doctor"]).stdout
    count = len(list((tmp_path / "cache" / "xla" / compilation_cache.kind()).glob("*-cache")))
    assert count > 0
    assert (
        f"cache         {tmp_path / 'cache' / 'xla' / compilation_cache.kind()}: {count} compiled programs, 0.0 MiB"
        in said
    )
    monkeypatch.setenv("DLC_CACHE", "off")
    assert "cache         off: DLC_CACHE=off" in run_dlc(["doctor"]).stdout
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "file"))
    said = run_dlc(["doctor"]).stdout
    assert (
        f"cache         off: `{tmp_path / 'file' / 'xla' / compilation_cache.kind()}` can't be used: not a directory\n"
        in said
    )


def test_the_variable_is_read_as_a_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for given, wanted in (("~/x", tmp_path / "x" / "xla"), (" ", tmp_path / ".cache" / "dlc" / "xla"), (" off", None)):
        monkeypatch.setenv("DLC_CACHE", given)
        assert cache_folder("xla") == wanted


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled program is code: who may write there has his code run."""
    folder = tmp_path / "cache" / "xla" / compilation_cache.kind()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    assert f"cache         off: others may write to `{folder}`" in run_dlc(["doctor"]).stdout


def test_the_oldest_programs_go_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "jaxlib-0.1"
    other.mkdir()
    for age in range(4):
        path = other / f"{age}-cache"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(compilation_cache, "MOST_BYTES", 250)
    compilation_cache._prune(tmp_path)
    assert sorted(path.name for path in other.iterdir()) == ["0-cache", "1-cache"]


def test_a_cache_set_up_for_jax_is_left_alone() -> None:
    assert compilation_cache.enable().folder == Path(os.environ["DLC_CACHE"]) / "xla" / compilation_cache.kind()
    assert np.isfinite(dlc.compile(dlc.loads(SMALL)).init(0)["params"]["dense"]["kernel"]).all()
