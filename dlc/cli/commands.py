"""What the smaller commands do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dlc
from dlc.cli.console import colorful, exit_code
from dlc.diagnostics import Report, SpecError, did_you_mean, listing, plural, reason

if TYPE_CHECKING:
    from dlc.frontend.pipeline import Spec

TEMPLATES = Path(__file__).parent / "templates"


def check_files(files: Sequence[Path | str], how: str, sets: Sequence[str]) -> int:
    """Check specs, print the findings, give the exit code."""
    from dlc.diagnostics import render

    if how not in render.FORMATS:
        raise SpecError.of(
            "DLC510",
            f"unknown format `{how}`",
            expected=f"one of {listing(render.FORMATS)}",
            hint=did_you_mean(how, render.FORMATS),
        )
    report = Report()
    code = 0
    for file in files:
        found = dlc.check(file, sets)
        code = max(code, exit_code(found))
        report += found
    if how != "text":
        print(render.FORMATS[how](report))
        return code
    color = colorful(sys.stdout)
    if report.diagnostics:
        print(render.text(report, color=color) + "\n")
    print(render.summary(report, len(files)))
    return code


def show_lowering(file: Path, sets: Sequence[str], alone: bool) -> None:
    """Print in which of its equal forms each operation of a spec is computed, here and elsewhere."""
    if not alone:
        raise SpecError.of("DLC510", "`--lowering` stands alone", hint="remove `--expanded`, `--emit` or `--step`")
    spec = dlc.load(file, sets)
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.emit import sites_of
    from dlc.backend.lowering import flags_of, platform

    here = platform()
    rows = [("layer and operation", f"on {here}", "elsewhere", "equal forms")]
    for name, site in sites_of(spec.plan).items():
        rows.append((name, site.variant(here), site.variant("elsewhere"), ", ".join(site.fitting)))
    flags = flags_of(spec.graph) if here == "cpu" else {}
    if len(rows) == 1:
        print("no operation has several forms")
    else:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for *first, last in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(first, widths, strict=True)), last, sep="  ")
    for flag, value in flags.items():
        print(f"XLA flag {flag}={value}")


def show_spec(
    file: Path,
    sets: Sequence[str],
    expanded: bool,
    emit: str | None,
    step: bool,
    platform: str | None = None,
    memory: bool = False,
    compiled: bool = False,
) -> None:
    """Print the table of a spec, or its program, or the memory of a training step."""
    kinds, platforms = ("jaxpr", "stablehlo", "hlo"), ("cpu", "cuda", "rocm", "tpu")
    if platform is not None and emit != "stablehlo":
        raise SpecError.of("DLC510", "`--platform` has no effect here", expected="`--emit stablehlo` beside it")
    if platform is not None and platform not in platforms:
        hint = did_you_mean(platform, platforms)
        raise SpecError.of(
            "DLC510", f"unknown platform `{platform}`", expected=f"one of {listing(platforms)}", hint=hint
        )
    if emit is not None and emit not in kinds:
        raise SpecError.of(
            "DLC510", f"can't emit `{emit}`", expected=f"one of {listing(kinds)}", hint=did_you_mean(emit, kinds)
        )
    if step and emit is None:
        raise SpecError.of("DLC510", "`--step` has no effect without `--emit`", expected=f"--emit {'|'.join(kinds)}")
    if emit is not None and expanded:
        raise SpecError.of("DLC510", "`--expanded` has no effect beside `--emit`", hint="remove one of them")
    if memory and (emit is not None or expanded):
        given = "--expanded" if emit is None else "--emit"
        raise SpecError.of("DLC510", f"`{given}` has no effect beside `--memory`", hint="remove one of them")
    if compiled and not memory:
        raise SpecError.of("DLC510", "`--compiled` has no effect without `--memory`", expected="--memory --compiled")
    spec = dlc.load(file, sets)
    if memory:
        _show_memory(spec, compiled)
        return
    if emit is not None:
        from dlc.backend.jax_config import configure

        configure()
        from dlc.backend.emit import program_text

        print(program_text(spec.plan, emit, step, platform))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dlc.frontend.summary import human

    found = dlc.show(spec, expanded)
    grid = Table(
        title=found.name, title_justify="left", caption_justify="left", title_style="bold", header_style="bold"
    )
    for name, justify in (
        ("layer", "left"),
        ("kind", "left"),
        ("output", "left"),
        ("weights", "right"),
        ("FLOPs", "right"),
    ):
        grid.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name, kind in found.inputs.items():
        grid.add_row(name, "input", Text(str(kind)), "", "")
    for row in found.rows:
        label = _folded(row.path if row.times == 1 else f"{row.path} (x{row.times})")
        counts = f"{row.params:,}" + (f" +{row.state:,}" if row.state else "")
        counts = f"{row.frozen:,} frozen" + (f" +{row.state:,}" if row.state else "") if row.frozen else counts
        weights = f"of {row.shares}" if row.shares else counts
        grid.add_row(
            Text(label),
            row.word,
            Text(str(row.output)),
            weights if weights != "0" else "",
            human(row.flops) if row.flops else "",
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    console.print(grid)
    state = f", and {found.state:,} numbers of state" if found.state else ""
    frozen = f", {found.frozen:,} frozen" if found.frozen else ""
    console.print(f"weights: {found.params:,} trained{frozen}{state}; {human(found.weight_bytes, 'B', 1024)}")
    kept = human(found.activation_bytes, "B", 1024)
    which = "results that training keeps" if found.remade else "results of all layers"
    console.print(f"one example, forward: {human(found.flops, 'FLOPs')}; {which} {kept}")


def _show_memory(spec: Spec, compiled: bool) -> None:
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.memory import planned, predicted
    from dlc.frontend.summary import human

    found = predicted(spec.plan)
    print(f"{spec.name}: a training step of {plural(found.batch, 'example')}")
    for name, count in (
        ("weights and state of layers", found.weights),
        ("optimizer and sums", found.training),
        ("a batch", found.records),
        ("activations, gradients, temporaries", found.temporaries),
        ("peak, predicted", found.peak),
    ):
        print(f"  {name:<36} {human(count, 'B', 1024):>12}")
    if compiled:
        print(f"  {'peak, as XLA plans it':<36} {human(planned(spec.plan)[0], 'B', 1024):>12}")


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


def evaluate_run(run: Path, split: str | None, data: Path | None, *, confusion: bool, as_json: bool) -> None:
    """Print metrics of a run."""
    if as_json and confusion:
        hint = "the JSON holds the confusion matrix already"
        raise SpecError.of("DLC510", "`--confusion` has no effect beside `--json`", hint=hint)
    found = dlc.evaluate(run, split, data)
    if as_json:
        import json

        from dlc.support.files import plain

        matrices = {name: counts.tolist() for name, counts in found.confusion.items()}
        print(
            json.dumps(
                {
                    "split": found.split,
                    "examples": found.examples,
                    "metrics": plain(found.metrics),
                    "confusion": matrices,
                    "classes": dict(found.classes),
                },
                indent=2,
            )
        )
        return
    print(f"{found.split}: {found.examples:,} examples")
    width = max(len(name) for name in found.metrics)
    for name, value in found.metrics.items():
        print(f"  {name:<{width}}  {value:.6g}")
    if confusion and not found.confusion:
        raise SpecError.of("DLC510", "there is no confusion matrix: no output answers with a class")
    if confusion:
        from rich.console import Console
        from rich.table import Table

        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        for name, counts in found.confusion.items():
            grid = Table(
                "true \\ predicted", *found.classes[name], title=name, title_justify="left", title_style="bold"
            )
            for label, row in zip(found.classes[name], counts.tolist(), strict=True):
                grid.add_row(label, *(str(value) if value else "." for value in row))
            console.print(grid)


def report_run(run: Path, out: Path | None) -> None:
    """Write the report of a run."""
    from dlc.backend.jax_config import configure

    configure()
    from dlc.reports.page import write_report
    from dlc.training.run_folder import RunFolder

    path, notes = write_report(RunFolder(run), out)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"wrote {path}")


def templates() -> dict[str, str]:
    """The starter specs by name, each with the first line of its comment."""
    return {
        path.stem: path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        for path in sorted(TEMPLATES.glob("*.yaml"))
    }


def init_spec(template: str | None, out: Path | None) -> None:
    """Write a starter spec; without a name, list the templates."""
    known = templates()
    if template is None:
        width = max(len(name) for name in known)
        for name, title in known.items():
            print(f"{name:<{width}}  {title}")
        print("\n`dlc init NAME` writes NAME.yaml")
        return
    if template not in known:
        raise SpecError.of(
            "DLC510",
            f"unknown template `{template}`",
            expected=f"one of {listing(known)}",
            hint=did_you_mean(template, known),
        )
    target = out or Path(f"{template}.yaml")
    text = (TEMPLATES / f"{template}.yaml").read_text(encoding="utf-8")
    try:
        with open(target, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SpecError.of("DLC507", f"`{target}` exists already", hint="choose another file with `--out`") from None
    except OSError as error:
        raise SpecError.of("DLC507", f"can't write `{target}`: {reason(error)}") from None
    use = "train" if "\noptimizer:" in text else "show"
    print(f"wrote {target}\ntry: dlc check {target}, then dlc {use} {target}")


def explain_code(code: str) -> None:
    """Print what a code means."""
    from dlc.diagnostics.codes import CODES

    name = code.upper()
    if name not in CODES:
        raise SpecError.of(
            "DLC510", f"unknown code `{code}`", expected="a code from DLC001 to DLC900", hint=did_you_mean(name, CODES)
        )
    print(f"{name}: {CODES[name].title}\n\n{CODES[name].text}")
