"""The five trainings of `work.py` written by hand in JAX, as a careful user would write them for speed.

Data on the device, an epoch as one `lax.scan` in one jitted program with donated state, weights drawn with numpy, sums
of loss and right answers on the device, and the lowerings that are known to be fast on a CPU: convolutions channels
last with gradients of their own, patches for few channels, pooling by comparisons of slices, products of two axes, the
recurrent kernel's gradient after the loop. Nothing is checked, saved or resumed.
"""

from __future__ import annotations

import itertools
import time

from benchmarks.arguments import parser

BEGAN = time.perf_counter()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from jax import lax  # noqa: E402

RATE = 1e-3


def uniform(rng, *shape, fans=None):
    """Glorot uniform."""
    into, out = fans or (int(np.prod(shape[:-1])), shape[-1])
    limit = np.sqrt(6 / (into + out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def dropout(key, rate, x):
    """Two 16-bit numbers from each 32 random bits."""
    bits = jax.random.bits(key, ((x.size + 1) // 2,))
    halves = jnp.stack([bits & 0xFFFF, bits >> 16]).reshape(-1)[: x.size].reshape(x.shape)
    keep = round((1 - rate) * 65536)
    return jnp.where(halves < keep, x * (65536 / keep), 0)


# ---- convolutions ----

LAST = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, pad):
    return lax.conv_general_dilated(x, kernel, (1, 1), [(pad, pad)] * 2, dimension_numbers=LAST)


@jax.custom_vjp
def conv_same(x, kernel):
    """A 3x3 convolution, padded by 1."""
    return conv(x, kernel, 1)


def _same_back(kept, dy):
    x, kernel = kept
    dx = conv(dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), 1)
    return dx, conv(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), 1).transpose(1, 2, 0, 3)


conv_same.defvjp(lambda x, kernel: (conv(x, kernel, 1), (x, kernel)), _same_back)


@jax.custom_vjp
def conv_valid(x, kernel):
    """A 3x3 convolution without padding."""
    return conv(x, kernel, 0)


def _valid_back(kept, dy):
    x, kernel = kept
    dx = conv(dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), 2)
    return dx, conv(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), 0).transpose(1, 2, 0, 3)


conv_valid.defvjp(lambda x, kernel: (conv(x, kernel, 0), (x, kernel)), _valid_back)


def conv_patches(x, kernel, stride=1, pad=0):
    """A 3x3 convolution as one product of patches."""
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    count = (x.shape[1] - 3) // stride + 1
    span = (count - 1) * stride + 1
    parts = [x[:, i : i + span : stride, j : j + span : stride] for i, j in itertools.product(range(3), repeat=2)]
    flat = jnp.concatenate(parts, -1).reshape(-1, 9 * x.shape[-1])
    return (flat @ kernel.reshape(-1, kernel.shape[-1])).reshape(x.shape[0], count, count, -1)


def max_pool(x):
    """Windows of 2x2, one axis after the other."""
    for axis in (1, 2):
        size = x.shape[axis] // 2 * 2
        a, b = (lax.slice_in_dim(x, start, size, 2, axis) for start in (0, 1))
        x = jnp.where(b > a, b, a)
    return x


def batch_norm(x, p, s, momentum=0.9, eps=1e-5):
    """Statistics of the batch, in one pass; the running ones."""
    mean = x.mean((0, 1, 2))
    variance = jnp.square(x).mean((0, 1, 2)) - jnp.square(mean)
    factor = p["scale"] * lax.rsqrt(variance + eps)
    new = {"mean": momentum * s["mean"] + (1 - momentum) * mean, "var": momentum * s["var"] + (1 - momentum) * variance}
    return x * factor + (p["bias"] - mean * factor), new


# ---- networks: (weights, state), and (weights, state, x, key) -> (scores, state) ----


def digits_mlp(rng):
    sizes = [64, 128, 64, 10]
    weights = [(uniform(rng, a, b), np.zeros(b, np.float32)) for a, b in itertools.pairwise(sizes)]

    def apply(weights, state, x, key):
        (a, b), (c, d), (e, f) = weights
        x = dropout(jax.random.fold_in(key, 0), 0.2, jax.nn.relu(x.reshape(x.shape[0], -1) @ a + b))
        return dropout(jax.random.fold_in(key, 1), 0.2, jax.nn.relu(x @ c + d)) @ e + f, state

    return weights, {}, apply


