"""The numbers of PyTorch, Keras and of published formulas that tests compare dlc with.

`PYTHON -m benchmarks.pytorch_references [--print]`, where PYTHON has torch and keras and need not have dlc, computes
them again and prints how far those in the tests are away; with `--print` the tables themselves, to be pasted there.
"""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")

from benchmarks.arguments import parser
from tests.components.losses.published_losses import GIVEN
from tests.components.optimizers.published_rules import START, gradient
from tests.components.waves import wave

TESTS = Path(__file__).parent.parent / "tests" / "components"
TORCH: Any = None  # PyTorch, imported by `main`: these tests and mypy do without it
F: Any = None  # torch.nn.functional
Row = tuple[float, ...]


def short(values: Any, digits: int) -> Row:
    """Numbers with so many digits."""
    return tuple(float(f"{float(value):.{digits}g}") for value in values)


# ---- losses ----


def one_hot(target: Any, classes: int) -> Any:
    """Rows of 0 and 1 in float64, or rows of probabilities as they are."""
    return target if target.is_floating_point() else F.one_hot(target, classes).double()


def focal(y: Any, t: Any, gamma: float, alpha: Row) -> Any:
    """Lin et al. 2017, equation 5, with a factor for each class."""
    logs = y.log_softmax(-1)
    each = -TORCH.tensor(alpha, dtype=TORCH.float64) * (1 - logs.exp()) ** gamma * logs
    return (one_hot(t, 3) * each).sum(-1).mean()


def binary_focal(y: Any, t: Any, gamma: float = 2.0, alpha: float | None = 0.25) -> Any:
    """torchvision's `sigmoid_focal_loss`."""
    p = y.sigmoid()
    loss = F.binary_cross_entropy_with_logits(y, t, reduction="none") * (1 - p * t - (1 - p) * (1 - t)) ** gamma
    return (loss if alpha is None else loss * (alpha * t + (1 - alpha) * (1 - t))).mean()


def averaged_focal(y: Any, t: Any) -> Any:
    """The losses of both classes, averaged by the target."""
    yes, no = F.logsigmoid(y), F.logsigmoid(-y)
    return -(0.25 * t * (1 - yes.exp()) ** 2 * yes + 0.75 * (1 - t) * (1 - no.exp()) ** 2 * no).mean()


def weighted(y: Any, t: Any) -> Any:
    """Cross-entropy with weights and label smoothing: the weighted mean for classes, the mean for rows."""
    return F.cross_entropy(y, t, TORCH.tensor([0.5, 2, 1]).double(), label_smoothing=0.1)


def poly(y: Any, t: Any) -> Any:
    """Leng et al. 2022, equation 6."""
    return (F.cross_entropy(y, t, reduction="none") + 1.5 * (1 - (one_hot(t, 3) * y.softmax(-1)).sum(-1))).mean()


def categorical_hinge(y: Any, t: Any) -> Any:
    """Crammer and Singer 2001."""
    right = one_hot(t, 3).bool()
    return (1 + y.masked_fill(right, -math.inf).amax(-1) - y[right]).clamp(min=0).mean()


def overlap(y: Any, t: Any, index: Callable[..., Any]) -> Any:
    """1 - an index of the common, false and missed parts, the mean over classes and examples."""
    p, t = y.softmax(-1), one_hot(t, 3)
    parts = [(p * t).sum(1), (p * (1 - t)).sum(1), ((1 - p) * t).sum(1)]
    return (1 - index(*parts)).mean()


def contrastive(y: Any, t: Any) -> Any:
    """Hadsell et al. 2006, equation 4, without the factor 1/2 and with inverted labels."""
    distance = (y[:, 0] - y[:, 1]).norm(dim=-1)
    return (t * distance**2 + (1 - t) * (2 - distance).clamp(min=0) ** 2).mean()


def triplets(y: Any, _: Any) -> Any:
    """PyTorch's, without what it adds to each difference."""
    return F.triplet_margin_loss(y[:, 0], y[:, 1], y[:, 2], margin=2.0, eps=0)


