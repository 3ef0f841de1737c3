"""The published update rules of all optimizers, in numpy's float64.

Each is a function of the options, the weights, their gradients, a dictionary that holds its state, and the number of
the step, from 1; it returns the new weights. They follow the publications and, where these leave something open, the
programs of their authors, PyTorch or Keras; not optax.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace as Options
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
Rule = Callable[[Any, Weights, Weights, dict[str, Any], int], Weights]


def each(rule: Callable[..., np.ndarray]) -> Rule:
    """A rule that treats every weight by itself: (options, weight, gradient, state, step, name) -> weight."""

    def all_of_them(o: Any, w: Weights, g: Weights, state: dict[str, Any], t: int) -> Weights:
        return {name: rule(o, w[name], g[name], state.setdefault(name, defaultdict(float)), t) for name in w}

    return all_of_them


def mean(s: Any, name: str, value: Any, decay: float) -> Any:
    """A running mean that starts at 0."""
    s[name] = decay * s[name] + (1 - decay) * value
    return s[name]


def norm(tree: Weights) -> float:
    return math.sqrt(sum(float((leaf**2).sum()) for leaf in tree.values()))


def dot(a: Weights, b: Weights) -> float:
    return sum(float((a[name] * b[name]).sum()) for name in a)


# ---- without a second moment ----


def sgd(o, w, g, s, t):  # Sutskever et al. 2013, as PyTorch writes it
    s["v"] = o.momentum * s["v"] + g
    return w - o.rate * (g + o.momentum * s["v"] if o.nesterov else s["v"])


def sign_sgd(o, w, g, s, t):
    return w - o.rate * np.sign(g)


def signum(o, w, g, s, t):
    return w - o.rate * np.sign(mean(s, "m", g, o.beta))


def lion(o, w, g, s, t):  # Chen et al. 2023, algorithm 2
    u = np.sign(o.b1 * s["m"] + (1 - o.b1) * g)
    mean(s, "m", g, o.b2)
    return w - o.rate * (u + o.weight_decay * w)


def rprop(o, w, g, s, t):  # Igel and Huesken 2003, iRprop-
    size = s.get("size", o.rate)
    sign = np.sign(g) * np.sign(s["g"])
    s["size"] = np.clip(
        size * np.where(sign > 0, o.eta_plus, np.where(sign < 0, o.eta_minus, 1)), o.min_step_size, o.max_step_size
    )
    s["g"] = np.where(sign < 0, 0, g)
    return w - np.sign(s["g"]) * s["size"]


def optimistic_gradient_descent(o, w, g, s, t):
    before = s.get("g", g)
    s["g"] = g
    return w - o.rate * ((o.alpha + o.beta) * g - o.beta * before)


def optimistic_adam(o, w, g, s, t):
    u = adam_direction(o, g, s, t)
    before = s.get("u", u)
    s["u"] = u
    return w - o.rate * ((o.alpha + o.beta) * u - o.beta * before)


# ---- sums and means of squares ----


def adagrad(o, w, g, s, t):
    s["s"] = s.get("s", o.initial_accumulator_value) + g**2
    return w - o.rate * g / (np.sqrt(s["s"] + o.eps) if o.eps_in_sqrt else np.sqrt(s["s"]) + o.eps)


def adadelta(o, w, g, s, t):  # Zeiler 2012, algorithm 1
    g = g + o.weight_decay * w
    v = mean(s, "v", g**2, o.rho)
    u = np.sqrt(s["d"] + o.eps) / np.sqrt(v + o.eps) * g
    mean(s, "d", u**2, o.rho)
    return w - o.rate * u


def rmsprop(o, w, g, s, t):
    s.setdefault("v", o.initial_scale)
    v = mean(s, "v", g**2, o.decay)
    m = mean(s, "m", g, o.decay)
    if o.bias_correction:
        v, m = v / (1 - o.decay**t), m / (1 - o.decay**t)
    if o.centered:
        v = v - m**2
    u = g / (np.sqrt(v + o.eps) if o.eps_in_sqrt else np.sqrt(v) + o.eps)
    s["u"] = o.momentum * s["u"] + o.rate * u
    return w - (o.momentum * s["u"] + o.rate * u if o.nesterov else s["u"])


# ---- adam ----


def adam_direction(o, g, s, t):  # Kingma and Ba 2014, algorithm 1; Dozat 2016 with Nesterov's momentum
    m, v = mean(s, "m", g, o.b1), mean(s, "v", g**2, o.b2)
    known = 1 - o.b2**t
    first = o.b1 * m / (1 - o.b1 ** (t + 1)) + (1 - o.b1) * g / (1 - o.b1**t) if o.nesterov else m / (1 - o.b1**t)
    if o.eps_hat:  # alpha * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)
        return first * math.sqrt(known) / (np.sqrt(v) + o.eps)
    return first / (np.sqrt(v / known + o.eps_root) + o.eps)


def adam(o, w, g, s, t):
    return w - o.rate * adam_direction(o, g, s, t)


def adamw(o, w, g, s, t):
    return w - o.rate * (adam_direction(o, g, s, t) + o.weight_decay * w)


def nadam(o, w, g, s, t):
    """Dozat 2016, algorithm 2 and its schedule of the momentum; a constant one without `momentum_decay`."""
    mu = lambda t: o.b1 * (1 - 0.5 * 0.96 ** (t * o.momentum_decay)) if o.momentum_decay else o.b1  # noqa: E731
    m, v = mean(s, "m", g, o.b1), mean(s, "v", g**2, o.b2) / (1 - o.b2**t)
    s["product"] = s.get("product", 1.0) * mu(t)
    u = (1 - mu(t)) * g / (1 - s["product"]) + mu(t + 1) * m / (1 - s["product"] * mu(t + 1))
    return w - o.rate * (u / (np.sqrt(v + o.eps_root) + o.eps) + o.weight_decay * w)


def amsgrad(o, w, g, s, t):  # Reddi et al. 2018, algorithm 2, has no correction; "after" is PyTorch's, "before" optax'
    m, v = mean(s, "m", g, o.b1), mean(s, "v", g**2, o.b2)
    known = 1 - o.b2**t
    s["most"] = np.maximum(s["most"], v / known if o.correction == "before" else v)
    first, second = m / (1 - o.b1**t), s["most"] / known if o.correction == "after" else s["most"]
    first = m if o.correction == "none" else first
    eps = o.eps / math.sqrt(known) if o.eps_hat else o.eps
    return w - o.rate * first / (np.sqrt(second + o.eps_root) + eps)


def radam(o, w, g, s, t):  # Liu et al. 2019, algorithm 2
    m, v = mean(s, "m", g, o.b1), mean(s, "v", g**2, o.b2)
    first = o.b1 * m / (1 - o.b1 ** (t + 1)) + (1 - o.b1) * g / (1 - o.b1**t) if o.nesterov else m / (1 - o.b1**t)
    longest = 2 / (1 - o.b2) - 1
    length = longest - 2 * t * o.b2**t / (1 - o.b2**t)
    if length < o.threshold:
        return w - o.rate * first
    r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    known = 1 - o.b2**t
    eps = o.eps / math.sqrt(known) if o.eps_hat else o.eps
    return w - o.rate * r * first / (np.sqrt(v / known + o.eps_root) + eps)


def adamax(o, w, g, s, t):  # Kingma and Ba 2014, algorithm 2
    m = mean(s, "m", g, o.b1)
    s["u"] = np.maximum(o.b2 * s["u"], np.abs(g) + o.eps)
    return w - o.rate * (m / (1 - o.b1**t) / s["u"] + o.weight_decay * w)


def adabelief(o, w, g, s, t):  # Zhuang et al. 2020, algorithm 2: eps is part of the running mean
    m = mean(s, "m", g, o.b1)
    v = mean(s, "v", (g - m) ** 2, o.b2) + o.eps_root
    s["v"] = v
    first = o.b1 * m / (1 - o.b1 ** (t + 1)) + (1 - o.b1) * g / (1 - o.b1**t) if o.nesterov else m / (1 - o.b1**t)
    return w - o.rate * first / (np.sqrt(v / (1 - o.b2**t)) + o.eps)


def yogi(o, w, g, s, t):  # Zaheer et al. 2018, algorithm 2; both moments start at 1e-6, as in its authors' program
    m = o.b1 * s.get("m", 1e-6) + (1 - o.b1) * g
    v = s.get("v", 1e-6)
    v = v - (1 - o.b2) * np.sign(v - g**2) * g**2
    s["m"], s["v"] = m, v
    return w - o.rate * m / (1 - o.b1**t) / (np.sqrt(v / (1 - o.b2**t)) + o.eps)


def adan(o, w, g, s, t):  # Xie et al. 2022, algorithm 1, with the decays and corrections of its authors' program
    change = g - s.get("g", g)
    s["g"] = g
    m, v = mean(s, "m", g, o.b1) / (1 - o.b1**t), mean(s, "v", change, o.b2) / (1 - o.b2**t)
    n = mean(s, "n", (g + o.b2 * change) ** 2, o.b3) / (1 - o.b3**t)
    u = (m + o.b2 * v) / (np.sqrt(n + o.eps_root) + o.eps)
    return (w - o.rate * u) / (1 + o.rate * o.weight_decay)


def ademamix(o, w, g, s, t):  # Pagliardini et al. 2024, algorithm 1
    fast, slow = mean(s, "fast", g, o.b1) / (1 - o.b1**t), mean(s, "slow", g, o.b3)
    v = mean(s, "v", g**2, o.b2) / (1 - o.b2**t)
    return w - o.rate * ((fast + o.alpha * slow) / (np.sqrt(v + o.eps_root) + o.eps) + o.weight_decay * w)


def adopt(o, w, g, s, t):  # Taniguchi et al. 2024, algorithm 2, and its authors' program
    if t == 1:
        s["v"] = g**2
        return w
    scaled = g / np.maximum(np.sqrt(s["v"]), o.eps)
    if o.use_clipping:
        scaled = np.clip(scaled, -((t - 1) ** 0.25), (t - 1) ** 0.25)
    m = mean(s, "m", scaled, o.b1)
    mean(s, "v", g**2, o.b2)
    return w - o.rate * (o.b1 * m + (1 - o.b1) * scaled if o.nesterov else m)


# ---- factored ----


def adafactor(o, w, g, s, t):  # Shazeer and Stern 2018, algorithms 4 and 5, with relative steps
    decay = 1 - (t - o.decay_offset) ** -o.decay_rate
    squares = g**2 + o.eps
    if o.factored and w.ndim == 2 and min(w.shape) >= o.min_dim_size_to_factor:
        rows, columns = mean(s, "rows", squares.sum(1), decay), mean(s, "columns", squares.sum(0), decay)
        v = np.outer(rows, columns) / rows.sum()
    else:
        v = mean(s, "v", squares, decay)
    u = g / np.sqrt(v)
    u = u / max(1.0, math.sqrt((u**2).mean()) / o.clipping_threshold)
    u = o.rate * u
    if o.multiply_by_parameter_scale:
        u = u * max(1e-3, math.sqrt((w**2).mean()))
    if o.momentum:
        u = mean(s, "m", u, o.momentum)
    return w - u - o.weight_decay_rate * w


def sm3(o, w, g, s, t):  # Anil et al. 2019, algorithm SM3-II, with the mean of scaled gradients of section 4
    sums = s.get("sums", [np.zeros(size) for size in w.shape])
    shown = [part.reshape([-1 if i == axis else 1 for i in range(w.ndim)]) for axis, part in enumerate(sums)]
    least = shown[0]
    for part in shown[1:]:
        least = np.minimum(least, part)
    v = least + g**2
    s["sums"] = [v.max(tuple(i for i in range(w.ndim) if i != axis)) for axis in range(w.ndim)]
    return w - o.rate * mean(s, "m", g / np.sqrt(v + 1e-8), o.momentum)


# ---- norms of whole weights ----


def lamb(o, w, g, s, t):  # You et al. 2019, algorithm 2
    u = adam_direction(o, g, s, t) + o.weight_decay * w
    return w - o.rate * u * np.linalg.norm(w) / np.linalg.norm(u)


def lars(o, w, g, s, t):  # You et al. 2017, algorithm 1, with the norm of gradient and decay together
    g = g + o.weight_decay * w
    u = o.rate * g * o.trust_coefficient * np.linalg.norm(w) / (np.linalg.norm(g) + o.eps)
    s["v"] = o.momentum * s["v"] + u
    return w - (o.momentum * s["v"] + u if o.nesterov else s["v"])


def novograd(o, w, g, s, t):  # Ginsburg et al. 2019, algorithm 1
    square = (g**2).sum()
    v = s["v"] = square if t == 1 else o.b2 * s["v"] + (1 - o.b2) * square
    s["m"] = o.b1 * s["m"] + g / (math.sqrt(v + o.eps_root) + o.eps) + o.weight_decay * w
    return w - o.rate * s["m"]


def fromage(o, w, g, s, t):  # Bernstein et al. 2020, algorithm 1
    ratio = max(np.linalg.norm(w), o.min_norm) / max(np.linalg.norm(g), o.min_norm)
    return (w - o.rate * g * ratio) / math.sqrt(1 + o.rate**2)


def muon(o, w, g, s, t):  # kellerjordan.github.io/posts/muon; other weights than matrices follow adamw
    if w.ndim < 2:
        own = Options(**{**vars(o), "b1": o.adam_b1, "b2": o.adam_b2, "eps_root": o.adam_eps_root, "eps_hat": False})
        own.weight_decay, own.nesterov = o.adam_weight_decay, o.nesterov and o.bias_correction
        return adamw(own, w, g, s, t)
    m = mean(s, "m", g, o.beta)
    ahead, now = (1 - o.beta ** (t + 1), 1 - o.beta**t) if o.bias_correction else (1, 1)
    x = o.beta * m / ahead + (1 - o.beta) * g / now if o.nesterov else m
    x = x / (np.linalg.norm(x) + o.eps)
    x = x.T if w.shape[0] > w.shape[1] else x
    for _ in range(o.ns_steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.T if w.shape[0] > w.shape[1] else x
    factor = math.sqrt(max(1, w.shape[1] / w.shape[0]))
    if o.consistent_rms is not None:
        factor = math.sqrt(max(w.shape)) * o.consistent_rms
    return w - o.rate * (factor * x + o.weight_decay * w)


# ---- averages of iterates ----


def schedule_free(direction: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Defazio et al. 2024, equations 15 to 17: gradients at y, steps of z, x their average."""

    def rule(o, w, g, s, t):
        z, x = s.get("z", w), s.get("x", w)
        s["z"] = z = z - o.rate * direction(o, w, g, s, t)
        s["sum"] += o.rate**o.weight_lr_power
        share = o.rate**o.weight_lr_power / s["sum"]
        s["x"] = x = (1 - share) * x + share * z
        return (1 - o.b1) * z + o.b1 * x

    return rule


