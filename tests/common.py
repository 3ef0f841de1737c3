"""What tests share besides fixtures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from hypothesis import settings

from dlc.frontend.pipeline import check_text

ROOT = Path(__file__).parent.parent
FUSION_EMITTERS = "xla_cpu_use_fusion_emitters" if version("jaxlib") < "0.12" else None
"""The flag of XLA that decides how a CPU joins operations; newer versions have no choice."""
CHEAP_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1" + (
    f" --{FUSION_EMITTERS}=false" if FUSION_EMITTERS else ""
)

SMALL = """
dlc: 1
name: small
data: {source: iris, split: {validation: 0.2, test: 0.2}}
inputs:
  features: {tensor: {shape: [4], normalize: standard}}
targets:
  species: {category: [setosa, versicolor, virginica]}
network:
  - dense: {units: 8, activation: relu}
  - batch_norm: 0.9
  - dropout: 0.2
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 0.05}
train: {epochs: 4, checkpoint_seconds: 0, batch_size: 16}
"""


def run_dlc(
    arguments: Sequence[str], cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
    command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def examples(count: int) -> int:
    """How many examples Hypothesis draws for a test: so many, or four times as many with the profile `thorough`."""
    return count * settings.default.max_examples // 100


def codes(text: str, *sets: str) -> tuple[str, ...]:
    """The codes of what the checker finds in a spec."""
    return check_text(text, sets=sets)[1].codes


def findings(text: str) -> list[tuple[str, int]]:
    """The code and the line of each finding in a spec; line 0 if it has none."""
    return [(item.code, item.span.line if item.span else 0) for item in check_text(text)[1].diagnostics]


def as_users_do(function: Callable[..., Any]) -> Any:
    """`jax.jit` with XLA's own choice of how operations are joined, which decides the last bit of some sums."""
    return jax.jit(function, compiler_options={FUSION_EMITTERS: True} if FUSION_EMITTERS else None)
