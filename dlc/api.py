"""dlc from Python: the few functions that the commands themselves use. Each imports what it needs when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.diagnostics import Diagnostic, Report, SpecError
from dlc.support.gc_pause import gc_paused

if TYPE_CHECKING:
    import numpy as np

    from dlc.backend.network import Program
    from dlc.frontend.pipeline import Spec
    from dlc.frontend.summary import Table
    from dlc.serving.evaluation import Evaluation
    from dlc.serving.folds import CrossValidation
    from dlc.serving.generation import Generated
    from dlc.training.callbacks.progress import Reporter
    from dlc.training.result import Result


def allow_plugins(allow: bool = True) -> None:
    """Let specs load their plugins, which runs the code in them, from here on in this process."""
    from dlc.frontend.plugins import allow_plugins

    allow_plugins(allow)


def check(path: Path | str, sets: Sequence[str] = (), *, data: bool = False) -> Report:
    """Check a spec file: everything that is wrong with it, without JAX and, by default, without data.

    The last checks are whether training fits into this machine's memory, or into `train.memory`, and whether splits and
    batches fit the data, if their number of records is known without reading them. A data file that does not exist is a
    warning.

    Args:
        path: the YAML file.
        sets: settings `a.b=value` that override the file's.
        data: whether to read the data and check them, too, if nothing is wrong with the spec. Nothing is written.
    """
    from dlc.frontend.pipeline import check_file

    spec, report = check_file(path, sets)
    if spec is None:
        return report
    plan = spec.plan
    found: list[Diagnostic] = []
    if plan.data is not None and not data:
        from dlc.frontend.data_files import absent_files

        found += absent_files(plan).diagnostics
    if plan.update is not None:
        from dlc.frontend.memory import too_large

        found += [item for item in (too_large(plan),) if item is not None]
        if plan.data is not None and plan.data.source.columns() is not None and not data:
            from dlc.data.known import known_findings

            found += known_findings(plan)
    if data:
        from dlc.data.checking import data_findings

        found += data_findings(plan)
    return Report((*report.diagnostics, *found), report.texts)


def init(task: str, path: Path | str | None = None, data: Path | str | None = None, target: str | None = None) -> Path:
    """Write a commented spec for a task, which fits the data and trains as it is; the path of the file.

    Args:
        task: its name, such as `image_classification`; `dlc init` lists them.
        path: the file to write; `TASK.yaml` when None. A file that exists is not replaced.
        data: the file or folder to write it for; a bundled data set or a placeholder when None.
        target: the column of a table to predict.

    Raises:
        SpecError: DLC507 when the file exists, DLC510 for an unknown task or an argument without effect, DLC401-DLC406
            when the data don't fit the task.
    """
    import os

    from dlc.support.files import write_atomic
    from dlc.tasks.task import Given, spec_for

    place = Path(path) if path is not None else Path(f"{task}.yaml")
    text = spec_for(task, Given(Path(data) if data is not None else None, target, place.parent))
    if os.path.lexists(place):
        raise SpecError.of("DLC507", f"`{place}` already exists", hint="choose another file with `--out`")
    write_atomic(place, text.encode())
    return place


def load(path: Path | str, sets: Sequence[str] = ()) -> Spec:
    """The checked spec of a file.

    Args:
        path: the YAML file.
        sets: settings `a.b=value` that override the file's.

    Raises:
        SpecError: with the report, when anything is wrong.
    """
    from dlc.frontend.pipeline import check_file

    spec, report = check_file(path, sets)
    if spec is None:
        raise SpecError(report)
    return spec


def loads(text: str, sets: Sequence[str] = ()) -> Spec:
    r"""The checked spec of a YAML text.

    >>> spec = loads("inputs: {x: {tensor: [3]}}\nnetwork: [dense: 2]\n")
    >>> str(spec.graph.types["output"])
    'f32[batch, 2]'
    """
    from dlc.frontend.pipeline import check_text

    spec, report = check_text(text, sets=sets)
    if spec is None:
        raise SpecError(report)
    return spec


def show(spec: Spec, expanded: bool = False, sizes: Mapping[str, int] | None = None) -> Table:
    r"""The layers of a spec with shapes, weights, FLOPs and memory.

    Args:
        spec: a checked spec.
        expanded: whether every iteration of a repeat has its own row.
        sizes: numbers for symbolic sizes, such as `{"time": 100}`; others are assumed: see `Table.sizes.assumed`.

    Raises:
        SpecError: for a name that is no symbolic size of the spec, or a number that the network does not accept.

    >>> table = show(loads("inputs: {x: {tensor: [3]}}\nnetwork: [dense: 2]\n"))
    >>> table.params, table.flops
    (8, 14)
    """
    from dlc.frontend.passes.sizes import sizes_of
    from dlc.frontend.summary import table

    return table(spec.plan, expanded, sizes_of(spec.plan, sizes))


def compile(spec: Spec) -> Program:
    r"""The pure functions of a spec's network.

    >>> program = compile(loads("inputs: {x: {tensor: [3]}}\nnetwork: [dense: 2]\n"))
    >>> outputs, state = program.apply(program.init(0), {"x": [[1.0, 2.0, 3.0]]})
    >>> outputs["output"].shape
    (1, 2)
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.network import lower

    return lower(spec.graph)


