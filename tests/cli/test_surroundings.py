"""Commands in unlucky surroundings: few file descriptors, little memory, a C locale, names that are not UTF-8."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.training.run_folder import RunFolder
from tests.common import SMALL

POOR = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAME = os.fsdecode(b"caf\xe9 \xff")
"""A name that is not UTF-8."""


def command(
    *arguments: str, folder: Path, environment: dict[str, str] | None = None, limit: tuple[int, int] | None = None
) -> tuple[int, str]:
    """The exit code of a command, and what it printed.

    Args:
        arguments: of the command.
        folder: where it runs.
        environment: variables that are set.
        limit: a resource, and how much of it the process gets.
    """
    limited = f"import resource; resource.setrlimit({limit[0]}, ({limit[1]}, {limit[1]})); " if limit else ""
    done = subprocess.run(
        [sys.executable, "-c", f"{limited}from dlc.cli import main; main()", *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    text = done.stdout.decode(errors="surrogateescape")
    assert "Traceback" not in text and "DLC900" not in text, text
    return done.returncode, text


@pytest.mark.parametrize("megabytes", [900, 1500])
@pytest.mark.parametrize("arguments", [("train", "spec.yaml"), ("eval", "run"), ("report", "run")])
@pytest.mark.few(2)
def test_too_little_memory_for_jax(megabytes: int, arguments: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL)
    code, text = command(*arguments, folder=tmp_path, limit=(resource.RLIMIT_AS, megabytes << 20))
    assert (code, text[:13]) == (1, "error[DLC513]"), text
    assert "ulimit -v" in text
    assert not (tmp_path / "runs").exists()


def test_a_check_needs_little_memory_and_few_descriptors(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL)
    for limit in ((resource.RLIMIT_AS, 300 << 20), (resource.RLIMIT_NOFILE, 6)):
        assert command("check", "spec.yaml", folder=tmp_path, limit=limit) == (0, "no problems in 1 file\n")


@pytest.mark.slow  # the replay of attacks tries these as well
@pytest.mark.parametrize("descriptors", [4, 8, 12, 20, 40, 80])
def test_few_file_descriptors(descriptors: int, small_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL)
    for arguments in (("train", "spec.yaml", "--run", "new"), ("eval", str(small_run.path))):
        code, text = command(*arguments, folder=tmp_path, limit=(resource.RLIMIT_NOFILE, descriptors))
        assert code == 0 or (code == 1 and ("DLC512" in text or "DLC507" in text)), text


@pytest.mark.slow  # the replay of attacks tries these as well
@pytest.mark.parametrize("gigabytes", [2.2, 2.5, 3, 4])
def test_little_memory_to_compute(gigabytes: float, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL.replace("units: 8", "units: 30000"))
    limit = (resource.RLIMIT_AS, int(gigabytes * 2**30))
    code, text = command("train", "spec.yaml", "--run", "new", folder=tmp_path, limit=limit)
    assert code == 0 or (code == 1 and ("DLC512" in text or "DLC513" in text)), text


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / f"{NAME}.yaml").write_text(f"extends: base.yaml\n{SMALL}")
    (folder / "base.yaml").write_text(SMALL)
    assert command("check", f"{NAME}.yaml", folder=folder) == (0, "no problems in 1 file\n")
    (folder / f"{NAME}.yaml").write_text(SMALL.replace("adam", "adm"))
    for environment in ({}, POOR):
        code, text = command("check", str(folder / f"{NAME}.yaml"), folder=folder, environment=environment)
        assert (code, "did you mean `adam`?" in text) == (1, True), text


@pytest.mark.slow  # a check is tested above
@pytest.mark.parametrize("environment", [{}, POOR], ids=["UTF-8", "C"])
def test_a_run_whose_name_is_not_utf8(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "größe.csv").write_text("größe,y\n" + "".join(f"{i},{i % 2}\n" for i in range(24)), encoding="utf-8")
    (folder / f"{NAME}.yaml").write_text(
        "data: {source: {csv: größe.csv}, split: {test: 0.25}}\ninputs: {x: {number: {column: größe}}}\n"
        "targets: {y: {category: {classes: ['0', '1']}}}\nnetwork: [dense: 2]\nloss: cross_entropy\n"
        "metrics: [accuracy]\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n",
        encoding="utf-8",
    )
    run = str(folder / f"run {NAME}")
    for arguments in (
        ("train", f"{NAME}.yaml", "--run", run),
        ("eval", run, "--confusion"),
        ("eval", run, "--data", "größe.csv"),
        ("predict", run, "größe.csv", "--out", f"{NAME}.csv"),
        ("report", run),
        ("export", run, "--to", "safetensors"),
        ("train", run, "--resume", "--set", "train.epochs=2"),
    ):
        code, text = command(*arguments, folder=folder, environment=environment)
        assert code == 0, text


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("XLA_FLAGS", "--nonsense", "Unknown flag in XLA_FLAGS: --nonsense"),
        ("XLA_FLAGS", "nonsense", 'Could not open file "nonsense"'),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=maybe", "Couldn't interpret value maybe"),
        ("JAX_ENABLE_X64", "banana", "invalid truth value 'banana'"),
        ("JAX_PLATFORMS", "nonsense", "Unable to initialize backend 'nonsense'"),
        ("JAX_PLATFORMS", "cuda", ""),
        ("JAX_DEFAULT_PRNG_IMPL", "zzz", 'Invalid value "zzz"'),
    ],
)
@pytest.mark.few(2)
def test_variables_that_jax_refuses(variable: str, value: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL)
    code, text = command("train", "spec.yaml", "--dry-run", folder=tmp_path, environment={variable: value})
    assert (code, text[:13]) == (1, "error[DLC514]"), text
    assert reason in text and f"`{variable}={value}`" in text
