"""The same records in another order, format or place give the same answers.

Small runs are trained over sources, features, targets and splits, all drawn from a seed. Then their data are changed in
a way that leaves the records the same (other order of rows or columns, another format, another place, other batches,
padding), or in a way that does not (a changed value, a missing or renamed column), and one command follows: `eval` of a
split, `eval --data`, `predict`, `report`, `export`, or a resume. The same records must give the same answers, or be
refused; other records of the run must be refused. Anything else is a silent difference, of which there must be none.
"""

from __future__ import annotations

import collections
import csv
import gzip
import io
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dlc
from benchmarks.arguments import parser

COMBINATIONS, EACH = 2000, 40  # in all, and of one run
SAME, REFUSED, WRONG = "the same", "refused", "DIFFERENT"
OMITTED = "omitted"
TOLERANCE = 2e-5  # of float32 sums in another order
FORMATS = (".csv", ".npz", ".tsv", ".csv.gz")
SERIES, PADDING = "series", -7.0  # a column of real-valued series, and the number that pads them
COLORS = ("red", "green", "blue", "grün")

Table = dict[str, list[Any]]  # columns by name
Answers = Mapping[str, Any]


# ---- records and their spec ----


class Given(NamedTuple):
    """What a run trains on.

    Args:
        table: the records.
        spec: the text of the spec; `{source}` stands for its source.
        suffix: the format of its file.
        splits: the splits that the run has.
    """

    table: Table
    spec: str
    suffix: str
    splits: Sequence[str]

    @property
    def formats(self) -> Sequence[str]:
        """The formats that can hold the records: arrays of several numbers stand in an archive only."""
        return (".npz",) if SERIES in self.table else FORMATS


def drawn(chance: random.Random) -> Given:
    """Records, and a spec for them."""
    count = chance.randrange(40, 90)
    rng = np.random.default_rng(chance.randrange(2**32))
    table: Table = {"id": [f"r{number}" for number in range(count)]}
    inputs, features = [], []
    width = chance.randrange(2, 5)
    offset = chance.choice((0.0, 0.0, 5e6))
    for number in range(width):
        table[f"m_{number}"] = [float(value) for value in rng.normal(offset, number + 1.0, count)]
    scaled = chance.choice(("normalize: standard", "normalize: minmax", "scale: 2.0")) if not offset else ""
    scaled = scaled or "normalize: standard"
    inputs.append(f'm: {{tensor: {{shape: [{width}], columns: "m_*", {scaled}}}}}')
    features.append("m")
    if chance.random() < 0.5:
        table["n"] = [float(value) for value in rng.uniform(-3, 3, count)]
        inputs.append("n: {number: {normalize: standard}}")
        features.append("n")
    if chance.random() < 0.5:
        table["color"] = [COLORS[number] for number in rng.integers(0, len(COLORS), count)]
        table["color"][: len(COLORS)] = list(COLORS)
        inputs.append(f"color: {{category: [{', '.join(COLORS)}]}}")
        features.append("color")
    signal = np.sum([np.array(table[f"m_{number}"]) - offset for number in range(width)], axis=0)
    if chance.random() < 0.5:
        table["y"] = [float(value) for value in signal + rng.normal(0, 0.1, count)]
        target, loss = "number: {normalize: standard}", "loss: mse\nmetrics: [mae, r2]"
        units = 1
    else:
        table["y"] = ["high" if value > 0 else "low" for value in signal]
        table["y"][:2] = ["high", "low"]
        target, loss = "category: [high, low]", "loss: cross_entropy\nmetrics: [accuracy, f1]"
        units = 2
    split, splits = chance.choice(
        (
            ("split: {validation: 0.2, test: 0.2}", ("train", "validation", "test")),
            ("split: {test: 0.3, seed: 5}", ("train", "test")),
            ("split: {validation: 10, test: 10, shuffle: false}", ("train", "validation", "test")),
        )
    )
    batch = chance.choice(("8", "full", "7"))
    suffix = chance.choice(FORMATS)
    if suffix == ".npz" and chance.random() < 0.6:
        table[SERIES] = padded_series(count, rng)
        inputs.append(f"{SERIES}: {{tensor: {{shape: [time, 1], padding: {PADDING:g}, normalize: standard}}}}")
        features.append(SERIES)
    spec = f"data: {{source: {{source}}, {split}}}\ninputs:\n  " + "\n  ".join(inputs) + "\n"
    spec += f"targets:\n  y: {{{target}}}\nnetwork:\n{network(features, units)}{loss}\noptimizer: {{adam: 0.05}}\n"
    spec += f"train: {{epochs: {{epochs}}, batch_size: {batch}}}\n"
    return Given(table, spec, suffix, splits)


