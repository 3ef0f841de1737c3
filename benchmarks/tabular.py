"""Tables beside scikit-learn: `python -m benchmarks.tabular DATA [TABLE ...]` cross-validates a small network on each.

DATA is a folder with the tables as `docs/results.md` names them. The spec of each table has one hidden layer, and is
trained by `dlc.cross_validate` with five folds. scikit-learn's MLPClassifier or MLPRegressor gets the same folds,
columns (median and indicator for missing values, mean 0 and deviation 1, rows of 0 and 1), layers, optimizer, batch
size and epochs. At the end the spec of the Titanic is trained.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import dlc
from benchmarks.arguments import parser

TITANIC = Path(__file__).parent.parent / "specs" / "applications" / "titanic.yaml"
FOLDS, EPOCHS, STEPS, BATCH, UNITS, RATE = 5, 100, 1500, 32, 64, 1e-3  # at least so many epochs and steps
WORSE_BY = {"accuracy": 0.02, "rmse": 0.05}  # points of accuracy, or a share of the error
AIM = 0.81
WIDTHS = (9, 9, 10, 9, 9, 14, 10)

SPEC = """
name: {name}
seed: {seed}
data: {{source: {source}, split: {{seed: {seed}{stratify}}}}}
inputs:
  record: {{table: {{{columns}}}}}
targets:
  {target}: {feature}
network:
  - dense: {{units: {units}, activation: relu}}
  - dense: {outputs}