def hardest(y: Any, t: Any) -> Any:
    """Hermans et al. 2017, equation 5."""
    rows = []
    for index in range(len(y)):
        away = [(y[index] - other).norm() for other in y]
        same = [away[k] for k in range(len(y)) if k != index and t[k] == t[index]]
        other = [away[k] for k in range(len(y)) if t[k] != t[index]]
        rows.append((TORCH.stack(same).max() - TORCH.stack(other).min() + 2).clamp(min=0))
    return TORCH.stack(rows).mean()


def nt_xent(y: Any, t: Any) -> Any:
    """Chen et al. 2020, equation 1, with temperature 0.5."""
    views = F.normalize(TORCH.cat([y, t]), dim=-1)
    scores = (views @ views.T / 0.5).fill_diagonal_(-math.inf)
    return F.cross_entropy(scores, TORCH.arange(2 * len(y)).roll(len(y)))


def ctc(y: Any, t: Any, reduction: str) -> Any:
    """PyTorch's: `none` is the sum over the steps, `mean` divides by the length of the target."""
    logs, batch = y.log_softmax(-1).transpose(0, 1), len(y)
    found = F.ctc_loss(logs, t, [y.shape[1]] * batch, [t.shape[1]] * batch, reduction=reduction)
    return found.mean()


def nll(y: Any, t: Any, laplace: bool) -> Any:
    """-log p of a Laplace or a normal distribution, with the logarithm of its scale or variance."""
    middle, spread = y.chunk(2, -1)
    if laplace:
        return (spread + (t - middle).abs() / spread.exp() + math.log(2)).mean()
    return F.gaussian_nll_loss(middle, t, spread.exp(), full=True)


def signs(t: Any) -> Any:
    """Classes 0 and 1 as -1 and 1."""
    return 2 * t - 1


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "mse": lambda y, t: F.mse_loss(y, t, reduction="mean"),
    "mae": lambda y, t: F.l1_loss(y, t, reduction="mean"),
    "huber: 0.7": lambda y, t: F.huber_loss(y, t, delta=0.7),
    "smooth_l1: 0.7": lambda y, t: F.smooth_l1_loss(y, t, beta=0.7),
    "log_cosh": lambda y, t: TORCH.log(TORCH.cosh(y - t)).mean(),
    "mape": lambda y, t: (100 * ((y - t) / t).abs()).mean(),
    "msle": lambda y, t: ((1 + y).log() - (1 + t).log()).square().mean(),
    "quantile: [0.1, 0.5, 0.9]": lambda y, t: sum(
        TORCH.maximum(q * (t[:, 0] - y[:, i]), (q - 1) * (t[:, 0] - y[:, i])).mean() / 3
        for i, q in enumerate((0.1, 0.5, 0.9))
    ),
    "cross_entropy": lambda y, t: F.cross_entropy(y, t, reduction="mean"),
    "cross_entropy: {label_smoothing: 0.1, class_weights: [0.5, 2, 1]}": weighted,
    "cross_entropy: {label_smoothing: 0.1, class_weights: [0.5, 2, 1], weighted_mean: false}": weighted,
    "binary_cross_entropy: {pos_weight: 3}": lambda y, t: F.binary_cross_entropy_with_logits(
        y, t, pos_weight=TORCH.tensor(3.0)
    ),
    "focal: {gamma: 1.5, alpha: [0.2, 0.3, 0.5]}": lambda y, t: focal(y, t, 1.5, (0.2, 0.3, 0.5)),
    "binary_focal": binary_focal,
    "binary_focal: {alpha: null, gamma: 1.5}": lambda y, t: binary_focal(y, t, 1.5, None),
    "binary_focal: {soft_targets: averaged}": averaged_focal,
    "poly: 1.5": poly,
    "hinge": lambda y, t: (1 - signs(t) * y).clamp(min=0).mean(),
    "squared_hinge": lambda y, t: (1 - signs(t) * y).clamp(min=0).square().mean(),
    "categorical_hinge": categorical_hinge,
    "perceptron": lambda y, t: (-signs(t) * y).clamp(min=0).mean(),
    "cosine": lambda y, t: (1 - F.cosine_similarity(y, t, dim=-1)).mean(),
    "kl_divergence": lambda y, t: F.kl_div(y.log_softmax(-1), t, reduction="batchmean"),
    "poisson": lambda y, t: F.poisson_nll_loss(y, t, log_input=True),
    "gaussian_nll: {full: true}": lambda y, t: nll(y, t, laplace=False),
    "laplace_nll: {full: true}": lambda y, t: nll(y, t, laplace=True),
    "dice": lambda y, t: overlap(y, t, lambda i, f, m: (2 * i + 1) / (2 * i + f + m + 1)),
    "jaccard": lambda y, t: overlap(y, t, lambda i, f, m: (i + 1) / (i + f + m + 1)),
    "tversky": lambda y, t: overlap(y, t, lambda i, f, m: (i + 1) / (i + 0.3 * f + 0.7 * m + 1)),
    "contrastive: 2": contrastive,
    "triplet: 2": triplets,
    "triplet: {mining: hard, margin: 2}": hardest,
    "nt_xent: 0.5": nt_xent,
    "ctc": lambda y, t: ctc(y, t, "none"),
    "ctc: {per_token: true}": lambda y, t: ctc(y, t, "mean"),
    "formula: 'abs(prediction - target) ** 1.5'": lambda y, t: ((y - t).abs() ** 1.5).mean(),
}