def train(
    spec: Spec | Path | str,
    run: Path | str | None = None,
    *,
    resume: bool = False,
    reporter: Reporter | None = None,
    dry_run: bool = False,
    autotune: bool = False,
    profile: bool = False,
) -> Result:
    """Train a spec.

    Args:
        spec: a checked spec with data, targets, loss and optimizer, or the path of its file.
        run: the run folder; nothing is written without one.
        resume: continue the run in that folder.
        reporter: receives the progress of the run.
        dry_run: compile, do one step, stop.
        autotune: time the variants of operations first, and use the fastest.
        profile: measure where the time goes (`Result.spent`), and write a trace to the run folder.

    Raises:
        SpecError: when the spec is wrong, data don't fit, the folder is in use, or training diverges.
    """
    if isinstance(spec, (Path, str)):
        spec = load(spec)
    with gc_paused():
        from dlc.backend.jax_config import configure

        configure()
        from dlc.training.run_folder import RunFolder
        from dlc.training.train import train as train_run

    folder = RunFolder(run) if run is not None else None
    return train_run(
        spec, run=folder, resume=resume, reporter=reporter, dry_run=dry_run, autotune=autotune, profile=profile
    )


def cross_validate(
    path: Path | str,
    folds: int,
    run: Path | str,
    *,
    sets: Sequence[str] = (),
    resume: bool = False,
    reporter: Reporter | None = None,
) -> CrossValidation:
    """Train a spec once for each fold of its records, which is the test split of that run.

    Args:
        path: the spec file. Its test split, if it has one, is replaced; the validation split is drawn from the rest.
        folds: the number of folds, at least 2.
        run: the folder for the runs `fold_1`, ..., the predictions `out_of_fold.csv`, and the metrics in `folds.json`.
        sets: settings `a.b=value` that override the file's.
        resume: continue in that folder: finished runs are kept, and an unfinished one is resumed.
        reporter: receives the progress of each run.

    Raises:
        SpecError: when the spec is wrong, data don't fit, the folder is in use, or training diverges.
    """
    from dlc.frontend.folds import fold_settings

    spec = load(path, [*sets, *fold_settings(path, sets, folds)])
    with gc_paused():
        from dlc.backend.jax_config import configure

        configure()
        from dlc.serving.folds import cross_validate as run_folds
        from dlc.training.run_folder import RunFolder

    return run_folds(spec, RunFolder(run), resume=resume, reporter=reporter)