def _scaled(o, w, g, s, t):
    v = mean(s, "v", g**2, o.b2) / (1 - o.b2**t)
    return g / (np.sqrt(v) + o.eps) + o.weight_decay * w


def madgrad(o, w, g, s, t):  # Defazio and Jelassi 2021, algorithm 1, and its authors' program: eps is added to the rate
    start = s.setdefault("start", w)
    g = g + o.weight_decay * w
    weight = (o.rate + o.eps) * math.sqrt(t)
    s["s"] = s["s"] + weight * g
    s["v"] = s["v"] + weight * g**2
    z = start - s["s"] / (np.cbrt(s["v"]) + o.eps)
    return o.momentum * w + (1 - o.momentum) * z


# ---- estimated rates, over all weights together ----


def prodigy(o, w, g, state, t):  # Mishchenko and Defazio 2023, algorithm 4, and its authors' program
    b3 = o.b3 or math.sqrt(o.b2)
    start, d = state.setdefault("start", w), state.setdefault("d", o.estim_lr0)
    rate = o.rate * d * math.sqrt(1 - o.b2**t) / (1 - o.b1**t)
    gap = dot(g, {name: start[name] - w[name] for name in w})
    state["r"] = b3 * state.get("r", 0.0) + d / o.estim_lr0 * rate * gap
    total, parts, new = 0.0, state.setdefault("parts", {name: defaultdict(float) for name in w}), {}
    weight = d * d / o.estim_lr0 if o.safeguard_warmup else d * rate / o.estim_lr0
    for name, s in parts.items():
        mean(s, "m", d * g[name], o.b1)
        mean(s, "v", (d * g[name]) ** 2, o.b2)
        s["s"] = b3 * s["s"] + weight * g[name]
        total += np.abs(s["s"]).sum()
    state["d"] = larger = max(d, o.estim_lr_coef * state["r"] / total)
    for name, s in parts.items():
        new[name] = w[name] - rate * (s["m"] / (np.sqrt(s["v"]) + larger * o.eps) + o.weight_decay * w[name])
    return new


