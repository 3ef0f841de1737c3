"""Update rules that optax lacks, or defines otherwise than their publications.

Each function returns an optax transformation whose updates are added to the weights, or, for the `scale_by_` rules,
directions that a learning rate multiplies. States are those of optax, where it has one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dlc.support.lazy import jax, jnp, optax

if TYPE_CHECKING:
    import optax as optax_types
    from jax import Array

Tree = Any  # a pytree
Number = Any  # a Python float, or an argument of the program in its place
Correction = Literal["before", "after", "none"]


def _rule(init: Callable[[Tree], Any], update: Callable[..., Any]) -> optax_types.GradientTransformation:
    found: optax_types.GradientTransformation = optax.GradientTransformation(init, update)
    return found


def _zeros(params: Tree) -> Tree:
    return optax.tree.zeros_like(params)


def _moments(gradients: Tree, state: Any, b1: Number, b2: Number) -> tuple[Tree, Tree, Array]:
    """The next moments of Adam, and the number of the step, from 1."""
    mu = optax.tree.update_moment(gradients, state.mu, b1, 1)
    nu = optax.tree.update_moment_per_elem_norm(gradients, state.nu, b2, 2)
    return mu, nu, optax.safe_increment(state.count)


def _adam_state(params: Tree) -> Any:
    return optax.ScaleByAdamState(count=jnp.zeros([], jnp.int32), mu=_zeros(params), nu=_zeros(params))


def _corrected(moment: Tree, decay: Number, count: Array) -> Tree:
    return optax.tree.bias_correction(moment, decay, count)


def _first_moment(gradients: Tree, mu: Tree, b1: Number, count: Array, nesterov: bool) -> Tree:
    """The corrected first moment; with Nesterov's step the one after the next gradient."""
    if not nesterov:
        return _corrected(mu, b1, count)
    ahead, now = _corrected(mu, b1, count + 1), _corrected(gradients, b1, count)
    return jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, ahead, now)


def _ratio(mu: Tree, nu: Tree, eps: Number, eps_root: Number) -> Tree:
    return jax.tree.map(lambda m, v: m / (jnp.sqrt(v + eps_root) + eps).astype(m.dtype), mu, nu)


def decoupled(
    direction: optax_types.GradientTransformation, weight_decay: Number, rate: Any
) -> optax_types.GradientTransformation:
    """Steps along a direction plus decoupled weight decay, both times the rate."""
    found: optax_types.GradientTransformation = optax.chain(
        direction, optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(rate)
    )
    return found


def nesterov_mean(decay: Number) -> optax_types.GradientTransformation:
    """Nesterov's mean without bias correction: decay * m + (1 - decay) * g, m being a mean of g that starts at 0."""

    def mean(moment: Tree, gradients: Tree) -> Tree:
        return jax.tree.map(lambda m, g: decay * m + (1 - decay) * g, moment, gradients)

    def update(gradients: Tree, state: Any, params: Tree = None) -> tuple[Tree, Any]:  # noqa: ARG001
        moment = mean(state.trace, gradients)
        return mean(moment, gradients), optax.TraceState(trace=moment)

    return _rule(lambda params: optax.TraceState(trace=_zeros(params)), update)


# ---- adam with other definitions ----


def scale_by_adam_hat(
    b1: Number, b2: Number, eps: Number, eps_root: Number, *, nesterov: bool = False
) -> optax_types.GradientTransformation:
    """Adam with `eps` added to the root of the uncorrected second moment, as in Keras.

    It is the epsilon hat of Kingma and Ba 2014, end of section 2: eps / sqrt(1 - b2^t) beside the corrected moment.
    """

    def update(gradients: Tree, state: Any, params: Tree = None) -> Any:  # noqa: ARG001
        mu, nu, count = _moments(gradients, state, b1, b2)
        first = _first_moment(gradients, mu, b1, count, nesterov)
        hat = eps / jnp.sqrt(1 - b2**count)
        steps = _ratio(first, _corrected(nu, b2, count), hat, eps_root)
        return steps, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return _rule(_adam_state, update)


def scale_by_amsgrad(
    b1: Number, b2: Number, eps: Number, eps_root: Number, *, correction: Correction, eps_hat: bool
) -> optax_types.GradientTransformation:
    """AMSGrad, with the bias corrected before the maximum is taken, after it, or not at all."""

    def init(params: Tree) -> Any:
        return optax.ScaleByAmsgradState(
            count=jnp.zeros([], jnp.int32), mu=_zeros(params), nu=_zeros(params), nu_max=_zeros(params)
        )

    def update(gradients: Tree, state: Any, params: Tree = None) -> Any:  # noqa: ARG001
        mu, nu, count = _moments(gradients, state, b1, b2)
        moment = _corrected(nu, b2, count) if correction == "before" else nu
        most = jax.tree.map(jnp.maximum, state.nu_max, moment)
        first = mu if correction == "none" else _corrected(mu, b1, count)
        second = _corrected(most, b2, count) if correction == "after" else most
        added = eps / jnp.sqrt(1 - b2**count) if eps_hat else eps
        steps = _ratio(first, second, added, eps_root)
        return steps, optax.ScaleByAmsgradState(count=count, mu=mu, nu=nu, nu_max=most)

    return _rule(init, update)