def evaluate(run: Path | str, split: str | None = None, data: Path | str | None = None) -> Evaluation:
    """Metrics of a run's best weights on a split, or on other data: a file, or a source as in a spec.

    Raises:
        SpecError: when there is no such run or split, or the data don't fit.
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.serving.evaluation import evaluate as evaluate_run
    from dlc.training.run_folder import RunFolder

    return evaluate_run(RunFolder(run), split, data)


def predict(
    run: Path | str, inputs: Path | str | Mapping[str, Any], output: str | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """Predictions of a run's best weights by name: of n records (n,), or (n, *sizes) of arrays.

    A category gives its class, and the probability of each class under `NAME_CLASS`. A sequence that the loss decodes,
    such as `ctc`, gives a list of tokens for each record under `NAME_decoded`. At padding numbers are NaN, and tokens
    -1. With `on_bad_record: skip` a record that can't be read gets NaN for numbers and None otherwise.

    Args:
        run: the run folder.
        inputs: a file, a source as in a spec, such as `csv: {path: new.txt, delimiter: ";"}`, or columns by name.
        output: the only thing that is predicted: an output, or the result of an item of the network by its name, such
            as the code of an autoencoder; everything when None.

    Raises:
        SpecError: when there is no such run, or the inputs don't fit.
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.lowering import platform
    from dlc.data.bad_records import bad_records_of
    from dlc.serving.model import load_model
    from dlc.serving.sources import as_columns, source_of
    from dlc.serving.tables import as_arrays, read_inputs
    from dlc.support.exhaustion import noticing_exhaustion
    from dlc.training.run_folder import RunFolder

    with noticing_exhaustion():
        model = load_model(RunFolder(run), platform(), output)
        if isinstance(inputs, Mapping):
            source, where = as_columns(inputs), None
        else:
            source, where = source_of(model, inputs), str(inputs)
        bad = bad_records_of(model.plan, where or "inputs", source)
        found = as_arrays(model.plan, model.predict(read_inputs(model.plan, model.fitted, source, where, bad=bad)))
        return found if bad is None else bad.spread(found, float("nan"))


def generate(
    run: Path | str,
    prompt: str,
    length: int = 200,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    stop: Sequence[str] = (),
    samples: int = 1,
    seed: int = 0,
    show: Callable[[int, str], None] | None = None,
) -> list[Generated]:
    """Texts that continue a prompt, by a run's best weights. The same seed gives the same texts.

    Args:
        run: the run folder of a language model.
        prompt: the text to continue; numbers separated by blanks for an input of `tokens`.
        length: the number of tokens to generate.
        temperature: divides the scores of the tokens; 0 takes the most probable token.
        top_k: draws from this number of most probable tokens; 0 for all.
        top_p: draws from the most probable tokens that together have this probability.
        min_p: draws from tokens with at least this share of the largest probability.
        repetition_penalty: above 1, tokens that have occurred are less probable.
        stop: texts that end a text; it ends before them.
        samples: the number of texts.
        seed: the seed of the random numbers.
        show: receives the number of a text and its next characters, as they come.

    Raises:
        SpecError: when there is no such run, it is not a language model, or the prompt doesn't fit it.
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.sampling import Sampling
    from dlc.serving.generation import load_language_model
    from dlc.support.exhaustion import noticing_exhaustion
    from dlc.training.run_folder import RunFolder

    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    with noticing_exhaustion():
        model = load_language_model(RunFolder(run))
        return model.generate(prompt, length, sampling, samples, seed, stop, show)


def report(run: Path | str, out: Path | str | None = None) -> Path:
    """Write a run as one HTML page that needs nothing else; the page's path.

    Args:
        run: the run folder; the run may be unfinished.
        out: the file; `report.html` of the run folder when None.

    Raises:
        SpecError: when there is no such run, or its files are damaged.
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.reports.page import write_report
    from dlc.training.run_folder import RunFolder

    return write_report(RunFolder(run), Path(out) if out is not None else None)[0]


def export(run: Path | str, to: str, out: Path | str | None = None) -> Path:
    """Export a run's best network, verified; the artifact's path.

    Args:
        run: the run folder.
        to: the format, alone or with its options: `safetensors`, `stablehlo: [cpu]`.
        out: where to; inside the run folder when None.

    Raises:
        SpecError: when there is no such run, the format is unknown, or the artifact gives other numbers.
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.serving.artifacts import export_run
    from dlc.training.run_folder import RunFolder

    return export_run(RunFolder(run), to, Path(out) if out is not None else None)