def losses() -> dict[str, Row]:
    """The loss before and after 50 steps of size 0.1 on the output, and its first and last element then."""
    found = {}
    for spec, of in LOSSES.items():
        output, target = GIVEN[spec]
        y = TORCH.tensor(output, dtype=TORCH.float64)
        t = None if target is None else TORCH.tensor(target)
        t = t if t is None else t.double() if t.is_floating_point() else t.long()
        losses = []
        for _ in range(51):
            y = y.detach().requires_grad_()
            value = of(y, t)
            losses.append(float(value.detach()))
            last, y = y.detach(), y - 0.1 * TORCH.autograd.grad(value, y)[0]
        found[spec] = short((losses[0], losses[50], last.ravel()[0], last.ravel()[-1]), 10)
    return found


# ---- optimizers ----

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd: 0.05": ("SGD", {"lr": 0.05}),
    "sgd: {learning_rate: 0.05, momentum: 0.9}": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true}": (
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "rprop: 0.1": ("Rprop", {"lr": 0.1}),
    "adagrad: {learning_rate: 0.1, initial_accumulator_value: 0, eps: 1e-10, eps_in_sqrt: false}": (
        "Adagrad",
        {"lr": 0.1},
    ),
    "adadelta: {weight_decay: 0.1}": ("Adadelta", {"weight_decay": 0.1}),
    "rmsprop: {decay: 0.99, eps_in_sqrt: false}": ("RMSprop", {"lr": 1e-3}),
    "rmsprop: {decay: 0.99, eps_in_sqrt: false, centered: true, momentum: 0.9}": (
        "RMSprop",
        {"lr": 1e-3, "centered": True, "momentum": 0.9},
    ),
    "adam": ("Adam", {}),
    "adamw: {weight_decay: 0.1}": ("AdamW", {"weight_decay": 0.1}),
    "nadam: {momentum_decay: 0.004}": ("NAdam", {"lr": 1e-3}),
    "nadamw: {weight_decay: 0.1, momentum_decay: 0.5}": (
        "NAdam",
        {"lr": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.5, "decoupled_weight_decay": True},
    ),
    "amsgrad: {b2: 0.9, correction: after}": ("Adam", {"betas": (0.9, 0.9), "amsgrad": True}),
    "radam: {b2: 0.99, eps: 1e-3, eps_hat: true}": ("RAdam", {"betas": (0.9, 0.99), "eps": 1e-3}),
    "adamax": ("Adamax", {"lr": 1e-3}),
    "adafactor: {min_dim_size_to_factor: 2}": ("Adafactor", {}),
}
LONG = ("adam", "adamw: {weight_decay: 0.1}", "sgd: {learning_rate: 0.05, momentum: 0.9}")


def descent(spec: str, steps: int) -> list[dict[str, Any]]:
    """The weights after each step, float64."""
    name, options = OPTIMIZERS[spec]
    weights = {key: TORCH.nn.Parameter(TORCH.tensor(value, dtype=TORCH.float64)) for key, value in START.items()}
    made, found = getattr(TORCH.optim, name)(list(weights.values()), **options), []
    for t in range(1, steps + 1):
        for key, value in gradient(t).items():
            weights[key].grad = TORCH.tensor(value, dtype=TORCH.float64)
        made.step()
        found.append({key: value.detach().clone() for key, value in weights.items()})
    return found