class NAdamState(NamedTuple):
    """The state of nadam with a momentum schedule.

    Args:
        steps: how many there were, int32.
        mu: the first moment.
        nu: the second moment.
        product: the product of the momentum of all steps, float32.
    """

    steps: Array
    mu: Tree
    nu: Tree
    product: Array


def scale_by_nadam(
    b1: Number, b2: Number, eps: Number, eps_root: Number, momentum_decay: float
) -> optax_types.GradientTransformation:
    """NAdam with the momentum b1 * (1 - 0.5 * 0.96^(t * momentum_decay)) at step t, as its publication has it."""
    rate = momentum_decay * math.log(0.96)

    def momentum(count: Array) -> Array:
        share: Array = b1 * (1 - 0.5 * jnp.exp(count * rate))
        return share

    def init(params: Tree) -> NAdamState:
        return NAdamState(jnp.zeros([], jnp.int32), _zeros(params), _zeros(params), jnp.ones([], jnp.float32))

    def update(gradients: Tree, state: NAdamState, params: Tree = None) -> Any:  # noqa: ARG001
        mu = optax.tree.update_moment(gradients, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(gradients, state.nu, b2, 2)
        count = optax.safe_increment(state.steps)
        now, following = momentum(count), momentum(count + 1)
        product = state.product * now
        of_gradient, of_moment = (1 - now) / (1 - product), following / (1 - product * following)
        first = jax.tree.map(lambda g, m: (of_gradient * g + of_moment * m).astype(m.dtype), gradients, mu)
        steps = _ratio(first, _corrected(nu, b2, count), eps, eps_root)
        return steps, NAdamState(count, mu, nu, product)

    return _rule(init, update)


def scale_by_radam(
    b1: Number, b2: float, eps: Number, eps_root: Number, threshold: Number, *, nesterov: bool, eps_hat: bool
) -> optax_types.GradientTransformation:
    """Rectified Adam, with the length of its moving average exact to the last place.

    The length is r - 2 t b2^t / (1 - b2^t), r = 2 / (1 - b2) - 1, which in the first steps is a small difference of
    large numbers: in float32 it is 2.6e-2 off. With x = -t log(b2) it equals (r + 2 / log(b2)) + t (1 - L(x / 2)), L
    being the function of Langevin, coth(y) - 1 / y.
    """
    longest = 2 / (1 - b2) - 1
    slope = -math.log(b2) if b2 else math.inf

    def length(count: Array) -> Array:
        if not b2:
            return jnp.ones([], jnp.float32)
        steps = count.astype(jnp.float32)
        return (longest - 2 / slope) + steps * (1 - _langevin(steps * (slope / 2)))

    def update(gradients: Tree, state: Any, params: Tree = None) -> Any:  # noqa: ARG001
        mu, nu, count = _moments(gradients, state, b1, b2)
        first = _first_moment(gradients, mu, b1, count, nesterov)
        rho = length(count)
        share = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
        adaptive, factor = rho >= threshold, jnp.sqrt(jnp.maximum(share, 0))
        known = -jnp.expm1(-slope * count)  # 1 - b2^t
        second = jax.tree.map(lambda v: v / known.astype(v.dtype), nu)
        scaled = _ratio(first, second, eps / jnp.sqrt(known) if eps_hat else eps, eps_root)
        steps = jax.tree.map(lambda new, m: jnp.where(adaptive, factor.astype(m.dtype) * new, m), scaled, first)
        return steps, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return _rule(_adam_state, update)


def _langevin(x: Array) -> Array:
    """coth(x) - 1 / x; below 1/2, where this cancels, its series."""
    near = jnp.minimum(x, 0.5)
    square = near * near
    series = near * (1 / 3 - square * (1 / 45 - square * (2 / 945 - square / 4725)))
    far = jnp.maximum(x, 0.5)
    return jnp.where(x < 0.5, series, 1 / jnp.tanh(far) - 1 / far)


def scale_by_adopt(
    b1: Number, b2: Number, eps: Number, *, nesterov: bool, use_clipping: bool
) -> optax_types.GradientTransformation:
    """ADOPT with 1 - b2 in double precision; the step 0 only initializes the second moment."""

    def update(gradients: Tree, state: Any, params: Tree = None) -> Any:  # noqa: ARG001
        begun = state.count > 0
        limit = state.count.astype(jnp.float32) ** 0.25

        def scaled(g: Array, v: Array) -> Array:
            ratio = g / jnp.maximum(jnp.sqrt(v), eps)
            return jnp.clip(ratio, -limit, limit).astype(g.dtype) if use_clipping else ratio

        ratios = jax.tree.map(scaled, gradients, state.nu)
        mu = _where(begun, optax.tree.update_moment(ratios, state.mu, b1, 1), state.mu)
        squares = jax.tree.map(jnp.square, gradients)
        nu = _where(begun, optax.tree.update_moment_per_elem_norm(gradients, state.nu, b2, 2), squares)
        steps = optax.tree.update_moment(ratios, mu, b1, 1) if nesterov else mu
        steps = _where(begun, steps, _zeros(steps))
        return steps, optax.ScaleByAdamState(count=optax.safe_increment(state.count), mu=mu, nu=nu)

    return _rule(_adam_state, update)


def _where(condition: Array, one: Tree, other: Tree) -> Tree:
    return optax.tree.where(condition, one, other)


# ---- other rules ----


def scale_by_rss(initial: float, eps: Number) -> optax_types.GradientTransformation:
    """Gradients divided by the root of their sum of squares plus `eps`, as in PyTorch's `Adagrad`."""

    def init(params: Tree) -> Any:
        return optax.ScaleByRssState(sum_of_squares=optax.tree.full_like(params, initial))

    def update(gradients: Tree, state: Any, params: Tree = None) -> Any:  # noqa: ARG001
        sums = jax.tree.map(lambda g, s: s + jnp.square(g), gradients, state.sum_of_squares)
        steps = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps).astype(g.dtype), gradients, sums)
        return steps, optax.ScaleByRssState(sum_of_squares=sums)

    return _rule(init, update)


