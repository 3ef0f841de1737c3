"""Where records come from: one line for each kind of source, one class in its file."""

from __future__ import annotations

SOURCES: dict[str, str] = {
    "digits": "dlc.components.sources.bundled:Digits",
    "iris": "dlc.components.sources.bundled:Iris",
    "wine": "dlc.components.sources.bundled:Wine",
    "breast_cancer": "dlc.components.sources.bundled:BreastCancer",
    "diabetes": "dlc.components.sources.bundled:Diabetes",
    "npz": "dlc.components.sources.files:Npz",
    "csv": "dlc.components.sources.files:Csv",
}
