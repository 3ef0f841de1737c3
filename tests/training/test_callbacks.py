"""Callbacks of a spec: those of a plugin, those of dlc, what they see, how they end a run, and how they fail."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dlc
from dlc.components.callbacks import CALLBACKS
from dlc.frontend.pipeline import check_file, check_text
from dlc.language.options import build_word, load_class
from dlc.training import checkpoint as checkpoints
from dlc.training.callbacks.progress import Silent
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder
from dlc.training.train import train as train_spec
from tests.common import ROOT, SMALL
from tests.training.test_training import same_run, stop_after

PLUGIN = '''
from dlc.components.callbacks.callback import Callback
from dlc.language.options import main, option

SEEN = []


class Tell(Callback):
    """Keeps what it sees."""

    word = "tell"
    stop_after: int | None = main(None)
    fail_at: str | None = option(None)

    def on_begin(self, run):
        self.keep("begin", run)

    def on_chunk(self, run):
        self.keep("chunk", run)

    def on_epoch(self, run):
        run.store["epochs"] = run.store.get("epochs", 0) + 1
        if run.epoch == self.stop_after:
            run.stop("enough")
        self.keep("epoch", run)

    def on_end(self, run):
        self.keep("end", run)

    def keep(self, hook, run):
        SEEN.append((hook, run))
        if self.fail_at in (hook, f"{hook} {run.epoch}"):
            raise ValueError("no")


CALLBACKS = {"tell": "tell_plugin:Tell"}
'''


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[str, Any]]]:
    """What the callback of the plugin has seen."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "tell_plugin.py").write_text(PLUGIN)
    dlc.allow_plugins()
    dlc.load(write(tmp_path, "tell"))
    yield sys.modules["tell_plugin"].SEEN
    dlc.allow_plugins(False)
    sys.modules.pop("tell_plugin", None)


def write(folder: Path, callbacks: str, plugin: bool = True, name: str = "tell_plugin") -> Path:
    """A spec with callbacks, beside the plugin."""
    text = SMALL.replace("batch_size: 16}", f"batch_size: 16, callbacks: {flow(callbacks)}}}")
    path = folder / "spec.yaml"
    path.write_text((f"plugins: [{name}]\n" if plugin else "") + text)
    return path


def flow(callbacks: str) -> str:
    """Callbacks as they stand in a mapping on one line."""
    return f"{{{callbacks}}}" if ":" in callbacks and callbacks[0] not in "[{" else callbacks


