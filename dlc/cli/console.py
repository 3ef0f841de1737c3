"""What commands share: exit codes, and how reports are printed."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from dlc.diagnostics import Report

EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE, EXIT_INTERNAL, EXIT_RESUME = 0, 1, 2, 70, 75


def print_report(report: Report, stream: TextIO | None = None) -> None:
    """Print findings, colored on a terminal."""
    from dlc.diagnostics.render import text

    stream = stream or sys.stderr
    print(text(report, color=colorful(stream)), file=stream)


def colorful(stream: TextIO) -> bool:
    """Whether to color what goes to a stream (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def exit_code(report: Report) -> int:
    """0 clean, 1 findings, 2 when a file can't be read at all or a command can't be carried out as asked."""
    if report.ok:
        return EXIT_CLEAN
    unusable = {"DLC001", "DLC510"}
    return EXIT_USAGE if any(code in unusable for code in report.codes) else EXIT_FINDINGS
