"""The page: a run from its record to one HTML file."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dlc.diagnostics import SpecError, human, plural
from dlc.frontend.passes.sizes import Sizes, sizes_of
from dlc.frontend.plugins import active
from dlc.frontend.summary import table as summary_table
from dlc.reports import charts
from dlc.reports.markup import Markup, concatenated, element, number, table
from dlc.reports.network import MOST_DRAWN, anchor, pictures, shape_text
from dlc.reports.record import Record, read_record
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.files import write_atomic
from dlc.training.run_folder import RunFolder, check_output, inputs_of

if TYPE_CHECKING:
    from dlc.components.schedules.schedule import Horizon
    from dlc.data.dataset import Dataset
    from dlc.frontend.plan import Plan

T = TypeVar("T")

HERE = Path(__file__).parent
MOST_ROWS = 200  # rows of the table of epochs
LONGEST_SPEC = 1 << 16  # characters of the spec that are shown
POINTS = 100  # points of the learning-rate curve


@noticing_exhaustion()
def write_report(
    run: RunFolder, out: Path | None = None, data: Dataset | None = None, most_flops: float = math.inf
) -> tuple[Path, list[str]]:
    """Write the report of a run.

    Args:
        run: the run.
        out: the file; `report.html` of the run folder when None.
        data: the run's data; read again if None.
        most_flops: bound on the work for predictions; a few are made in any case.

    Returns:
        The file, and what had to be omitted.

    Raises:
        SpecError: DLC502 and DLC503 for a folder without a run or with a damaged one, DLC507 for a file that can't be
            written.
    """
    if out is not None:
        check_output(out)
    record = read_record(run)
    if out is not None:
        check_output(out, inputs_of(record.plan))
    with active(record.spec.plugins):
        text, notes = page(record, data, most_flops)
    path = out or run.report
    write_atomic(path, text.encode(), follow=out is not None)
    return path, notes


def page(record: Record, data: Dataset | None = None, most_flops: float = math.inf) -> tuple[Markup, list[str]]:
    """The whole page, and what had to be omitted.

    A section that can't be created is replaced by a note: the rest of the page is still worth reading.
    """
    notes: list[str] = []
    data = data or _tried("the data could not be read", lambda: _data(record, notes), notes)
    sizes = _tried("the sizes of the data could not be found", lambda: _sizes(record.plan, data), notes) or Sizes({})
    parts: dict[str, tuple[str, Callable[[], list[Markup]]]] = {
        "results": ("Results", lambda: _results(record)),
        "curves": ("Learning curves", lambda: _curves(record, data)),
        "predictions": ("Predictions", lambda: _predictions(record, data, most_flops, notes)),
        "samples": ("Samples", lambda: _samples(record, data, most_flops)),
        "network": ("Network", lambda: _network(record, sizes)),
        "spec": ("Spec", lambda: [_spec(record.text)]),
        "times": ("Times", lambda: _times(record)),
        "environment": ("Environment", lambda: [_environment(record.environment)]),
    }
    built = {
        key: (title, _built(f"the section {title} could not be created", build, notes))
        for key, (title, build) in parts.items()
    }
    shown = {key: (title, body) for key, (title, body) in built.items() if body}
    links = element(
        "nav", [element("a", title, href=f"#{key}") for key, (title, _) in shown.items()], aria_label="Sections"
    )
    sections = [element("section", element("h2", title, id=key), body) for key, (title, body) in shown.items()]
    head = _built("the head could not be created", lambda: [_head(record, links, sizes)], notes)
    return _document(record.plan.name, [*head, element("main", sections)]), notes


def _tried(failure: str, build: Callable[[], T], notes: list[str]) -> T | None:
    """What a function returns; None if it fails, with a note.

    Raises:
        SpecError: for a damaged run, which no part of the page would describe.
    """
    try:
        return build()
    except SpecError:
        raise
    except Exception as error:
        notes.append(f"{failure} ({type(error).__name__}: {error}); this is a bug in dlc or in a plugin")
        return None


def _built(failure: str, build: Callable[[], list[Markup]], notes: list[str]) -> list[Markup]:
    """A part of the page; instead of one that fails its note."""
    found = _tried(failure, build, notes)
    return [element("p", f"{notes[-1][0].upper()}{notes[-1][1:]}.", class_="note")] if found is None else found


def _data(record: Record, notes: list[str]) -> Dataset | None:
    """The data of the run; None, with a note, if they can't be read any more."""
    from dlc.data.batching import batching_of
    from dlc.data.dataset import load_dataset

    if not record.run.weights.is_file():
        return None
    fitted = record.run.load_fitted(record.plan)
    try:
        data = load_dataset(record.plan, fitted)
        batching_of(record.plan, len(data.splits["train"]))
    except SpecError as error:
        notes.append(f"the data can't be read, so predictions are omitted: {error.report.diagnostics[0].message}")
        return None
    return data


