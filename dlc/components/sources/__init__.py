"""The table of sources: a line for each, which names its class."""

from __future__ import annotations

SOURCES: dict[str, str] = {
    "digits": "dlc.components.sources.bundled:Digits",
    "iris": "dlc.components.sources.bundled:Iris",
    "wine": "dlc.components.sources.bundled:Wine",
    "breast_cancer": "dlc.components.sources.bundled:BreastCancer",
    "diabetes": "dlc.components.sources.bundled:Diabetes",
    "spirals": "dlc.components.sources.generators:Spirals",
    "moons": "dlc.components.sources.generators:Moons",
    "circles": "dlc.components.sources.generators:Circles",
    "blobs": "dlc.components.sources.generators:Blobs",
    "sine": "dlc.components.sources.generators:Sine",
    "copy": "dlc.components.sources.generators:Copy",
    "addition": "dlc.components.sources.generators:Addition",
    "npz": "dlc.components.sources.files:Npz",
    "npy": "dlc.components.sources.files:Npy",
    "csv": "dlc.components.sources.files:Csv",
    "jsonl": "dlc.components.sources.json_lines:JsonLines",
    "parquet": "dlc.components.sources.arrow_files:Parquet",
    "arrow": "dlc.components.sources.arrow_files:Arrow",
    "sql": "dlc.components.sources.databases:Sql",
    "tar": "dlc.components.sources.shards:Tar",
    "text": "dlc.components.sources.texts:Text",
    "idx": "dlc.components.sources.idx:Idx",
    "image_folder": "dlc.components.sources.folders:ImageFolder",
}
