"""The table of features, the kinds of inputs and targets."""

from __future__ import annotations

FEATURES: dict[str, str] = {
    "tensor": "dlc.components.features.tensor:Tensor",
    "number": "dlc.components.features.number:Number",
    "category": "dlc.components.features.category:Category",
    "binary": "dlc.components.features.binary:Binary",
    "date": "dlc.components.features.date:Date",
    "table": "dlc.components.features.table:Table",
    "image": "dlc.components.features.image:Image",
    "series": "dlc.components.features.series:Series",
    "text": "dlc.components.features.text:Text",
    "tokens": "dlc.components.features.tokens:Tokens",
}
