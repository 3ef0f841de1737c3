"""The vocabulary of constraints: what weights are brought back to after every step."""

from __future__ import annotations

CONSTRAINTS: dict[str, str] = {
    "max_norm": "dlc.components.constraints.norms:MaxNorm",
    "unit_norm": "dlc.components.constraints.norms:UnitNorm",
    "min_max_norm": "dlc.components.constraints.norms:MinMaxNorm",
    "non_negative": "dlc.components.constraints.norms:NonNegative",
}