def padded_series(count: int, rng: np.random.Generator) -> list[Any]:
    """Series of 1 to 6 numbers, padded to 6: arrays (6, 1)."""
    found = []
    for length in rng.integers(1, 7, count):
        values = rng.normal(3.0, 2.0, (6, 1))
        values[length:] = PADDING
        found.append(values)
    return found


def network(features: Sequence[str], units: int) -> str:
    """A small network over all inputs."""
    lines = []
    names = []
    for name in features:
        if name == "color":
            lines.append("  - {embedding: {vocabulary: 4, size: 2}, inputs: color, name: color_vector}")
            names.append("color_vector")
        elif name == "n":
            lines.append("  - {reshape: [1], inputs: n, name: n_vector}")
            names.append("n_vector")
        elif name == SERIES:
            lines.append(f"  - {{dense: 3, inputs: {SERIES}, name: steps}}")
            lines.append("  - {take: -1, inputs: steps, name: last_step}")
            names.append("last_step")
        else:
            names.append(name)
    if len(names) > 1:
        lines.append(f"  - {{concat: {{}}, inputs: [{', '.join(names)}]}}")
    lines.append("  - dense: {units: 4, activation: tanh}")
    lines.append(f"  - dense: {units}")
    return "\n".join(lines) + "\n"


# ---- tables as files ----


