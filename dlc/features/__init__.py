"""The kinds of inputs and targets: one line for each, one class in its file."""

from __future__ import annotations

FEATURES: dict[str, str] = {
    "tensor": "dlc.features.tensor:Tensor",
    "number": "dlc.features.number:Number",
    "category": "dlc.features.category:Category",
    "tokens": "dlc.features.tokens:Tokens",
}
