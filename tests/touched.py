"""Run the tests that a change touches: `python -m tests.touched [--base REV] [--distance N] [--list] [pytest options]`.

A change is what `git diff` finds between a revision and the working tree, untracked files included. It touches

- a test file that changed, or that imports a changed module of the tests,
- the tests named after a changed module (`dlc/training/checkpoint.py`: `tests/training/test_checkpoint.py`), or where
  none are, those of its folder (`dlc/components/losses/focal.py`: `tests/components/losses/`),
- the tests that import the module directly, or within `--distance` imports,
- for a module of `dlc/components/`, the tests of the registry and the documentation, and the battery of the components
  that it defines or supports: tables name components as strings, so that no test imports them,
- the doctests of the module, the layout, and the reports of broken specs where the front end changed,
- the tests that read a changed spec, example or page (`READ_BY`).

Options that are not its own go to pytest. Slow tests are left out as they are there; `-m ""` adds them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYOUT = "tests/test_layout.py"
BATTERY = "tests/components/test_battery.py"

READ_BY: dict[str, tuple[str, ...]] = {
    "tests/broken/": ("tests/broken",),
    "tests/conftest.py": ("tests",),
    "specs/": ("tests/specs", "tests/promises/test_exactness.py", "tests/test_docs.py"),
    "specs/zoo/": ("tests/reference/test_keras_applications.py",),
    "examples/": ("tests/specs/test_examples.py",),
    "dlc/tasks/": ("tests/tasks/test_tasks.py", "tests/specs/test_specs.py"),
    "docs/": ("tests/test_docs.py",),
    "README.md": ("tests/test_docs.py",),
    "CONTRIBUTING.md": ("tests/test_docs.py", "tests/test_contributing.py", "tests/frontend/test_plugins.py"),
    "pyproject.toml": ("tests/test_docs.py",),
}
"""Files, or folders with a slash at their end, that tests read, and these tests."""

WITH_MESSAGES = ("dlc/diagnostics/", "dlc/language/", "dlc/frontend/")
"""The packages whose messages stand in the reports of broken specs."""


def changed(base: str) -> list[str]:
    """The files that differ from a revision, those that git does not know yet included."""
    tracked = _git("diff", "--name-only", base)
    return sorted({*tracked, *_git("ls-files", "--others", "--exclude-standard")})


def default_base() -> str:
    """Where this branch left `main`; on `main` itself, or without it, the last commit."""
    try:
        return _git("merge-base", "HEAD", "main")[0]
    except subprocess.CalledProcessError:
        return "HEAD"


def touched(files: Iterable[str], importers: Mapping[str, set[str]], distance: int = 1) -> list[str]:
    """The arguments for pytest: test files and folders, and modules with doctests.

    Args:
        files: the changed files, from the root of the project.
        importers: for each module's file, the files that import it.
        distance: how many imports may lie between a changed module and a test file.
    """
    found: set[str] = set()
    for file in files:
        for start, tests in READ_BY.items():
            if file == start or (start.endswith("/") and file.startswith(start)):
                found |= set(tests)
        if file.endswith(".py"):
            found |= set(_of_module(file, importers, distance))
    existing = {name for name in found if (ROOT / _file_named(name)).exists()}
    return sorted(name for name in existing if not existing.intersection(_around(name)))


def _file_named(test: str) -> str:
    """The file of a test, which may be named within it: `FILE::TEST[CASE]`."""
    return test.partition("::")[0]


def _around(test: str) -> set[str]:
    """The folders that a test is in, and its file if the test is named within it."""
    file = _file_named(test)
    return {*map(str, Path(file).parents), *([file] if file != test else [])}


def _of_module(file: str, importers: Mapping[str, set[str]], distance: int) -> Iterator[str]:
    if _is_test(file):
        yield file
        return
    if file.startswith("dlc/"):
        yield from (LAYOUT, file, *_mirror(Path(file)))
        if file.startswith(WITH_MESSAGES):
            yield "tests/broken"
    if file.startswith("dlc/components/"):
        yield from ("tests/components/test_registry.py", "tests/test_docs.py", *_battery(file, importers))
    reached, edge = {file}, {file}
    for _ in range(distance if file.startswith("dlc/") else len(importers)):
        edge = _through_packages(edge, importers) - reached
        reached |= edge
        yield from (name for name in edge if _is_test(name))


def _battery(file: str, importers: Mapping[str, set[str]]) -> Iterator[str]:
    """The battery of the components that a module defines, or that are defined with its help."""
    from dlc.components.registry import KINDS

    reached, edge = set[str](), {file} if not file.endswith("/__init__.py") else set()
    while edge:
        reached |= edge
        edge = {name for name in _through_packages(edge, importers) if name.startswith("dlc/components/")} - reached
    for kind in KINDS.values():
        for word, place in kind.words().items():
            if _file_of(place.partition(":")[0]) in reached:
                yield f"{BATTERY}::test_a_component_passes_its_battery[{kind.name}-{word}]"


def _through_packages(files: set[str], importers: Mapping[str, set[str]]) -> set[str]:
    """The files that import one of these; a package that hands a module's names on counts as the module."""
    found: set[str] = set()
    for name in set().union(*(importers.get(file, set()) for file in files)):
        found.add(name)
        if name.endswith("/__init__.py"):
            found |= importers.get(name, set())
    return found


def _mirror(module: Path) -> Iterator[str]:
    """The tests that are named after a module, or else those of the folder that mirrors its own."""
    inside = module.parent.relative_to("dlc").parts
    if not inside:
        return
    named = sorted((ROOT / "tests" / inside[0]).rglob(f"test_{module.stem}*.py"))
    folders = (ROOT.joinpath("tests", *inside[:depth]) for depth in range(len(inside), 0, -1))
    for path in named or [next((folder for folder in folders if folder.is_dir()), ROOT / LAYOUT)]:
        yield path.relative_to(ROOT).as_posix()


def import_graph() -> dict[str, set[str]]:
    """For each file of dlc and of its tests, the files that import it."""
    from tests.test_layout import imports_of

    found: dict[str, set[str]] = {}
    for folder in ("dlc", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for item in imports_of(path):
                found.setdefault(_file_of(item.module), set()).add(item.file)
    return found


def _file_of(module: str) -> str:
    path = Path(*module.split("."))
    return (path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")).as_posix()


def _is_test(file: str) -> bool:
    return file.startswith("tests/") and Path(file).name.startswith("test_")


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def main(arguments: list[str]) -> int:
    """Run pytest on what a change touches; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.touched", description="Run the tests that a change touches.")
    parser.add_argument("--base", help="the revision to compare with; where this branch left main by default")
    parser.add_argument("--distance", type=int, default=1, help="imports between a changed module and a test; 1")
    parser.add_argument("--list", action="store_true", help="print the files and run nothing")
    options, rest = parser.parse_known_args(arguments)
    chosen = touched(changed(options.base or default_base()), import_graph(), options.distance)
    print("\n".join(chosen) or "no test depends on what has changed", flush=True)
    if options.list or not chosen:
        return 0
    return subprocess.run([sys.executable, "-m", "pytest", *chosen, *rest], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
