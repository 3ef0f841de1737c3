"""dlc: a declarative deep-learning compiler. One YAML file in, one XLA program out.

Its names are imported at first use: the command must handle interrupts before it imports anything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlc._version import __version__

if TYPE_CHECKING:
    from dlc.api import (
        allow_plugins,
        check,
        compile,
        cross_validate,
        evaluate,
        export,
        generate,
        init,
        load,
        loads,
        predict,
        report,
        show,
        train,
    )
    from dlc.diagnostics import Diagnostic, Report, Span, SpecError

__all__ = [
    "Diagnostic",
    "Report",
    "Span",
    "SpecError",
    "__version__",
    "allow_plugins",
    "check",
    "compile",
    "cross_validate",
    "evaluate",
    "export",
    "generate",
    "init",
    "load",
    "loads",
    "predict",
    "report",
    "show",
    "train",
]


def __getattr__(name: str) -> object:
    """Import a public name."""
    if name not in __all__:
        raise AttributeError(f"module `dlc` has no attribute `{name}`")
    from importlib import import_module

    module = "diagnostics" if name in ("Diagnostic", "Report", "Span", "SpecError") else "api"
    globals()[name] = value = getattr(import_module(f"dlc.{module}"), name)
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
