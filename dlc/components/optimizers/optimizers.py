"""The optimizers of optax by name. Options have the names of optax."""

from __future__ import annotations

from dlc.components.optimizers.optimizer import Optimizer, with_options

__all__ = ["Optimizer", "with_options"]
