"""`dlc show`: the table of a network, its program, the variants of its operations, or the memory of a training step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dlc
from dlc.cli.usage import excludes, needs, unknown
from dlc.diagnostics import SpecError, plural, quoting
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from dlc.frontend.passes.sizes import Sizes
    from dlc.frontend.pipeline import Spec
    from dlc.frontend.summary import Row, Table

PROGRAMS = ("jaxpr", "stablehlo", "hlo")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")

INSTEAD: dict[str, tuple[str, ...]] = {
    "--lowering": (),
    "--memory": ("--compiled",),
    "--emit": ("--step", "--platform"),
}
"""The options that print something else than the table, and the options that each of them can be used with."""


@fast_dataclass(frozen=True)
class ShowOptions:
    """What to print of a spec: the table of its layers unless another option is set.

    Args:
        expanded: one line of the table for each iteration of a repeat.
        emit: a program instead, in one of the forms `PROGRAMS`.
        step: with `emit`, the training step instead of the forward pass.
        platform: with `emit="stablehlo"`, one of `PLATFORMS`; this machine's when None.
        lowering: the variant that is used for each operation instead.
        memory: the predicted memory of a training step instead.
        compiled: with `memory`, also the memory that XLA plans.
        sizes: numbers for symbolic sizes, each as in `time=100`.
    """

    expanded: bool = False
    emit: str | None = None
    step: bool = False
    platform: str | None = None
    lowering: bool = False
    memory: bool = False
    compiled: bool = False
    sizes: tuple[str, ...] = ()

    @property
    def given(self) -> list[str]:
        """The options that are set and change what is printed, as they are written on the command line."""
        names = [name for name in type(self).__annotations__ if name != "sizes"]
        return [f"--{name}" for name in names if getattr(self, name) not in (False, None)]


def show_file(file: Path, options: ShowOptions, sets: Sequence[str]) -> None:
    """Print what the options ask for.

    Raises:
        SpecError: DLC510 when options don't fit together, and what is wrong with the spec.
    """
    check_options(options)
    from dlc.frontend.passes.sizes import sizes_of
    from dlc.frontend.summary import table

    spec = dlc.load(file, sets)
    with quoting(spec.texts):
        sizes = sizes_of(spec.plan, read_sizes(options.sizes))
    if options.lowering:
        print_variants(spec, sizes)
    elif options.memory:
        print_memory(spec, options.compiled, sizes)
    elif options.emit is not None:
        print_program(spec, options.emit, options.step, options.platform, sizes)
    else:
        print_layers(table(spec.plan, options.expanded, sizes))


def read_sizes(given: Sequence[str]) -> dict[str, int]:
    """The numbers of `--size NAME=NUMBER`.

    Raises:
        SpecError: DLC510 for one that is not written so.

    >>> read_sizes(["time=100", "width=28"])
    {'time': 100, 'width': 28}
    """
    found = {}
    for text in given:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not (name and equals and number.isascii() and number.isdecimal() and 0 < len(number) < 10 and int(number)):
            expected = "a name and a positive number below 10^9, such as `--size time=100`"
            raise SpecError.of("DLC510", f"`--size {text}` is not a size", expected=expected)
        found[name] = int(number)
    return found


def note_sizes(sizes: Sizes) -> None:
    """Print a note to standard error about sizes that are assumed."""
    if sizes.note:
        print(f"note: {assumption(sizes)}", file=sys.stderr)


def assumption(sizes: Sizes) -> str:
    """A sentence about assumed sizes, and how to give them."""
    return f"{sizes.note}; use `--size {sizes.assumed[0]}=NUMBER` for another"


def check_options(options: ShowOptions) -> None:
    """Refuse options that don't fit together.

    Raises:
        SpecError: DLC510.
    """
    for option, fitting in INSTEAD.items():
        misfits = [other for other in options.given if other not in (option, *fitting)]
        if option in options.given and misfits:
            raise excludes(misfits[0], option)
    if options.emit is not None and options.emit not in PROGRAMS:
        raise unknown("program", options.emit, PROGRAMS)
    if options.platform is not None and options.emit != "stablehlo":
        raise needs("--platform", "--emit stablehlo")
    if options.platform is not None and options.platform not in PLATFORMS:
        raise unknown("platform", options.platform, PLATFORMS)
    if options.step and options.emit is None:
        raise needs("--step", "--emit")
    if options.compiled and not options.memory:
        raise needs("--compiled", "--memory")


def print_program(spec: Spec, form: str, step: bool, platform: str | None, sizes: Sizes) -> None:
    """Print the program of the forward pass or of a training step."""
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.emit import program_text

    text = program_text(spec.plan, form, step, platform, sizes.numbers)
    note_sizes(sizes)
    print(text)


def print_variants(spec: Spec, sizes: Sizes) -> None:
    """Print the variant that is used for each operation of a spec, on this platform and on others."""
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.emit import sites_of
    from dlc.backend.lowering import flags_of, platform

    here = platform()
    rows = [("layer and operation", f"on {here}", "elsewhere", "variants")]
    sites = sites_of(spec.plan, sizes.numbers)
    note_sizes(sizes)
    for name, site in sites.items():
        rows.append((name, site.variant(here), site.variant("elsewhere"), ", ".join(site.fitting)))
    if len(rows) == 1:
        print("no operation has more than one variant")
    else:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for *first, last in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(first, widths, strict=True)), last, sep="  ")
    for flag, value in (flags_of(spec.graph) if here == "cpu" else {}).items():
        print(f"XLA flag {flag}={value}")


def print_memory(spec: Spec, compiled: bool, sizes: Sizes) -> None:
    """Print the memory of a training step, as it is predicted; also as XLA plans it when `compiled`."""
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.memory import planned, predicted
    from dlc.diagnostics import human

    found = predicted(spec.plan, sizes.numbers)
    of_size = f" with {sizes}" if sizes.numbers else ""
    print(f"{spec.name}: a training step of {plural(found.batch, 'example')}{of_size}")
    rows = {
        "weights and state of layers": found.weights,
        "optimizer and sums": found.training,
        "a batch": found.records,
        "activations, gradients, temporaries": found.temporaries,
        "peak, predicted": found.peak,
    }
    if compiled:
        rows["peak, planned by XLA"] = planned(spec.plan, sizes.numbers)[0]
    for name, count in rows.items():
        print(f"  {name:<36} {human(count, 'B', 1024):>12}")
    if sizes.note:
        print(assumption(sizes))


def print_layers(table: Table) -> None:
    """Print the table of the layers, and their sums."""
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    console.print(_grid(table))
    for line in _sums(table):
        console.print(line)


def _grid(table: Table) -> Grid:
    from rich.table import Table as Grid
    from rich.text import Text

    from dlc.diagnostics import human

    grid = Grid(title=Text(table.name), title_justify="left", title_style="bold", header_style="bold")
    for name in ("layer", "kind", "output"):
        grid.add_column(name, overflow="fold")
    for name in ("weights", "FLOPs"):
        grid.add_column(name, overflow="fold", justify="right")
    for name, kind in table.inputs.items():
        grid.add_row(Text(name), "input", Text(str(kind)), "", "")
    for row in table.rows:
        path = _folded(row.path if row.times == 1 else f"{row.path} (x{row.times})")
        flops = human(row.flops) if row.flops else ""
        grid.add_row(Text(path), row.word, Text(str(row.output)), Text(_weights(row)), flops)
    return grid


def _weights(row: Row) -> str:
    """The weights of a layer: how many it has, or whose it uses."""
    if row.shares:
        return f"of {row.shares}"
    count = f"{row.frozen:,} frozen" if row.frozen else f"{row.params:,}"
    if row.state:
        return f"{count} +{row.state:,}"
    return count if count != "0" else ""


def _sums(table: Table) -> list[str]:
    from dlc.diagnostics import human

    state = f", and {table.state:,} numbers of state" if table.state else ""
    frozen = f", {table.frozen:,} frozen" if table.frozen else ""
    which = "activations kept for the backward pass" if table.remade else "activations of all layers"
    activations = human(table.activation_bytes, "B", 1024)
    of_size = f" with {table.sizes}" if table.sizes.numbers else ""
    return [
        f"weights: {table.params:,} trained{frozen}{state}; {human(table.weight_bytes, 'B', 1024)}",
        f"one example{of_size}, forward: {human(table.flops, 'FLOPs')}; {which} {activations}",
        *([assumption(table.sizes)] if table.sizes.note else []),
    ]


def _folded(path: str, width: int = 30) -> str:
    r"""A path in lines that end at a slash, so that no name is broken.

    >>> _folded("repeat/*/transformer_encoder/feed_forward_norm")
    'repeat/*/transformer_encoder/\n  feed_forward_norm'
    """
    lines = [""]
    for part in path.replace("/", "/\n").split("\n"):
        if lines[-1].strip() and len(lines[-1] + part) > width:
            lines.append("  ")
        lines[-1] += part
    return "\n".join(lines)