def written(table: Table, path: Path, chance: random.Random | None = None) -> Path:
    """A table as a file; with `chance`, in one of the ways that mean the same."""
    pick = chance.choice if chance is not None else (lambda options: options[0])
    if path.name.endswith(".npz"):
        np.savez(path, **{name: np.array(column) for name, column in table.items()})
        return path
    text = io.StringIO()
    delimiter = "\t" if ".tsv" in path.name else ","
    quoting = pick((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=pick(("\n", "\r\n")))
    number = pick((repr, lambda value: f"{value:.17g}", lambda value: f"{value:.20e}"))
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow([number(value) if isinstance(value, float) else value for value in row])
    data = text.getvalue().encode(pick(("utf-8", "utf-8-sig")))
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def source(path: Path) -> str:
    """The source of a file, as a spec has it."""
    return f"{{{'npz' if path.name.endswith('.npz') else 'csv'}: {path.name}}}"


# ---- changes ----


def rows_in(order: Sequence[int], table: Table) -> Table:
    return {name: [column[index] for index in order] for name, column in table.items()}


def shuffled_rows(table: Table, chance: random.Random) -> Table:
    """The rows in another order."""
    return rows_in(chance.sample(range(len(table["id"])), len(table["id"])), table)


def shuffled_columns(table: Table, chance: random.Random) -> Table:
    """The columns in another order."""
    return {name: table[name] for name in chance.sample(sorted(table), len(table))}


def another_column(table: Table, chance: random.Random) -> Table:
    """A column more, which nothing reads."""
    return {"note": [f"note {chance.random():.3f}" for _ in table["id"]], **table}


def both(table: Table, chance: random.Random) -> Table:
    """Rows and columns in another order."""
    return shuffled_columns(shuffled_rows(table, chance), chance)


def as_it_was(table: Table, chance: random.Random) -> Table:  # noqa: ARG001 - a change
    """Nothing but how the file is written, and where it is."""
    return table


def further_padding(table: Table, chance: random.Random) -> Table:
    """Longer padding of series, if there are any."""
    if SERIES not in table:
        return table
    width = ((0, chance.randrange(1, 5)), (0, 0))
    return {**table, SERIES: [np.pad(values, width, constant_values=PADDING) for values in table[SERIES]]}


def more_rows(table: Table, chance: random.Random) -> Table:
    """New records at the end."""
    new = rows_in([chance.randrange(len(table["id"])) for _ in range(5)], table)
    new["m_0"] = [value + 0.125 for value in new["m_0"]]
    return {name: [*column, *new[name]] for name, column in table.items()}


def changed_value(table: Table, chance: random.Random) -> Table:
    """A changed value of every record's input: none is the same."""
    name = chance.choice(["m_0", "m_1"])
    return {**table, name: [value + 1.0 + chance.random() for value in table[name]]}


def missing_column(table: Table, chance: random.Random) -> Table:
    """A column less."""
    gone = chance.choice(["m_0", "m_1"])
    return {name: column for name, column in table.items() if name != gone}


def renamed_column(table: Table, chance: random.Random) -> Table:
    """A column that a pattern matches, under another name."""
    old = chance.choice(["m_0", "m_1"])
    return {("m_9" if name == old else name): column for name, column in table.items()}


def swapped_names(table: Table, chance: random.Random) -> Table:  # noqa: ARG001 - a change
    """The names of two columns exchanged: other records."""
    names = {"m_0": "m_1", "m_1": "m_0"}
    return {names.get(name, name): column for name, column in table.items()}


Change = Callable[[Table, random.Random], Table]
HARMLESS: tuple[Change, ...] = (
    shuffled_rows,
    shuffled_columns,
    another_column,
    both,
    as_it_was,
    further_padding,
)
HARMFUL: tuple[Change, ...] = (missing_column, renamed_column)
OTHER_RECORDS: tuple[Change, ...] = (changed_value, swapped_names)


# ---- runs and commands ----


class Trained(NamedTuple):
    """A run, and what each command answered on the data that it was trained on."""

    given: Given
    folder: Path
    file: Path
    answers: dict[str, Answers]

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"


def trained(given: Given, folder: Path) -> Trained:
    """Train a run for two epochs, and ask each command."""
    file = written(given.table, folder / f"data{given.suffix}")
    spec(given, folder, 2)
    dlc.train(folder / "spec.yaml", folder / "run")
    found = Trained(given, folder, file, {})
    for split in given.splits:
        found.answers[f"eval {split}"] = dlc.evaluate(found.run, split).metrics
    found.answers["eval --data"] = dlc.evaluate(found.run, data=file).metrics
    found.answers["predict"] = by_id(given.table, dlc.predict(found.run, file))
    found.answers["report"] = page(found.run)
    found.answers["export"] = {"bytes": dlc.export(found.run, "safetensors").read_bytes()}
    shutil.rmtree(found.run / "export", ignore_errors=True)
    longer = folder / "longer"
    shutil.copytree(found.run, longer)
    spec(given, folder, 3)
    dlc.train(folder / "spec.yaml", longer, resume=True)
    found.answers["resume"] = {"bytes": (longer / "weights.safetensors").read_bytes()}
    shutil.rmtree(longer)
    return found


def spec(given: Given, folder: Path, epochs: int, file: Path | None = None) -> None:
    """Write the spec."""
    text = given.spec.replace("{source}", source(file or Path(f"data{given.suffix}"))).replace("{epochs}", str(epochs))
    (folder / "spec.yaml").write_text(text, encoding="utf-8")


def by_id(table: Table, answer: Mapping[str, Any]) -> Answers:
    """Predictions by the record that they belong to."""
    order = np.argsort(np.array(table["id"]))
    return {name: np.asarray(values)[order] for name, values in answer.items()}


def page(run: Path) -> Answers:
    """The cells of a report's tables; why it leaves out what it needs the records for, where it does.

    Without the table of the network: its sizes are those of the arrays, with their padding.
    """
    text = dlc.report(run).read_text(encoding="utf-8")
    omitted = re.search(r"predictions are omitted: [^<]*", text)
    if omitted:
        return {OMITTED: omitted[0]}
    text = re.sub(r'<section><h2 id="network">.*?</section>', "", text, flags=re.DOTALL)
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<svg.*?</svg>", "", text, flags=re.DOTALL)
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", text, flags=re.DOTALL)
    return {"cells": [cell for cell in cells if "/" not in cell]}


def asked(trained: Trained, name: str, table: Table, file: Path, chance: random.Random, work: Path) -> Answers:
    """What a command answers, with the data that now stand in a copy of the project."""
    run = work / "run"
    if name == "eval --data":
        return dlc.evaluate(run, data=file).metrics
    if name.startswith("eval "):
        return dlc.evaluate(run, name.removeprefix("eval ")).metrics
    if name == "predict":
        if chance.random() < 0.3:
            return by_id(table, dlc.predict(run, {key: np.array(column) for key, column in table.items()}))
        if chance.random() < 0.4:  # a few records at a time
            size = chance.choice((1, 7, 33))
            starts = range(0, len(table["id"]), size * 8 if size == 1 else size)
            parts = [range(start, min(start + size, len(table["id"]))) for start in starts][:6]
            rows = [index for part in parts for index in part]
            found = [dlc.predict(run, {k: np.array(v) for k, v in rows_in(part, table).items()}) for part in parts]
            whole = {key: np.concatenate([part[key] for part in found]) for key in found[0]}
            return {"#ids": sorted(table["id"][index] for index in rows), **by_id(rows_in(rows, table), whole)}
        return by_id(table, dlc.predict(run, file))
    if name == "report":
        return page(run)
    if name == "export":
        return {"bytes": dlc.export(run, "safetensors").read_bytes()}
    spec(trained.given, work, 3, file)
    dlc.train(work / "spec.yaml", run, resume=True)
    return {"bytes": (run / "weights.safetensors").read_bytes()}


def same(found: Answers, wanted: Answers, ids: Sequence[str]) -> bool:
    """Whether two answers are the same, but for the order of float32 sums."""
    if "#ids" in found:
        kept = np.isin(np.sort(np.array(ids)), np.array(found["#ids"]))
        wanted = {key: np.asarray(values)[kept] for key, values in wanted.items()}
        found = {key: values for key, values in found.items() if key != "#ids"}
    return found.keys() == wanted.keys() and all(alike(found[key], wanted[key]) for key in found)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, numbers to within `TOLERANCE`."""
    if isinstance(one, (bytes, list)):
        return bool(one == other)
    mine, theirs = np.asarray(one), np.asarray(other)
    if mine.shape != theirs.shape:
        return False
    if mine.dtype.kind != "f":
        return bool(np.array_equal(mine, theirs))
    scale = max(1.0, float(np.max(np.abs(theirs[np.isfinite(theirs)]), initial=0.0)))
    return bool(np.allclose(mine, theirs, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))


class Outcome(NamedTuple):
    """One combination: the command, the change, and what came of it."""

    command: str
    change: str
    outcome: str
    detail: str


def combined(trained: Trained, chance: random.Random, folder: Path) -> Outcome:
    """Change the data of a copy of the project, and ask a command."""
    work = folder / f"moved-{chance.randrange(10**9)}"
    shutil.copytree(trained.folder, work)
    command = chance.choice(sorted(trained.answers))
    uses_run_data = command not in ("eval --data", "predict")
    kinds = (*HARMLESS, *HARMLESS, *HARMFUL)
    if uses_run_data and command != "export":
        kinds = (*kinds, more_rows, *OTHER_RECORDS)
    change = chance.choice(kinds)
    table = change(trained.given.table, chance)
    if uses_run_data:
        (work / trained.file.name).unlink()
        file = written(table, work / trained.file.name, chance)
    else:
        file = written(table, work / f"later{chance.choice(trained.given.formats)}", chance)
    moved = uses_run_data or chance.random() < 0.5
    if moved:  # the place where it was trained is gone: otherwise the copy of the run would read the data there
        trained.folder.rename(folder / "elsewhere")
    try:
        found = asked(trained, command, table, file, chance, work)
    except dlc.SpecError as error:
        return Outcome(command, change.__name__, REFUSED, error.report.diagnostics[0].message)
    finally:
        if moved:
            (folder / "elsewhere").rename(trained.folder)
        shutil.rmtree(work, ignore_errors=True)
    if OMITTED in found:
        return Outcome(command, change.__name__, REFUSED, found[OMITTED])
    if change in OTHER_RECORDS and uses_run_data:
        return Outcome(command, change.__name__, WRONG, "other records were accepted")
    equal = same(found, trained.answers[command], trained.given.table["id"])
    return Outcome(command, change.__name__, SAME if equal else WRONG, "" if equal else f"{found}"[:300])


def battery(combinations: int, seed: int, each: int = EACH) -> list[Outcome]:
    """So many combinations, drawn from a seed."""
    found: list[Outcome] = []
    chance = random.Random(seed)
    while len(found) < combinations:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "project").mkdir()
            run = trained(drawn(chance), folder / "project")
            for _ in range(min(each, combinations - len(found))):
                found.append(combined(run, chance, folder))
                if found[-1].outcome == WRONG:
                    print(f"{found[-1]}\n{run.given.spec}", flush=True)
    return found


def main() -> None:
    """Try, and print what came of it."""
    arguments = parser("same_records", __doc__)
    arguments.add_argument("combinations", metavar="COMBINATIONS", nargs="?", type=int, default=COMBINATIONS)
    arguments.add_argument("seed", metavar="SEED", nargs="?", type=int, default=0)
    arguments.add_argument("--refused", action="store_true", help="print what was refused, and why")
    options = arguments.parse_args()
    found = battery(options.combinations, options.seed)
    table = collections.Counter((item.command, item.outcome) for item in found)
    for command in sorted({item.command for item in found}):
        figures = ", ".join(f"{table[command, kind]} {kind}" for kind in (SAME, REFUSED, WRONG))
        print(f"{command:18} {figures}")
    wrong = sum(item.outcome == WRONG for item in found)
    if options.refused:
        for item in found:
            if item.outcome == REFUSED:
                print(f"{item.command}, {item.change}: {item.detail}")
    refused = collections.Counter(item.change for item in found if item.outcome == REFUSED)
    print(f"refused, by change: {dict(refused)}")
    print(f"{len(found)} combinations, {wrong} silent differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
