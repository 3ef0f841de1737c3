"""Run the examples of a plugin's components as the tests run those of dlc: `python -m tests.plugin FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from dlc.components.registry import PLUGIN_TABLES
from dlc.diagnostics import Problems, SpecError
from dlc.frontend.plugins import active, load_plugin
from tests.components.battery import check_component


def main(names: list[str]) -> int:
    """Check the components of plugins, given as files or modules; 1 if one of them fails."""
    failed = False
    for name in names:
        problems = Problems()
        plugin = load_plugin(name, Path(), None, problems, typed=True)
        if plugin is None:
            raise SpecError(problems.report({}))
        with active([plugin]):
            for table, words in plugin.tables.items():
                for word in words:
                    wrong = _failure(table, word)
                    failed |= wrong is not None
                    print(f"{PLUGIN_TABLES[table].name} {word}: {wrong or 'passed'}")
    return int(failed)


def _failure(table: str, word: str) -> str | None:
    """What one of a component's examples does not do, or None."""
    try:
        check_component(PLUGIN_TABLES[table], word)
    except (AssertionError, SpecError) as error:
        return str(error) or "an example fails; run it under pytest to see which values differ"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
