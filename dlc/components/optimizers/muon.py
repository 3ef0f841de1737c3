"""muon: momentum with orthogonal steps for kernels, adam for other weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from dlc.components.optimizers.optimizer import Nesterov, Optimizer, WeightDecay, rate
from dlc.components.optimizers.rules import nesterov_mean
from dlc.components.schedules.schedule import Horizon, LearningRate, rate_of
from dlc.language.options import OptionError, option
from dlc.support.lazy import jax, optax

if TYPE_CHECKING:
    import optax as optax_types


class Muon(Optimizer):
    """Momentum whose steps for kernels are made orthogonal by a Newton-Schulz iteration (Jordan et al. 2024).

    A kernel is taken as a matrix (inputs, outputs): dense (in, out) as it is, convolutions (*window, in, out) with
    window and channels as inputs, attention's query, key and value (in, heads, size) with heads and size as outputs.
    Every other weight follows adamw with the `adam_` options: biases, scales, embeddings.
    kellerjordan.github.io/posts/muon trains the last layer with adam, too. The step is multiplied by sqrt(max(1,
    outputs / inputs)), or with `consistent_rms` with sqrt(max(inputs, outputs)) * consistent_rms (Liu et al. 2025,
    arXiv:2502.16982), which suits rates as for adamw.

    With `nesterov` a step follows beta * m + (1 - beta) * g. As in optax, both are divided by 1 - beta^t first, m with
    the next step's t, and adam does the same; it matters in the first 1 / (1 - beta) steps. `bias_correction: false`
    does neither, as PyTorch, Keras and the authors' program.
    """

    word = "muon"
    per_weight = True
    learning_rate: LearningRate = rate(0.02)
    ns_coeffs: Literal["standard", "dion"] = option(
        "standard", description="coefficients of the iteration: the same for all steps, or those of Dion's five steps"
    )
    ns_steps: int = option(5, ge=1, description="steps of the iteration")
    beta: float = option(0.95, ge=0, lt=1, description="decay of the mean of gradients")
    eps: float = option(1e-8, gt=0, description="added to the norm, and in adam to the root of the second moment")
    weight_decay: WeightDecay = option(0.0)
    nesterov: Nesterov = option(True)
    bias_correction: bool = option(True, description="correct Nesterov's step for means that start at 0, as optax does")
    adaptive: bool = option(False, description="multiply by the dual norm of the momentum")
    preconditioning: Literal["frobenius", "spectral", "aol", "schatten"] = option(
        "frobenius", description="how a matrix is scaled before the iteration"
    )
    adam_b1: float = option(0.9, ge=0, lt=1, description="decay of adam's first moment")
    adam_b2: float = option(0.999, ge=0, lt=1, description="decay of adam's second moment")
    adam_eps_root: float = option(0.0, ge=0, description="added to adam's second moment, under its root")
    adam_weight_decay: float = option(0.0, ge=0, description="weight decay of weights trained by adam")
    adam_learning_rate: LearningRate | None = option(None, description="adam's rate; default: `learning_rate`")
    consistent_rms: float | None = option(None, gt=0, description="root mean square of a step; 0.2 is similar to adamw")
    examples = (
        "muon",
        "muon: {learning_rate: {linear: {value: 0.02, warmup: 2%}}, weight_decay: 0.01, adam_learning_rate: 3e-4}",
    )

    def without_effect(self) -> Iterator[OptionError]:
        """Dion's coefficients are for five steps."""
        if self.ns_coeffs == "dion" and self.ns_steps != 5:
            message = "`ns_steps` has no effect with `ns_coeffs: dion`, which has five steps"
            yield OptionError(("ns_steps",), "DLC303", message, hint="remove it")
        if not self.bias_correction and not self.nesterov:
            message = "`bias_correction` has no effect without `nesterov`: it only scales the momentum"
            yield OptionError(("bias_correction",), "DLC303", message, hint="remove it")

    def build(self, horizon: Horizon) -> optax_types.GradientTransformation:
        """`optax.contrib.muon`, with the matrices of `matrices`."""
        adam_rate, corrected = self.adam_learning_rate, self.bias_correction or not self.nesterov
        rule: optax_types.GradientTransformation = optax.contrib.muon(
            rate_of(self.learning_rate, horizon),
            self.ns_coeffs,
            self.ns_steps,
            self.beta if corrected else 0.0,
            self.eps,
            self.weight_decay,
            nesterov=self.nesterov and corrected,
            adaptive=self.adaptive,
            preconditioning=self.preconditioning,
            adam_b1=self.adam_b1,
            adam_b2=self.adam_b2,
            adam_eps_root=self.adam_eps_root,
            adam_weight_decay=self.adam_weight_decay,
            adam_learning_rate=rate_of(adam_rate, horizon) if adam_rate is not None else None,
            muon_weight_dimension_numbers=matrices,
            consistent_rms=self.consistent_rms,
        )
        return rule if corrected else optax.chain(optax.masked(nesterov_mean(self.beta), _are_matrices), rule)


def _are_matrices(params: Any) -> Any:
    """Whether each weight is a matrix."""
    kinds = (type(None), optax.contrib.MuonDimensionNumbers)
    return jax.tree.map(lambda axes: axes is not None, matrices(params), is_leaf=lambda axes: isinstance(axes, kinds))


def matrices(params: Any) -> Any:
    """Which axes of each weight are a matrix's rows and columns; None for a weight that is not a matrix.

    Args:
        params: a tree of mappings; the last two keys of a weight's path are its layer's part and its name.
    """

    def matrix(path: tuple[Any, ...], weight: Any) -> Any:
        names = [str(getattr(entry, "key", entry)) for entry in path]
        if weight.ndim < 2 or not names or not names[-1].endswith("kernel"):
            return None
        heads = weight.ndim == 3 and names[-2:-1] in (["query"], ["key"], ["value"])
        inputs = 1 if heads else weight.ndim - 1
        axes = tuple(range(weight.ndim))
        return optax.contrib.MuonDimensionNumbers(axes[:inputs], axes[inputs:])

    return jax.tree_util.tree_map_with_path(matrix, params)
