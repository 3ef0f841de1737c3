"""The commands and their options. Each imports what it uses when it runs, so that the others start faster."""

from __future__ import annotations

import gc
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
    """The path of a run. An empty string, as from an unset shell variable, is an error and not the current folder."""
    if not text:
        raise typer.BadParameter("the path is empty")
    return Path(text)


SpecFile = Annotated[Path, typer.Argument(metavar="FILE", help="A spec file.", show_default=False)]
RunPath = Annotated[
    Path, typer.Argument(parser=path, metavar="RUN", help="A run folder created by `dlc train`.", show_default=False)
]
Sets = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, for example --set train.epochs=5. Can be repeated.",
        show_default=False,
    ),
]


def _allow(value: bool) -> None:
    if value:
        from dlc.frontend.plugins import allow_plugins

        allow_plugins()


AllowPlugins = Annotated[
    bool,
    typer.Option(
        "--allow-plugins", callback=_allow, help="Allow the spec's plugins to run their code.", show_default=False
    ),
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
    data: Annotated[
        bool,
        typer.Option(
            "--data",
            help="Read the data, too: columns, types, classes, files, missing values, duplicates. Nothing is written.",
        ),
    ] = False,
    format: Annotated[str, typer.Option(help="The output format: text, json, sarif or github.")] = "text",
    sets: Sets = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Check specs: names, types and shapes, with all errors at once. Exit codes: 0 clean, 1 findings, 2 usage error."""
    from dlc.cli.commands import check_files

    raise typer.Exit(check_files(files, format, sets or [], data))


@app.command()
def show(
    file: SpecFile,
    expanded: Annotated[
        bool, typer.Option("--expanded", help="Print one line for each iteration of a repeat.")
    ] = False,
    emit: Annotated[
        str | None, typer.Option(help="Print the program: jaxpr, stablehlo or hlo.", show_default=False)
    ] = None,
    step: Annotated[
        bool, typer.Option("--step", help="With --emit: print the training step instead of the forward pass.")
    ] = False,
    platform: Annotated[
        str | None,
        typer.Option(
            help="With --emit stablehlo: the platform, cpu, cuda, rocm or tpu. [default: this machine's]",
            show_default=False,
        ),
    ] = None,
    lowering: Annotated[
        bool, typer.Option("--lowering", help="Print the variant that is used for each operation.")
    ] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Print the predicted memory of a training step.")] = False,
    compiled: Annotated[
        bool,
        typer.Option("--compiled", help="With --memory: also compile the step and print the memory that XLA plans."),
    ] = False,
    sizes: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            "--size",
            metavar="NAME=NUMBER",
            help="Count with this number for a symbolic size, for example --size time=100. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Show a network: layers with shapes, weights and FLOPs, or its compiled program, variants or memory."""
    from dlc.cli.show import ShowOptions, show_file

    options = ShowOptions(
        expanded=expanded,
        emit=emit,
        step=step,
        platform=platform,
        lowering=lowering,
        memory=memory,
        compiled=compiled,
        sizes=tuple(sizes or ()),
    )
    show_file(file, options, sets or [])


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
            parser=path, help="The run folder. [default: runs/NAME, with a number if it exists]", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the folder, or start it if there is none.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compile, do one step and stop, without writing anything.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")] = False,
    autotune: Annotated[
        bool, typer.Option("--autotune", help="Time the variants of operations first and use the fastest.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print where the time went and write a trace to RUN/profile.")
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            metavar="K",
            help="Cross-validate: train K runs, each with another part of the records as its test split.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Train a spec. Exit code 75: interrupted, continue with --resume."""
    from dlc.cli.folds import is_folds_folder, train_folds
    from dlc.cli.train import TrainOptions, train_file

    options = TrainOptions(
        run=run,
        resume=resume,
        dry_run=dry_run,
        quiet=quiet,
        json=json,
        autotune=autotune,
        profile=profile,
        folds=folds,
    )
    run_all = train_folds if folds is not None or is_folds_folder(file) else train_file
    raise typer.Exit(run_all(file, options, sets or []))


@app.command(name="eval")
def evaluate(
    run: RunPath,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test. [default: the last that exists]", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="A file, or a source as in a spec, to evaluate on instead of a split.",
            show_default=False,
        ),
    ] = None,
    confusion: Annotated[bool, typer.Option("--confusion", help="Print the confusion matrix.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Evaluate the best weights of a run on a split or on new data."""
    from dlc.cli.commands import evaluate_run

    evaluate_run(run, split, data, confusion=confusion, as_json=json)


@app.command()
def predict(
    run: RunPath,
    input: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A file, a folder, a pattern, `-` for standard input, or a source as in a spec.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The .csv, .jsonl or .parquet file to write. [default: standard output]",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="COLUMN", help="Copy a column of the input; repeatable.", show_default=False),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Write only this: an output, or the result of an item, such as the code of an autoencoder. "
            "[default: all predictions]",
            show_default=False,
        ),
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Predict for the records of a file: classes with probabilities, numbers in their original units."""
    from dlc.cli.commands import predict_file

    predict_file(run, input, out, keep or [], output)


@app.command()
def generate(
    run: RunPath,
    prompt: Annotated[
        str,
        typer.Option("--prompt", "-p", help="The text to continue; - reads standard input.", show_default=False),
    ],
    length: Annotated[int, typer.Option("--length", "-n", help="The number of tokens to generate.")] = 200,
    temperature: Annotated[
        float, typer.Option(help="Divides the scores of the tokens; 0 takes the most probable token.")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option("--top-k", help="Draw from this number of most probable tokens; 0 for all.")
    ] = 0,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Draw from the most probable tokens that together have this probability.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option("--min-p", help="Draw from tokens with this share of the largest probability.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", help="Above 1: tokens that have occurred are less probable.")
    ] = 1.0,
    stop: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--stop", metavar="TEXT", help="End before this text. Can be repeated.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the random numbers.")] = 0,
    samples: Annotated[int, typer.Option(help="The number of texts.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per text.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write. [default: standard output]", show_default=False),
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Continue a text with a language model. The same seed gives the same text."""
    from dlc.cli.generate import GenerateOptions, generate_texts

    options = GenerateOptions(
        prompt=prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=tuple(stop or ()),
        seed=seed,
        samples=samples,
        json=json,
        out=out,
    )
    raise typer.Exit(generate_texts(run, options))


@app.command()
def export(
    run: RunPath,
    to: Annotated[str, typer.Option("--to", help="The format, such as stablehlo or safetensors.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write it. [default: RUN/exports]", show_default=False)
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Export the best weights of a run. The artifact is loaded again and compared before it is kept."""
    import dlc

    print(f"wrote {dlc.export(run, to, out)}, verified against the source")


@app.command()
def report(
    run: RunPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write. [default: RUN/report.html]", show_default=False),
    ] = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Write the report of a run: one HTML page that works offline, with network, curves, metrics and predictions."""
    from dlc.cli.commands import report_run

    report_run(run, out)


@app.command()
def init(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="The name of a task. [default: list the tasks]", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="The file or folder to write it for: classes, columns and sizes are found there.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="COLUMN",
            help="The column of a table to predict. [default: target, label, class or y, else the last one]",
            show_default=False,
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the tasks.", show_default=False)] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write. [default: TASK.yaml]", show_default=False)
    ] = None,
) -> None:
    """Write a commented spec for a task, which fits your data and trains as it is."""
    from dlc.cli.commands import init_spec

    init_spec(None if listing else task, None if listing else data, target, out)


@app.command()
def layers(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="The name of a component. [default: list all components]", show_default=False
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            "-s",
            metavar="TEXT",
            help="List components by their name, their description, or their name in Keras or PyTorch.",
            show_default=False,
        ),
    ] = None,
    plugins: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            "--plugin",
            metavar="MODULE",
            help="Include the components of a plugin. Runs its code. Can be repeated.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the components (layers, losses, optimizers, ...), or print the reference page of one."""
    from dlc.cli.components import print_components

    print_components(name, search, plugins or [])


@app.command()
def explain(
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="The code of a diagnostic, such as DLC205.", show_default=False)
    ],
) -> None:
    """Explain the code of a diagnostic."""
    from dlc.cli.commands import explain_code

    explain_code(code)


@app.command()
def cache(
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="[clear]", help="`clear` deletes everything. [default: list the caches]", show_default=False
        ),
    ] = None,
) -> None:
    """Print where compiled programs and decoded files are kept for later runs, and their size; or delete them."""
    if action not in (None, "clear"):
        raise typer.BadParameter(f"`{action}` is not an action; the only one is `clear`", param_hint="[clear]")
    from dlc.cli.cache import run

    raise typer.Exit(run(clear=action is not None))


@app.command()
def doctor() -> None:
    """Print versions and devices, and check that the devices compute correctly."""
    from dlc.cli.doctor import examine

    raise typer.Exit(examine())
