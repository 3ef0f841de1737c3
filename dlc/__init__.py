"""dlc: a declarative deep-learning compiler. One YAML file in, one XLA program out."""

from __future__ import annotations

from dlc._version import __version__
from dlc.api import (
    allow_plugins,
    check,
    compile,
    evaluate,
    export,
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
    "evaluate",
    "export",
    "load",
    "loads",
    "predict",
    "report",
    "show",
    "train",
]
