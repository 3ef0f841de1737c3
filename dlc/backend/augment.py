"""The augmentations of a spec as one function of a batch, for the training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlc.components.augmentations.mixing import Mixed, Mixing
from dlc.components.initializers.initializer import path_hash
from dlc.frontend.plan import Plan
from dlc.ir import MASK

Batch = dict[str, dict[str, Any]]  # {"inputs": {name: (batch, ...)}, "targets": {name: (batch, ...)}}
Augment = Callable[[jax.Array, Mapping[str, Mapping[str, Any]]], tuple[Batch, Mixed | None]]


def augmenter(plan: Plan) -> Augment:
    """The function that augments a batch in a training step; it is pure and is compiled with the step.

    Returns:
        (key, batch) -> (batch, mixed). The key is the step's; an item's key follows from it and from the item's path. A
        batch holds encoded `inputs` and `targets` by name, and masks under their name with the suffix `ir.MASK`; the
        result has the same shapes and element types. `mixed` specifies how examples, and with them losses, are mixed:
        lam * loss(target) + (1 - lam) * loss(target[permutation]); None if the spec mixes nothing.
    """

    def augment(key: jax.Array, batch: Mapping[str, Mapping[str, Any]]) -> tuple[Batch, Mixed | None]:
        values: Batch = {part: dict(rows) for part, rows in batch.items()}
        homes = {
            name: part for part, rows in values.items() for name in rows
        }  # names of inputs and targets are disjoint
        mixed: Mixed | None = None
        for term in plan.augment:
            own = jax.random.fold_in(key, path_hash(term.path))
            given = [jnp.asarray(values[homes[name]][name]) for name in term.on]
            with jax.named_scope(term.path.removeprefix("#")):
                if isinstance(term.augmentation, Mixing):
                    changed, mixed = term.augmentation.mix(own, *given)
                else:
                    masks = [values[homes[name]].get(name + MASK) for name in term.on]
                    ranges = [term.ranges.get(name) for name in term.on]
                    changed = term.augmentation.apply(own, *given, masks=masks, ranges=ranges)
            for name, value in zip(term.on, changed, strict=True):
                values[homes[name]][name] = value
        return values, mixed

    return augment