def optimizers() -> dict[str, tuple[Row, Row]]:
    """The first and the last element of the kernel and the second of the bias, after 1 and 50 steps."""
    found = {}
    for spec in OPTIMIZERS:
        after = descent(spec, 50)
        rows = [short((part["kernel"][0, 0], part["kernel"][3, 2], part["bias"][1]), 13) for part in after]
        found[spec] = (rows[0], rows[49])
    return found


def long_runs() -> dict[str, tuple[Row, ...]]:
    """The rows of the kernel and the bias after 100 steps."""
    found = {}
    for spec in LONG:
        last = descent(spec, 100)[-1]
        found[spec] = tuple(short(row, 13) for row in (*last["kernel"], last["bias"]))
    return found


# ---- schedules ----

SHOWN = (0, 1, 9, 14, 28, 40, 49)


def schedules() -> dict[str, Row]:
    """The rates of a run of fifty steps, at the steps `SHOWN`."""
    lr = TORCH.optim.lr_scheduler
    made: dict[str, Callable[[Any], Any]] = {
        "linear: {value: 0.1, end: 0.01}": lambda o: lr.LinearLR(o, 1.0, 0.1, 50),
        "polynomial: {value: 0.1, power: 0.9}": lambda o: lr.PolynomialLR(o, 50, 0.9),
        "exponential: {value: 0.1, factor: 0.95, every: 1}": lambda o: lr.ExponentialLR(o, 0.95),
        "step: {value: 0.1, every: 15, factor: 0.5}": lambda o: lr.StepLR(o, 15, 0.5),
        "piecewise: {value: 0.1, boundaries: [10, 30], factors: [0.1, 0.1]}": lambda o: lr.MultiStepLR(o, [10, 30]),
        "cosine: {peak: 0.1, end: 0.001}": lambda o: lr.CosineAnnealingLR(o, 50, 0.001),
        "cosine_restarts: {peak: 0.1, period: 12, end: 0.001}": lambda o: lr.CosineAnnealingWarmRestarts(
            o, 12, 1, 0.001
        ),
        "cosine_restarts: {peak: 0.1, period: 7, growth: 2, end: 0.001}": lambda o: lr.CosineAnnealingWarmRestarts(
            o, 7, 2, 0.001
        ),
        "one_cycle: {peak: 0.1, reach_end: true}": lambda o: lr.OneCycleLR(o, 0.1, 50),
        "one_cycle: {peak: 0.1, pct_start: 0.25, div_factor: 10, final_div_factor: 100, reach_end: true}": (
            lambda o: lr.OneCycleLR(o, 0.1, 50, pct_start=0.25, div_factor=10, final_div_factor=100)
        ),
        "one_cycle: {peak: 0.1, anneal: linear, pct_start: 0.3, pct_final: 0.58, reach_end: true}": (
            lambda o: lr.OneCycleLR(o, 0.1, 50, pct_start=0.3, anneal_strategy="linear", three_phase=True)
        ),
        "constant: {value: 0.1, warmup: 20, warmup_from: 0.01}": lambda o: lr.LinearLR(o, 0.1, 1.0, 20),
    }
    found = {}
    for spec, make in made.items():
        optimizer = TORCH.optim.SGD([TORCH.nn.Parameter(TORCH.zeros(1))], lr=0.1)
        schedule, rates = make(optimizer), []
        for step in range(50):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step < 49:
                schedule.step()
        found[spec] = short([rates[step] for step in SHOWN], 10)
    return found


# ---- layers ----


