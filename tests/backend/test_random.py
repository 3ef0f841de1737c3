"""The keys of a run give JAX's bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend.emit import program_text
from dlc.backend.random import root_key

DRAWS: dict[str, Callable[[jax.Array], Any]] = {
    "bits": lambda key: [jax.random.bits(key, shape) for shape in ((), (1,), (5,), (2, 3, 4), (0, 3))],
    "narrow": lambda key: [jax.random.bits(key, (3, 5), kind) for kind in (np.uint8, np.uint16)],
    "normal": lambda key: jax.random.normal(key, (4, 5)),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, (17,)),
    "permutation": lambda key: jax.random.permutation(key, 11),
    "beta": lambda key: jax.random.beta(key, 0.2, 0.4, (6,)),
    "split": lambda key: [jax.random.key_data(jax.random.split(key, shape)) for shape in (1, 3, (2, 3))],
    "fold_in": lambda key: [jax.random.key_data(jax.random.fold_in(key, data)) for data in (0, 5, 2**32 - 1)],
    "turns": lambda key: jax.vmap(lambda iteration: jax.random.uniform(jax.random.fold_in(key, iteration), (3,)))(
        jnp.arange(4)
    ),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_have_the_bits_of_jax(draw: Callable[[jax.Array], Any]) -> None:
    for seed in (0, 7, 2**31 - 1):
        jax.tree.map(np.testing.assert_array_equal, draw(root_key(seed, "cpu")), draw(jax.random.key(seed)))


def test_a_draw_is_no_loop() -> None:
    def drawn(key: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, 3), (40, 50))

    assert "while" not in jax.jit(lambda: drawn(root_key(0, "cpu"))).lower().as_text()
    assert "while" in jax.jit(lambda: drawn(jax.random.key(0))).lower().as_text()


def test_elsewhere_keys_are_those_of_jax() -> None:
    assert root_key(3, "gpu").dtype == jax.random.key(3).dtype
    spec = dlc.loads(
        "inputs: {x: {tensor: 4}}\ntargets: {y: {number: {}}}\nnetwork: [dropout: 0.5, dense: 1]\nloss: mse\n"
        "optimizer: sgd\ndata: {source: {npz: x.npz}}\n"
    )
    ours, theirs = (program_text(spec.plan, "stablehlo", True, platform) for platform in ("cpu", "cuda"))
    assert "stablehlo.case" in ours
    assert "stablehlo.case" not in theirs
    assert "threefry" in theirs


def test_the_bits_are_drawn_once_for_all_their_readers() -> None:
    """A concatenation of windows would draw them again for each."""

    def read(step: jax.Array) -> jax.Array:
        bits = jax.random.bits(jax.random.fold_in(root_key(1, "cpu"), step), (8, 64))
        return jnp.concatenate([bits[:, start : start + 50] for start in range(9)], 1)

    compiled = jax.jit(read).lower(jnp.uint32(1)).compile().as_text()
    assert compiled.count("u32[8,64]{1,0} shift-left(") == 20  # rounds
