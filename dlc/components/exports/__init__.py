"""Export formats: one line for each, one class in its file."""

from __future__ import annotations

EXPORTS: dict[str, str] = {
    "stablehlo": "dlc.components.exports.stablehlo:StableHlo",
    "safetensors": "dlc.components.exports.safetensors:Safetensors",
}
