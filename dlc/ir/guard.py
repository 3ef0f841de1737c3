"""The guard around components of plugins: an error in one names the component, its method, and the line of the plugin.

Each method of a plugin's class that dlc calls is guarded when the plugin is loaded, so that no caller has to expect its
mistakes. Components of dlc are not guarded: their exceptions are bugs in dlc.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isfunction, isgenerator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dlc.diagnostics import SpecError
from dlc.diagnostics.report import Diagnostic, Report
from dlc.ir.verify import InternalError
from dlc.language.options import Options, RuleViolation

PASSED = (SpecError, RuleViolation, InternalError, MemoryError)
_PLUGINS: dict[type, str] = {}


class ComponentError(SpecError, RuleViolation):
    """What a component raised, or what is wrong with a result that it returned.

    A pass treats it as a `RuleViolation` and adds the position in the spec. Elsewhere it is an error with a report.

    Args:
        code: the diagnostic's code.
        subject: what failed, as `described` returns it.
        fault: what it did, as in "failed in `load`".
        reason: the exception, or None.
        found: the file and the line.
        hint: the likely fix.
    """

    def __init__(
        self, code: str, subject: str, fault: str, reason: str | None, found: str | None, hint: str | None
    ) -> None:
        message = f"{subject} {fault}" + (f": {reason}" if reason else "")
        RuleViolation.__init__(self, code, message, found=found, hint=hint)
        self.report = Report((Diagnostic(code, message, None, found, None, hint),))
        self.subject, self.fault, self.reason = subject, fault, reason

    def __reduce__(self) -> Any:
        """Processes that read data hand errors on."""
        return ComponentError, (self.code, self.subject, self.fault, self.reason, self.found, self.hint)

    def when(self, time: str) -> str:
        """The message with the time of the failure, as in "after epoch 3"."""
        return f"{self.subject} {self.fault} {time}" + (f": {self.reason}" if self.reason else "")


def guard(cls: type[Any], kind: str, plugin: str) -> None:
    """Guard the methods of a plugin's class that a base class of dlc declares, those that it inherits included.

    Args:
        cls: the class.
        kind: what a message calls it, as in `loss`.
        plugin: how a message names the plugin.
    """
    _PLUGINS.setdefault(cls, plugin)
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == "dlc"]
    for own in cls.__mro__:
        if own in bases or not issubclass(own, tuple(bases)):
            continue
        for name, method in list(vars(own).items()):
            contract = not name.startswith("_") and any(name in vars(base) for base in bases)
            if contract and isfunction(method) and not hasattr(method, "guarded"):
                setattr(own, name, _guarded(method, kind))


def _guarded(method: Callable[..., Any], kind: str) -> Callable[..., Any]:
    name = method.__name__

    @wraps(method)
    def call(component: Any, *inputs: Any, **named: Any) -> Any:
        try:
            result = method(component, *inputs, **named)
        except PASSED:
            raise
        except (Exception, SystemExit) as error:  # whatever a component does, it is the component's
            if not _of_the_machine(error):
                raise raised(component, kind, name, error) from error
            raise
        wrong = component.wrong_result(name, inputs, result) if isinstance(component, Options) else None
        if wrong is not None:
            raise ComponentError("DLC120", described(component, kind), *_returned(method, wrong), None)
        return _each(component, kind, name, result) if isgenerator(result) else result

    call.guarded = True  # type: ignore[attr-defined]
    return call


def _each(component: Any, kind: str, name: str, items: Iterator[Any]) -> Iterator[Any]:
    """The items of a generator, which is guarded as well."""
    try:
        yield from items
    except PASSED:
        raise
    except (Exception, SystemExit) as error:
        raise raised(component, kind, name, error) from error


def _returned(method: Callable[..., Any], wrong: str) -> tuple[str, None, str]:
    code = method.__code__
    line = f"{Path(code.co_filename).name}, line {code.co_firstlineno}"
    return f"returned a wrong result from `{method.__name__}`: {wrong}", None, line


def _of_the_machine(error: BaseException) -> bool:
    """Whether XLA raised an exception, as it does when memory is short."""
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")


def described(component: Any, kind: str) -> str:
    """A component with its owner: "the loss `cauchy` of the plugin `lab`"."""
    cls = type(component)
    module = cls.__module__
    owner = "dlc" if module.partition(".")[0] == "dlc" else f"the plugin `{_PLUGINS.get(cls, module)}`"
    return f"the {kind} `{component.word}` of {owner}"


def raised(component: Any, kind: str, method: str, error: BaseException) -> ComponentError:
    """The error for an exception of a component's method."""
    code = "DLC401" if kind in ("source", "feature") and isinstance(error, OSError) else "DLC120"
    reason, hint = explained(error)
    if hint is not None and kind == "callback":
        hint = "store values that change in `run.store`"
    module = type(component).__module__
    file = file_of(module)
    package = "." in module or (file is not None and file.name == "__init__.py")
    found = line_of(error, file, package)
    failure = ComponentError(code, described(component, kind), f"failed in `{method}`", reason, found, hint)
    failure.__cause__ = error
    return failure


def explained(error: BaseException) -> tuple[str, str | None]:
    """An exception in one line, and a hint if its cause is known."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        if first["type"] == "frozen_instance":
            name = ".".join(map(str, first["loc"]))
            return f"`self.{name}` can't be set: components are frozen", "compute the value where it is needed"
    text = " ".join(str(error).split())
    return type(error).__name__ + (f": {text}" if text else ""), None


def file_of(module: str) -> Path | None:
    """The file of a module that is loaded."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file is not None else None


def line_of(error: BaseException, file: Path | None, package: bool = False) -> str | None:
    """The line of the last frame inside a file, or None if no frame is.

    Args:
        error: the exception.
        file: the file.
        package: whether the other files of its folder count as well.
    """
    found, trace = None, error.__traceback__
    while trace is not None and file is not None:
        frame = Path(trace.tb_frame.f_code.co_filename)
        if frame == file or (package and frame.is_relative_to(file.parent)):
            found = f"{frame.name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
