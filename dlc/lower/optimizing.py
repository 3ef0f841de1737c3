"""The optimizer of a spec with all the settings beside it, as one update of the weights."""

from __future__ import annotations

import optax

from dlc.lower.program import Program
from dlc.lower.steps import Updater
from dlc.objectives.schedules import Horizon
from dlc.pipeline import Spec


def make_updater(spec: Spec, program: Program, horizon: Horizon) -> Updater:  # noqa: ARG001
    """The update of a spec that has an optimizer, for a run of this length."""
    optimizer = spec.document.optimizer
    assert optimizer is not None, "the spec has no optimizer"
    transformation = optimizer.thing.build(horizon)
    if optimizer.keys.clip_norm is not None:
        transformation = optax.chain(optax.clip_by_global_norm(optimizer.keys.clip_norm), transformation)
    return Updater(transformation, accumulate=optimizer.keys.accumulate)