def dadapt_adamw(o, w, g, state, t):  # Defazio and Mishchenko 2023, algorithm 5, and its authors' program
    d, root = state.setdefault("d", o.estim_lr0), math.sqrt(o.b2)
    rate = o.rate * d * math.sqrt(1 - o.b2**t) / (1 - o.b1**t)
    parts, new, total, inner = state.setdefault("parts", {name: defaultdict(float) for name in w}), {}, 0.0, 0.0
    for name, s in parts.items():
        inner += float((g[name] * s["s"] / (np.sqrt(s["v"]) + o.eps)).sum())
        s["m"] = o.b1 * s["m"] + (1 - o.b1) * rate * g[name]
        mean(s, "v", g[name] ** 2, o.b2)
        s["s"] = root * s["s"] + (1 - root) * rate * g[name]
        total += np.abs(s["s"]).sum()
    state["r"] = root * state.get("r", 0.0) + (1 - root) * rate * inner
    state["d"] = max(d, state["r"] / ((1 - root) * total))
    for name, s in parts.items():
        new[name] = w[name] - s["m"] / (np.sqrt(s["v"]) + o.eps) - rate * o.weight_decay * w[name]
    return new


def _decayed(o, w, g):
    return {name: g[name] + o.weight_decay * w[name] for name in w}


