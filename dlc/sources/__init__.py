"""Where records come from: one line for each kind of source, one class in its file."""

from __future__ import annotations

SOURCES: dict[str, str] = {
    "digits": "dlc.sources.bundled:Digits",
    "iris": "dlc.sources.bundled:Iris",
    "wine": "dlc.sources.bundled:Wine",
    "breast_cancer": "dlc.sources.bundled:BreastCancer",
    "diabetes": "dlc.sources.bundled:Diabetes",
    "npz": "dlc.sources.files:Npz",
    "csv": "dlc.sources.files:Csv",
}
