"""Optimizers: optax's, by name. Options are called as in optax."""

from __future__ import annotations

from dlc.components.optimizers.optimizer import Optimizer, with_options

__all__ = ["Optimizer", "with_options"]