def summary(y: Any) -> Row:
    """As `test_pytorchs_options` has it, of (batch, channels, height, width)."""
    flat = y.permute(0, 2, 3, 1).ravel().numpy()
    return short([flat[0], flat[1 % flat.size], flat[flat.size // 2], flat[-1], flat.sum(), (flat**2).sum()], 9)


def resized() -> dict[str, Row]:
    """Bilinear and bicubic interpolation. `size: [2, 1]` stands for the sizes that round to nothing."""
    x = TORCH.tensor(wave(0, 1, 3, 4, 1)).double().permute(0, 3, 1, 2)
    cases = {
        "resize: {size: [5, 7], align_corners: true}": ((5, 7), "bilinear", True),
        "resize: {size: [2, 1], align_corners: true}": ((2, 1), "bilinear", True),
        "resize: {size: [5, 7], interpolation: bicubic, align_corners: true}": ((5, 7), "bicubic", True),
        "resize: {size: [5, 7], interpolation: bicubic, cubic_a: -0.75}": ((5, 7), "bicubic", False),
        "resize: {size: [2, 3], interpolation: bicubic, cubic_a: -0.75}": ((2, 3), "bicubic", False),
        "upsample2d: {size: [2, 3], interpolation: bilinear, align_corners: true}": ((6, 12), "bilinear", True),
        "upsample2d: {interpolation: bicubic, align_corners: true}": ((6, 8), "bicubic", True),
        "resize: [5, 7]": ((5, 7), "bilinear", False),
    }
    return {
        spec: summary(F.interpolate(x, size, mode=mode, align_corners=corners))
        for spec, (size, mode, corners) in cases.items()
    }


def transposed() -> dict[str, tuple[tuple[int, int], Row]]:
    """Transposed convolutions with amounts of padding."""
    x = TORCH.tensor(wave(0, 1, 3, 4, 2)).double().permute(0, 3, 1, 2)
    bias = TORCH.tensor([0.1, 0.2, 0.3], dtype=TORCH.float64)
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "conv2d_transpose: {filters: 3, strides: 2, padding: 1, output_padding: 1}": (
            3,
            {"stride": 2, "padding": 1, "output_padding": 1},
        ),
        "conv2d_transpose: {filters: 3, kernel: 4, strides: 2, padding: 1}": (4, {"stride": 2, "padding": 1}),
        "conv2d_transpose: {filters: 3, kernel: 4, strides: [2, 3], padding: [[2, 2], [1, 1]], "
        "output_padding: [0, 2]}": (4, {"stride": (2, 3), "padding": (2, 1), "output_padding": (0, 2)}),
        "conv2d_transpose: {filters: 3, padding: 2, dilation: 2}": (3, {"padding": 2, "dilation": 2}),
        "conv2d_transpose: {filters: 3, kernel: 1, strides: 2, output_padding: 1}": (
            1,
            {"stride": 2, "output_padding": 1},
        ),
    }
    found = {}
    for spec, (size, options) in cases.items():
        kernel = TORCH.tensor(wave(1, size, size, 3, 2)).double().permute(3, 2, 0, 1)
        y = F.conv_transpose2d(x, kernel, bias, **options)
        found[spec] = ((y.shape[2], y.shape[3]), summary(y))
    return found


# ---- initial values ----


def drawn_by_torch() -> dict[tuple[str, str], dict[str, Any]]:
    """The weights that `torch.nn` draws, by item and inputs, with dlc's names."""
    nn = TORCH.nn
    TORCH.manual_seed(0)
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def plain(item: str, inputs: str, made: Any, **names: str) -> None:
        found[item, inputs] = {name: getattr(made, own) for name, own in names.items()}

    both = {"kernel": "weight", "bias": "bias"}
    plain("dense: 1000", "f32[batch, 200]", nn.Linear(200, 1000), **both)
    image = "f32[batch, 8, 8, 32]"
    plain("conv2d: {filters: 1000, kernel: 3, groups: 4}", image, nn.Conv2d(32, 1000, 3, groups=4), **both)
    plain("conv1d_transpose: {filters: 1000, kernel: 5}", "f32[batch, 8, 32]", nn.ConvTranspose1d(32, 1000, 5), **both)
    image = "f32[batch, 8, 8, 2000]"
    plain("depthwise_conv2d: {kernel: 3, depth_multiplier: 2}", image, nn.Conv2d(2000, 4000, 3, groups=2000), **both)
    first, second = nn.Conv1d(1000, 1000, 4, groups=1000), nn.Conv1d(1000, 2000, 1)
    found["separable_conv1d: {filters: 2000, kernel: 4}", "f32[batch, 8, 1000]"] = {
        "depthwise/kernel": first.weight,
        "pointwise/kernel": second.weight,
        "bias": second.bias,
    }
    lstm, gru, rnn = nn.LSTM(40, 300), nn.GRU(40, 300), nn.RNN(40, 1000, bidirectional=True)
    series = "f32[batch, 8, 40]"
    found["lstm: 300", series] = {
        "kernel": lstm.weight_ih_l0,
        "recurrent_kernel": lstm.weight_hh_l0,
        "bias": lstm.bias_ih_l0 + lstm.bias_hh_l0,
    }
    found["gru: 300", series] = {
        "kernel": gru.weight_ih_l0,
        "recurrent_kernel": gru.weight_hh_l0,
        "bias": TORCH.stack([gru.bias_ih_l0, gru.bias_hh_l0]),
    }
    found["rnn: {units: 1000, bidirectional: true}", series] = {
        "backward/kernel": rnn.weight_ih_l0_reverse,
        "backward/recurrent_kernel": rnn.weight_hh_l0_reverse,
        "backward/bias": rnn.bias_ih_l0_reverse + rnn.bias_hh_l0_reverse,
    }
    tokens = "i32[batch, time]<1000"
    plain("embedding: {vocabulary: 1000, size: 20}", tokens, nn.Embedding(1000, 20), embedding="weight")
    plain("prelu", "f32[batch, 100]", nn.PReLU(100), slope="weight")
    norm = {"scale": "weight", "bias": "bias"}
    plain("batch_norm", "f32[batch, 4, 4, 100]", nn.BatchNorm2d(100), **norm)
    plain("layer_norm", "f32[batch, 4, 100]", nn.LayerNorm(100), **norm)
    one, two = nn.MultiheadAttention(256, 4), nn.MultiheadAttention(256, 4, kdim=64, vdim=64)
    query, key, value = one.in_proj_weight.chunk(3)
    found["attention: 4", "f32[batch, 8, 256]"] = {
        "query/kernel": query,
        "key/kernel": key,
        "value/kernel": value,
        "query/bias": one.in_proj_bias[:256],
        "output/kernel": one.out_proj.weight,
        "output/bias": one.out_proj.bias,
    }
    found["attention: {heads: 4, memory: true}", "f32[batch, 8, 256], f32[batch, 8, 64]"] = {
        "query/kernel": two.q_proj_weight,
        "key/kernel": two.k_proj_weight,
        "value/kernel": two.v_proj_weight,
        "output/kernel": two.out_proj.weight,
    }
    return {case: {name: part.detach().numpy() for name, part in parts.items()} for case, parts in found.items()}


def drawn_by_keras() -> dict[tuple[str, str], dict[str, Any]]:
    """The weights that `keras.layers` draws, by item and inputs, with dlc's names."""
    import keras

    keras.utils.set_random_seed(0)
    layers, found = keras.layers, {}

    def plain(item: str, inputs: str, made: Any, names: str, *sizes: int) -> None:
        made.build((None, *sizes))
        found[item, inputs] = dict(zip(names.split(), made.weights, strict=False))

    plain("dense: 1000", "f32[batch, 200]", layers.Dense(1000), "kernel bias", 200)
    conv = layers.Conv2D(1000, 3, groups=4)
    plain("conv2d: {filters: 1000, kernel: 3, groups: 4}", "f32[batch, 8, 8, 32]", conv, "kernel bias", 8, 8, 32)
    conv = layers.Conv1DTranspose(1000, 5)
    plain("conv1d_transpose: {filters: 1000, kernel: 5}", "f32[batch, 8, 32]", conv, "kernel bias", 8, 32)
    conv, image = layers.DepthwiseConv2D(3, depth_multiplier=2), "f32[batch, 8, 8, 2000]"
    plain("depthwise_conv2d: {kernel: 3, depth_multiplier: 2}", image, conv, "kernel bias", 8, 8, 2000)
    conv, names = layers.SeparableConv1D(2000, 4), "depthwise/kernel pointwise/kernel bias"
    plain("separable_conv1d: {filters: 2000, kernel: 4}", "f32[batch, 8, 1000]", conv, names, 8, 1000)
    for word, made in (("lstm", layers.LSTM(120)), ("gru", layers.GRU(120))):
        made.build((None, 8, 40))
        cell = made.cell
        parts = {"kernel": cell.kernel, "recurrent_kernel": cell.recurrent_kernel, "bias": cell.bias}
        found[f"{word}: 120", "f32[batch, 8, 40]"] = parts
    table = layers.Embedding(1000, 20)
    plain("embedding: {vocabulary: 1000, size: 20}", "i32[batch, time]<1000", table, "embedding", 7)
    plain("prelu", "f32[batch, 100]", layers.PReLU(), "slope", 100)
    plain("batch_norm", "f32[batch, 4, 4, 100]", layers.BatchNormalization(), "scale bias", 4, 4, 100)
    for item, inputs, size in (
        ("attention: 4", "f32[batch, 8, 256]", 256),
        ("attention: {heads: 4, memory: true}", "f32[batch, 8, 256], f32[batch, 8, 64]", 64),
    ):
        made = layers.MultiHeadAttention(4, 64)
        made.build((None, 8, 256), (None, 8, size), (None, 8, size))
        parts = {
            "query/kernel": made._query_dense.kernel,
            "key/kernel": made._key_dense.kernel,
            "value/kernel": made._value_dense.kernel,
            "output/kernel": made._output_dense.kernel,
        }
        if size == 256:
            parts |= {"query/bias": made._query_dense.bias, "output/bias": made._output_dense.bias}
        found[item, inputs] = parts
    return {case: {name: np.asarray(part) for name, part in parts.items()} for case, parts in found.items()}


def drawn() -> dict[tuple[str, str, str], dict[str, Row]]:
    """The standard deviation and the largest magnitude of each weight."""
    return {
        (framework, *case): {name: short((part.std(), np.abs(part).max()), 4) for name, part in parts.items()}
        for framework, cases in (("pytorch", drawn_by_torch()), ("keras", drawn_by_keras()))
        for case, parts in cases.items()
    }


TABLES: dict[str, tuple[str, Callable[[], Mapping[Any, Any]], float]] = {
    "losses/test_published_losses.py": ("TORCH", losses, 1e-8),
    "optimizers/test_published_rules.py": ("TORCH", optimizers, 1e-11),
    "optimizers/test_published_rules.py ": ("AFTER_100_STEPS", long_runs, 1e-11),
    "schedules/test_published_schedules.py": ("TORCH", schedules, 1e-9),
    "layers/test_pytorchs_options.py": ("RESIZED", resized, 1e-8),
    "layers/test_pytorchs_options.py ": ("TRANSPOSED", transposed, 1e-8),
    "initializers/test_frameworks.py": ("DRAWN", drawn, 0.12),
}
"""The file, the name of the table, what computes it, and the difference that rounding or another seed may make."""


def committed(path: str, name: str) -> Any:
    """A table of a test file."""
    for statement in ast.parse((TESTS / path.strip()).read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
    return {}


def difference(one: Any, other: Any) -> float:
    """The largest relative difference of the numbers of two entries; below 0.001 they differ by thousandths."""
    if isinstance(one, Mapping):
        return max(difference(one[name], other[name]) for name in one) if one.keys() == other.keys() else math.inf
    if isinstance(one, tuple):
        return max(map(difference, one, other)) if len(one) == len(other) else math.inf
    return abs(one - other) / max(1e-3, abs(one), abs(other))


def main() -> None:
    """Compare the tables with those of the tests, or print them."""
    global TORCH, F
    command = parser("pytorch_references", __doc__)
    command.add_argument("--print", action="store_true", help="print the tables instead of comparing them")
    options = command.parse_args()
    import torch

    TORCH, F = torch, torch.nn.functional
    print(f"PyTorch {torch.__version__}")
    failed = False
    for path, (name, compute, allowed) in TABLES.items():
        found, known = compute(), committed(path, name)
        if options.print:
            print(f"\n# tests/components/{path.strip()}\n{name} = {{")
            for key, value in found.items():
                print(f"    {key!r}: {value!r},")
            print("}")
            continue
        missing = set(found) ^ set(known)
        away = {key: difference(value, known[key]) for key, value in found.items() if key in known}
        worst = max(away, key=lambda key: away[key], default=None)
        right = not missing and worst is not None and away[worst] <= allowed
        failed |= not right
        print(f"{'ok ' if right else 'BAD'} {path.strip()} {name}: {len(away)} entries", end="")
        print(f", largest difference {away[worst]:.1e} of {worst!r}" if worst is not None else "", end="")
        print(f", only in one of both: {sorted(map(str, missing))}" if missing else "")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
