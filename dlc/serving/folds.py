"""Cross-validation: a run for each fold of the records, which predicts the records that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlc.backend.lowering import platform
from dlc.backend.predict import predictions_of
from dlc.components.features.category import Category
from dlc.components.features.feature import present_array
from dlc.data.dataset import Dataset, load_dataset
from dlc.diagnostics import SpecError
from dlc.frontend.folds import of_fold
from dlc.frontend.pipeline import Spec
from dlc.frontend.plan import Plan
from dlc.serving.model import Model, load_model
from dlc.serving.tables import present, write_table
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.files import plain, to_json, write_atomic
from dlc.training.callbacks.progress import Reporter, Silent
from dlc.training.result import Result
from dlc.training.run_folder import RunFolder
from dlc.training.train import train

FOLDS, OUT_OF_FOLD = "folds.json", "out_of_fold.csv"


@fast_dataclass(frozen=True)
class FoldedMetric:
    """A metric of the test split of each fold.

    Args:
        values: one for each fold.
        mean: their mean.
        deviation: their sample standard deviation, with n - 1 in the denominator.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> FoldedMetric:
        """That of some values."""
        numbers = np.asarray(values, np.float64)
        return cls(tuple(values), float(numbers.mean()), float(numbers.std(ddof=1)))


@fast_dataclass(frozen=True)
class CrossValidation:
    """The result of cross-validation.

    Args:
        folder: holds a run folder for each fold, `fold_1`, ..., and the files below.
        metrics: loss and metrics by name.
        results: of each run.
        out_of_fold: the table of predictions.
    """

    folder: Path
    metrics: Mapping[str, FoldedMetric]
    results: tuple[Result, ...]
    out_of_fold: Path


def fold_folder(folder: Path, fold: int) -> RunFolder:
    """The run folder of a fold."""
    return RunFolder(folder / f"fold_{fold}")


def cross_validate(
    spec: Spec,
    folder: RunFolder,
    *,
    resume: bool = False,
    reporter: Reporter | None = None,
    began: Callable[[int, int, Path], None] = lambda *_: None,
    stop: Callable[[], bool] | None = None,
) -> CrossValidation:
    """Train a run for each fold, and predict the records of the fold with its best weights.

    Args:
        spec: a checked spec whose records are divided into folds: `data: {split: {folds: 5}}`.
        folder: for the runs `fold_1`, ..., the table `out_of_fold.csv`, and the metrics in `folds.json`.
        resume: continue: finished runs are kept, and an unfinished one is resumed.
        reporter: displays the progress of each run.
        began: called with the number of the fold, the number of folds and the run folder before each run.
        stop: asked after every chunk whether to stop.

    Raises:
        Stopped: when `stop` returned true.
        SpecError: those of `train`; DLC504 when the records changed between two folds.
    """
    data = of_fold(spec, 1).plan.data
    assert data is not None and data.split.folds is not None
    folds = data.split.folds
    results: list[Result] = []
    tables: list[dict[str, Any]] = []
    folder.lock()
    try:
        for fold in range(1, folds + 1):
            run, own = fold_folder(folder.path, fold), of_fold(spec, fold)
            before = run.exists
            began(fold, folds, run.path)
            result = train(own, run=run, resume=resume, reporter=reporter or Silent(), stop=stop)
            run.unlock()
            results.append(replace(result, data=None))
            tables.append(_out_of_fold(run, own.plan, fold, None if before else result.data))
        metrics = {name: FoldedMetric.of([result.test[name] for result in results]) for name in results[0].test}
        write_table(_joined(tables), folder.path / OUT_OF_FOLD)
        write_atomic(folder.path / FOLDS, to_json(_record(folds, metrics)))
    finally:
        folder.unlock()
    return CrossValidation(folder.path, metrics, tuple(results), folder.path / OUT_OF_FOLD)


def _record(folds: int, metrics: Mapping[str, FoldedMetric]) -> dict[str, Any]:
    """The contents of `folds.json`."""
    return {
        "folds": folds,
        "metrics": {
            name: plain({"mean": metric.mean, "deviation": metric.deviation, "values": list(metric.values)})
            for name, metric in metrics.items()
        },
    }


def _out_of_fold(run: RunFolder, plan: Plan, fold: int, data: Dataset | None) -> dict[str, Any]:
    """The records of a fold as columns: row in the source, fold, true values, predictions.

    Args:
        run: the run of the fold.
        plan: its plan.
        fold: the number of the fold.
        data: the records as the run divided them; None if they must be divided again, as after a resume.

    Raises:
        SpecError: DLC504 when these are others than those of the run.
    """
    model = load_model(run, platform())
    if data is None:
        data = load_dataset(plan)
        if not np.array_equal(data.fitted.splits["test"], model.fitted.splits["test"]):
            hint = "restore the data, or train again in another folder with `--run`"
            raise SpecError.of("DLC504", f"the data changed since the run in `{run.path}` began", hint=hint)
    rows = data.splits["test"]
    numbers = data.source_rows[rows] + 1 if data.source_rows is not None else rows + 1
    known = {"row": numbers, "fold": np.full(len(rows), fold)}
    return {**known, **_truth(model, data, rows), **present(model.plan, model.predict_rows(data.inputs, rows))}


def _truth(model: Model, data: Dataset, rows: Any) -> dict[str, Any]:
    """The targets of records as columns, `true_NAME`, in the user's unit."""
    found: dict[str, Any] = {}
    for name, answer in predictions_of(model.plan).items():
        if answer.against is None or answer.against.section != "targets" or answer.decodes:
            continue
        feature = model.plan.targets[answer.against.name]
        value = np.asarray(data.targets[answer.against.name][rows])
        wide = value.astype(np.float64) if value.dtype.kind == "f" else value
        value = np.asarray(feature.decode(wide, model.fitted.stats[answer.against.name]))
        if isinstance(feature, Category) and value.ndim == 1:
            value = np.array([feature.class_name(number) if number >= 0 else None for number in value.tolist()], object)
        found |= present_array(f"true_{name}", value.reshape(len(value), *value.shape[1:]))
    return found


def _joined(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tables of all folds, in the order of the records."""
    order = np.argsort(np.concatenate([table["row"] for table in tables]), kind="stable")
    return {name: np.concatenate([np.asarray(table[name]) for table in tables])[order] for name in tables[0]}
