"""Times variants of a program's operations for `dlc train --autotune`. Times are stored with compiled programs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend import compilation_cache
from dlc.backend.lowering import Lowering, options, platform
from dlc.backend.network import Program
from dlc.kernels.selection import Site

ROUNDS = 5
SECONDS = 0.05  # minimum duration of one measurement
GAIN = 0.95  # a variant replaces the table's choice if it needs at most this share of its time

Note = Callable[[str], None]


def tuned(program: Program, note: Note) -> Lowering:
    """The fastest variants for the sites of a traced program: forward and backward, in a loop, as in training.

    Variants within 5 % count as equal; the fixed table's choice is then kept.
    """
    here = platform()
    known = _known()
    variants, measured = {}, 0
    for name, site in program.choices.sites.items():
        usual = site.variant(here)
        if len(site.fitting) == 1:
            variants[name] = usual
            continue
        key = f"{here} {dict(program.flags)} {site.operation.name} {site.setting} {list(map(str, site.arrays))}"
        if not set(site.fitting) <= set(known.get(key, {})):
            known[key] = _times(site, program.flags)
            measured += 1
        times = known[key]
        best = min(site.fitting, key=times.__getitem__)
        variants[name] = best if times[best] <= GAIN * times[usual] else usual
        if variants[name] != usual:
            note(f"{name}: {variants[name]} takes {times[best] * 1e3:.2f} ms, {usual} {times[usual] * 1e3:.2f} ms")
    if measured:
        _keep(known)
    return Lowering(here, variants, program.flags)


def _times(site: Site, flags: Mapping[str, str]) -> dict[str, float]:
    """Seconds per step of each fitting variant: the median of interleaved rounds."""
    rng = np.random.default_rng(0)
    arrays = tuple(jnp.asarray(rng.normal(size=array.shape), array.dtype) for array in site.arrays)
    floats = tuple(index for index, array in enumerate(arrays) if jnp.issubdtype(array.dtype, jnp.floating))

    def loop(variant: str) -> Any:
        def step(_: int, given: tuple[Any, ...]) -> tuple[Any, ...]:
            def total(*given: Any) -> Any:
                made = jax.tree.leaves(site.operation.variants[variant](site.setting, *given))
                return sum(jnp.square(leaf).astype(jnp.float32).mean() for leaf in made)

            moved = list(given)
            for index, gradient in zip(floats, jax.grad(total, floats)(*given), strict=True):
                moved[index] = given[index] - (1e-6 * gradient).astype(gradient.dtype)
            return tuple(moved)

        return jax.jit(
            lambda iterations, arrays: jax.lax.fori_loop(0, iterations, step, arrays), compiler_options=options(flags)
        )

    def seconds(function: Any, iterations: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(function(iterations, arrays))
        return (time.perf_counter() - began) / iterations

    loops = {variant: loop(variant) for variant in site.fitting}
    iterations = {}
    for variant, function in loops.items():
        seconds(function, 1)  # compiles
        iterations[variant] = max(1, int(SECONDS / max(seconds(function, 1), 1e-6)))
    rounds = [
        {variant: seconds(function, iterations[variant]) for variant, function in loops.items()} for _ in range(ROUNDS)
    ]
    return {variant: statistics.median(each[variant] for each in rounds) for variant in loops}


def _known() -> dict[str, dict[str, float]]:
    """Earlier measurements: times by variant, by site."""
    from dlc.support.files import from_json
    from dlc.support.regular_files import read_whole

    folder = compilation_cache.enable().folder
    if folder is None:
        return {}
    try:
        found = from_json(read_whole(folder / "timings.json"))
        return {
            str(key): {str(variant): float(time) for variant, time in times.items()} for key, times in found.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _keep(known: Mapping[str, Mapping[str, float]]) -> None:
    from dlc.diagnostics import SpecError
    from dlc.support.files import to_json, write_atomic

    folder = compilation_cache.enable().folder
    if folder is not None:
        with suppress(SpecError):  # it is then measured again
            write_atomic(folder / "timings.json", to_json(known))
