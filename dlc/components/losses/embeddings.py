"""Losses of embeddings: similar examples should be close, different ones distant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dlc.components.losses.loss import Loss, LossExample, Score
from dlc.components.losses.shape_checks import need_real_output
from dlc.components.losses.value_checks import need_scores_behind_mask, need_unmasked
from dlc.components.value_ranges import Domain
from dlc.ir import TensorType
from dlc.kernels.maxima import largest
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array


def root(squares: Array) -> Array:
    """Square roots with gradient 0 at 0."""
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


class Cosine(Loss):
    """(batch, *axes, d) with (batch, *axes, d): 1 - the cosine of the angle between output and target, 0 to 2.

    The mean over the axes, as optax' `cosine_distance`; Keras' `CosineSimilarity` is this minus 1. A vector of zeros is
    orthogonal to all others.
    """

    word = "cosine"
    examples = (
        LossExample("cosine", "f32[batch, 8]", "f32[batch, 8]"),
        LossExample("cosine", "f32[batch, 4, 8]", "f32[batch, 4, 8]"),
        LossExample("cosine", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
        LossExample("cosine", "f32[batch, 8]", "f32[batch, 4]", error="DLC301"),
        LossExample("cosine", "f32[batch, 8]", "i32[batch]<2", error="DLC301"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """Vectors of one shape."""
        need_scores_behind_mask(self.word, output)
        need_real_output(self.code, self.word, output)
        if not target.is_float or target.shape != output.shape or output.rank < 2 or output.shape[-1] == 1:
            message = f"`{self.word}` compares the directions of vectors"
            found = f"output {output}, target {target}"
            raise RuleViolation(self.code, message, found=found, expected="two values f32[batch, ..., d], d above 1")

    def elements(self, output: Array, target: Array) -> Array:
        """1 - cos, along the last axis."""
        return 1 - (unit(output) * unit(target)).sum(-1)


def unit(x: Array) -> Array:
    """Vectors along the last axis scaled to length 1, float32; zeros stay zeros, with a gradient."""
    wide = x.astype(jnp.float32)
    scale = jnp.maximum(jnp.abs(wide).max(-1, keepdims=True), 1e-12)  # avoids overflow in squares of large numbers
    wide = wide / jax.lax.stop_gradient(scale)  # the result does not depend on it
    return wide / jnp.sqrt(jnp.maximum(jnp.square(wide).sum(-1, keepdims=True), 1e-12))


def _need_directions(code: str, word: str, output: TensorType) -> None:
    """Raise an error for vectors of one element, whose direction is a sign."""
    if output.rank > 1 and output.shape[-1] == 1:
        message, expected = f"`{word}` compares the directions of vectors", "vectors of more than one element"
        raise RuleViolation(code, message, found=f"output {output}", expected=expected)


class Contrastive(Loss):
    """(batch, 2, d) pairs of embeddings with (batch,) 0 and 1: D^2 for pairs of one kind, else max(0, margin - D)^2.

    D is the Euclidean distance of the two. The output may also be the distances themselves, (batch, 1). Hadsell et al.
    2006, without the factor 1/2 and with inverted labels: here 1 means the same kind.
    """

    word = "contrastive"
    domain = Domain(0.0, 1.0, hint="1 means the same kind, 0 different ones")
    margin: float = main(1.0, gt=0, description="the distance beyond which pairs of different kinds cost nothing")
    examples = (
        LossExample("contrastive", "f32[batch, 2, 8]", "i32[batch]<2"),
        LossExample("contrastive: 0.5", "f32[batch, 1]", "i32[batch]<2"),
        LossExample("contrastive", "f32[batch, 2, 8]", "f32[batch, 1]"),
        LossExample("contrastive", "f32[batch, 3, 8]", "i32[batch]<2", error="DLC301"),
        LossExample("contrastive", "f32[batch, 2, 8]", "i32[batch]<3", error="DLC301"),
        LossExample("contrastive: 0", "f32[batch, 1]", "i32[batch]<2", error="DLC104"),
    )

    def infer(self, output: TensorType, target: TensorType) -> None:
        """A distance or two embeddings, and whether they are of one kind."""
        need_real_output(self.code, self.word, output)
        need_unmasked(self.word, output)
        pair = output.rank == 3 and output.shape[1] == 2
        single = output.rank == 1 or output.shape[1:] == (1,)
        asked = target.shape[1:] in ((), (1,)) and target.bound in (None, 2)
        if not (pair or single) or not asked:
            message = f"`{self.word}` takes pairs of embeddings or their distances, and a target of 0 and 1"
            found, expected = (
                f"output {output}, target {target}",
                "f32[batch, 2, d] or f32[batch, 1], and `category: 2`",
            )
            hint = None if pair or single else "pass both through one network, and combine the embeddings with `stack`"
            raise RuleViolation(self.code, message, found=found, expected=expected, hint=hint)

    def pairs_views(self, target: TensorType | None) -> bool:
        """The two embeddings."""
        return True

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Never: embeddings are not classes."""
        return False

    def apply(self, output: Array, target: Array, mask: Array | None = None, real: Array | None = None) -> Score:
        """The squared distance, or the squared gap to the margin."""
        y, t = output.astype(jnp.float32), target.reshape(output.shape[0]).astype(jnp.float32)
        if y.ndim == 3:
            squares = jnp.square(y[:, 0] - y[:, 1]).sum(-1)
            distance = root(squares)
        else:
            distance = y.reshape(y.shape[0])
            squares = jnp.square(distance)
        each = t * squares + (1 - t) * jnp.square(jnp.maximum(0.0, self.margin - distance))
        return Score(each, jnp.ones_like(each))


