"""The commands as a user runs them: output, exit codes, no tracebacks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dlc
from dlc.cli import main
from dlc.cli.refusals import refused as refused_by_system
from dlc.training.run_folder import RunFolder
from tests.common import ROOT, SMALL, run_dlc


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process: exit code, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["dlc", *arguments])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    code = caught.value.code
    return (code if isinstance(code, int) else 0), captured.out, captured.err


@pytest.fixture
def dlc_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    return lambda *arguments: call(capsys, monkeypatch, *arguments)


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_check_leaves_heavy_packages_alone() -> None:
    code = (
        "import sys, atexit\n"
        "heavy = {'jax', 'jaxlib', 'numpy', 'optax', 'sklearn', 'scipy'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "from dlc.cli import main\n"
        "main()\n"
    )
    import subprocess
    import sys

    specs = sorted(str(path) for path in (ROOT / "specs").glob("*.yaml"))
    done = subprocess.run([sys.executable, "-c", code, "check", *specs], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [("train", "small.yaml", "--run", ""), ("train", ""), ("eval", "")])
def test_an_empty_path_is_no_current_folder(dlc_command, small_file: Path, monkeypatch, arguments) -> None:
    monkeypatch.chdir(small_file.parent)
    code, _, err = dlc_command(*arguments)
    assert code == 2 and "the path is empty" in err
    assert list(small_file.parent.iterdir()) == [small_file]


def test_check_says_clean(dlc_command, small_file: Path) -> None:
    assert dlc_command("check", str(small_file)) == (0, "no problems in 1 file\n", "")


def test_check_exit_codes(dlc_command, small_file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.replace("units: 8", "unit: 8"))
    code, out, err = dlc_command("check", str(small_file), str(bad))
    assert code == 1
    assert "unknown option `unit`" in out
    assert "2 files" in out
    assert err == ""
    assert dlc_command("check", str(tmp_path / "none.yaml"))[0] == 2
    assert dlc_command("check", str(tmp_path))[0] == 2
    assert dlc_command("check")[0] == 2
    assert dlc_command("check", str(small_file), "--format", "xml")[0] == 2
    assert dlc_command("check", str(small_file), "--set", "train.epohcs=3")[0] == 1
    assert dlc_command("check", str(small_file), "--set", "train.epochs=3")[0] == 0


def test_plain_check_is_the_same_without_typer(dlc_command, small_file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.replace("units: 8", "unit: 8"))
    files = [str(small_file), str(bad)]
    assert dlc_command("check", *files) == dlc_command("check", "--format", "text", *files)
    assert dlc_command("check", *files)[0] == 1


def test_check_formats(dlc_command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.replace("units: 8", "unit: 8"))
    code, out, _ = dlc_command("check", str(bad), "--format", "json")
    found = json.loads(out)["diagnostics"]
    assert code == 1
    assert {item["code"] for item in found} == {"DLC101"}
    _, out, _ = dlc_command("check", str(bad), "--format", "sarif")
    assert json.loads(out)["version"] == "2.1.0"
    _, out, _ = dlc_command("check", str(bad), "--format", "github")
    assert out.startswith("::error file=")


def test_show_counts(dlc_command, small_file: Path) -> None:
    code, out, _ = dlc_command("show", str(small_file))
    assert code == 0
    assert "f32[batch, 4]" in out
    assert "16 +16" in out  # batch norm: scale and bias, mean and variance
    assert "weights: 83 trained, and 16 numbers of state" in out


def test_show_collapses_and_expands_repeats(dlc_command, tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(
        "inputs: {x: {tensor: [4]}}\nnetwork:\n- repeat: {times: 12, layers: [{dense: 4}]}\n  name: stack\n"
    )
    _, out, _ = dlc_command("show", str(path))
    assert "stack/*/dense (x12)" in out
    assert "weights: 240 trained" in out
    _, out, _ = dlc_command("show", str(path), "--expanded")
    assert "stack/11/dense" in out
    assert "weights: 240 trained" in out


@pytest.mark.parametrize(
    ("kind", "mark"), [("jaxpr", "lambda"), ("stablehlo", "stablehlo.dot_general"), ("hlo", "HloModule")]
)
def test_show_emits_programs(dlc_command, small_file: Path, kind: str, mark: str) -> None:
    code, out, _ = dlc_command("show", str(small_file), "--emit", kind)
    assert code == 0
    assert mark in out
    code, out, _ = dlc_command("show", str(small_file), "--emit", kind, "--step")
    assert code == 0
    assert "while" in out


def test_show_refuses_what_it_does_not_know(dlc_command, small_file: Path) -> None:
    code, _, err = dlc_command("show", str(small_file), "--emit", "hol")
    assert code == 2
    assert "did you mean `hlo`?" in err
    assert dlc_command("show", str(small_file), "--step")[0] == 2


def test_train_writes_a_run_and_prints_plain_lines(dlc_command, small_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = dlc_command("train", "small.yaml", "--set", "train.epochs=2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "small: 83 parameters, 90 train / 30 validation / 30 test examples, 12 steps in 2 epochs, on cpu"
    assert lines[1].startswith("epoch 1/2  train loss ")
    assert lines[-1] == "run folder runs/small"
    assert lines[-2] == "report runs/small/report.html"
    assert "test loss" in lines[-3]
    assert "accuracy" in lines[-3]
    assert (tmp_path / "runs" / "small" / "spec.yaml").read_text() == "# --set train.epochs=2\n" + SMALL
    _, out, _ = dlc_command("train", "small.yaml", "--set", "train.epochs=1", "--quiet")
    assert out.splitlines()[-1] == "run folder runs/small-2"
    code, _, err = dlc_command("train", "small.yaml", "--run", "runs/small")
    assert code == 1
    assert "DLC501" in err
    code, out, _ = dlc_command("train", "runs/small", "--resume")
    assert code == 0
    assert out.splitlines()[-1] == "run folder runs/small"
    code, _, err = dlc_command("train", "runs/small")
    assert code == 2
    assert "--resume" in err


def test_dry_run(dlc_command, small_file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = dlc_command("train", "small.yaml", "--dry-run")
    assert code == 0
    assert "dry run: compiled and did one step" in out
    assert not (tmp_path / "runs").exists()


def test_eval_prints_metrics(dlc_command, small_run: RunFolder) -> None:
    code, out, _ = dlc_command("eval", str(small_run.path))
    assert code == 0
    assert out.startswith("test: 30 examples\n  loss      ")
    _, out, _ = dlc_command("eval", str(small_run.path), "--split", "train", "--json")
    found = json.loads(out)
    assert found["examples"] == 90
    assert np.sum(found["confusion"]["species"]) == 90
    assert np.trace(found["confusion"]["species"]) / 90 == pytest.approx(found["metrics"]["accuracy"])
    _, out, _ = dlc_command("eval", str(small_run.path), "--confusion")
    assert "versicolor" in out
    code, _, err = dlc_command("eval", str(small_run.path), "--split", "tets")
    assert code == 2
    assert "did you mean `test`?" in err
    code, _, err = dlc_command("eval", str(small_run.path / "none"))
    assert code == 1
    assert "DLC502" in err


MARKUP = ("[/x]", "[bold]", "\x1b[2J", "<b>", "\u202e")


def test_names_are_no_markup(dlc_command, tmp_path: Path, monkeypatch) -> None:
    """Of classes and columns, in every command that prints them."""
    monkeypatch.chdir(tmp_path)
    rows = [[f"a{MARKUP[0]}", f"b{MARKUP[2]}", "c[/]"], *([i % 3, i % 5, MARKUP[i % 5]] for i in range(40))]
    with open("data.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    names = [json.dumps(name) for name in (*rows[0], *MARKUP)]
    text = (
        f"data: {{source: {{csv: data.csv}}, split: {{test: 0.5}}}}\n"
        f"inputs: {{x: {{tensor: {{shape: [2], columns: [{names[0]}, {names[1]}]}}}}}}\n"
        f"targets: {{y: {{category: {{classes: [{', '.join(names[3:])}], column: {names[2]}}}}}}}\n"
        "network: [{dense: 5}]\nloss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n"
    )
    Path("spec.yaml").write_text(text, encoding="utf-8")
    printed = {}
    for arguments in (
        ["check", "spec.yaml"],
        ["show", "spec.yaml"],
        ["train", "spec.yaml", "--run", "run"],
        ["eval", "run", "--confusion"],
        ["predict", "run", "data.csv"],
        ["report", "run"],
    ):
        code, out, err = dlc_command(*arguments)
        assert code == 0, err
        printed[arguments[0]] = out + err
        assert "\x1b[2J" not in out + err or arguments[0] == "predict", "a table of predictions is data"
    assert all(name in printed["eval"] for name in ("[/x]", "[bold]", "<b>"))
    Path("spec.yaml").write_text(text.replace("dense", "[/x]"), encoding="utf-8")
    for command in ("check", "show", "train"):
        code, out, err = dlc_command(command, "spec.yaml")
        assert (code, "[/x]" in out + err) == (1, True)


def test_eval_on_new_data(dlc_command, small_run: RunFolder, tmp_path: Path) -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    np.savez(tmp_path / "iris.npz", features=iris.data, species=iris.target_names[iris.target].astype(str))
    _, out, _ = dlc_command("eval", str(small_run.path), "--data", str(tmp_path / "iris.npz"), "--json")
    splits = [dlc.evaluate(small_run.path, name) for name in ("train", "validation", "test")]
    wanted = sum(part.metrics["accuracy"] * part.examples for part in splits) / 150
    assert json.loads(out)["metrics"]["accuracy"] == pytest.approx(wanted)


def test_predict_reads_and_writes_tables(dlc_command, small_run: RunFolder, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("in.npz", features=np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32))
    code, out, _ = dlc_command("predict", str(small_run.path), "in.npz")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert [row["species"] for row in rows] == ["setosa", "virginica"]
    assert sum(float(rows[0][f"species_{name}"]) for name in ("setosa", "versicolor", "virginica")) == pytest.approx(1)
    code, out, _ = dlc_command("predict", str(small_run.path), "in.npz", "--out", "out.jsonl")
    records = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert out == "wrote out.jsonl\n"
    assert records[0]["species_setosa"] == float(rows[0]["species_setosa"])
    for bad in ("in.txt", "none.csv"):
        code, _, err = dlc_command("predict", str(small_run.path), bad)
        assert code in (1, 2)
        assert err.startswith("error[DLC")
    code, _, err = dlc_command("predict", str(small_run.path), "in.npz", "-o", "out.xlsx")
    assert code == 2
    assert "DLC510" in err


def test_predict_names_missing_columns_and_bad_rows(dlc_command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.csv").write_text(
        "size,color,price\n" + "".join(f"{i},{'red' if i % 2 else 'blue'},{3 * i}\n" for i in range(20))
    )
    Path("spec.yaml").write_text(
        "data: {source: {csv: train.csv}}\n"
        "inputs: {size: {number: standard}, color: {category: {classes: [red, blue], one_hot: true}}}\n"
        "targets: {price: {number: standard}}\n"
        "network: [{concat: [size, color]}, dense: 1]\n"
        "loss: mse\noptimizer: {adam: 0.1}\ntrain: {epochs: 2, batch_size: 5}\n"
    )
    assert dlc_command("train", "spec.yaml", "--quiet")[0] == 0
    Path("new.csv").write_text("size,color\n1,red\n2,green\n")
    code, _, err = dlc_command("predict", "runs/spec", "new.csv")
    assert code == 1
    assert "DLC404" in err
    assert "row 2" in err
    Path("new.csv").write_text("size\n1\n")
    _, _, err = dlc_command("predict", "runs/spec", "new.csv")
    assert "no column `color`" in err
    Path("new.csv").write_text("size,color\n1,red\n2.5,blue\n")
    _, out, _ = dlc_command("predict", "runs/spec", "new.csv")
    assert out.splitlines()[0] == "price"
    assert len(out.splitlines()) == 3


def test_export_says_where(dlc_command, small_run: RunFolder, tmp_path: Path) -> None:
    code, out, _ = dlc_command(
        "export", str(small_run.path), "--to", "safetensors", "--out", str(tmp_path / "w.safetensors")
    )
    assert code == 0
    assert (tmp_path / "w.safetensors").is_file()
    assert "verified" in out


def test_init_writes_a_spec_once(dlc_command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = dlc_command("init")
    assert code == 0
    assert "image_classification" in out
    assert dlc_command("init", "image_classification")[0] == 0
    assert dlc_command("check", "image_classification.yaml")[0] == 0
    code, _, err = dlc_command("init", "image_classification")
    assert code == 1
    assert "already exists" in err
    code, _, err = dlc_command("init", "image_clasification")
    assert code == 2
    assert "did you mean `image_classification`?" in err


def test_layers_and_explain(dlc_command) -> None:
    _, out, _ = dlc_command("layers")
    assert "conv2d" in out
    assert "cross_entropy" in out
    _, out, _ = dlc_command("layers", "conv2d")
    assert "filters*" in out
    assert "short form" in out
    code, _, err = dlc_command("layers", "conv2")
    assert code == 2
    assert "did you mean `conv2d`?" in err
    _, out, _ = dlc_command("explain", "dlc205")
    assert out.startswith("DLC205: ")
    assert dlc_command("explain", "DLC999")[0] == 2


def test_every_word_has_a_page(dlc_command) -> None:
    from dlc.cli.components import components, page

    for component in components():
        text = page(component)
        assert component.cls.word == component.word
        assert text.splitlines()[2] == component.summary
        assert text.splitlines()[-1].startswith("source: dlc/")


def test_doctor(dlc_command) -> None:
    code, out, _ = dlc_command("doctor")
    assert code == 0
    assert "jax " in out
    assert out.splitlines()[-1] == "all good"


def test_an_internal_error_says_so(dlc_command, monkeypatch, small_file: Path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("dlc.frontend.pipeline.check_file", fail)
    code, out, err = dlc_command("check", str(small_file))
    assert code == 70
    assert "DLC900" in err
    assert "Traceback" not in out + err


def test_help_and_version() -> None:
    from dlc.cli.app import app

    runner = CliRunner()
    commands = "check show train eval predict report export init layers explain doctor"
    for command in commands.split():
        assert runner.invoke(app, [command, "--help"]).exit_code == 0
    assert runner.invoke(app, ["--version"]).output == f"dlc {dlc.__version__}\n"


def test_the_console_script_ends_cleanly(small_file: Path) -> None:
    done = run_dlc(["check", str(small_file)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "no problems in 1 file\n", "")


@pytest.mark.parametrize("command", ["train", "eval", "report"])
def test_what_the_system_refuses_is_no_bug(command: str, tmp_path: Path) -> None:
    said = run_dlc([command, "a" * 300], cwd=tmp_path)
    assert said.returncode == 1
    assert said.stderr.startswith("error[DLC507]: can't use `aaaa")
    assert "...a" in said.stderr.splitlines()[0]
    assert said.stderr.splitlines()[0].endswith("`: file name too long")


def test_only_what_the_system_refuses_is_no_bug() -> None:
    """A file that is not there may well be one."""
    assert refused_by_system(FileNotFoundError(2, "No such file or directory", "table.bin")) is None
    assert refused_by_system(OSError("it broke")) is None
    assert refused_by_system(ValueError("it broke")) is None
    refused = refused_by_system(PermissionError(13, "Permission denied", "table.bin"))
    assert refused is not None
    assert refused.report.codes == ("DLC507",)
    assert str(refused) == "DLC507: can't use `table.bin`: permission denied"


def test_check_finds_what_needs_no_data_to_be_known(tmp_path: Path, dlc_command) -> None:
    """The command and `dlc.check` find the same."""
    head = "inputs: {image: {tensor: [8, 8, 1]}}\ntargets: {digit: {category: 10}}\nloss: cross_entropy\n"
    net = "network: [flatten, dense: WIDE, dense: 10]\noptimizer: {adam: 0.01}\n"
    texts = {
        "DLC218": f"{head}{net.replace('WIDE', '40000')}train: {{memory: 10 kB}}\n",
        "DLC405": f"{head}{net.replace('WIDE', '4')}data: {{source: digits, split: {{validation: 2000}}}}\n",
        "DLC401": f"{head}{net.replace('WIDE', '4')}data: {{source: {{npz: absent.npz}}}}\n",
    }
    for code, text in texts.items():
        path = tmp_path / f"{code}.yaml"
        path.write_text(text)
        exit_code, out, _ = dlc_command("check", str(path))
        assert dlc.check(path).codes == (code,)
        assert f"[{code}]" in out
        assert exit_code == (0 if code == "DLC401" else 1)


def test_a_batch_of_any_size_is_compared_with_the_memory(tmp_path: Path, dlc_command) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SMALL)
    for size in (10**6, 10**20, int("1" * 305)):
        code, out, _ = dlc_command("check", str(path), "--set", f"train.batch_size={size}")
        assert code == 1 and ("[DLC218]" in out or "[DLC405]" in out), out
