"""The command line: `main` is the console script; each command is a few lines over one public function."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import TextIO

from dlc.diagnostics import Report, SpecError

EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE, EXIT_INTERNAL, EXIT_RESUME = 0, 1, 2, 70, 75


def main() -> None:
    """Run a command. A user's mistake is a diagnostic, never a traceback."""
    for name in ("stdout", "stderr"):  # closed, or unable to show a sign: no reason to fail
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _run(sys.argv[1:])
    except SpecError as error:
        print_report(error.report)
        sys.exit(exit_code(error.report))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `dlc show ... | head` is no error
        sys.exit(EXIT_CLEAN)
    except Exception as error:
        _internal(error)
        sys.exit(EXIT_INTERNAL)


def _run(arguments: list[str]) -> None:
    """Run a command through Typer; a plain `dlc check FILE...` without it.

    Editors and hooks run that one all the time, and Typer takes longer than the check of a file. For the same reason
    the garbage collector waits until a longer command begins.
    """
    gc.disable()
    command, files = arguments[:1], arguments[1:]
    if command == ["check"] and files and not any(name.startswith("-") for name in files):
        from dlc.cli.commands import check_files

        sys.exit(check_files(files, "text", []))
    from dlc.cli.app import app

    app()


def print_report(report: Report, stream: TextIO | None = None) -> None:
    """Print findings, coloured on a terminal."""
    from dlc.diagnostics.render import text

    stream = stream or sys.stderr
    print(text(report, color=colorful(stream)), file=stream)


def colorful(stream: TextIO) -> bool:
    """Whether to colour what goes to a stream (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def exit_code(report: Report) -> int:
    """0 clean, 1 findings, 2 when a file can't be read at all or a command can't be carried out as asked."""
    if report.ok:
        return EXIT_CLEAN
    unusable = {"DLC001", "DLC510"}
    return EXIT_USAGE if any(code in unusable for code in report.codes) else EXIT_FINDINGS


def _internal(error: Exception) -> None:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="dlc-error-", suffix=".txt", delete=False) as file:
        file.write(" ".join(sys.argv) + "\n")
        traceback.print_exception(error, file=file)
    print(f"error[DLC900]: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  = note: this is a bug in dlc; the details are in {file.name}", file=sys.stderr)
    print("  = hint: please report it with that file and the spec", file=sys.stderr)
