"""The optimizer of a spec with all the settings beside it, as one update of the weights."""

from __future__ import annotations

import optax

from dlc.diagnostics import SpecError
from dlc.lower.averaging import Averaging
from dlc.lower.program import Program
from dlc.lower.steps import Updater
from dlc.objectives.schedules import Horizon
from dlc.pipeline import Spec
from dlc.spec import OptimizerKeys


def make_updater(spec: Spec, program: Program, horizon: Horizon) -> Updater:  # noqa: ARG001
    """The update of a spec that has an optimizer, for a run of this length."""
    optimizer = spec.document.optimizer
    assert optimizer is not None, "the spec has no optimizer"
    keys = optimizer.keys
    transformation = optimizer.thing.build(horizon)
    if keys.clip_norm is not None:
        transformation = optax.chain(optax.clip_by_global_norm(keys.clip_norm), transformation)
    return Updater(
        transformation, accumulate=keys.accumulate, sharpness=keys.sam, averaging=averaging_of(keys, horizon)
    )


def averaging_of(keys: OptimizerKeys, horizon: Horizon) -> Averaging | None:
    """How a run of this length averages its weights.

    Raises:
        SpecError: DLC303 when averaging would begin behind the end.
    """
    if keys.ema is not None:
        return Averaging(decay=keys.ema)
    if keys.swa is None:
        return None
    start, every = max(1, keys.swa.start.in_steps(horizon)), max(1, keys.swa.every.in_steps(horizon))
    if start > horizon.steps:
        found, expected = f"a start at step {start:,}", f"at most {horizon.steps:,}, the last step"
        raise SpecError.of("DLC303", "`swa` begins when the run is over", found=found, expected=expected)
    return Averaging(start=start, every=every)
