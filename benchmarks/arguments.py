"""The command lines of the benchmarks: each explains itself with `--help`, and refuses what it does not know."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks.NAME`, whose help is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def one_of(choices: Iterable[Any]) -> Callable[[str], Any]:
    """The type of an argument that is one of some values. `choices` of argparse refuses an empty list of them."""
    known = {str(choice): choice for choice in choices}

    def chosen(text: str) -> Any:
        if text not in known:
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(known)})")
        return known[text]

    return chosen