class Notes(Silent):
    """Keeps the notes and the epochs."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.epochs: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, record: Any, seconds: float, best: bool) -> None:
        self.epochs.append(int(record["epoch"]))


def epochs_of(seen: list[tuple[str, Any]]) -> list[int]:
    return [run.epoch for hook, run in seen if hook == "epoch"]


def test_a_callback_is_called_at_each_epoch_and_changes_no_bit(
    seen: list[tuple[str, Any]], small_run: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    result = train_spec(dlc.load(write(tmp_path, "tell")), run=run)
    assert epochs_of(seen) == [1, 2, 3, 4]
    assert [hook for hook, _ in seen][:2] == ["begin", "chunk"] and seen[-1][0] == "end"
    assert all((view.folder, view.epochs, view.name) == (run.path, 4, "small") for _, view in seen)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    epochs = [view for hook, view in seen if hook == "epoch"]
    assert [dict(view.metrics) for view in epochs] == lines[:-1] == [dict(record) for record in result.history]
    assert [view.step for view in epochs] == [6, 12, 17, 23] and {view.steps for view in epochs} == {23}
    assert [len(view.history) for view in epochs] == [1, 2, 3, 4]
    assert [view.learning_rate for view in epochs] == [line["learning_rate"] for line in lines[:-1]]
    begin, end = seen[0][1], seen[-1][1]
    assert (begin.epoch, begin.step, begin.metrics, begin.history, begin.status) == (0, 0, {}, (), "training")
    assert dict(end.metrics) == lines[-1] and end.status == "finished" and end.store == {"epochs": 4}
    chunks = [view for hook, view in seen if hook == "chunk"]
    assert chunks[-1].step == 23 and chunks[-1].metrics["train/loss"] == lines[-2]["train/loss"]
    with pytest.raises(TypeError):
        begin.metrics["train/loss"] = 0.0
    same_run(run, small_run)
    text = run.result.read_text()
    assert "stop" not in json.loads(text)
    assert json.loads(text)["metrics"] == json.loads(small_run.result.read_text())["metrics"]


def test_a_callback_ends_a_run(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    """It is finished as one that early stopping ended: its best weights are tested, and a resume does nothing more."""
    run, told = RunFolder(tmp_path / "run"), Notes()
    spec = dlc.load(write(tmp_path, "tell: 2"))
    result = train_spec(spec, run=run, reporter=told)
    assert epochs_of(seen) == told.epochs == [1, 2]
    assert told.notes == ["`tell` ends the run after epoch 2: enough"]
    assert len(result.history) == 2 and "loss" in result.test and seen[-1][1].status == "finished"
    summary = json.loads(run.result.read_text())
    assert summary["stopped_early"] and summary["epochs"] == 2
    assert (summary["stop"]["callback"], summary["stop"]["reason"]) == ("tell", "enough")
    assert checkpoints.load(checkpoints.found(run)[0]).progress["epoch"] == 2
    before = run.metrics.read_bytes()
    seen.clear()
    again = train_spec(spec, run=run, resume=True)
    assert (len(again.history), seen, run.metrics.read_bytes()) == (2, [], before)


@pytest.mark.parametrize("callbacks", ["[]", "tell: 3", "csv_log"])
def test_a_run_that_a_callback_ended_continues_without_it(
    seen: list[tuple[str, Any]], small_run: RunFolder, tmp_path: Path, callbacks: str
) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(dlc.load(write(tmp_path, "tell: 2")), run=run)
    result = train_spec(dlc.load(write(tmp_path, callbacks)), run=run, resume=True)
    assert len(result.history) == (3 if "3" in callbacks else 4)
    if callbacks == "csv_log":
        same_run(run, small_run)
        assert len((run.path / "metrics.csv").read_text().splitlines()) == 5


def test_a_run_that_a_callback_ended_continues_with_more_epochs(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    run, straight = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "straight")
    spec = write(tmp_path, "tell: 2")
    train_spec(dlc.load(spec), run=run)
    seen.clear()
    train_spec(dlc.load(spec, ["train.epochs=6"]), run=run, resume=True)
    assert epochs_of(seen) == [3, 4, 5, 6]
    assert [record["epoch"] for record in seen[0][1].history] == [1, 2]
    assert (seen[0][1].epoch, seen[0][1].step) == (2, 12)
    train_spec(dlc.loads(SMALL, ["train.epochs=6"]), run=straight)
    same_run(run, straight)


def test_a_killed_run_that_a_callback_ended_stays_ended(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    """The end is part of the checkpoint: the callback does not see the epoch again."""
    run, straight, told = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "straight"), Notes()
    spec = dlc.load(write(tmp_path, "tell: 2"))
    train_spec(spec, run=straight)
    train_spec(spec, run=run)
    run.result.unlink()  # as a kill before the end leaves it
    seen.clear()
    train_spec(spec, run=run, resume=True, reporter=told)
    assert epochs_of(seen) == [] and "`tell` has ended the run: enough" in told.notes
    same_run(run, straight)
    assert run.result.read_bytes() == straight.result.read_bytes()


@pytest.mark.parametrize("calls", [1, 4, 7])
def test_a_resumed_run_calls_for_new_epochs_only(
    seen: list[tuple[str, Any]], small_run: RunFolder, tmp_path: Path, calls: int
) -> None:
    run = RunFolder(tmp_path / "run")
    spec = dlc.load(write(tmp_path, "[tell, csv_log]"))
    with pytest.raises(Stopped):
        train_spec(spec, run=run, chunk_iterations=2, stop=stop_after(calls))
    assert seen[-1][0] == "end" and seen[-1][1].status == "interrupted"
    (run.path / "metrics.csv").write_text("what a killed run wrote past its checkpoint")
    train_spec(spec, run=run, resume=True)
    assert epochs_of(seen) == [1, 2, 3, 4]
    same_run(run, small_run)
    other = RunFolder(tmp_path / "other")
    train_spec(spec, run=other)
    assert (run.path / "metrics.csv").read_bytes() == (other.path / "metrics.csv").read_bytes()


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("hook", "when", "step"),
    [
        ("begin", "before the first step", None),
        ("chunk 1", "in epoch 1", 1),
        ("epoch 2", "after epoch 2", 12),
        ("epoch 4", "after epoch 4", 23),
    ],
)
def test_an_exception_of_a_callback_is_a_diagnostic_and_loses_nothing(
    seen: list[tuple[str, Any]], small_run: RunFolder, tmp_path: Path, hook: str, when: str, step: int | None
) -> None:
    run, told = RunFolder(tmp_path / "run"), Notes()
    path = write(tmp_path, f"[csv_log, tell: {{fail_at: {hook}}}]")
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(dlc.load(path, ["train.checkpoint_every=3"]), run=run, reporter=told)
    item = caught.value.report.diagnostics[0]
    assert item.code == "DLC511"
    method = f"`on_{hook.partition(' ')[0]}`"
    assert item.message == f"the callback `tell` of the plugin `tell_plugin` failed in {method} {when}: ValueError: no"
    assert item.found is not None and item.found.startswith("tell_plugin.py, line ")
    assert item.span is not None and "--resume" in str(item.hint)
    assert isinstance(caught.value.__cause__, ValueError)
    assert seen[-1][0] == "end" and seen[-1][1].status == "failed"
    assert told.epochs == list(range(1, 1 + int(hook[-1]) if hook.startswith("epoch") else 1))
    found = checkpoints.found(run)
    assert [checkpoints.step_of(path) for path in found][:1] == ([step] if step is not None else [])
    train_spec(dlc.load(write(tmp_path, "tell")), run=run, resume=True)
    same_run(run, small_run)


def test_an_exception_at_the_end_leaves_a_finished_run(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    spec = dlc.load(write(tmp_path, "tell: {fail_at: end}"))
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(spec, run=run)
    assert "failed in `on_end` at the end: ValueError: no" in caught.value.report.diagnostics[0].message
    assert run.finished and len(train_spec(spec, run=run, resume=True).history) == 4


def test_the_first_error_is_the_one_that_is_reported(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    told = Notes()
    spec = dlc.load(write(tmp_path, "[tell: {fail_at: epoch 1}, tell: {fail_at: end}]"))
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(spec, reporter=told)
    assert "failed in `on_epoch` after epoch 1" in caught.value.report.diagnostics[0].message
    assert any("failed in `on_end` at the end" in note for note in told.notes)


def test_a_dry_run_calls_no_callback(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    train_spec(dlc.load(write(tmp_path, "tell: {fail_at: begin}")), dry_run=True)
    assert seen == []


def test_a_run_without_a_folder_has_callbacks(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    result = train_spec(dlc.load(write(tmp_path, "[csv_log, tell: 1]")))
    assert epochs_of(seen) == [1] and len(result.history) == 1 and seen[0][1].folder is None


def test_stop_at_a_value(tmp_path: Path, small_run: RunFolder) -> None:
    records = [json.loads(line) for line in small_run.metrics.read_text().splitlines()][:-1]
    bound = records[1]["train/loss"]
    text = SMALL.replace("epochs: 4,", "epochs: 4, callbacks: {stop_at: {monitor: train/loss, below: VALUE}},")
    text = text.replace("VALUE", repr(bound))
    told = Notes()
    assert len(train_spec(dlc.loads(text), reporter=told).history) == 2
    assert told.notes == [f"`stop_at` ends the run after epoch 2: train/loss is {bound:.6g}, at most {bound:g}"]
    above = text.replace("train/loss, below", "validation/accuracy, above").replace(repr(bound), "2.0")
    assert len(train_spec(dlc.loads(above)).history) == 4


def test_csv_log(tmp_path: Path) -> None:
    text = SMALL.replace("epochs: 4,", "epochs: 2, callbacks: {csv_log: values.csv},")
    result = train_spec(dlc.loads(text), run=RunFolder(tmp_path / "run"))
    head, *rows = (tmp_path / "run" / "values.csv").read_text().splitlines()
    names = head.split(",")
    assert names == list(result.history[0])
    assert [dict(zip(names, map(float, row.split(",")), strict=True)) for row in rows] == list(result.history)
    (tmp_path / "full" / "values.csv").mkdir(parents=True)
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(dlc.loads(text), run=RunFolder(tmp_path / "full"))
    assert caught.value.report.codes == ("DLC507",)


@pytest.mark.parametrize(
    ("callbacks", "code", "message"),
    [
        ("[csv_lgo]", "DLC105", "unknown callback `csv_lgo`"),
        ("{stop: 1}", "DLC105", "unknown callback `stop`"),
        ("3", "DLC106", "not a valid callback"),
        ("[csv_log: {fil: x.csv}]", "DLC101", "unknown option `fil` of `csv_log`"),
        ("csv_log: ../x.csv", "DLC104", "this does not name a CSV file"),
        ("csv_log: metrics.jsonl", "DLC104", "this does not name a CSV file"),
        ("[stop_at: {monitor: train/loss}]", "DLC102", "`stop_at` needs `above` or `below`"),
        ("[stop_at: {monitor: train/loss, above: 1, below: 0}]", "DLC104", "`above` and `below` exclude each other"),
        ("[stop_at: {monitor: train/los, above: 1}]", "DLC305", "there is no value `train/los` to monitor"),
        ("{stop_at: {monitor: train/los, above: 1}}", "DLC305", "there is no value `train/los` to monitor"),
    ],
)
def test_a_mistake_in_callbacks_is_found_by_the_checker(callbacks: str, code: str, message: str) -> None:
    text = SMALL.replace("epochs: 4,", f"epochs: 4, callbacks: {flow(callbacks)},")
    _, report = check_text(text)
    assert report.codes == (code,), dlc.SpecError(report)
    item = report.diagnostics[0]
    assert item.message == message
    line = text.splitlines()[item.span.line - 1]  # type: ignore[union-attr]
    assert line.startswith("train:") and item.span.column > line.index("callbacks")  # type: ignore[union-attr]


def test_a_misspelt_callback_of_a_plugin_is_named(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    _, report = check_file(write(tmp_path, "[tel]"))
    item = report.diagnostics[0]
    assert (item.code, item.message, item.hint) == ("DLC105", "unknown callback `tel`", "did you mean `tell`?")
    _, report = check_file(write(tmp_path, "[tell]", plugin=False))
    assert report.codes == ("DLC105",)


@pytest.mark.parametrize("word", CALLBACKS)
def test_examples_of_callbacks(word: str) -> None:
    from dlc.language.yaml_text import parse_yaml

    cls = load_class(CALLBACKS, word)
    assert cls.word == word and cls.examples
    for example in cls.examples:
        assert isinstance(
            build_word(parse_yaml(f"item:\n  {example}\n", "example").tree["item"], CALLBACKS, "callback"), cls
        )
        spec, report = check_text(SMALL.replace("epochs: 4,", f"epochs: 4, callbacks: [{example}],"))
        assert spec is not None, dlc.SpecError(report)


def test_the_callback_of_contributing(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    """The steps of CONTRIBUTING, followed literally."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a callback")[2]
    code, lines = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)[1] for kind in ("python", "text"))  # type: ignore[index]
    (tmp_path / "announce.py").write_text(code)
    (tmp_path / "spec.yaml").write_text(lines)
    told = Notes()
    try:
        result = train_spec(dlc.load(tmp_path / "spec.yaml"), run=RunFolder(tmp_path / "run"), reporter=told)
    finally:
        sys.modules.pop("announce", None)
    losses = [record["train/loss"] for record in result.history]
    assert len(losses) < 20 and losses[-1] <= 0.3 < min(losses[:-1])
    printed = [f"epoch {epoch}: loss {losses[epoch - 1]:.3f}" for epoch in range(2, len(losses) + 1, 2)]
    assert printed and [line.partition(", lowest")[0] for line in told.notes[:-1]] == printed


