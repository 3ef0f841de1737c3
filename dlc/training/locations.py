"""Where the files of a run's data are. They are found again after the run and its data moved together."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlc.components.sources.paths import absolute, exists
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
        ("data", key, source.word, *place): path
        for key, source in sources.items()
        if source is not None
        for place, path in source.places().items()
    }


def recorded(plan: Plan, run: Path) -> dict[str, dict[str, str]]:
    """What `locations.json` holds: each file's absolute path, and its path relative to the run folder."""
    found = {}
    for key, value in location_keys(plan).items():
        path = absolute(Path(plan.folder), value)
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
        changed: dict[Key, Any] = {}
        for name, recorded_place in found.items():
            place, key = LocationRecord.of(recorded_place), _key(tree, name)
            target = os.path.realpath(run / place.relative)
            option = key[:_DEPTH]
            same = bool(key) and _value(tree, key) == place.absolute and ".".join(option) not in given
            if same and not exists(Path(place.absolute)) and exists(Path(target)):
                whole = key == option
                changed[option] = target if whole else {**changed.get(option, _value(tree, option)), key[-1]: target}
        return [f"{'.'.join(key)}={json.dumps(value)}" for key, value in changed.items()]
    except (AttributeError, KeyError, TypeError, ValueError, OSError, SpecError):
        raise SpecError.of("DLC503", f"`{path}` is damaged: it does not fit the spec") from None


_DEPTH = 4  # of the key of a location: `data`, the source's key, its word, the option; a name in a mapping follows


def _key(tree: Any, name: str) -> Key:
    """The key of a setting that is written with points between its parts; a part may hold points itself.

    It is empty if there is no such setting.
    """
    for part in tree if isinstance(tree, dict) else ():
        if part == name:
            return (part,)
        if name.startswith(f"{part}.") and (rest := _key(tree[part], name[len(part) + 1 :])):
            return (part, *rest)
    return ()


def _value(tree: Any, key: Key) -> Any:
    """The value of a setting."""
    for part in key:
        tree = tree[part]
    return tree
