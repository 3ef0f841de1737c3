"""The entry point `main`, which is the console script `dlc`."""

from __future__ import annotations

import gc
import os
import sys

from dlc.cli.interrupts import end_on_interrupt, listen, over

_COMPUTING = ("train", "eval", "predict", "generate", "export", "report", "doctor")


def main() -> None:
    """Run a command. A user's mistake is a diagnostic, never a traceback; output that nobody reads is not an error.

    All imports come after the handler of interrupts, which no traceback of an import may precede.
    """
    end_on_interrupt()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them takes a tenth of `dlc check`
    from dlc.cli.output import lasting

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
        from dlc.cli.console import EXIT_FINDINGS, print_report
        from dlc.diagnostics import SpecError, reason

        cause = reason(file.error)
        print_report(SpecError.of("DLC507", f"can't write to standard output: {cause}").report)
        code = code or EXIT_FINDINGS
    over()
    sys.exit(code)


def _outcome(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    from dlc.cli.console import EXIT_CLEAN, EXIT_INTERNAL, exit_code, print_report
    from dlc.diagnostics import SpecError

    try:
        _run(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_CLEAN
    except SpecError as error:
        print_report(error.report)
        return exit_code(error.report)
    except KeyboardInterrupt:  # of a caller that handles interrupts itself
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        from dlc.cli.refusals import refused

        known = refused(error)
        if known is not None:
            print_report(known.report)
            return exit_code(known.report)
        _internal(error)
        return EXIT_INTERNAL
    return EXIT_CLEAN


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
    listen()
    if arguments[:1] and arguments[0] in _COMPUTING:  # before numpy, whose libraries end the process
        from dlc.backend.jax_config import need_address_space

        need_address_space()
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

    details = " ".join(sys.argv) + "\n" + "".join(traceback.format_exception(error))
    print(f"error[DLC900]: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="dlc-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(details)
        print(f"  = note: this is a bug in dlc; the details are in {file.name}", file=sys.stderr)
        print("  = hint: please report it with that file and the spec", file=sys.stderr)
    except OSError:  # no temporary folder, or no space in it
        print(f"  = note: this is a bug in dlc; please report it with these details:\n{details}", file=sys.stderr)
