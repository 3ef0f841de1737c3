"""The vocabulary of constraints: what weights are brought back to after every step."""

from __future__ import annotations

CONSTRAINTS: dict[str, str] = {
    "max_norm": "dlc.constraints.norms:MaxNorm",
    "unit_norm": "dlc.constraints.norms:UnitNorm",
    "min_max_norm": "dlc.constraints.norms:MinMaxNorm",
    "non_negative": "dlc.constraints.norms:NonNegative",
}
