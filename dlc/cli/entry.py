"""The entry point `main`, which is the console script `dlc`."""

from __future__ import annotations

import errno
import gc
import os
import sys

from dlc.cli.console import EXIT_CLEAN, EXIT_FINDINGS, EXIT_INTERNAL, exit_code, print_report
from dlc.cli.output import lasting
from dlc.diagnostics import SpecError, reason
from dlc.support.memory import ran_out


def main() -> None:
    """Run a command. A user's mistake is a diagnostic, never a traceback; output that nobody reads is not an error."""
    if sys.argv[1:2] == ["train"]:
        from dlc.cli.huge_pages import restart

        restart()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end
    sys.stdout, file = lasting(sys.stdout)
    sys.stderr, _ = lasting(sys.stderr)
    code = _outcome(sys.argv[1:])
    sys.stdout.flush()
    if file is not None and file.error is not None and not isinstance(file.error, BrokenPipeError):
        cause = reason(file.error)
        print_report(SpecError.of("DLC507", f"can't write to standard output: {cause}").report)
        code = code or EXIT_FINDINGS
    sys.exit(code)


def _outcome(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    try:
        _run(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_CLEAN
    except SpecError as error:
        print_report(error.report)
        return exit_code(error.report)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        refused = _refused(error)
        if refused is not None:
            print_report(refused.report)
            return exit_code(refused.report)
        _internal(error)
        return EXIT_INTERNAL
    return EXIT_CLEAN


def _refused(error: Exception) -> SpecError | None:
    """The diagnostic when memory ran out, or the system refused a file: its name, its permissions, a full disk."""
    if ran_out(error):
        from dlc.frontend.memory import out_of_memory

        return out_of_memory(error)
    refusals = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
    if not isinstance(error, OSError) or error.errno not in refusals or not isinstance(error.filename, str):
        return None
    name = error.filename if len(error.filename) <= 80 else f"{error.filename[:38]}...{error.filename[-38:]}"
    hint = "check the name, its permissions and the free disk space"
    return SpecError.of("DLC507", f"can't use `{name}`: {reason(error)}", hint=hint)


def _run(arguments: list[str]) -> None:
    """Run a command through Typer; `dlc check [--format FORMAT] FILE...` without it.

    Editors, hooks and CI run it all the time, and importing Typer takes longer than checking a file. For the same
    reason the garbage collector is off until a longer command starts.
    """
    gc.disable()
    plain = _plain_check(arguments)
    if plain is not None:
        from dlc.cli.commands import check_files

        code = check_files(*plain, [])
        gc.freeze()  # a collection at the end is not worth its time
        sys.exit(code)
    from dlc.cli.app import app

    app()


def _plain_check(arguments: list[str]) -> tuple[list[str], str] | None:
    """The files and the format of a `dlc check` that has no other option; None for everything else."""
    if arguments[:1] != ["check"]:
        return None
    files, how = [], "text"
    rest = iter(arguments[1:])
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name == "--format":
            how = value if equals else next(rest, "")
        elif argument.startswith("-"):
            return None
        else:
            files.append(argument)
    return (files, how) if files and how else None


def _internal(error: Exception) -> None:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="dlc-error-", suffix=".txt", delete=False) as file:
        file.write(" ".join(sys.argv) + "\n")
        traceback.print_exception(error, file=file)
    print(f"error[DLC900]: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  = note: this is a bug in dlc; the details are in {file.name}", file=sys.stderr)
    print("  = hint: please report it with that file and the spec", file=sys.stderr)
