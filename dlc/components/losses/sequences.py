"""Losses of sequences whose output and target are not aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dlc.components.losses.loss import Loss, LossExample, Score
from dlc.components.losses.shape_checks import need_real_output
from dlc.diagnostics import plural
from dlc.ir import TensorType
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp, np, optax

if TYPE_CHECKING:
    from jax import Array


class CTC(Loss):
    """(batch, time, classes) logits with (batch, length) tokens: -log of the probability of all paths that spell them.

    A path has one class for each time step; it spells what remains after removing repetitions and blanks (Graves et al.
    2006; optax' `ctc_loss`). Padding of both does not count: `tokens: {vocabulary, padding}`. The blank is one of the
    classes and must not occur in targets; it may be the padding's number. The loss of an example is not divided by its
    length; `per_token: true` divides it, as the mean of PyTorch's `CTCLoss` does. A target that is too long for its
    output, counting a blank between equal neighbours, costs about 1e5.

    A prediction is what the best path spells: the most probable class of each time step, without repetitions and
    blanks.
    """

    word = "ctc"
    aligned: ClassVar[bool] = False
    blank: int = main(0, ge=0, description="the class of the blank")
    per_token: bool = option(False, description="divide an example's loss by the length of its target")
    examples = (
        LossExample("ctc", "f32[batch, 9, 5]", "i32[batch, 3]<5"),
        LossExample("ctc: {per_token: true}", "f32[batch, 9, 5]", "i32[batch, 3]<5"),
        LossExample("ctc: 5", "f32[batch, time, 6]", "i32[batch, length]<5 masked"),
        LossExample("ctc: 5", "f32[batch, 9, 5]", "i32[batch, 3]<5", error="DLC301"),
        LossExample("ctc", "f32[batch, 9, 5]", "i32[batch, 3]<6", error="DLC301"),
        LossExample("ctc", "f32[batch, 5]", "i32[batch, 3]<5", error="DLC301"),
        LossExample("ctc", "f32[batch, 9, 5]", "f32[batch, 3]", error="DLC301"),
        LossExample("ctc", "f32[batch, 3, 5]", "i32[batch, 9]<5", error="DLC301"),
        LossExample("ctc: -1", "f32[batch, 9, 5]", "i32[batch, 3]<5", error="DLC104"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Scores for each time step, and tokens that are not longer."""
        need_real_output(self.code, self.word, output)
        found = f"output {output}, target {target}"
        if output.rank != 3 or target.rank != 2 or target.is_float:
            message = f"`{self.word}` takes scores at each time step, and tokens"
            raise RuleViolation(self.code, message, found=found, expected="f32[batch, time, classes] and `tokens`")
        classes, time, length = output.shape[2], output.shape[1], target.shape[1]
        if isinstance(classes, int) and self.blank >= classes:
            message, expected = "the blank is not one of the classes", f"below {classes}"
            raise RuleViolation(self.code, message, found=f"`blank` {self.blank}", expected=expected, option="blank")
        least = max(target.bound or 0, self.blank + 1)
        if isinstance(classes, int) and target.bound is not None and classes != least:
            message = f"the network returns {plural(classes, 'score')}, the target has {plural(target.bound, 'token')}"
            hint = "the blank is a token of the vocabulary, or one more class: `blank: SIZE`"
            raise RuleViolation(self.code, message, found=found, expected=plural(least, "score"), hint=hint)
        if isinstance(time, int) and isinstance(length, int) and length > time:
            message = "the output is shorter than the target"
            raise RuleViolation(self.code, message, found=found, expected=f"at least {length} time steps")

    def apply(self, output: Array, target: Array, mask: Any = None, real: Array | None = None) -> Score:
        """-log p, in the log domain."""
        there, spelt = mask if mask is not None else (None, None)
        outside = jnp.zeros(output.shape[:2]) if there is None else 1.0 - there
        padding = jnp.zeros(target.shape) if spelt is None else 1.0 - spelt
        each = optax.ctc_loss(output.astype(jnp.float32), outside, target, padding, blank_id=self.blank)
        if self.per_token:
            each = each / jnp.maximum((1.0 - padding).sum(1), 1.0)
        weight = jnp.ones_like(each) if there is None else there.any(1).astype(jnp.float32)
        return Score(jnp.where(weight > 0, each, 0.0), weight)

    def activate(self, output: Array) -> Array:
        """Probabilities of the classes at each time step."""
        return jax.nn.softmax(output, axis=-1)

    def activations(self) -> tuple[str, ...]:
        """Softmax."""
        return ("softmax",)

    def predict(self, output: Array, mask: Array | None = None) -> Array:
        """Probabilities; at padding that of the blank is 1, so that padding spells nothing."""
        found = self.activate(output)
        if mask is None:
            return found
        silence = jnp.arange(output.shape[-1]) == self.blank
        return jnp.where(mask[:, :, None], found, silence.astype(found.dtype))

    def decode(self, prediction: Any) -> Any:
        """The best path without repetitions and blanks. A step with NaN spells a class that does not exist."""
        arrays = np if isinstance(prediction, np.ndarray) else jnp
        undefined = arrays.isnan(prediction).any(-1)
        best = arrays.where(undefined, prediction.shape[-1], prediction.argmax(-1)).astype("int32")  # (batch, time)
        new = arrays.concatenate([arrays.ones_like(best[:, :1], bool), best[:, 1:] != best[:, :-1]], axis=1)
        return arrays.where(new & (best != self.blank), best, -1)
