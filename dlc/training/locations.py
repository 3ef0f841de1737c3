"""Where the files of a run's data are. They are found again after the run and its data moved together."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlc.diagnostics import SpecError
from dlc.frontend.plan import Plan
from dlc.language.yaml_text import parse_yaml
from dlc.support.records import read_value
from dlc.support.regular_files import read_whole
from dlc.training.records import LocationRecord

Key = tuple[str, ...]


def location_keys(plan: Plan) -> dict[Key, str]:
    """The settings of a spec that say where its data are, with their values: paths."""
    data = plan.data
    sources = {} if data is None else {"source": data.source, "validation": data.validation, "test": data.test}
    return {
        ("data", key, source.word, option): getattr(source, option)
        for key, source in sources.items()
        if source is not None
        for option in source.locations
        if isinstance(getattr(source, option), str)
    }


def recorded(plan: Plan, run: Path) -> dict[str, dict[str, str]]:
    """What `locations.json` holds: each file's absolute path, and its path relative to the run folder."""
    found = {}
    for key, value in location_keys(plan).items():
        path = os.path.realpath(Path(plan.folder) / Path(value).expanduser())
        found[".".join(key)] = {"absolute": path, "relative": os.path.relpath(path, os.path.realpath(run))}
    return found


def moved(run: Path, sets: Sequence[str] = ()) -> list[str]:
    """Settings, as of `--set`, for files that are no longer where they were, but where they were relative to the run.

    Args:
        run: the run folder.
        sets: settings of the user; a file that these name is not looked for.

    Raises:
        SpecError: DLC503 when `locations.json` is damaged.
    """
    path = run / "locations.json"
    if not path.exists():
        return []
    found, given = read_value(path), {text.partition("=")[0].strip() for text in sets}
    try:
        tree = parse_yaml(read_whole(run / "resolved.yaml").decode(), "resolved").tree
        places = {key: LocationRecord.of(place) for key, place in found.items()}
        changed = {
            key: os.path.realpath(run / place.relative)
            for key, place in places.items()
            if _value(tree, key) == place.absolute and key not in given and not Path(place.absolute).exists()
        }
        return [f"{key}={json.dumps(target)}" for key, target in changed.items() if Path(target).is_file()]
    except (AttributeError, KeyError, TypeError, ValueError, OSError, SpecError):
        raise SpecError.of("DLC503", f"`{path}` is damaged: it does not fit the spec") from None


def _value(tree: Any, key: str) -> Any:
    """The value of a setting."""
    for part in key.split("."):
        tree = tree[part] if isinstance(tree, dict) else None
    return tree
