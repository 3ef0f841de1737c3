"""The commands. Their imports stand inside, so that each pays only for what it uses."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    name="dlc",
    help="Compile a YAML description of a network into one XLA program; train, evaluate, use and export it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def path(text: str) -> Path:
    """The path of a run. An empty one, which a shell makes of a variable that is not set, is no current folder."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


SpecFile = Annotated[Path, typer.Argument(metavar="FILE", help="A spec file.", show_default=False)]
RunPath = Annotated[
    Path, typer.Argument(parser=path, metavar="RUN", help="A run folder that `dlc train` made.", show_default=False)
]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value: --set train.epochs=5. May be repeated.",
        show_default=False,
    ),
]


def _allow(value: bool) -> None:
    if value:
        from dlc.frontend.plugins import allow_plugins

        allow_plugins()


AllowPlugins = Annotated[
    bool,
    typer.Option("--allow-plugins", callback=_allow, help="Let the spec's plugins run their code.", show_default=False),
]


def _version(value: bool) -> None:
    if value:
        from dlc import __version__

        print(f"dlc {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile a YAML description of a network into one XLA program; train, evaluate, use and export it."""
    del version  # its callback has printed it
    gc.enable()  # `main` put it off


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Spec files.", show_default=False)],
    format: Annotated[str, typer.Option(help="text, json, sarif or github.")] = "text",
    sets: Sets = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Validate specs: names, types and shapes, all errors at once. Exit code 0 clean, 1 findings, 2 usage."""
    from dlc.cli.commands import check_files

    raise typer.Exit(check_files(files, format, sets or []))


@app.command()
def show(
    file: SpecFile,
    expanded: Annotated[bool, typer.Option("--expanded", help="A line for every iteration of a repeat.")] = False,
    emit: Annotated[
        str | None, typer.Option(help="Print the program instead: jaxpr, stablehlo or hlo.", show_default=False)
    ] = None,
    step: Annotated[
        bool, typer.Option("--step", help="With --emit: the training step instead of the forward pass.")
    ] = False,
    platform: Annotated[
        str | None,
        typer.Option(help="With --emit stablehlo: cpu, cuda, rocm or tpu; this one by default.", show_default=False),
    ] = None,
    lowering: Annotated[
        bool, typer.Option("--lowering", help="Print in which of its equal forms each operation is computed.")
    ] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Predict the memory of a training step instead.")] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="With --memory: compile the step, too, and say what XLA plans.")
    ] = False,
    sets: Sets = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Show a network: layers with shapes, weights, FLOPs and memory, or its compiled program."""
    from dlc.cli.commands import show_lowering, show_spec

    if lowering:
        show_lowering(file, sets or [], alone=not (expanded or emit or step or platform or memory or compiled))
        return
    show_spec(file, sets or [], expanded, emit, step, platform, memory, compiled)


@app.command()
def train(
    file: Annotated[
        Path,
        typer.Argument(
            parser=path, metavar="FILE", help="A spec file, or a run folder with --resume.", show_default=False
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="The run folder; runs/NAME by default, numbered when it exists.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder, or begin it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compile, do one step, stop; write nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: an object a line.")] = False,
    autotune: Annotated[
        bool, typer.Option("--autotune", help="Time the equal forms of operations first, and take the fastest.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say where the time went; write a trace to RUN/profile.")
    ] = False,
    sets: Sets = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Train a spec. Exit code 75: interrupted, continue with --resume."""
    from dlc.cli.train import train_file

    code = train_file(
        file,
        run,
        resume=resume,
        dry_run=dry_run,
        quiet=quiet,
        as_json=json,
        autotune=autotune,
        profile=profile,
        sets=sets or [],
    )
    raise typer.Exit(code)


@app.command(name="eval")
def evaluate(
    run: RunPath,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test; the last that exists by default.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A .csv or .npz file to evaluate on instead.", show_default=False)
    ] = None,
    confusion: Annotated[bool, typer.Option("--confusion", help="Print the confusion matrix.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Evaluate a run's best weights on a split or on new data."""
    from dlc.cli.commands import evaluate_run

    evaluate_run(run, split, data, confusion=confusion, as_json=json)


@app.command()
def predict(
    run: RunPath,
    input: Annotated[Path, typer.Argument(metavar="INPUT", help="A .csv or .npz file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .csv or .jsonl file; standard output by default.", show_default=False),
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Predict for the records of a file: classes with probabilities, numbers in their own unit."""
    import dlc
    from dlc.serving.tables import write_table

    if out is not None and out.suffix not in (".csv", ".jsonl"):
        write_table({}, out)  # says what is wrong before the work is done
    text = write_table(dlc.predict(run, input), out)
    if out is None:
        sys.stdout.write(text)
    else:
        print(f"wrote {out}")


@app.command()
def export(
    run: RunPath,
    to: Annotated[str, typer.Option("--to", help="stablehlo or safetensors.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to; RUN/exports by default.", show_default=False)
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Export a run's best network. The artifact is loaded again and compared before it is kept."""
    import dlc

    print(f"wrote {dlc.export(run, to, out)}, verified against the source")


@app.command()
def report(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file; RUN/report.html by default.", show_default=False)
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Write a run as one HTML page that works offline: spec, network, curves, metrics, predictions, times."""
    from dlc.cli.commands import report_run

    report_run(run, out)


@app.command()
def init(
    template: Annotated[
        str | None,
        typer.Argument(metavar="[TEMPLATE]", help="A template's name; without it, a list.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file; TEMPLATE.yaml by default.", show_default=False)
    ] = None,
) -> None:
    """Write a commented starter spec for a task."""
    from dlc.cli.commands import init_spec

    init_spec(template, out)


@app.command()
def layers(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A word of the language; without it, a list.", show_default=False),
    ] = None,
    plugins: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            "--plugin", metavar="MODULE", help="Also the words of a plugin; runs its code.", show_default=False
        ),
    ] = None,
) -> None:
    """List the words of the language (layers, losses, optimizers, ...), or print the page of one."""
    from dlc.cli.components import print_words

    print_words(name, plugins or [])


@app.command()
def explain(
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="A diagnostic's code, such as DLC205.", show_default=False)
    ],
) -> None:
    """Explain a diagnostic's code."""
    from dlc.cli.commands import explain_code

    explain_code(code)


@app.command()
def doctor() -> None:
    """Print versions and devices, and check that they compute."""
    from dlc.cli.doctor import examine

    raise typer.Exit(examine())