def mnist_cnn(rng):
    zeros = {"a": np.zeros(32, np.float32), "b": np.zeros(64, np.float32), "c": np.zeros(10, np.float32)}
    weights = {
        "one": uniform(rng, 3, 3, 1, 32, fans=(9, 9 * 32)),
        "two": uniform(rng, 3, 3, 32, 64, fans=(9 * 32, 9 * 64)),
        "end": uniform(rng, 1600, 10),
        **zeros,
    }

    def apply(w, state, x, key):
        x = max_pool(jax.nn.relu(conv_patches(x, w["one"]) + w["a"]))
        x = max_pool(jax.nn.relu(conv_valid(x, w["two"]) + w["b"]))
        return dropout(key, 0.5, x.reshape(x.shape[0], -1)) @ w["end"] + w["c"], state

    return weights, {}, apply


def resnet20(rng):
    def unit(into, out):
        weight = {"kernel": uniform(rng, 3, 3, into, out, fans=(9 * into, 9 * out))}
        return weight | {"scale": np.ones(out, np.float32), "bias": np.zeros(out, np.float32)}

    def running(out):
        return {"mean": np.zeros(out, np.float32), "var": np.ones(out, np.float32)}

    def stacked(items):
        return jax.tree.map(lambda *leaves: np.stack(leaves), *items)

    weights = {"stem": unit(3, 16), "end": uniform(rng, 64, 10), "bias": np.zeros(10, np.float32)}
    state = {"stem": running(16)}
    for name, into, out in (("s1", 16, 16), ("s2", 16, 32), ("s3", 32, 64)):
        count = 3 if into == out else 2
        weights[name] = stacked([(unit(out, out), unit(out, out)) for _ in range(count)])
        state[name] = stacked([(running(out), running(out)) for _ in range(count)])
        if into != out:
            weights[f"{name}_first"], state[f"{name}_first"] = (
                (unit(into, out), unit(out, out)),
                (running(out), running(out)),
            )

    def block(x, given):
        (w1, w2), (s1, s2) = given
        y, s1 = batch_norm(conv_same(x, w1["kernel"]), w1, s1)
        y, s2 = batch_norm(conv_same(jax.nn.relu(y), w2["kernel"]), w2, s2)
        return jax.nn.relu(x + y), (s1, s2)

    def apply(w, state, x, _key):
        new = {}
        x, new["stem"] = batch_norm(conv_patches(x, w["stem"]["kernel"], pad=1), w["stem"], state["stem"])
        x = jax.nn.relu(x)
        for name in ("s1", "s2", "s3"):
            if name != "s1":
                (w1, w2), (s1, s2) = w[f"{name}_first"], state[f"{name}_first"]
                y, s1 = batch_norm(conv_patches(x, w1["kernel"], 2, 1), w1, s1)
                y, s2 = batch_norm(conv_same(jax.nn.relu(y), w2["kernel"]), w2, s2)
                channels = x.shape[-1] // 2
                x = jax.nn.relu(jnp.pad(x[:, ::2, ::2], ((0, 0),) * 3 + ((channels, channels),)) + y)
                new[f"{name}_first"] = (s1, s2)
            x, new[name] = lax.scan(block, x, (w[name], state[name]))
        return x.mean((1, 2)) @ w["end"] + w["bias"], new

    return weights, state, apply


@jax.custom_vjp
def recurrence(kernel, now):
    """The last state of an LSTM; `now`, (time, batch, 4 * units), is what its inputs add."""
    return _recurrence(kernel, now)[0]


def _recurrence(kernel, now):
    batch, units = now.shape[1], kernel.shape[0]

    def iteration(carry, now):
        h, c = carry
        i, f, g, o = jnp.split(now + h @ kernel, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), h

    zero = jnp.zeros((batch, units))
    (h, _), before = lax.scan(iteration, (zero, zero), now)
    return h, before


def _recurrence_forward(kernel, now):
    h, back, before = jax.vjp(lambda now: _recurrence(lax.stop_gradient(kernel), now), now, has_aux=True)
    return h, (back, before)


def _recurrence_back(kept, dh):
    back, before = kept
    (dnow,) = back(dh)
    return jnp.einsum("tbu,tbk->uk", before, dnow), dnow


recurrence.defvjp(_recurrence_forward, _recurrence_back)


def lstm(rng):
    bias = np.zeros(512, np.float32)
    bias[128:256] = 1
    weights = {
        "table": rng.uniform(-0.05, 0.05, (5000, 64)).astype(np.float32),
        "kernel": uniform(rng, 64, 512),
        "recurrent": np.linalg.qr(rng.normal(size=(512, 128)))[0].T.astype(np.float32),
        "bias": bias,
        "end": uniform(rng, 128, 2),
        "last": np.zeros(2, np.float32),
    }

    def apply(w, state, x, _key):
        batch, time = x.shape
        flat = w["table"][x.T.reshape(-1)] @ w["kernel"] + w["bias"]
        return recurrence(w["recurrent"], flat.reshape(time, batch, -1)) @ w["end"] + w["last"], state

    return weights, {}, apply