def test_what_a_callback_prints_goes_to_standard_error(
    seen: list[tuple[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is the command's, which may print JSON; notes of the callback are part of that."""

    class Json(Silent):
        def note(self, text: str) -> None:
            print(json.dumps({"note": text}))

    code = PLUGIN.replace("SEEN.append((hook, run))", 'print("seen", hook); run.note(hook)')
    (tmp_path / "loud_plugin.py").write_text(code.replace("tell_plugin", "loud_plugin"))
    spec = dlc.load(write(tmp_path, "tell", name="loud_plugin"))
    capsys.readouterr()
    try:
        train_spec(spec, reporter=Json())
    finally:
        sys.modules.pop("loud_plugin", None)
    output = capsys.readouterr()
    assert {json.loads(line)["note"] for line in output.out.splitlines()} == {"begin", "chunk", "epoch", "end"}
    assert "seen begin" in output.err and "seen end" in output.err


def test_setting_an_attribute_of_a_callback_is_explained(seen: list[tuple[str, Any]], tmp_path: Path) -> None:
    code = PLUGIN.replace('        self.keep("epoch", run)', "        self.stop_after = 1").replace(
        "tell_plugin", "set_plugin"
    )
    (tmp_path / "set_plugin.py").write_text(code)
    spec = dlc.load(write(tmp_path, "tell", name="set_plugin"))
    with pytest.raises(dlc.SpecError) as caught:
        train_spec(spec)
    sys.modules.pop("set_plugin", None)
    item = caught.value.report.diagnostics[0]
    assert item.message.endswith(
        "failed in `on_epoch` after epoch 1: `self.stop_after` can't be set: components are frozen"
    )
    line = 1 + code.splitlines().index("        self.stop_after = 1")
    assert item.found == f"set_plugin.py, line {line}"
    assert item.hint is not None and item.hint.startswith("store values that change in `run.store`")
