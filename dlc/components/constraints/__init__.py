"""The table of constraints, which are applied to weights after every step."""

from __future__ import annotations

CONSTRAINTS: dict[str, str] = {
    "max_norm": "dlc.components.constraints.norms:MaxNorm",
    "unit_norm": "dlc.components.constraints.norms:UnitNorm",
    "min_max_norm": "dlc.components.constraints.norms:MinMaxNorm",
    "non_negative": "dlc.components.constraints.norms:NonNegative",
}
