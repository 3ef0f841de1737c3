"""The five trainings of `work.py` in Keras 3 on JAX, Flax NNX and PyTorch, as their guides write them.

`rivals.py FRAMEWORK NAME FILE BATCH` prints `ready` when two epochs are done; then, for each line it reads, it trains
for about two seconds and prints examples per second.

`rivals.py FRAMEWORK NAME FILE BATCH EPOCHS HELD` is a whole job: it trains for EPOCHS, evaluates the last HELD rows
after each, prints a line, and writes the weights of the best epoch.

It runs under an interpreter of its own, and therefore imports nothing of dlc.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np

SECONDS, RATE, EVALUATED = 2.0, 1e-3, 256


class Rival:
    """An epoch of training, and what a job does between epochs.

    Args:
        epoch: trains one.
        evaluate: (x, y) -> the loss.
        save: writes the weights to a path without suffix.
        fit: (held x, held y, epochs) -> None does a whole job by itself, where the framework has a function for it.
    """

    def __init__(self, epoch, evaluate=None, save=None, fit=None):
        self.epoch, self.evaluate, self.save, self.fit = epoch, evaluate, save, fit

    def job(self, x, y, epochs):
        """A whole job; `x` and `y` are held out."""
        if self.fit is not None:
            self.fit(x, y, epochs)
            return
        best = np.inf
        for number in range(1, epochs + 1):
            self.epoch()
            loss = self.evaluate(x, y)
            if loss < best:
                best = loss
                self.save(f"best-{os.getpid()}")
            print(f"epoch {number}: validation loss {loss:.4f}", flush=True)


def keras_rival(name, x, y, batch, steps_per_execution):
    """An epoch by `model.fit`."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    from keras import layers

    def norm(units):
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(units)

    def conv(inputs, filters, stride=1):
        padded = layers.ZeroPadding2D(1)(inputs) if stride > 1 else inputs
        padding = "valid" if stride > 1 else "same"
        return layers.Conv2D(filters, 3, stride, padding=padding, use_bias=False)(padded)

    given = keras.Input(x.shape[1:], dtype=x.dtype.name)
    if name == "digits_mlp":
        out = layers.Dense(128, activation="relu")(given)
        out = layers.Dense(64, activation="relu")(layers.Dropout(0.2)(out))
        out = layers.Dense(10)(layers.Dropout(0.2)(out))
    elif name == "mnist_cnn":
        out = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(given))
        out = layers.MaxPooling2D()(layers.Conv2D(64, 3, activation="relu")(out))
        out = layers.Dense(10)(layers.Dropout(0.5)(layers.Flatten()(out)))
    elif name == "resnet20":
        out = layers.ReLU()(norm(conv(given, 16)))
        for filters in (16, 32, 64):
            for index in range(3):
                stride = 2 if filters > 16 and index == 0 else 1
                short = out
                if stride == 2:
                    short = layers.MaxPooling2D(1, 2)(short)
                    short = layers.Concatenate()([keras.ops.zeros_like(short[..., : filters // 4]), short])
                    short = layers.Concatenate()([short, keras.ops.zeros_like(short[..., : filters // 4])])
                inner = layers.ReLU()(norm(conv(out, filters, stride)))
                out = layers.ReLU()(layers.Add()([short, norm(conv(inner, filters))]))
        out = layers.Dense(10)(layers.GlobalAveragePooling2D()(out))
    elif name == "lstm":
        out = layers.Dense(2)(layers.LSTM(128)(layers.Embedding(5000, 64)(given)))
    else:
        table = layers.Embedding(65, 128)
        places = layers.Embedding(64, 128)(keras.ops.arange(64)[None])
        out = table(given) + places

        def centered(value):
            return layers.LayerNormalization(epsilon=1e-5, center=False)(value)

        for _ in range(4):
            inner = centered(out)
            out = out + layers.MultiHeadAttention(4, 32, use_bias=False)(inner, inner, use_causal_mask=True)
            inner = layers.Dense(512, activation="gelu", use_bias=False)(centered(out))
            out = out + layers.Dense(128, use_bias=False)(inner)
        out = layers.Dense(65, use_bias=False)(centered(out))  # its embedding has no reverse
    model = keras.Model(given, out)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = [keras.metrics.SparseCategoricalAccuracy()]
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=metrics, steps_per_execution=steps_per_execution)

    def fit(held_x, held_y, epochs):
        keep = keras.callbacks.ModelCheckpoint(
            f"best-{os.getpid()}.weights.h5", save_best_only=True, save_weights_only=True
        )
        model.fit(x, y, batch, epochs, verbose=2, callbacks=[keep], validation_data=(held_x, held_y))

    return Rival(lambda: model.fit(x, y, batch, epochs=1, verbose=0), fit=fit)


def flax_rival(name, x, y, batch, _):  # noqa: C901 - one class for each network, within the function that imports flax
    """A jitted step in a loop over shuffled batches."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    rngs = nnx.Rngs(0)

    class Mlp(nnx.Module):
        def __init__(self):
            self.a, self.b, self.c = (nnx.Linear(*size, rngs=rngs) for size in ((64, 128), (128, 64), (64, 10)))
            self.drop = nnx.Dropout(0.2, rngs=rngs)

        def __call__(self, x):
            return self.c(self.drop(nnx.relu(self.b(self.drop(nnx.relu(self.a(x)))))))

    class Cnn(nnx.Module):
        def __init__(self):
            self.a = nnx.Conv(1, 32, (3, 3), padding="VALID", rngs=rngs)
            self.b = nnx.Conv(32, 64, (3, 3), padding="VALID", rngs=rngs)
            self.c, self.drop = nnx.Linear(1600, 10, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            for layer in (self.a, self.b):
                x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), (2, 2))
            return self.c(self.drop(x.reshape(x.shape[0], -1)))

    class Unit(nnx.Module):
        def __init__(self, into, out, stride=1):
            self.conv = nnx.Conv(into, out, (3, 3), stride, padding=1, use_bias=False, rngs=rngs)
            self.norm = nnx.BatchNorm(out, momentum=0.9, epsilon=1e-5, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.conv(x))

    class Block(nnx.Module):
        def __init__(self, into, out):
            self.stride = 1 if into == out else 2
            self.a, self.b = Unit(into, out, self.stride), Unit(out, out)

        def __call__(self, x):
            y = self.b(nnx.relu(self.a(x)))
            if self.stride == 2:
                quarter = x.shape[-1] // 2
                x = jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (quarter, quarter)))
            return nnx.relu(x + y)

    class ResNet(nnx.Module):
        def __init__(self):
            sizes = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
            self.stem, self.blocks = Unit(3, 16), nnx.List([Block(*size) for size in sizes])
            self.end = nnx.Linear(64, 10, rngs=rngs)

        def __call__(self, x):
            x = nnx.relu(self.stem(x))
            for block in self.blocks:
                x = block(x)
            return self.end(x.mean((1, 2)))

    class Lstm(nnx.Module):
        def __init__(self):
            self.table = nnx.Embed(5000, 64, rngs=rngs)
            self.cell = nnx.RNN(nnx.OptimizedLSTMCell(64, 128, rngs=rngs), return_carry=True)
            self.end = nnx.Linear(128, 2, rngs=rngs)

        def __call__(self, x):
            (_, h), _ = self.cell(self.table(x))
            return self.end(h)

    class Layer(nnx.Module):
        def __init__(self):
            self.n1, self.n2 = (nnx.LayerNorm(128, epsilon=1e-5, use_bias=False, rngs=rngs) for _ in range(2))
            self.mix = nnx.MultiHeadAttention(4, 128, use_bias=False, decode=False, rngs=rngs)
            self.up = nnx.Linear(128, 512, use_bias=False, rngs=rngs)
            self.down = nnx.Linear(512, 128, use_bias=False, rngs=rngs)

        def __call__(self, x, mask):
            x = x + self.mix(self.n1(x), mask=mask)
            return x + self.down(nnx.gelu(self.up(self.n2(x)), approximate=False))

    class Gpt(nnx.Module):
        def __init__(self):
            self.table, self.places = nnx.Embed(65, 128, rngs=rngs), nnx.Embed(64, 128, rngs=rngs)
            self.layers = nnx.List([Layer() for _ in range(4)])
            self.norm = nnx.LayerNorm(128, epsilon=1e-5, use_bias=False, rngs=rngs)

        def __call__(self, x):
            mask = nnx.make_causal_mask(x)
            x = self.table(x) + self.places(jnp.arange(64))
            for layer in self.layers:
                x = layer(x, mask)
            return self.table.attend(self.norm(x))

    model = {"digits_mlp": Mlp, "mnist_cnn": Cnn, "resnet20": ResNet, "lstm": Lstm, "char_gpt": Gpt}[name]()
    optimizer = nnx.Optimizer(model, optax.adam(RATE), wrt=nnx.Param)
    metrics = nnx.MultiMetric(accuracy=nnx.metrics.Accuracy(), loss=nnx.metrics.Average("loss"))

    @nnx.jit
    def step(model, optimizer, metrics, x, y):
        def objective(model):
            scores = model(x)
            return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean(), scores

        (loss, scores), gradients = nnx.value_and_grad(objective, has_aux=True)(model)
        metrics.update(loss=loss, logits=scores, labels=y)
        optimizer.update(model, gradients)

    held, rng = (jnp.asarray(x), jnp.asarray(y)), np.random.default_rng(0)
    cached = nnx.cached_partial(step, model, optimizer, metrics)

    def epoch():
        for rows in rng.permutation(len(x)).reshape(-1, batch):
            cached(held[0][rows], held[1][rows])
        jax.block_until_ready(metrics.compute())
        metrics.reset()

    @nnx.jit
    def score(model, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).sum()

    def evaluate(x, y):
        model.eval()
        sums = [score(model, x[at : at + EVALUATED], y[at : at + EVALUATED]) for at in range(0, len(x), EVALUATED)]
        model.train()
        return float(sum(sums)) / y.size

    def save(path):
        leaves = jax.tree.leaves(nnx.state(model, (nnx.Param, nnx.BatchStat)))
        np.savez(path, *[np.asarray(leaf) for leaf in leaves])

    return Rival(epoch, evaluate, save)


def torch_rival(name, x, y, batch, compiled):  # noqa: C901 - as `flax_rival`, with the import of torch
    """A loop over shuffled batches, eager or compiled."""
    import torch
    import torch.nn.functional as F  # noqa: N812
    from torch import nn

    class Block(nn.Module):
        def __init__(self, into, out):
            super().__init__()
            self.stride = 1 if into == out else 2
            self.a, self.b = (
                nn.Conv2d(into, out, 3, self.stride, 1, bias=False),
                nn.Conv2d(out, out, 3, 1, 1, bias=False),
            )
            self.na, self.nb = nn.BatchNorm2d(out), nn.BatchNorm2d(out)

        def forward(self, x):
            y = self.nb(self.b(F.relu(self.na(self.a(x)))))
            if self.stride == 2:
                quarter = x.shape[1] // 2
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
            return F.relu(x + y)

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.cell, self.end = (
                nn.Embedding(5000, 64),
                nn.LSTM(64, 128, batch_first=True),
                nn.Linear(128, 2),
            )

        def forward(self, x):
            return self.end(self.cell(self.table(x))[0][:, -1])

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(128, bias=False), nn.LayerNorm(128, bias=False)
            self.qkv, self.out = nn.Linear(128, 384, bias=False), nn.Linear(128, 128, bias=False)
            self.up, self.down = nn.Linear(128, 512, bias=False), nn.Linear(512, 128, bias=False)

        def forward(self, x):
            q, k, v = (part.view(*x.shape[:2], 4, 32).transpose(1, 2) for part in self.qkv(self.n1(x)).split(128, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
            x = x + self.out(y)
            return x + self.down(F.gelu(self.up(self.n2(x))))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.places = nn.Embedding(65, 128), nn.Embedding(64, 128)
            self.layers, self.norm = nn.ModuleList(Layer() for _ in range(4)), nn.LayerNorm(128, bias=False)

        def forward(self, x):
            x = self.table(x) + self.places.weight
            for layer in self.layers:
                x = layer(x)
            return self.norm(x) @ self.table.weight.T

    sizes = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    relu = nn.ReLU
    model = {
        "digits_mlp": lambda: nn.Sequential(
            nn.Linear(64, 128), relu(), nn.Dropout(0.2), nn.Linear(128, 64), relu(), nn.Dropout(0.2), nn.Linear(64, 10)
        ),
        "mnist_cnn": lambda: nn.Sequential(
            nn.Conv2d(1, 32, 3), relu(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), relu(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10),
        ),
        "resnet20": lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), relu(), *(Block(*size) for size in sizes),
            Mean(), nn.Linear(64, 10),
        ),
        "lstm": Lstm,
        "char_gpt": Gpt,
    }[name]()  # fmt: skip
    held = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    if x.ndim == 4:
        model = model.to(memory_format=torch.channels_last)
        held = held[0].permute(0, 3, 1, 2), held[1]  # channels last in memory, as they are
    if x.dtype.kind == "i":
        held = held[0].long(), held[1]
    called = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), RATE)

    def epoch():
        loss_sum, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for rows in torch.randperm(len(x)).view(-1, batch):
            inputs, targets = held[0][rows], held[1][rows]
            scores = called(inputs)
            loss = F.cross_entropy(scores.flatten(0, -2), targets.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach()
            right += (scores.argmax(-1) == targets).sum()
        return loss_sum.item(), right.item()

    def evaluate(x, y):
        inputs, targets = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
        inputs = inputs.permute(0, 3, 1, 2) if inputs.ndim == 4 else inputs.long() if x.dtype.kind == "i" else inputs
        model.eval()
        with torch.no_grad():
            total = sum(
                F.cross_entropy(called(part).flatten(0, -2), wanted.flatten(), reduction="sum").item()
                for part, wanted in zip(inputs.split(EVALUATED), targets.split(EVALUATED), strict=True)
            )
        model.train()
        return total / y.size

    return Rival(epoch, evaluate, lambda path: torch.save(model.state_dict(), f"{path}.pt"))


def main() -> None:
    """Train on request."""
    arguments = argparse.ArgumentParser(
        prog="rivals.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("framework", metavar="FRAMEWORK", help="keras-N (N steps per call), flax, torch[-compile]")
    arguments.add_argument("name", metavar="NAME", help="of a training")
    arguments.add_argument("file", metavar="FILE", help="its data, .npz")
    arguments.add_argument("batch", metavar="BATCH", type=int)
    arguments.add_argument("epochs", metavar="EPOCHS", nargs="?", type=int)
    arguments.add_argument("held", metavar="HELD", nargs="?", type=int, default=0)
    options = arguments.parse_args()
    name, batch, held = options.name, options.batch, options.held
    with np.load(options.file) as found:
        x, y = found.values()
    y = y.astype(np.int32)
    x = x if x.dtype == np.float32 else x.astype(np.int32)
    x = x.reshape(len(x), -1) if name == "digits_mlp" else x
    kind, _, option = options.framework.partition("-")
    make = {"keras": keras_rival, "flax": flax_rival, "torch": torch_rival}[kind]
    train, rest = len(x) - held, (x[len(x) - held :], y[len(x) - held :])
    rival = make(name, x[:train], y[:train], batch, int(option or 1) if kind == "keras" else option == "compile")
    if held:
        rival.job(*rest, options.epochs)
        return
    rival.epoch()
    rival.epoch()
    print("ready", flush=True)
    for _ in sys.stdin:
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            rival.epoch()
            done += len(x)
        print(done / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
