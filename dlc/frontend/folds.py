"""Specs of cross-validation: each fold is a run, whose test split is a part of the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlc.diagnostics import SpecError
from dlc.frontend.pipeline import Spec
from dlc.language.loader import load_source
from dlc.language.options import flow


def fold_settings(path: Path | str, sets: Sequence[str], folds: int) -> list[str]:
    """The settings, as passed to `--set`, with which the first of the folds is the test split of a spec file.

    Args:
        path: the spec file.
        sets: other settings.
        folds: the number of folds.

    Raises:
        SpecError: DLC001-DLC011, DLC110, DLC111 when the file can't be read.
    """
    data = load_source(path, sets).tree.get("data")
    if not isinstance(data, dict):
        return [] if data is None else [f"data={flow({'source': data, 'split': {'folds': folds}})}"]
    found = [f"data.split.folds={folds}"]
    split = data.get("split")
    if isinstance(split, dict) and split.get("test"):
        found.append("data.split.test=0")
    if data.get("test") is not None:
        found.append("data.test=null")
    return found


def of_fold(spec: Spec, fold: int) -> Spec:
    """The same spec with another fold as the test split.

    Args:
        spec: a checked spec whose records are divided into folds.
        fold: the number of the fold, from 1.
    """
    data = spec.plan.data
    if data is None or data.split.folds is None:
        raise SpecError.of("DLC115", "the spec has no data to divide into folds", hint="add a section `data`")
    chosen = data.model_copy(update={"split": data.split.model_copy(update={"fold": fold})})
    return replace(spec, document=replace(spec.document, data=chosen), plan=replace(spec.plan, data=chosen))
