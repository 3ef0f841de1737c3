"""JAX's settings, in one place. Every command that computes calls `configure` first."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from dlc.backend import compilation_cache
from dlc.backend.compilation_cache import Cache
from dlc.diagnostics import SpecError
from dlc.support.machine import address_space_left

ADDRESS_SPACE = 2 << 30
"""Bytes of address space for the libraries: 1.7 GiB with 2 processors."""
PER_PROCESSOR = 64 << 20
"""Bytes of address space for the threads of each further processor."""
SETTINGS = {
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_disable_jit": False,
    "jax_random_seed_offset": 0,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_default_matmul_precision": None,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_check_tracer_leaks": False,
    "jax_enable_checks": False,
    "jax_transfer_guard": None,
    "jax_transfer_guard_host_to_device": None,
    "jax_transfer_guard_device_to_host": None,
    "jax_transfer_guard_device_to_device": None,
    "jax_enable_custom_prng": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_error_checking_behavior_nan": "ignore",
    "jax_legacy_prng_key": "allow",
    "jax_log_compiles": False,
}
"""The settings of JAX that change numbers or make a program fail, with the values that dlc needs.

Environment variables such as `JAX_ENABLE_X64` set others.
"""


def configure() -> Cache:
    """Configure JAX: exact reproducibility over speed, no start-up logs, cached programs. Returns the cache.

    The settings hold for the whole process.

    Raises:
        SpecError: DLC513 when the limit of the process leaves too little memory to load JAX, DLC514 when JAX or XLA
            refuses an environment variable.
    """
    need_address_space()
    need_flags()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "xla_gpu_deterministic_ops" not in os.environ.get("XLA_FLAGS", "") and _has_gpu_plugin():
        # atomics in a GPU's scatters and convolution gradients are not reproducible
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    try:
        import jax

        if os.environ.get("JAX_PLATFORMS") or os.environ.get("JAX_PLATFORM_NAME"):
            jax.devices()
    except (ValueError, RuntimeError, AssertionError) as error:
        raise _refused(str(error) or "there is no such platform here") from None
    for name, value in SETTINGS.items():
        if jax.config.values.get(name, value) != value:  # newer versions may lack one
            jax.config.update(name, value)
    return compilation_cache.enable()


def need_flags() -> None:
    """Check that XLA accepts `XLA_FLAGS`: it ends the process otherwise.

    Raises:
        SpecError: DLC514.
    """
    if not os.environ.get("XLA_FLAGS", "").strip() or "jax" in sys.modules:
        return
    begin = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    tried = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", begin], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if tried.returncode:
        lines = [line.partition("] ")[2] for line in tried.stderr.splitlines() if _FATAL.match(line)]
        raise _refused(lines[0] if lines else f"XLA ended with {tried.returncode}")


_FATAL = re.compile(r"[EF]\d{4} ")  # the beginning of a line in which XLA reports an error


def _refused(reason: str) -> SpecError:
    """The error of a variable that JAX or XLA refuses."""
    known = [name for name in os.environ if name.startswith("JAX_") or name == "XLA_FLAGS"]
    given = ", ".join(f"`{name}={os.environ[name][:60]}`" for name in sorted(known))
    hint = "correct or unset the variable"
    return SpecError.of("DLC514", f"JAX does not accept the environment: {reason[:300]}", found=given, hint=hint)


def need_address_space() -> None:
    """Check that JAX can be loaded: with too little address space it fails in many ways, or never ends.

    Raises:
        SpecError: DLC513.
    """
    left = address_space_left()
    needed = ADDRESS_SPACE + PER_PROCESSOR * max(0, (os.cpu_count() or 1) - 2)
    if left is None or left >= needed or "jax" in sys.modules:
        return
    raise SpecError.of(
        "DLC513",
        "the limit of this process leaves too little memory to load JAX",
        found=f"{left / 2**30:.2f} GiB of address space",
        expected=f"at least {needed / 2**30:.2f} GiB, and what the network and the data need",
        hint="raise the limit, for example `ulimit -v unlimited`",
    )


def _has_gpu_plugin() -> bool:
    from importlib.util import find_spec

    return any(find_spec(name) is not None for name in ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin"))
