"""Exports: a trained run written in a format of `dlc.components.exports`, verified before it is kept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dlc.backend.loss import feature_of, input_feature
from dlc.backend.predict import predictions_of, raw_inputs, serving, weight_shapes
from dlc.components.exports.export import Export, TrainedNetwork
from dlc.components.features.category import Category
from dlc.components.features.decision import limit
from dlc.components.features.feature import Feature
from dlc.components.modifiers import NoModifiers
from dlc.components.registry import KINDS
from dlc.diagnostics import Problems, SpecError, did_you_mean, listing
from dlc.frontend.passes.sizes import least_sizes, prove_sizes
from dlc.frontend.plan import Plan
from dlc.frontend.plugins import active
from dlc.ir import DTYPES
from dlc.language.item_syntax import read_item
from dlc.language.options import RuleViolation
from dlc.language.yaml_text import parse_yaml
from dlc.serving.model import Model, load_model
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.files import cannot_write, sync_folder
from dlc.training.run_folder import RunFolder, check_output, inputs_of


@noticing_exhaustion()
def export_run(run: RunFolder, to: str, out: Path | None = None) -> Path:
    """Export a run's best network.

    Args:
        run: the run.
        to: the format, alone or with its options: `safetensors`, `stablehlo: [cpu]`.
        out: where to; `RUN/exports/...` when None.

    Raises:
        SpecError: DLC502, DLC503, DLC507, DLC509 when the artifact gives other numbers, DLC510 for an unknown format.
    """
    if out is not None:
        check_output(out)
    else:
        run.need_own(run.path / "exports")
    spec = run.load_spec()
    if out is not None:
        check_output(out, inputs_of(spec.plan))
    with active(spec.plugins):
        export = read_export(to)
        network = describe(load_model(run))
        return write_verified(export, network, out or run.path / "exports" / export.default_name)


def read_export(to: str) -> Export:
    """The format that a text names, with its options.

    Raises:
        SpecError: DLC510 when there is no such format, DLC1xx when its options are wrong.
    """
    table = KINDS["export"].table
    source = parse_yaml(f"to:\n  {to}\n", "--to")
    tree: Any = source.tree["to"]
    word = next(iter(tree), "") if isinstance(tree, dict) else tree
    if not isinstance(word, str) or word not in table:
        hint = did_you_mean(str(word), table)
        raise SpecError.of("DLC510", f"unknown export format `{word}`", expected=f"one of {listing(table)}", hint=hint)
    problems = Problems()
    made = read_item(tree, ("to",), source, table, Export, NoModifiers, "export", problems)
    if made is None:
        raise SpecError(problems.report(source.texts))
    return made.thing


def describe(model: Model) -> TrainedNetwork:
    """A trained network as export formats see it."""
    plan, program = model.plan, model.program
    named = predictions_of(plan)
    return TrainedNetwork(
        name=plan.name,
        weights=model.weights,
        weight_shapes=weight_shapes(plan, program),
        inputs=raw_inputs(plan),
        outputs=tuple(named),
        decisions=_decisions(plan),
        least=least_sizes(plan),
        function=serving(plan, program),
        predict=lambda inputs: {name: value for name, value in model.predict(inputs).items() if name in named},
        sample=lambda batch: sample_inputs(model, batch),
    )


def _decisions(plan: Plan) -> dict[str, dict[str, Any]]:
    """How a class or labels follow from each prediction of a target."""
    found: dict[str, dict[str, Any]] = {}
    for name, answer in predictions_of(plan).items():
        feature = feature_of(plan, answer.against)
        rule = feature.decision if feature is not None else None
        if isinstance(feature, Category):
            single = plan.graph.types[answer.output].shape[-1] == 1
            threshold = limit(rule).tolist() if single or rule is not None else None
            found[name] = {"classes": feature.names, "threshold": threshold}
        elif rule is not None:
            found[name] = {"threshold": limit(rule).tolist()}
    return found


def write_verified(export: Export, network: TrainedNetwork, target: Path) -> Path:
    """Write an artifact beside its place, verify it, and only then put it there.

    Raises:
        SpecError: DLC507 when it can't be written, DLC509 and others when the format refuses it; nothing is left then.
    """
    try:
        place = Path(os.path.realpath(target)) if target.is_symlink() else target  # a link to itself is replaced
        _check_place(export, place, target)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _workplace(place) as folder:
            part = folder / (place.name or export.default_name)
            if export.folder:
                part.mkdir()
            export.write(network, part)
            export.verify(network, part)
            _publish(part, place)
    except RuleViolation as wrong:
        found, expected, hint = wrong.found, wrong.expected, wrong.hint
        raise SpecError.of(wrong.code, wrong.message, found=found, expected=expected, hint=hint) from None
    except OSError as error:
        raise cannot_write(target, error) from None
    return target


def _check_place(export: Export, place: Path, target: Path) -> None:
    """Raise DLC507 when something of another form is in the way."""
    try:
        folder, other = place.is_dir(), place.exists() and not place.is_file()
    except OSError as error:
        raise cannot_write(target, error) from None
    if export.folder and place.exists() and not folder:
        raise cannot_write(target, FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)))
    if not export.folder and folder:
        raise SpecError.of("DLC507", f"can't write `{target}`: it is a directory", hint="name a file")
    if not export.folder and other:
        raise SpecError.of("DLC507", f"can't write `{target}`: it is not a regular file", hint="name another file")


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A folder beside the target, on the same file system, that is gone afterwards."""
    place = target.parent / f".export.{os.getpid()}.part"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _publish(part: Path, target: Path) -> None:
    """Move a finished artifact to its place; files of a folder that exists are replaced one by one."""
    if part.is_dir() and target.is_dir():
        for file in sorted(part.rglob("*")):
            if file.is_file():
                place = target / file.relative_to(part)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
        sync_folder(target)
    else:
        part.replace(target)
    sync_folder(target.parent)


def sample_inputs(model: Model, batch: int) -> dict[str, Any]:
    """Made-up raw inputs of the right types, the same every time; sizes that vary are at least 8 where that fits."""
    generator = np.random.Generator(np.random.Philox(key=[0, batch]))
    least = least_sizes(model.plan)
    longer = {name: max(size, 8) for name, size in least.items()}
    sizes = longer if prove_sizes(model.plan, longer).ok else least
    found: dict[str, Any] = {}
    for name, kind in raw_inputs(model.plan).items():
        shape = (batch, *(dim if isinstance(dim, int) else sizes.get(dim, 8) for dim in kind.shape[1:]))
        if kind.bound is not None:
            found[name] = generator.integers(0, kind.bound, shape).astype(DTYPES[kind.dtype])
        else:
            found[name] = generator.standard_normal(shape).astype(DTYPES[kind.dtype])
        if kind.mask and shape[1] > 1:
            found[name][::2] = _shortened(input_feature(model.plan, name), found[name][::2])
    return found


def _shortened(feature: Feature, values: Any) -> Any:
    """Raw values (n, time, ...) with padding at the last position, if the feature pads shorter series."""
    padded = feature.aligned([values[:, :-1], values])[0]
    return padded if padded.shape == values.shape else values