def char_gpt(rng):
    d, heads, length = 128, 4, 64

    def block():
        return {
            "norm1": np.ones(d, np.float32),
            "qkv": np.concatenate([uniform(rng, d, d) for _ in range(3)], 1),
            "out": uniform(rng, d, d),
            "norm2": np.ones(d, np.float32),
            "up": uniform(rng, d, 4 * d),
            "down": uniform(rng, 4 * d, d),
        }

    weights = {
        "table": rng.uniform(-0.05, 0.05, (65, d)).astype(np.float32),
        "places": rng.uniform(-0.05, 0.05, (length, d)).astype(np.float32),
        "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *[block() for _ in range(4)]),
        "norm": np.ones(d, np.float32),
    }
    past = np.tril(np.ones((length, length), bool))

    def norm(x, scale):
        mean = x.mean(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) - mean * mean + 1e-5) * scale

    def apply(w, state, tokens, _key):
        batch = tokens.shape[0]
        x = (w["table"][tokens] + w["places"]).reshape(-1, d)

        def iteration(x, p):
            parts = (norm(x, p["norm1"]) @ p["qkv"]).reshape(batch, length, 3, heads, d // heads)
            q, k, v = (parts[:, :, index].transpose(0, 2, 1, 3) for index in range(3))
            scores = jnp.where(past, q @ k.swapaxes(2, 3) * (d // heads) ** -0.5, -1e30)
            mixed = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(-1, d)
            x = x + mixed @ p["out"]
            return x + jax.nn.gelu(norm(x, p["norm2"]) @ p["up"], approximate=False) @ p["down"], None

        x, _ = lax.scan(iteration, x, w["blocks"])
        return (norm(x, w["norm"]) @ w["table"].T).reshape(batch, length, -1), state

    return weights, {}, apply


NETWORKS = {network.__name__: network for network in (digits_mlp, mnist_cnn, resnet20, lstm, char_gpt)}
LIBRARY = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"}
FLAGS = dict.fromkeys(("mnist_cnn", "resnet20", "lstm"), LIBRARY)  # by measurement: the others gain nothing by any


def make(name: str):
    """(state, indices, data) -> state after a step for each row of indices, compiled; and the first state."""
    weights, running, apply = NETWORKS[name](np.random.default_rng(0))
    optimizer, root = optax.adam(RATE), jax.random.key(0)

    def step(state, rows, data):
        weights, running, moments, number, sums = state
        x, y = data[0][rows], data[1][rows]

        def objective(weights):
            scores, new = apply(weights, running, x, jax.random.fold_in(root, number))
            logs = jax.nn.log_softmax(scores)
            losses = -jnp.where(y[..., None] == jnp.arange(logs.shape[-1]), logs, 0).sum(-1)
            return losses.mean(), (losses, scores, new)

        gradients, (losses, scores, running) = jax.grad(objective, has_aux=True)(weights)
        updates, moments = optimizer.update(gradients, moments, weights)
        sums = (sums[0] + losses.sum(), sums[1] + (scores.argmax(-1) == y).sum())
        return optax.apply_updates(weights, updates), running, moments, number + 1, sums

    def chunk(state, indices, data):
        return lax.scan(lambda carry, rows: (step(carry, rows, data), None), state, indices)[0]

    sums = (np.float32(0), np.int32(0))
    state = jax.device_put((weights, running, jax.jit(optimizer.init)(weights), np.int32(0), sums))
    return jax.jit(chunk, donate_argnums=0, compiler_options=FLAGS.get(name)), state


def main() -> None:
    """An epoch of the data in a file; print when its first step is done."""
    arguments = parser("twins", __doc__)
    arguments.add_argument("name", metavar="NAME", help="of a training")
    arguments.add_argument("file", metavar="FILE", help="its data, .npz")
    arguments.add_argument("batch", metavar="BATCH", type=int)
    arguments.add_argument("cache", metavar="CACHE", nargs="?", help="the folder of compiled programs")
    options = arguments.parse_args()
    name, batch = options.name, options.batch
    if options.cache is not None:
        jax.config.update("jax_compilation_cache_dir", options.cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    with np.load(options.file) as found:
        data = jax.device_put(tuple(found.values()))
    chunk, state = make(name)
    for number, rows in enumerate(np.arange(len(data[0]) // batch * batch, dtype=np.int32).reshape(-1, 1, batch)):
        state = jax.block_until_ready(chunk(state, rows, data))
        if number == 0:
            print(time.perf_counter() - BEGAN, flush=True)


if __name__ == "__main__":
    main()
