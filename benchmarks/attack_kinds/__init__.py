"""The kinds of attacks that `python -m benchmarks.attacks` replays, and what each of them attacks, untouched."""

from __future__ import annotations

from benchmarks.attack_kinds.attack import RICH, SPEC, Kind, untouched_specs
from benchmarks.attack_kinds.data import tables, untouched_tables
from benchmarks.attack_kinds.runs import run_files, run_values, untouched_runs
from benchmarks.attack_kinds.specs import (
    TRAINING,
    bombs,
    numbers,
    special_specs,
    texts,
    trained_numbers,
    trained_texts,
    untouched_bombs,
    untouched_names,
    untouched_special_specs,
)
from benchmarks.attack_kinds.surroundings import outputs, surroundings, untouched_outputs, untouched_surroundings

KINDS: dict[str, Kind] = {
    "numbers": Kind(20, numbers, untouched_specs("numbers", {"a small spec": SPEC, "a rich one": RICH}), checks=True),
    "bombs": Kind(10, bombs, untouched_bombs, checks=True),
    "texts": Kind(14, texts, untouched_specs("texts", {"a small spec": SPEC, "a rich one": RICH}), checks=True),
    "special-specs": Kind(6, special_specs, untouched_special_specs, checks=True),
    "numbers-run": Kind(
        8, trained_numbers, untouched_specs("numbers-run", {"a small spec": SPEC, "a rich one": RICH}, *TRAINING)
    ),
    "names-run": Kind(4, trained_texts, untouched_names),
    "output": Kind(6, outputs, untouched_outputs),
    "run-values": Kind(16, run_values, untouched_runs("run-values")),
    "run-files": Kind(8, run_files, untouched_runs("run-files")),
    "tables": Kind(5, tables, untouched_tables),
    "surroundings": Kind(3, surroundings, untouched_surroundings),
}
"""The kinds of attacks, the cheap ones first."""