loss: {loss}
metrics: [{metric}]
optimizer: {{adam: {rate}}}
train: {{epochs: {epochs}, batch_size: {batch}}}
"""


class Table(NamedTuple):
    """A table, whose last column is the target unless it is named.

    Args:
        name: of the file, without `.csv`; `bundled iris` comes with scikit-learn.
        classes: of the target; empty for a number.
        header: whether the file begins with the names of columns.
        categories: columns of classes, with these.
        target: the target.
        left_out: columns that are not used.
    """

    name: str
    classes: Sequence[str] = ()
    header: bool = False
    categories: dict[str, list[str]] = {}  # noqa: RUF012 - a NamedTuple has no mutable state
    target: str = ""
    left_out: Sequence[str] = ()


SEX = {"column_0": ["M", "F", "I"]}
PASSENGER = {"Sex": ["male", "female"], "Pclass": ["1", "2", "3"], "Embarked": ["S", "C", "Q"]}
TABLES = {
    table.name: table
    for table in (
        Table("iris", ("Iris-setosa", "Iris-versicolor", "Iris-virginica")),
        Table("pima-indians-diabetes", ("0", "1")),
        Table("sonar", ("R", "M")),
        Table("ionosphere", ("g", "b")),
        Table("banknote_authentication", ("0", "1")),
        Table("wheat-seeds", ("1", "2", "3")),
        Table("abalone", categories=SEX),
        Table("housing"),
        Table("auto-insurance"),
        Table("titanic", ("0", "1"), True, PASSENGER, "Survived", ("PassengerId", "Name", "Ticket", "Cabin")),
        Table("sklearn_breast_cancer", ("malignant", "benign"), header=True),
        Table("sklearn_wine", ("class_0", "class_1", "class_2"), header=True),
        Table("sklearn_digits", tuple(map(str, range(10))), header=True),
        Table("sklearn_diabetes", header=True),
        Table("bundled iris", ("setosa", "versicolor", "virginica")),
    )
}


class Read(NamedTuple):
    """A table as it was read: the names of its columns, and its fields."""

    names: list[str]
    fields: np.ndarray[Any, Any]


def main() -> int:
    """Measure and print; 1 if a figure is worse than allowed."""
    arguments = parser("tabular", __doc__)
    arguments.add_argument("data", metavar="DATA", type=Path, help="the folder of the tables")
    arguments.add_argument("tables", metavar="TABLE", nargs="*", help=f"of {', '.join(TABLES)}; all when left out")
    arguments.add_argument("--seed", type=int, default=0, help="of the folds and of the networks")
    options = arguments.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        arguments.error(f"invalid choice: {', '.join(map(repr, sorted(unknown)))} (choose from {', '.join(TABLES)})")
    heads = ("records", "columns", "measure", "dlc", "sklearn", "better by", "seconds")
    print(f"{'table':<24}" + "".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)))
    worse = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.tables or TABLES:
            worse += not compared(TABLES[name], options, Path(folder))
        if not options.tables or "titanic" in options.tables:
            worse += not titanic(options, Path(folder))
    return int(worse > 0)


def compared(table: Table, options: argparse.Namespace, folder: Path) -> bool:
    """Train both, print a line, and say whether dlc is good enough."""
    read = read_table(table, options.data)
    target = target_of(table, read)
    numbers = [
        name for name in read.names if name != target and name not in table.categories and name not in table.left_out
    ]
    path = folder / f"{table.name.replace(' ', '_')}.yaml"
    epochs = max(EPOCHS, STEPS * BATCH // len(read.fields))
    path.write_text(spec_of(table, options, target, numbers, epochs))
    began = time.perf_counter()
    found = dlc.cross_validate(path, FOLDS, path.with_suffix(""))
    metric = "accuracy" if table.classes else "rmse"
    mine, own_seconds = found.metrics[metric].mean, time.perf_counter() - began
    with found.out_of_fold.open() as file:
        folds = {int(row["row"]) - 1: int(row["fold"]) for row in csv.DictReader(file)}
    owner = np.array([folds[row] for row in range(len(read.fields))])
    began = time.perf_counter()
    with threadpool_limits(1):  # more threads make such small products slower
        held = [owner == fold for fold in range(1, FOLDS + 1)]
        theirs = float(np.mean([reference(table, read, numbers, target, rows, epochs) for rows in held]))
    seconds = f"{own_seconds:.0f} / {time.perf_counter() - began:.0f}"
    better = mine - theirs if table.classes else (theirs - mine) / theirs
    good = better >= -WORSE_BY[metric]
    shown = f"{100 * better:+.1f} {'points' if table.classes else '%':<6}"
    columns = len(numbers) + len(table.categories)
    values = (f"{len(read.fields):,}", columns, metric, f"{mine:.4g}", f"{theirs:.4g}", shown.rstrip(), seconds)
    line = f"{table.name:<24}" + "".join(f"{value:>{width}}" for value, width in zip(values, WIDTHS, strict=True))
    print(line + ("" if good else " WORSE"), flush=True)
    return good


def read_table(table: Table, data: Path) -> Read:
    """The fields of a table."""
    if table.name == "bundled iris":
        iris = load_iris()
        names = [f"features_{index}" for index in range(4)]
        species = np.asarray(iris.target_names)[iris.target]
        return Read([*names, "species"], np.concatenate([iris.data.astype(object), species[:, None]], 1))
    with (data / f"{table.name}.csv").open() as file:
        rows = [row for row in csv.reader(file) if row]
    names = rows.pop(0) if table.header else [f"column_{index}" for index in range(len(rows[0]))]
    return Read(names, np.array(rows, object))


def target_of(table: Table, read: Read) -> str:
    """The name of the target."""
    return table.target or read.names[-1]


def spec_of(table: Table, options: argparse.Namespace, target: str, numbers: Sequence[str], epochs: int) -> str:
    """The spec of a table."""
    path = (options.data / f"{table.name}.csv").resolve()
    source = f"{{csv: {{path: '{path}', header: {str(table.header).lower()}}}}}"
    columns = f"numbers: [{', '.join(numbers)}]"
    if table.categories:
        columns += f", categories: {{{', '.join(f'{name}: {names}' for name, names in table.categories.items())}}}"
    classes = f"[{', '.join(map(repr, table.classes))}]"
    text = SPEC.format(
        name=table.name.replace(" ", "-"),
        seed=options.seed,
        source=source,
        stratify=f", stratify: {target}" if table.classes else "",
        columns=columns,
        target=target,
        feature=f"{{category: {classes}}}" if table.classes else "{number: standard}",
        units=UNITS,
        outputs=len(table.classes) or 1,
        loss="cross_entropy" if table.classes else "mse",
        metric="accuracy" if table.classes else "rmse",
        rate=RATE,
        epochs=epochs,
        batch=BATCH,
    )
    if table.name != "bundled iris":
        return text
    whole = "{tensor: {shape: [4], normalize: standard}}"
    return text.replace(source, "iris").replace(f"record: {{table: {{{columns}}}}}", f"features: {whole}")


def reference(table: Table, read: Read, numbers: Sequence[str], target: str, held: Any, epochs: int) -> float:
    """scikit-learn's accuracy or root mean squared error on the held-out records."""
    at = {name: index for index, name in enumerate(read.names)}
    fields = read.fields.copy()
    for name in numbers:
        fields[:, at[name]] = [float(field) if field != "" else np.nan for field in fields[:, at[name]]]
    scaled = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    rules: list[Any] = [
        (
            "numbers",
            FeatureUnion([("scaled", scaled), ("gaps", MissingIndicator(features="all"))]),
            [at[name] for name in numbers],
        )
    ]
    if table.categories:
        known = OneHotEncoder(categories=list(table.categories.values()), handle_unknown="ignore", sparse_output=False)
        rules.append(("classes", known, [at[name] for name in table.categories]))
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (UNITS,),
        "alpha": 0.0,
        "batch_size": BATCH,
        "learning_rate_init": RATE,
        "max_iter": epochs,
        "n_iter_no_change": epochs,
        "random_state": 0,
    }
    network = (
        MLPClassifier(**settings)
        if table.classes
        else TransformedTargetRegressor(MLPRegressor(**settings), transformer=StandardScaler())
    )
    pipeline = Pipeline([("columns", ColumnTransformer(rules)), ("network", network)])
    truth = fields[:, at[target]].astype(str if table.classes else float)
    pipeline.fit(fields[~held], truth[~held])
    found = pipeline.predict(fields[held])
    if table.classes:
        return float(np.mean(found == truth[held]))
    return float(np.sqrt(np.mean(np.square(found - truth[held]))))


def titanic(options: argparse.Namespace, folder: Path) -> bool:
    """Cross-validate the spec of the Titanic, print its accuracy, and say whether it is good enough."""
    began = time.perf_counter()
    sets = [f"vars.data={options.data.resolve()}", f"seed={options.seed}", f"data.split.seed={options.seed}"]
    accuracy = dlc.cross_validate(TITANIC, FOLDS, folder / "titanic_spec", sets=sets).metrics["accuracy"]
    good = accuracy.mean >= AIM
    print(
        f"{TITANIC.stem}.yaml, {FOLDS} folds: accuracy {accuracy.mean:.4f}, deviation {accuracy.deviation:.4f}"
        f" (at least {AIM:g}){'' if good else ' NOT REACHED'}, {time.perf_counter() - began:.0f} s"
    )
    return good


if __name__ == "__main__":
    raise SystemExit(main())
