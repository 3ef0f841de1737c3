"""The table of learning-rate schedules: a line for each, which names its class."""

from __future__ import annotations

SCHEDULES: dict[str, str] = {
    "constant": "dlc.components.schedules.decays:Constant",
    "linear": "dlc.components.schedules.decays:Linear",
    "polynomial": "dlc.components.schedules.decays:Polynomial",
    "exponential": "dlc.components.schedules.decays:Exponential",
    "cosine": "dlc.components.schedules.decays:Cosine",
    "inverse_sqrt": "dlc.components.schedules.decays:InverseSqrt",
    "step": "dlc.components.schedules.piecewise:Step",
    "piecewise": "dlc.components.schedules.piecewise:Piecewise",
    "cosine_restarts": "dlc.components.schedules.cyclic:CosineRestarts",
    "one_cycle": "dlc.components.schedules.cyclic:OneCycle",
    "reduce_on_plateau": "dlc.components.schedules.plateau:ReduceOnPlateau",
}
