"""The command line: `main` is the console script; each command is a few lines over one public function."""

from dlc.cli.entry import main

__all__ = ["main"]
