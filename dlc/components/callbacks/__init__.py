"""Callbacks: one line for each, one class in each file."""

from __future__ import annotations

CALLBACKS: dict[str, str] = {
    "csv_log": "dlc.components.callbacks.csv_log:CsvLog",
    "stop_at": "dlc.components.callbacks.stop_at:StopAt",
}