def _sizes(plan: Plan, data: Dataset | None) -> Sizes:
    """The sizes of the data, else assumed ones."""
    from dlc.reports.predictions import sizes_of_data

    return sizes_of_data(plan, data) if data is not None else sizes_of(plan)


def _of_sizes(sizes: Sizes) -> Markup | None:
    """What symbolic sizes count as in FLOPs."""
    if not sizes.numbers and not sizes.note:
        return None
    whose = f"{sizes.note}." if sizes.note else "The numbers are those of the data."
    text = f"FLOPs are those of an example with {sizes}. {whose[0].upper()}{whose[1:]}"
    return element("p", text, class_="note")


def _document(name: str, body: Sequence[Markup]) -> Markup:
    """The body in a document that loads nothing; its policy allows only its own style and script, by digest."""
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=f"{policy}; base-uri 'none'; form-action 'none'"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="generator", content="dlc report"),
        element("title", f"{name}: dlc report"),
        element("style", Markup(style)),
    )
    whole = element("html", head, element("body", body, element("script", Markup(script))), lang="en")
    return Markup(f"<!DOCTYPE html>\n{whole}\n")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# ---- results ----


def _stop_reason(result: Mapping[str, Any]) -> str:
    """What ended a run early: a callback with its reason, or early stopping."""
    stop = result.get("stop")
    return f" by {stop['callback']}: {stop['reason']}" if stop else " by early stopping"


def _head(record: Record, links: Markup, sizes: Sizes) -> Markup:
    plan, result = record.plan, record.result
    total = f"of {plural(plan.train.epochs, 'epoch')}"
    if result is None:
        status = element("span", f"unfinished: {len(record.history)} {total}", class_="badge open")
    elif result.get("stopped_early"):
        text = f"stopped early after {len(record.history)} {total}{_stop_reason(result)}"
        status = element("span", text, class_="badge good")
    else:
        status = element("span", f"finished: {plural(len(record.history), 'epoch')}", class_="badge good")
    counts = summary_table(plan, sizes=sizes)
    split = "test" if record.test else "validation" if "validation/loss" in record.best else "train"
    figures = {**record.best, **record.test_record}
    tiles = [
        (f"{split} {name}", number(figures[f"{split}/{name}"]))
        for name in record.measures
        if f"{split}/{name}" in figures
    ]
    tiles = tiles[:6]
    if record.best_epoch:
        tiles.append(("best epoch", number(record.best_epoch)))
    of_size = f", {counts.sizes}" if counts.sizes.numbers else ""
    tiles += [("trained weights", number(counts.params)), (f"FLOPs per example{of_size}", human(counts.flops))]
    if record.sessions:
        tiles.append(("time", duration(sum(session["total"] for session in record.sessions))))
    started = _moment(record.environment.get("time"))
    when = element("span", f"started {started}", class_="quiet") if started else None
    dl = element(
        "dl", [element("div", element("dt", name), element("dd", value)) for name, value in tiles], class_="tiles"
    )
    return element("header", element("div", element("h1", plan.name), status, when, class_="head"), links, dl)


def _results(record: Record) -> list[Markup]:
    """Loss and metrics of the best weights on each split."""
    if not record.history:
        return [element("p", "No epoch has finished yet.", class_="note")]
    figures = {**record.best, **record.test_record}
    splits = [
        split for split in ("train", "validation", "test") if any(name.startswith(f"{split}/") for name in figures)
    ]
    rows = []
    for name in record.measures:
        values = [figures.get(f"{split}/{name}") for split in splits]
        rows.append((name, *(element("td", number(value), data_value=repr(value)) for value in values)))
    from dlc.training.evaluation import monitored

    monitor, higher = monitored(record.plan)
    which = f"epoch {record.best_epoch}, which has the {'highest' if higher else 'lowest'} {monitor}"
    note = (
        f"Results of the saved weights: {which}. Those on the training split are means over that epoch, with "
        "dropout and augmentation."
    )
    return [table(("", *splits), rows, class_="numbers"), element("p", note, class_="note")]