class Triplet(Loss):
    """(batch, d) embeddings with (batch,) classes: max(0, D(anchor, same) - D(anchor, other) + margin).

    The triplets are formed within the batch: each example is an anchor, `same` another one of its class, `other` one of
    another class. `semi_hard`: for each anchor and same, the nearest other beyond the same, or the furthest if there is
    none (Schroff et al. 2015, arXiv:1503.03832); `hard`: for each anchor the furthest same and the nearest other
    (Hermans et al. 2017, arXiv:1703.07737); `all`: every triplet. The mean over them; an anchor without triplets does
    not count. Time and memory of `hard` grow with batch^2, the time of the others with batch^3.

    With (batch, 3, d) and no target, the three are anchor, same and other, as in PyTorch's `TripletMarginLoss`, which
    also adds 1e-6 to each difference.
    """

    word = "triplet"
    compares = "either"
    margin: float = main(1.0, gt=0, description="by how much the other should be further away than the same")
    mining: Literal["semi_hard", "hard", "all"] = option("semi_hard", description="which triplets of a batch count")
    distance: Literal["euclidean", "squared", "cosine"] = option(
        "euclidean", description="distance of two embeddings; `cosine` is 1 - cosine"
    )
    examples = (
        LossExample("triplet", "f32[batch, 8]", "i32[batch]<2"),
        LossExample("triplet: {mining: hard, distance: cosine, margin: 0.2}", "f32[batch, 8]", "i32[batch]<2"),
        LossExample("triplet: {mining: all, distance: squared}", "f32[batch, 8]", "i32[batch]<2"),
        LossExample("triplet: 0.2", "f32[batch, 3, 8]", None),
        LossExample("triplet: {mining: hard}", "f32[batch, 3, 8]", None, error="DLC303"),
        LossExample("triplet", "f32[batch, 8]", None, error="DLC301"),
        LossExample("triplet", "f32[batch, 8]", "f32[batch, 1]", error="DLC301"),
        LossExample("triplet: {distance: cosine}", "f32[batch, 1]", "i32[batch]<2", error="DLC301"),
        LossExample("triplet", "f32[batch, 3, 8]", "i32[batch]<2", error="DLC301"),
        LossExample("triplet: {mining: easy}", "f32[batch, 8]", "i32[batch]<2", error="DLC104"),
    )

    @property
    def in_batch(self) -> bool:
        """Whether triplets are formed within the batch."""
        return True

    def fewest_examples(self, target: TensorType | None) -> int:
        """An anchor, another of its class, and one of another class, unless the output holds triplets."""
        return 1 if target is None else 3

    def pairs_views(self, target: TensorType | None) -> bool:
        """The three of a triplet."""
        return target is None

    def infer(self, output: TensorType, target: TensorType | None) -> None:
        """Embeddings and classes, or triplets of embeddings."""
        need_real_output(self.code, self.word, output)
        need_unmasked(self.word, output)
        if self.distance == "cosine":
            _need_directions(self.code, self.word, output)
        if target is None and output.rank == 3 and output.shape[1] == 3:
            if "mining" in self.model_fields_set:
                message = "`mining` has no effect: the output already holds triplets"
                raise RuleViolation("DLC303", message, found=f"output {output}", hint="remove it", option="mining")
            return
        if target is None or output.rank != 2 or target.is_float or target.rank != 1:
            message = f"`{self.word}` takes embeddings with the class of each, or triplets of embeddings and no target"
            found = f"output {output}, {f'target {target}' if target is not None else 'no target'}"
            raise RuleViolation(
                self.code, message, found=found, expected="f32[batch, d] and a `category`, or f32[batch, 3, d]"
            )

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Never: embeddings are not classes."""
        return False

    def apply(self, output: Array, target: Any, mask: Array | None = None, real: Array | None = None) -> Score:
        """The sum over the triplets of each anchor, and their number."""
        y = output.astype(jnp.float32)
        if target is None:
            near, far = self._distances(y[:, 0], y[:, 1]), self._distances(y[:, 0], y[:, 2])
            each = jnp.maximum(0.0, near - far + self.margin)
            return Score(each, jnp.ones_like(each))
        size = y.shape[0]
        distances = self._distances(y[:, None, :], y[None, :, :])  # (anchor, another)
        there = jnp.ones(size, bool) if real is None else real
        same_label = target[:, None] == target[None, :]
        same = same_label & ~jnp.eye(size, dtype=bool) & there[None, :]
        other = ~same_label & there[None, :]
        if self.mining == "hard":
            found = same.any(1) & other.any(1)
            furthest = largest(jnp.where(same, distances, -jnp.inf), 1)[:, 0]
            nearest = -largest(jnp.where(other, -distances, -jnp.inf), 1)[:, 0]
            each = jnp.where(found, jnp.where(found, furthest - nearest, 0.0) + self.margin, 0.0)
            total, weight = jnp.maximum(0.0, each), found.astype(jnp.float32)
        else:
            mined = self._semi_hard if self.mining == "semi_hard" else self._all
            total, weight = jax.lax.map(jax.checkpoint(mined), (distances, same, other))  # one anchor at a time
        return Score(jnp.where(there, total, 0.0), jnp.where(there, weight, 0.0))

    def _semi_hard(self, anchor: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        distances, same, other = anchor  # (another,) each
        further = other[None, :] & (distances[None, :] > distances[:, None])  # (same, other)
        nearest = -largest(jnp.where(further, -distances[None, :], -jnp.inf), 1)[:, 0]
        furthest = largest(jnp.where(other, distances, -jnp.inf), 0)
        chosen = jnp.where(further.any(1), nearest, furthest)
        counted = same & other.any()
        gap = jnp.where(counted, distances - jnp.where(counted, chosen, 0.0) + self.margin, 0.0)
        return jnp.maximum(0.0, gap).sum(), counted.sum().astype(jnp.float32)

    def _all(self, anchor: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        distances, same, other = anchor
        counted = same[:, None] & other[None, :]
        gap = jnp.where(counted, distances[:, None] - distances[None, :] + self.margin, 0.0)
        return jnp.maximum(0.0, gap).sum(), counted.sum().astype(jnp.float32)

    def _distances(self, a: Array, b: Array) -> Array:
        if self.distance == "cosine":
            return 1 - (unit(a) * unit(b)).sum(-1)
        squares = jnp.square(a - b).sum(-1)
        return squares if self.distance == "squared" else root(squares)


class NTXent(Loss):
    """(batch, d) with another output (batch, d): -log of the share of each view's partner among all others.

    The views are normalized; for each, exp(cosine / temperature) with its partner is divided by the sum over all
    2 * batch - 1 others, and the two logarithms of a pair are averaged: SimCLR (Chen et al. 2020,
    arXiv:2002.05709). Also (batch, 2, d), the two views of each example, and no target.
    """

    word = "nt_xent"
    compares = "either"
    temperature: float = main(0.1, gt=0, description="cosines are divided by this")
    examples = (
        LossExample("nt_xent", "f32[batch, 8]", "f32[batch, 8]"),
        LossExample("nt_xent: 0.5", "f32[batch, 2, 8]", None),
        LossExample("nt_xent", "f32[batch, 8]", None, error="DLC301"),
        LossExample("nt_xent", "f32[batch, 8]", "f32[batch, 4]", error="DLC301"),
        LossExample("nt_xent", "f32[batch, 8]", "i32[batch]<10", error="DLC301"),
        LossExample("nt_xent", "f32[batch, 1]", "f32[batch, 1]", error="DLC301"),
        LossExample("nt_xent: 0", "f32[batch, 2, 8]", None, error="DLC104"),
    )

    @property
    def in_batch(self) -> bool:
        """Each view is compared with the others of the batch."""
        return True

    def fewest_examples(self, target: TensorType | None) -> int:
        """A pair of views and the views of another example."""
        return 2

    def pairs_views(self, target: TensorType | None) -> bool:
        """The two views."""
        return target is None

    def infer(self, output: TensorType, target: TensorType | None) -> None:
        """Two views of each example."""
        need_real_output(self.code, self.word, output)
        need_unmasked(self.word, output)
        _need_directions(self.code, self.word, output)
        both = target is None and output.rank == 3 and output.shape[1] == 2
        distances = target is not None and target.is_float and output.rank == 2 and output.shape == target.shape
        if not both and not distances:
            message = f"`{self.word}` takes two views of each example"
            found = f"output {output}, {f'target {target}' if target is not None else 'no target'}"
            hint = "for two outputs write `output: ONE, target: ANOTHER`"
            raise RuleViolation(
                self.code, message, found=found, expected="two outputs f32[batch, d], or f32[batch, 2, d]", hint=hint
            )

    def predicts(self, output: TensorType, target: TensorType) -> bool:
        """Never: embeddings are not classes."""
        return False

    def apply(self, output: Array, target: Any, mask: Array | None = None, real: Array | None = None) -> Score:
        """The mean of both views' losses."""
        first, second = (output[:, 0], output[:, 1]) if target is None else (output, target)
        size = first.shape[0]
        views = unit(jnp.concatenate([first, second]))
        scores = views @ views.T / self.temperature
        itself = jnp.eye(2 * size, dtype=bool)
        counted = ~itself if real is None else ~itself & jnp.concatenate([real, real])[None, :]
        partner = jnp.roll(itself, size, axis=1)
        with_partner = jnp.where(partner, scores, 0.0).sum(1)
        total = jax.nn.logsumexp(jnp.where(counted | partner, scores, -jnp.inf), axis=1)
        each = (total - with_partner).reshape(2, size).mean(0)
        others = (counted & ~partner).any(1)[:size]  # without any the loss is 0, whatever the views
        return Score(jnp.where(others, each, 0.0), others.astype(jnp.float32))
