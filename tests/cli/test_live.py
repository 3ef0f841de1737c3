"""What `dlc train` prints: on a terminal that is resized and interrupted, in a pipe, and as JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlc.cli.live import MOST_POINTS, Live, Panel
from dlc.training.callbacks.progress import Moment, RunInfo
from dlc.training.run_folder import RunFolder
from tests.cli.test_commands import dlc_command  # noqa: F401 - a fixture
from tests.common import SMALL


class Screen:
    """A terminal that wraps long lines, and wraps all lines anew when its width changes, as tmux and VTE do."""

    encoding = "utf-8"

    def __init__(self, columns: int, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.lines: list[str] = [""]  # whole lines; a terminal shows each in as many rows as it takes
        self.at = 0
        self.written: list[str] = []

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        pass

    def heights(self) -> list[int]:
        return [max(1, -(-len(line) // self.columns)) for line in self.lines]

    def write(self, text: str) -> None:
        self.written.append(text)
        for control, plain in re.findall(r"(\x1b\[[0-9;?]*[a-zA-Z]|\r|\n)|([^\x1b\r\n]+)", text):
            if plain:
                self.lines[self.at] += plain
            elif control == "\n":
                self.at += 1
                if self.at == len(self.lines):
                    self.lines.append("")
            elif control.endswith("A"):
                left = int(control[2:-1])
                while left > 0:
                    self.at -= 1
                    assert self.at >= 0, "above the first line"
                    left -= self.heights()[self.at]
                assert left == 0, "amid a line that was wrapped"
            elif control == "\x1b[J":
                del self.lines[self.at + 1 :]
                self.lines[self.at] = ""
            else:
                assert control == "\r" or control[-1] == "m" or control in ("\x1b[?2026h", "\x1b[?2026l"), repr(control)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    found = Screen(80)
    monkeypatch.setattr("dlc.cli.live.sys", SimpleNamespace(stdout=found, stderr=found))
    monkeypatch.setattr(Panel, "size", lambda self: (found.columns, found.rows))
    monkeypatch.setattr("dlc.cli.live.REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return found


def plan(epochs: int = 4) -> RunInfo:
    sizes = {"train": 100, "validation": 20}
    rate = lambda step: 0.1 / (step + 1)  # noqa: E731
    return RunInfo("spec", None, epochs, 10 * epochs, 10, sizes, 1234, "cpu", 0, "validation/loss", rate)


def record(epoch: int, loss: float = 0.5) -> dict[str, float]:
    figures = {"train/loss": loss, "train/accuracy": 0.9, "validation/loss": loss, "validation/accuracy": 0.8}
    return {"epoch": epoch, "step": 10 * epoch, "learning_rate": 0.1, **figures}


def moment(epoch: int, step: int) -> Moment:
    return Moment(epoch, step, 5, {"loss": 1 / step, "accuracy": 0.9}, 1234.5)


def test_the_panel_tells_where_the_run_stands(screen: Screen) -> None:
    live = Live()
    live.begin(plan())
    assert screen.lines[-2:] == ["compiling", ""]
    live.moment(moment(1, 5))
    live.moment(moment(1, 10))
    live.epoch(record(1), 0.25, True)
    live.moment(moment(2, 15))
    text = "\n".join(screen.lines)
    assert re.search(r"^epoch 2/4 ━+─+  37%  \d:\d\d left$", text, re.MULTILINE)
    assert re.search(r"^step 5/10 ━+─+  50%  1,23[45] examples/s$", text, re.MULTILINE)
    assert "loss 0.0667  accuracy 0.9000" in text
    assert "best validation/loss 0.5000 in epoch 1" in text
    assert re.search(r"memory \d+\.\d\d GiB", text)
    assert re.search(r"^loss █\S+  learning rate \S+ 0\.00667$", text, re.MULTILINE)
    assert "epoch 1/4  train loss 0.5000 accuracy 0.9000  validation loss 0.5000" not in text  # too wide for 80
    assert "epoch 1/4  0.25 s  best\n  train loss 0.5000 accuracy 0.9000\n  validation loss 0.5000" in text


@pytest.mark.parametrize("widths", [(80, 60, 120, 33, 80), (120, 20, 120), (40, 39, 38, 37, 200)])
def test_resizing_leaves_nothing_behind(screen: Screen, widths: tuple[int, ...]) -> None:
    screen.columns = widths[0]
    live = Live()
    live.begin(plan(40))
    for epoch in range(1, 13):
        screen.columns = widths[epoch % len(widths)]
        for step in (3, 10):
            live.moment(moment(epoch, 10 * epoch - 10 + step))
            assert all(len(line) < screen.columns for line in screen.lines if "examples/s" in line)
        live.epoch(record(epoch), 0.1, epoch == 1)
    live.note("something")
    live.end()
    text = "\n".join(screen.lines)
    assert text.count("examples/s") == 0 and "━" not in text and "learning rate" not in text
    assert [int(number) for number in re.findall(r"^epoch +(\d+)/40", text, re.MULTILINE)] == list(range(1, 13))
    assert screen.lines[-2:] == ["note: something", ""]
    assert all(part.count("\x1b[?2026h") == part.count("\x1b[?2026l") for part in screen.written)
    assert all(part.count("\x1b[J") <= 1 for part in screen.written)  # erased and drawn in one write: no flicker
    assert "\x1b[?25l" not in "".join(screen.written)  # the cursor is never hidden, so nothing must bring it back


def test_a_low_terminal_shows_what_fits(screen: Screen) -> None:
    screen.rows = 4
    live = Live()
    live.begin(plan())
    live.moment(moment(1, 5))
    assert len(screen.lines) == 1 + 2 + 1  # headline, two rows, the cursor's


def test_many_short_epochs_cost_few_writes(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.cli.live.REDRAW_SECONDS", 60.0)
    live = Live()
    live.begin(plan(2 * MOST_POINTS))
    for epoch in range(1, 2 * MOST_POINTS + 1):
        live.moment(moment(epoch, 10 * epoch))
        live.epoch(record(epoch), 0.1, False)
    assert len(screen.written) == 1
    assert len(live.losses) < MOST_POINTS
    live.end()
    assert len([line for line in screen.lines if line.startswith("epoch ")]) == 2 * MOST_POINTS


def test_names_cannot_act_on_the_terminal(screen: Screen) -> None:
    live = Live()
    live.begin(plan())
    live.moment(Moment(1, 5, 5, {"\x1b[2Jloss": 1.0}, 1.0))
    assert "\x1b[2J" not in "".join(screen.written)


def test_a_signal_amid_a_drawing_waits(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training thread draws, and another one tells of the signal."""
    live = Live()
    live.begin(plan())
    drawing, go_on = threading.Event(), threading.Event()
    write = screen.write

    def slow(text: str) -> None:
        if threading.current_thread() is training:
            drawing.set()
            assert go_on.wait(20)
        write(text)

    monkeypatch.setattr(screen, "write", slow)
    training = threading.Thread(target=live.moment, args=(moment(1, 5),))
    saying = threading.Thread(target=live.asked_to_stop, args=("stopping",))
    training.start()
    assert drawing.wait(20)
    saying.start()
    saying.join(0.2)
    early = "stopping" in screen.lines
    go_on.set()
    training.join()
    saying.join()
    assert not early
    assert "stopping" in screen.lines
    assert "\n".join(screen.lines).count("examples/s") == 1
    live.end()
    live.asked_to_stop("late")  # the panel stays away
    assert screen.lines[-2:] == ["late", ""]
    assert "examples/s" not in "\n".join(screen.lines)