def _curves(record: Record, data: Dataset | None) -> list[Markup]:
    """Charts of the loss, each metric and the learning rate, and the values as a table."""
    history = record.history
    if not history:
        return []
    epochs = [item["epoch"] for item in history]
    drawn = []
    for name in record.measures:
        series = [
            charts.Series(split, epochs, [item[f"{split}/{name}"] for item in history])
            for split in ("train", "validation")
            if f"{split}/{name}" in history[0]
        ]
        values = [value for item in series for value in item.ys]
        if series:
            log = charts.wide(values) and name == "loss"
            title = f"{name}, logarithmic" if log else name
            marker = (float(record.best_epoch), f"best: {record.best_epoch}") if len(history) > 1 else None
            drawn.append(charts.line_chart(title, series, "epoch", marker, log))
    drawn.append(charts.line_chart("learning rate", [_rates(record, _horizon(record, data))], "step"))
    names = [name for name in history[0] if name != "epoch"]
    step = -(-len(history) // MOST_ROWS)
    chosen = [
        item
        for at, item in enumerate(history)
        if at % step == 0 or at == len(history) - 1 or item["epoch"] == record.best_epoch
    ]
    rows = [
        [element("span", number(item["epoch"]), class_="best" if item["epoch"] == record.best_epoch else None)]
        + [number(item.get(name)) for name in names]
        for item in chosen
    ]
    label = "All epochs as a table" if step == 1 else f"One epoch of every {step} as a table"
    listed = element("details", element("summary", label), table(("epoch", *names), rows, class_="numbers"))
    return [element("div", drawn, class_="charts"), listed]


def _horizon(record: Record, data: Dataset | None) -> Horizon | None:
    """The lengths that schedules depend on; None without the data."""
    from dlc.data.batching import batching_of, horizon_of

    if data is None:
        return None
    return horizon_of(record.plan, batching_of(record.plan, len(data.splits["train"])))


def _rates(record: Record, horizon: Horizon | None) -> charts.Series:
    """The learning rate: as recorded at the last step of each epoch, in between from the schedule."""
    from dlc.components.schedules.schedule import Schedule

    last = {int(item["step"]) - 1: item["learning_rate"] for item in record.history}
    optimizer = record.plan.update
    schedule = optimizer.optimizer.learning_rate if optimizer is not None else None
    if horizon is not None and isinstance(schedule, Schedule):
        built = schedule.build(horizon)
        steps = sorted({*last, *(round(max(last) * at / POINTS) for at in range(POINTS + 1))})
        values, ends, end, lowered = [], iter(sorted(last)), -1, 1.0
        for step in steps:
            while step > end:  # a plateau may have lowered the rates of an epoch: use the recorded ones
                end = next(ends)
                planned = float(built(end)) if schedule.plateau else 0.0
                lowered = last[end] / planned if planned else 1.0
            values.append(last[step] if step in last else float(built(step)) * lowered)
        return charts.Series("learning rate", [float(step) for step in steps], values)
    return charts.Series("learning rate", [float(step) for step in last], list(last.values()))


# ---- predictions ----


def _predictions(record: Record, data: Dataset | None, most_flops: float, notes: Sequence[str]) -> list[Markup]:
    """Predictions of the best weights; the reason if there are none."""
    from dlc.backend.lowering import platform
    from dlc.reports.answers import sections
    from dlc.reports.predictions import predicted
    from dlc.serving.model import load_model

    if not record.run.weights.is_file():
        note = "There are no predictions, because no weights have been saved yet."
        return [element("p", note, class_="note")]
    model = load_model(record.run, platform())
    if data is None:
        return [element("p", f"{note[0].upper()}{note[1:]}.", class_="note") for note in notes]
    return sections(record.plan, predicted(model, data, most_flops))


def _samples(record: Record, data: Dataset | None, most_flops: float) -> list[Markup]:
    """Texts of a language model; nothing for other networks."""
    from dlc.backend.lowering import platform
    from dlc.reports.samples import samples
    from dlc.serving.model import load_model

    if data is None or not record.run.weights.is_file():
        return []
    return samples(load_model(record.run, platform()), data, most_flops)


# ---- network and spec ----


def _network(record: Record, sizes: Sizes) -> list[Markup]:
    """The pictures, and the table of layers."""
    first, *others = pictures(record.plan)
    counts = summary_table(record.plan, sizes=sizes)
    state = f", and {plural(counts.state, 'number')} of state" if counts.state else ""
    frozen = f", {counts.frozen:,} frozen" if counts.frozen else ""
    size = human(counts.weight_bytes, "B", 1024)
    sums = f"{plural(counts.params, 'weight')} trained{frozen}{state}: {size}."
    legend = (
        "Each box is a layer: its name, its output shape for one example, and its number of weights (w), "
        "including state. A frame is a container; \u00d7 n marks one that runs n times with separate weights and "
        "numbers for one iteration."
    )
    parts = [element("p", f"{sums} {legend}", class_="note"), *([said] if (said := _of_sizes(counts.sizes)) else [])]
    rows = []
    for row in counts.rows:
        path = row.path if row.times == 1 else f"{row.path} (\u00d7 {row.times})"
        held = (
            f"of {row.shares}"
            if row.shares
            else number(row.params + row.frozen + row.state)
            if row.params + row.frozen + row.state
            else ""
        )
        rows.append(
            (
                element("span", path, class_="mono"),
                row.word,
                shape_text(row.output),
                held,
                human(row.flops) if row.flops else "",
            )
        )
    listed = table(("layer", "kind", "result", "weights", "FLOPs"), rows, class_="layers")
    layers = element(
        "details", element("summary", f"{plural(len(rows), 'layer')} as a table"), listed, open=len(rows) <= 24
    )
    parts.append(element("div", element("div", first.svg, class_="picture"), layers, class_="side"))
    for item in others:
        label = item.group.key.replace("/*", "")
        parts.append(
            element(
                "details",
                element("summary", label, f" \u00d7 {item.group.times}" if item.group.times > 1 else None),
                element("div", item.svg, class_="picture"),
                id=anchor(item.group),
            )
        )
    if sum(len(item.drawing.boxes) for item in (first, *others)) > MOST_DRAWN:
        parts.append(element("p", "Repeated items are shown only once.", class_="note"))
    return parts


_YAML = re.compile(
    r"""(?P<c>(?:(?<=\s)|^)\#[^\n]*+)|(?P<q>"(?:[^"\\\n]|\\.)*+"?|(?<!\w)'(?:[^'\n]|'')*+'?)"""
    r"""|(?P<k>(?<![\w.*/-])[\w.*/-]++(?=:(?:\s|$)))|(?P<v>\$(?:\w++|\([^)\n]*+\)?))"""
    r"""|(?P<n>(?<![\w.$])[-+]?\d[\d_]*+(?:\.\d*+)?(?:[eE][-+]?\d++)?%?(?![\w.]))""",
    re.MULTILINE,
)
"""The parts of YAML text that are highlighted. No match begins within a word or gives back what it took, so the time is
linear in the text; a quote that is not closed ends with its line."""


def _spec(text: str) -> Markup:
    """The spec as written, with comments, keys, variables and numbers highlighted."""
    shown = text[:LONGEST_SPEC]
    parts: list[object] = []
    at = 0
    for match in _YAML.finditer(shown):
        parts.append(shown[at : match.start()])
        kind = match.lastgroup
        parts.append(match[0] if kind == "q" else element("span", match[0], class_=kind))
        at = match.end()
    more = (
        element("p", f"The first {LONGEST_SPEC:,} of {len(text):,} characters are shown.", class_="note")
        if len(text) > LONGEST_SPEC
        else None
    )
    return concatenated([element("pre", element("code", parts, shown[at:])), more])


# ---- times and environment ----


def duration(seconds: float) -> str:
    """A readable duration.

    >>> duration(0.0214), duration(7.46), duration(83), duration(7500)
    ('0.021 s', '7.5 s', '1 min 23 s', '2 h 05 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _moment(text: object) -> str:
    """An ISO 8601 time in readable form.

    >>> _moment("2026-01-31T12:05:09+00:00"), _moment(None)
    ('2026-01-31 12:05:09 UTC', '')
    """
    return str(text or "").replace("T", " ").replace("+00:00", " UTC")


def _times(record: Record) -> list[Markup]:
    """A table of the processes that worked on the run."""
    if not record.sessions:
        return [element("p", "This run recorded no times.", class_="note")]
    rows = []
    for session in record.sessions:
        seconds, steady, first = session["training"], session["steady_examples"], session["first_chunk"]
        epochs = sorted(session["epochs"].values())
        rows.append(
            (
                _moment(session["started"]),
                f"{session['first_step']:,} to {session['last_step']:,}",
                duration(first) if first is not None else "\u2013",
                duration(seconds),
                number(steady / seconds) if seconds else "\u2013",
                duration(epochs[len(epochs) // 2]) if epochs else "\u2013",
                duration(session["total"]),
            )
        )
    head = ("session started", "steps", "first chunk", "later steps", "examples/s", "median epoch", "total")
    note = "The first chunk of steps includes reading the data and compiling; examples per second are for later steps "
    note += "without evaluation. The median epoch includes evaluation."
    return [table(head, rows, class_="numbers"), element("p", note, class_="note")]


def _environment(found: Mapping[str, Any]) -> Markup:
    packages = found.get("packages")
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if name == "packages":
            continue
        shown = " ".join(str(item) for item in value) if isinstance(value, list) else str(value)
        rows.append((name, shown))
    if isinstance(packages, dict):
        rows += [(str(name), str(value)) for name, value in packages.items()]
    return table(("what", "value"), [(name, element("span", value, class_="mono")) for name, value in rows])
