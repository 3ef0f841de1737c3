"""The kinds of inputs and targets: one line for each, one class in its file."""

from __future__ import annotations

FEATURES: dict[str, str] = {
    "tensor": "dlc.components.features.tensor:Tensor",
    "number": "dlc.components.features.number:Number",
    "category": "dlc.components.features.category:Category",
    "tokens": "dlc.components.features.tokens:Tokens",
}