# ---- the command ----


def terminal(arguments: list[str], folder: Path, stop_at: str | None = None) -> tuple[int, str]:
    """Run the command on a terminal of 80 columns; at a sign in its output press Ctrl-C."""
    mine, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "PYTHONIOENCODING": "utf-8"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-c", "from dlc.cli import main; main()", *arguments]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, start_new_session=True
    )
    os.close(theirs)
    text, ends = "", time.monotonic() + 120
    while time.monotonic() < ends:
        if select.select([mine], [], [], 1.0)[0]:
            try:
                data = os.read(mine, 1 << 16)
            except OSError:
                break
            text += data.decode()
            if stop_at is not None and stop_at in text:
                process.send_signal(signal.SIGINT)
                stop_at = None
    os.close(mine)
    return process.wait(20), text


def test_a_terminal_is_left_clean(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    code, text = terminal(["train", "small.yaml", "--run", "run"], tmp_path)
    assert code == 0, text
    screen = Screen(80)
    screen.write(text.replace("\r\n", "\n"))
    shown = "\n".join(screen.lines)
    assert "compiling" not in shown and "examples/s" not in shown
    assert screen.lines[-2] == "run folder run" and screen.lines[-1] == ""
    assert len([line for line in screen.lines if line.startswith("epoch ")]) == 4


def test_ctrl_c_leaves_a_terminal_clean(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    arguments = ["train", "small.yaml", "--run", "run", "--set", "train.epochs=200000"]
    code, text = terminal(arguments, tmp_path, stop_at="examples/s")
    assert code == 75, text
    screen = Screen(80)
    screen.write(text.replace("\r\n", "\n"))
    assert "examples/s" not in "\n".join(screen.lines)
    assert "stopping after this chunk of steps; a second signal stops immediately" in screen.lines
    assert screen.lines[-2].startswith("stopped at step ") and screen.lines[-1] == ""


def objects(out: str) -> list[dict[str, object]]:
    assert "\x1b" not in out
    return [
        json.loads(line, parse_constant=lambda text: pytest.fail(f"{text} is no JSON")) for line in out.splitlines()
    ]


def test_json(dlc_command, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "small.yaml").write_text(SMALL)
    run = RunFolder(tmp_path / "run")
    code, out, err = dlc_command("train", str(tmp_path / "small.yaml"), "--run", str(run.path), "--json")
    assert (code, err) == (0, "")
    found = objects(out)
    assert found[0]["event"] == "begin" and found[-1]["event"] == "end"
    assert {item["event"] for item in found[1:-1]} == {"moment", "epoch"}
    told = {"name": "small", "epochs": 4, "steps": 23, "batch_size": 16, "start": 0, "monitor": "validation/loss"}
    assert told.items() <= found[0].items()
    assert found[0]["examples"] == {"train": 90, "validation": 30, "test": 30}
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [item["record"] for item in found if item["event"] == "epoch"] == lines[:4]
    moments = [item for item in found if item["event"] == "moment"]
    assert moments[-1]["step"] == 23 and set(moments[-1]["metrics"]) == {"loss", "accuracy"}  # type: ignore[call-overload]
    assert found[-1]["status"] == "finished" and found[-1]["folder"] == str(run.path)
    assert found[-1]["test"] == json.loads(run.result.read_text())["test"]
    assert found[-1]["report"] == str(run.report)


def test_json_of_runs_that_do_not_finish(dlc_command, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    (tmp_path / "small.yaml").write_text(SMALL)
    spec = str(tmp_path / "small.yaml")
    _, out, _ = dlc_command("train", spec, "--json", "--dry-run")
    assert objects(out)[-1]["status"] == "dry run"
    code, out, err = dlc_command(
        "train", spec, "--json", "--run", str(tmp_path / "bad"), "--set", "optimizer.adam=1e38"
    )
    assert code == 1 and "DLC508" in err
    assert {"event": "end", "status": "failed", "code": "DLC508"}.items() <= objects(out)[-1].items()
    monkeypatch.setattr("dlc.cli.train.Interruption.asked", lambda self: True)
    code, out, err = dlc_command("train", spec, "--json", "--run", str(tmp_path / "run"))
    assert (code, err) == (75, "")
    assert objects(out)[-1]["status"] == "stopped"
    monkeypatch.undo()
    code, _, err = dlc_command("train", spec, "--json", "--quiet")
    assert code == 2 and "`--quiet` can't be used with `--json`" in err