def dog(o, w, g, state, t):  # Ivgi et al. 2023, section 2
    g, start = _decayed(o, w, g), state.setdefault("start", w)
    first = {"distance": o.init_value, "heuristic": o.init_value * (1 + norm(start)), "learning_rate": 0.0}
    moved = norm({name: w[name] - start[name] for name in w})
    state["far"] = max(state.get("far", first[o.init_step]), moved)
    state["sum"] = state.get("sum", 0.0) + norm(g) ** 2
    rate = state["far"] / math.sqrt(state["sum"] + o.eps)
    if o.init_step == "learning_rate" and t == 1:
        rate = o.init_value
    return {name: w[name] - o.rate * rate * g[name] for name in w}


def dowg(o, w, g, state, t):  # Khaled et al. 2023, algorithm 1
    g, start = _decayed(o, w, g), state.setdefault("start", w)
    moved = norm({name: w[name] - start[name] for name in w}) ** 2
    state["far"] = max(state.get("far", o.init_estim_sq_dist or o.eps), moved)
    state["sum"] = state.get("sum", 0.0) + state["far"] * norm(g) ** 2
    return {name: w[name] - o.rate * state["far"] / (math.sqrt(state["sum"]) + o.eps) * g[name] for name in w}


def cocob(o, w, g, s, t):  # Orabona and Tommasi 2017, algorithm 2 (COCOB-Backprop)
    g = -o.rate * (g + o.weight_decay * w)  # the publication's g is the negative gradient
    start = s.setdefault("start", w)
    most = s["most"] = np.maximum(s.get("most", o.eps), np.abs(g))
    s["all"] = s["all"] + np.abs(g)
    s["reward"] = np.maximum(s["reward"] + (w - start) * g, 0)
    s["theta"] = s["theta"] + g
    return start + s["theta"] / (most * np.maximum(s["all"] + most, o.alpha * most)) * (most + s["reward"])