class RpropState(NamedTuple):
    """The state of rprop: step sizes, and the gradients of the last step, 0 where a sign changed."""

    step_sizes: Tree
    gradients: Tree


def rprop(
    learning_rate: float, eta_minus: float, eta_plus: float, min_step_size: float, max_step_size: float
) -> optax_types.GradientTransformation:
    """Rprop without weight backtracking (iRprop-), as in PyTorch.

    optax 0.2.8 applies the step that the gradient before had determined.
    """

    def init(params: Tree) -> RpropState:
        return RpropState(optax.tree.full_like(params, learning_rate), _zeros(params))

    def update(gradients: Tree, state: RpropState, params: Tree = None) -> Any:  # noqa: ARG001
        # signs are multiplied, not gradients, whose product may underflow
        signs = jax.tree.map(lambda g, old: jnp.sign(g) * jnp.sign(old), gradients, state.gradients)

        def sized(size: Array, sign: Array) -> Array:
            factor = jnp.where(sign > 0, eta_plus, jnp.where(sign < 0, eta_minus, 1.0)).astype(size.dtype)
            return jnp.clip(size * factor, min_step_size, max_step_size)

        sizes = jax.tree.map(sized, state.step_sizes, signs)
        kept = jax.tree.map(lambda g, sign: jnp.where(sign < 0, jnp.zeros_like(g), g), gradients, signs)
        steps = jax.tree.map(lambda g, size: -jnp.sign(g) * size, kept, sizes)
        return steps, RpropState(sizes, kept)

    return _rule(init, update)


def adan(
    learning_rate: Any, b1: Number, b2: Number, b3: Number, eps: Number, eps_root: Number, weight_decay: Number
) -> optax_types.GradientTransformation:
    """Adan, with the proximal weight decay of its publication: (w - rate * u) / (1 + rate * weight_decay).

    optax 0.2.8 has 1 - b2 where the rule has b2, and decays decoupled.
    """

    def init(params: Tree) -> Any:
        zeros = [_zeros(params) for _ in range(4)]
        return optax.ScaleByAdanState(*zeros, t=jnp.zeros([], jnp.int32))

    def update(gradients: Tree, state: Any, params: Tree = None) -> Any:
        count = optax.safe_increment(state.t)
        change = _where(state.t == 0, _zeros(gradients), optax.tree.sub(gradients, state.g))
        m = optax.tree.update_moment(gradients, state.m, b1, 1)
        v = optax.tree.update_moment(change, state.v, b2, 1)
        ahead = jax.tree.map(lambda g, difference: g + b2 * difference, gradients, change)
        n = optax.tree.update_moment_per_elem_norm(ahead, state.n, b3, 2)
        means = jax.tree.map(lambda m, v: m + b2 * v, _corrected(m, b1, count), _corrected(v, b2, count))
        steps = _ratio(means, _corrected(n, b3, count), eps, eps_root)
        rate = learning_rate(state.t) if callable(learning_rate) else learning_rate
        shrink = 1 + rate * weight_decay
        moved = jax.tree.map(lambda u, w: (-rate * (u + weight_decay * w) / shrink).astype(u.dtype), steps, params)
        return moved, optax.ScaleByAdanState(m=m, v=v, n=n, g=gradients, t=count)

    return _rule(init, update)
