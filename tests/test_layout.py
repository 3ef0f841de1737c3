"""The layout: packages in import order, without cycles, and nothing that computes before the backend."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dlc

ROOT = Path(dlc.__file__).parent

ORDER = [
    "_version",
    "diagnostics",
    "support",
    "language",
    "ir",
    "kernels",
    "components",
    "frontend",
    "data",
    "tasks",
    "backend",
    "training",
    "serving",
    "reports",
    "editor",
    "api",
    "cli",
    "__main__",
]
"""The packages and modules at the top of `dlc`: each imports only from those above it."""

TOP = {"__init__.py", "__main__.py", "_version.py", "api.py", "py.typed"}
COMPUTING = {"jax", "jaxlib", "numpy", "optax", "safetensors", "sklearn"}
BEFORE_BACKEND = ORDER[: ORDER.index("backend")]


class Import(NamedTuple):
    """An import, wherever it stands in a file."""

    file: str
    line: int
    module: str
    top: bool  # whether it runs when the file is imported
    typed: bool  # whether only a type checker sees it

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    """All imports of a file, those within functions included."""
    name = str(file.relative_to(ROOT.parent))

    def walk(node: ast.AST, top: bool, typed: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(name, child.lineno, part.name, top, typed) for part in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}:{child.lineno} is a relative import"
                for part in child.names:
                    full = f"{child.module}.{part.name}"
                    inner = ROOT.parent / full.replace(".", "/")
                    found = full if inner.is_dir() or inner.with_suffix(".py").is_file() else str(child.module)
                    yield Import(name, child.lineno, found, top, typed)
            inside = top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            only = typed or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            yield from walk(child, inside, only)

    yield from walk(ast.parse(file.read_text()), True, False)


IMPORTS = [item for file in sorted(ROOT.rglob("*.py")) for item in imports_of(file)]


def package(item: str) -> str:
    """The first part of a file's or a module's name behind `dlc`."""
    parts = item.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_the_top_holds_packages_and_little_else() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_file()} == TOP
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= set(ORDER)
    assert all((ROOT / name / "__init__.py").is_file() for name in folders)


def test_packages_import_only_from_those_above_them() -> None:
    place = {name: index for index, name in enumerate(ORDER)}
    wrong = [
        str(item)
        for item in IMPORTS
        if item.module.split(".")[0] == "dlc" and item.file != "dlc/__init__.py" and package(item.file) != "__main__"
        if package(item.module) != package(item.file)
        if not (package(item.module) == "__init__" and package(item.file) == "cli")
        if place.get(package(item.module), len(ORDER)) >= place[package(item.file)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other() -> None:
    """No cycle at all: imports within functions and for type checkers included."""
    known = {str(file.relative_to(ROOT.parent).with_suffix("")).replace("/", ".") for file in ROOT.rglob("*.py")}
    graph: dict[str, set[str]] = {name.removesuffix(".__init__"): set() for name in known}
    for item in IMPORTS:
        name = item.file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if item.module in graph and item.module != name:
            graph[name].add(item.module)
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for other in sorted(graph[name]):
                visit(other)
            done.add(path.pop())

    for name in sorted(graph):
        visit(name)


def test_nothing_before_the_backend_imports_what_computes() -> None:
    wrong = [
        str(item)
        for item in IMPORTS
        if item.module.split(".")[0] in COMPUTING and item.top and not item.typed
        if package(item.file) in BEFORE_BACKEND
    ]
    assert not wrong, "\n".join(wrong)


MOST_ATTRIBUTES = 20


def attributes(cls: ast.ClassDef) -> set[str]:
    """What an instance holds: the declared fields, and all that methods set on `self`."""
    fields = {
        node.target.id
        for node in cls.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if "ClassVar" not in ast.unparse(node.annotation)
    }
    written = {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    return fields | written


def test_no_class_has_many_attributes() -> None:
    """A class that holds more than this does several things."""
    wrong = [
        f"{file.relative_to(ROOT.parent)}: {node.name} has {len(attributes(node))} attributes"
        for file in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and len(attributes(node)) > MOST_ATTRIBUTES
    ]
    assert not wrong, "\n".join(wrong)


def test_attributes_are_counted() -> None:
    text = "class A:\n  x: int\n  y: ClassVar[int]\n  def f(self):\n    self.a, self.b = 1, 2\n    self.x += 1\n"
    (cls,) = ast.parse(text).body
    assert isinstance(cls, ast.ClassDef) and attributes(cls) == {"x", "a", "b"}
