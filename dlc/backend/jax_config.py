"""JAX's settings, in one place. Every command that computes calls `configure` first."""

from __future__ import annotations

import os

from dlc.backend import compilation_cache
from dlc.backend.compilation_cache import Cache


def configure() -> Cache:
    """Configure JAX: exact reproducibility over speed, no start-up logs, cached programs. Returns the cache."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "xla_gpu_deterministic_ops" not in os.environ.get("XLA_FLAGS", "") and _has_gpu_plugin():
        # atomics in a GPU's scatters and convolution gradients are not reproducible
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    return compilation_cache.enable()


def _has_gpu_plugin() -> bool:
    from importlib.util import find_spec

    return any(find_spec(name) is not None for name in ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin"))
