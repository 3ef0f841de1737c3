"""Optional packages: imported when needed; if one is missing, the error names its extra."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dlc.diagnostics import SpecError

EXTRAS: dict[str, tuple[str, str]] = {
    "PIL": ("images", "reads pictures"),
    "tokenizers": ("text", "learns pieces of words"),
    "pyarrow": ("tables", "reads Parquet and Arrow files"),
    "sqlalchemy": ("sql", "connects to databases"),
    "tensorboard": ("tensorboard", "writes TensorBoard events"),
}
"""Package -> the extra that installs it, and what it is for."""


def require(package: str, module: str | None = None) -> Any:
    """Import a module of an optional package.

    Args:
        package: a key of `EXTRAS`.
        module: the module to import; the package itself when None.

    Raises:
        SpecError: DLC506, naming the extra, when the package is not installed.
    """
    extra, use = EXTRAS[package]
    if find_spec(package) is None:
        raise SpecError.of(
            "DLC506", f"`{package}`, which {use}, is not installed", hint=f"run `pip install 'dlc[{extra}]'`"
        )
    return import_module(module or package)