RULES: dict[str, Rule] = {
    **{
        rule.__name__: each(rule)
        for rule in (
            *(sgd, sign_sgd, signum, lion, rprop, optimistic_gradient_descent, optimistic_adam, adagrad, adadelta),
            *(rmsprop, adam, adamw, nadam, amsgrad, radam, adamax, adabelief, yogi, adan, ademamix, adopt, adafactor),
            *(sm3, lamb, lars, novograd, fromage, muon, madgrad, cocob),
        )
    },
    **{rule.__name__: rule for rule in (prodigy, dadapt_adamw, dog, dowg)},
    "nadamw": each(nadam),
    "adamaxw": each(adamax),
    "schedule_free_adamw": each(schedule_free(_scaled)),
    "schedule_free_sgd": each(schedule_free(lambda o, w, g, s, t: g + o.weight_decay * w)),
}
"""The rule of each optimizer, by its name in a spec."""

MISSING = {"eps_hat": False, "nesterov": False, "eps_root": 0.0, "weight_decay": 0.0, "momentum_decay": None}
"""Options that some optimizers of a family do not have."""

SPECS = [
    "sgd: 0.05",
    "sgd: {learning_rate: 0.05, momentum: 0.9}",
    "sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true}",
    "sign_sgd: 0.01",
    "signum: 0.01",
    "lion: {learning_rate: 0.01, weight_decay: 0.1}",
    "rprop: 0.1",
    "rprop: {learning_rate: 0.1, eta_minus: 0.4, eta_plus: 1.3, min_step_size: 0.05, max_step_size: 0.2}",
    "optimistic_gradient_descent: {alpha: 0.8, beta: 0.5}",
    "optimistic_adam: {b1: 0.5, nesterov: false}",
    "optimistic_adam",
    "adagrad: 0.1",
    "adagrad: {learning_rate: 0.1, initial_accumulator_value: 0, eps: 1e-10, eps_in_sqrt: false}",
    "adadelta: {weight_decay: 0.1}",
    "rmsprop",
    "rmsprop: {decay: 0.99, eps_in_sqrt: false}",
    "rmsprop: {decay: 0.99, eps_in_sqrt: false, centered: true, momentum: 0.9}",
    "rmsprop: {decay: 0.8, eps: 1e-3, centered: true, momentum: 0.9, nesterov: true}",
    "rmsprop: {decay: 0.999, bias_correction: true, initial_scale: 0.1, momentum: 0.5}",
    "adam",
    "adam: {nesterov: true, eps_root: 1e-3}",
    "adam: {eps: 1e-3, eps_hat: true}",
    "adamw: {weight_decay: 0.1}",
    "adamw: {weight_decay: 0.1, eps: 1e-3, eps_hat: true, nesterov: true}",
    "nadam",
    "nadam: {momentum_decay: 0.004}",
    "nadam: {momentum_decay: 1}",
    "nadamw: {weight_decay: 0.1}",
    "nadamw: {weight_decay: 0.1, momentum_decay: 0.5}",
    "amsgrad: {b2: 0.9}",
    "amsgrad: {b2: 0.9, correction: after}",
    "amsgrad: {b2: 0.9, correction: after, eps: 1e-3, eps_hat: true}",
    "amsgrad: {b2: 0.9, correction: before, eps: 1e-3, eps_hat: true}",
    "amsgrad: {correction: none}",
    "radam",
    "radam: {b1: 0.8, b2: 0.9, nesterov: true, eps_root: 1e-3, threshold: 6.0}",
    "radam: {b2: 0.99, eps: 1e-3, eps_hat: true}",
    "radam: {b2: 0}",
    "adamax",
    "adamaxw: {weight_decay: 0.1}",
    "adabelief",
    "adabelief: {nesterov: true, b2: 0.9}",
    "yogi",
    "adan",
    "adan: {b1: 0.9, b2: 0.8, b3: 0.95, eps: 1e-3, eps_root: 1e-4, weight_decay: 0.5, learning_rate: 0.1}",
    "ademamix: {weight_decay: 0.1}",
    "adopt",
    "adopt: {nesterov: true, use_clipping: false, b1: 0.8, b2: 0.99, eps: 1e-4}",
    "adafactor",
    "adafactor: {min_dim_size_to_factor: 2}",
    "adafactor: {min_dim_size_to_factor: 2, momentum: 0.9, weight_decay_rate: 1e-3}",
    "sm3: 0.1",
    "lamb: {weight_decay: 0.1}",
    "lars: {weight_decay: 0.1}",
    "lars: {momentum: 0.5, nesterov: true, eps: 0.01}",
    "novograd: {b2: 0.9, weight_decay: 0.1}",
    "fromage",
    "muon: {weight_decay: 0.1, adam_weight_decay: 0.1}",
    "muon: {nesterov: false, consistent_rms: 0.2}",
    "muon: {bias_correction: false, weight_decay: 0.1}",
    "schedule_free_adamw: {weight_decay: 0.1}",
    "schedule_free_sgd: {learning_rate: 0.1, b1: 0.8, weight_decay: 0.1}",
    "madgrad: {weight_decay: 0.1}",
    "prodigy: {estim_lr0: 1e-3, weight_decay: 0.1}",
    "prodigy: {estim_lr0: 1e-3, safeguard_warmup: true, b3: 0.9, estim_lr_coef: 2}",
    "dadapt_adamw: {estim_lr0: 1e-3, weight_decay: 0.1}",
    "dog: {init_value: 1e-3, weight_decay: 0.1}",
    "dog: {init_step: learning_rate, init_value: 0.01}",
    "dowg: {init_estim_sq_dist: 0.01}",
    "cocob: {weight_decay: 0.1}",
]
"""Every optimizer as in a spec, also with options that change its rule."""


# ---- weights and gradients ----

SHAPES = {"kernel": (4, 3), "bias": (3,)}
START = {
    "kernel": np.float32(np.cos(np.arange(12)).reshape(4, 3)),
    "bias": np.float32([0.5, -0.25, 1.0]),
}


def gradient(t: int) -> dict[str, np.ndarray]:
    """Gradients of step t, from 1: waves, so that signs are kept for some steps and change in others."""
    index = np.arange(15)
    values = np.float32(np.sin(0.3 * t + index) * (0.3 + 0.1 * index) + 0.2 * np.cos(1.7 * t * (1 + index % 4)))
    return {"kernel": values[:12].reshape(4, 3), "bias": values[12:]}
