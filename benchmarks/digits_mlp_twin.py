"""Training of specs/digits_mlp.yaml written by hand in JAX: the same network, batches, metrics and number of steps.

What a careful user would write for speed: the data on the device, an epoch as one `lax.scan` in one jitted program with
donated state, weights drawn with numpy. It does not check, save or resume anything.
"""

from __future__ import annotations

import itertools
import sys
import time

BEGAN = time.perf_counter()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

BATCH = 32


def layers_of(rng: np.random.Generator, sizes: list[int]) -> list[dict[str, np.ndarray]]:
    """Glorot uniform kernels, zero biases."""
    params = []
    for d, units in itertools.pairwise(sizes):
        limit = np.sqrt(6 / (d + units))
        params.append(
            {"kernel": rng.uniform(-limit, limit, (d, units)).astype(np.float32), "bias": np.zeros(units, np.float32)}
        )
    return params


def dropout(key, rate, x):
    """As dlc does it: two 16-bit numbers from each 32 random bits, half the work of `jax.random.bernoulli`."""
    bits = jax.random.bits(key, (x.size // 2,))
    halves = jnp.stack([bits & 0xFFFF, bits >> 16]).reshape(x.shape)
    keep = round((1 - rate) * 65536)
    return jnp.where(halves < keep, x * (65536 / keep), 0)


def make(sizes: list[int], rate: float, learning_rate: float):
    """The jitted chunk of steps, as many as it gets rows for, and its first state."""
    optimizer = optax.adam(learning_rate)
    root = jax.random.key(0)

    def network(params, x, key):
        for index, layer in enumerate(params[:-1]):
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
            if rate:
                x = dropout(jax.random.fold_in(key, index), rate, x)
        return x @ params[-1]["kernel"] + params[-1]["bias"]

    def step(state, rows, data):
        params, moments, number, sums = state
        x, y = data[0][rows], data[1][rows]

        def objective(params):
            logits = network(params, x, jax.random.fold_in(root, number))
            logs = jax.nn.log_softmax(logits)
            losses = -jnp.where(y[:, None] == jnp.arange(logs.shape[-1]), logs, 0).sum(-1)
            return losses.mean(), (losses, logits)

        gradients, (losses, logits) = jax.grad(objective, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        sums = (sums[0] + losses.sum(), sums[1] + (logits.argmax(-1) == y).sum())
        return optax.apply_updates(params, updates), moments, number + 1, sums

    def chunk(state, indices, data):
        return jax.lax.scan(lambda carry, rows: (step(carry, rows, data), None), state, indices)[0]

    params = layers_of(np.random.default_rng(0), sizes)
    sums = (np.float32(0), np.int32(0))
    state = jax.device_put((params, jax.jit(optimizer.init)(params), np.int32(0), sums))
    return jax.jit(chunk, donate_argnums=0), state


def data_and_rows(train: int):
    """Digits on the device, and the rows to train on."""
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))[:train].astype(np.int32)
    return jax.device_put((x, digits.target.astype(np.int32))), order


def main() -> None:
    """Time from process start to the first finished step: prints seconds since BEGAN."""
    sizes, rate, learning_rate, train = eval_arguments(sys.argv[1:])
    data, rows = data_and_rows(train)
    chunk, state = make(sizes, rate, learning_rate)
    steps = 8  # as many as the first chunk of dlc
    state = chunk(state, rows[: steps * BATCH].reshape(steps, BATCH), data)
    jax.block_until_ready(state)
    print(time.perf_counter() - BEGAN)


def eval_arguments(arguments: list[str]) -> tuple[list[int], float, float, int]:
    """SIZES RATE LEARNING_RATE TRAIN, as the benchmark passes them."""
    sizes, rate, learning_rate, train = arguments
    return [int(size) for size in sizes.split(",")], float(rate), float(learning_rate), int(train)


if __name__ == "__main__":
    main()
