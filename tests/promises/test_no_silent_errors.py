"""Ways in which a result could be wrong or lost without a word: each is an error, or right."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
import pytest
from safetensors.numpy import save

import dlc
from dlc.components.layers.conv import Conv2D, by_patches, by_window
from dlc.frontend.pipeline import Spec, check_text
from dlc.frontend.resolved import dump, resolve_document, resolved_text
from dlc.serving.tables import write_table
from dlc.support.files import write_atomic
from dlc.training import checkpoint as checkpoints
from dlc.training.loop import Stopped
from dlc.training.run_folder import RunFolder, last_run_folder
from dlc.training.train import train as train_spec
from tests.common import SMALL, codes
from tests.training.test_training import same_run


def raises(code: str, call, *arguments, **options) -> dlc.Diagnostic:
    with pytest.raises(dlc.SpecError) as caught:
        call(*arguments, **options)
    assert caught.value.report.codes == (code,)
    return caught.value.report.diagnostics[0]


BLOCKS = """
inputs: {x: {tensor: [4]}}
blocks:
  act: {params: {act: string}, layers: [{dense: 4}, $act]}
  body: {params: {body: list}, layers: [{residual: {layers: $body}}]}
  opts: {params: {opts: any}, layers: [{dense: $opts}]}
  split: {params: {o: list}, layers: [{parallel: {branches: [$o, [linear]], merge: concat}}]}
network:
  - act: relu
  - body: [dense: 4, tanh]
  - opts: {opts: {units: 4, activation: gelu}}
  - split: {o: [dense: 2]}
"""


def test_parameters_that_stand_for_items_survive_the_resolved_spec() -> None:
    spec = dlc.loads(BLOCKS)
    again = dlc.loads(resolved_text(spec))
    assert dlc.show(again) == dlc.show(spec)
    assert dump(resolve_document(again)) == dump(resolve_document(spec))


def test_a_pattern_of_an_input_does_not_reach_what_a_pattern_of_a_target_reads(tmp_path: Path) -> None:
    from dlc.data.dataset import load_dataset

    (tmp_path / "t.csv").write_text("a,b,y_0,y_1\n1,2,3,4\n5,6,7,8\n")
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "data: {source: {csv: t.csv}}\n"
        "inputs: {x: {tensor: {shape: [2], columns: ['*']}}}\n"
        "targets: {y: {tensor: {shape: [2], columns: ['y_*']}}}\n"
        "network: [dense: 2]\nloss: mse\n"
    )
    np.testing.assert_array_equal(load_dataset(dlc.load(spec).plan).inputs["x"], [[1, 2], [5, 6]])


def csv_spec(folder: Path, factor: float = 1.0, sets: Sequence[str] = ()) -> Spec:
    rows = "".join(f"{factor * i},{i % 2}\n" for i in range(24))
    (folder / "t.csv").write_text("x,y\n" + rows)
    (folder / "s.yaml").write_text(
        "data: {source: {csv: t.csv}}\ninputs: {x: {number: standard}}\ntargets: {y: {category: 2}}\n"
        "network: [dense: 2]\nloss: cross_entropy\noptimizer: adam\ntrain: {epochs: 3, batch_size: 8}\n"
    )
    return dlc.load(folder / "s.yaml", sets)


def test_changed_data_can_not_be_resumed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    answers = iter([False, False, False, True])
    with pytest.raises(Stopped):
        train_spec(csv_spec(tmp_path), run=run, chunk_iterations=2, stop=lambda: next(answers))
    item = raises("DLC504", train_spec, csv_spec(tmp_path, 1000.0), run=run, resume=True)
    assert "data changed" in item.message
    assert train_spec(csv_spec(tmp_path), run=run, resume=True).steps == 9


@pytest.mark.parametrize("wrong", ["data", "metrics", "checkpoints"])
def test_a_refused_resume_changes_no_file(tmp_path: Path, wrong: str) -> None:
    run, sets = RunFolder(tmp_path / "run"), ["train.keep_checkpoints=2"]
    train_spec(csv_spec(tmp_path, sets=sets), run=run)
    damaged, *older = checkpoints.found(run)
    (damaged / "state.safetensors").write_bytes(b"")
    if wrong == "metrics":
        run.metrics.write_bytes(run.metrics.read_bytes().replace(b"0.", b"1."))
    elif wrong == "checkpoints":
        (older[0] / "state.safetensors").write_bytes(b"")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    longer = csv_spec(tmp_path, 1000.0 if wrong == "data" else 1.0, [*sets, "train.epochs=5"])
    raises("DLC504" if wrong == "data" else "DLC503", train_spec, longer, run=run, resume=True)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_more_patience_continues_a_run_that_stopped_early(tmp_path: Path) -> None:
    early = SMALL.replace("epochs: 4", "epochs: 30, early_stopping: {monitor: validation/accuracy, patience: %d}")
    run = RunFolder(tmp_path / "run")
    first = train_spec(dlc.loads(early % 1), run=run)
    second = train_spec(dlc.loads(early % 6), run=run, resume=True)
    assert len(second.history) > len(first.history)
    straight = RunFolder(tmp_path / "straight")
    train_spec(dlc.loads(early % 6), run=straight)
    assert run.weights.read_bytes() == straight.weights.read_bytes()


ERRORS = """
data: {source: diabetes, split: {validation: 0.2}}
inputs: {features: {tensor: {shape: [10], normalize: standard}}}
targets: {progression: {number: standard}}
network: [dense: 1]
loss: mse
metrics: [rmse]
optimizer: {adam: 0.01}
"""


def test_early_stopping_by_another_value_stands_as_if_it_had_been_so_from_the_start(tmp_path: Path) -> None:
    """The loss is of normalized numbers, the error in the target's unit: the one says nothing of the other."""
    run, straight = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "straight")
    stopping = "train: {epochs: %d, early_stopping: {monitor: validation/%s, patience: 2}}\n"
    train_spec(dlc.loads(ERRORS + stopping % (3, "loss")), run=run)
    later = dlc.loads(ERRORS + stopping % (8, "rmse"))
    values = [record["validation/rmse"] for record in train_spec(later, run=run, resume=True).history]
    assert values == sorted(values, reverse=True)
    assert len(values) == 8
    train_spec(later, run=straight)
    same_run(run, straight)


def test_a_run_that_stopped_early_goes_on_where_another_value_improves(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    stopping = "train: {epochs: 5, early_stopping: {monitor: train/loss, min_delta: %s, patience: 2}}\n"
    assert len(train_spec(dlc.loads(ERRORS + stopping % 1e6), run=run).history) == 3
    assert len(train_spec(dlc.loads(ERRORS + stopping % 2e6), run=run, resume=True).history) == 3
    assert len(train_spec(dlc.loads(ERRORS + stopping % 0), run=run, resume=True).history) == 5


def test_more_epochs_are_refused_when_they_would_change_the_schedule(tmp_path: Path) -> None:
    text = SMALL.replace("adam: 0.05", "adam: {learning_rate: {cosine: 0.05}}").replace("epochs: 4", "epochs: 2")
    run = RunFolder(tmp_path / "run")
    train_spec(dlc.loads(text), run=run)
    item = raises("DLC504", train_spec, dlc.loads(text, ["train.epochs=4"]), run=run, resume=True)
    assert item.found == "`train.epochs` was 2, is 4"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fewer_epochs_than_are_done_are_refused(small_run: RunFolder, tmp_path: Path) -> None:
    """Of a run that is finished, of one that stopped early, and of one inside an epoch."""
    finished = RunFolder(tmp_path / "finished")
    shutil.copytree(small_run.path, finished.path)
    stopped = RunFolder(tmp_path / "early")
    early = "epochs: 30, early_stopping: {monitor: validation/accuracy, patience: 1}"
    done = len(train_spec(dlc.loads(SMALL.replace("epochs: 4", early)), run=stopped).history)
    halted, answers = RunFolder(tmp_path / "halted"), iter([False] * 3 + [True])
    with pytest.raises(Stopped):  # six steps an epoch
        train_spec(dlc.loads(SMALL), run=halted, chunk_iterations=2, stop=lambda: next(answers))
    for run, least in ((finished, 4), (stopped, done), (halted, 2)):
        before = contents(run.path)
        item = raises("DLC504", train_spec, dlc.loads(SMALL, [f"train.epochs={least - 1}"]), run=run, resume=True)
        assert (item.found, item.expected) == (f"`train.epochs` {least - 1}", f"at least {least}")
        assert contents(run.path) == before
    assert len(train_spec(dlc.loads(SMALL, ["train.epochs=2"]), run=halted, resume=True).history) == 2


def test_what_stands_in_the_place_of_checkpoints_is_an_error(small_run: RunFolder, small: Spec, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    shutil.rmtree(run.checkpoints)
    run.checkpoints.write_text("")
    run.result.unlink()
    before = contents(run.path)
    item = raises("DLC507", train_spec, small, run=run, resume=True)
    assert item.message == f"can't use `{run.checkpoints}`: not a directory"
    assert contents(run.path) == before


def test_an_accepted_change_is_kept_for_the_next_resume(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train_spec(dlc.loads(SMALL, ["train.epochs=1"]), run=run)
    answers = iter([False] * 3 + [True])
    with pytest.raises(Stopped):
        longer = dlc.loads(SMALL, ["train.epochs=6"])
        train_spec(longer, run=run, resume=True, chunk_iterations=2, stop=lambda: next(answers))
    assert len(train_spec(run.load_spec(), run=run, resume=True).history) == 6


def test_a_metric_may_be_called_count() -> None:
    result = dlc.train(dlc.loads(SMALL.replace("[accuracy]", "[{accuracy: , name: count}]"), ["train.epochs=1"]))
    assert 0 < result.history[0]["validation/count"] < 1


@pytest.mark.parametrize("name", ["''", "a/b", "'loss '"])
def test_a_metric_needs_a_good_name(name: str) -> None:
    assert codes(SMALL.replace("[accuracy]", f"[{{accuracy: , name: {name}}}]")) == ("DLC104",)


def test_the_last_run_is_one_of_that_name(tmp_path: Path, small_run: RunFolder) -> None:
    shutil.copytree(small_run.path, tmp_path / "small")
    (tmp_path / "small-2").mkdir()
    shutil.copytree(small_run.path, tmp_path / "small-x-3")
    found = last_run_folder("small", tmp_path)
    assert found is not None
    assert found.path == tmp_path / "small"
    assert last_run_folder("small-x", tmp_path) is None


def test_a_run_that_never_began_leaves_no_folder(tmp_path: Path) -> None:
    raises("DLC405", dlc.train, dlc.loads(SMALL, ["train.batch_size=1000"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_output_called_like_the_target_of_another_is_refused() -> None:
    text = SMALL.replace("  - dense: 3\n", "  - dense: 3\n    name: main\n  - {relu: , name: aux}\n").replace(
        "loss: cross_entropy", "outputs: {species: aux, main: main}\nloss: {cross_entropy: , output: main}"
    )
    text = text.replace("metrics: [accuracy]", "metrics: {accuracy: , output: main}")
    assert codes(text) == ("DLC202",)


def test_probabilities_are_checked() -> None:
    text = """
data: {source: diabetes}
inputs: {features: {tensor: {shape: [10], normalize: standard}}}
targets: {progression: number}
network: [dense: 1]
loss: binary_cross_entropy
optimizer: adam
"""
    item = raises("DLC403", dlc.train, dlc.loads(text))
    assert item.hint is not None
    assert "mse" in item.hint


def arrays_spec(folder: Path, network: str, **arrays: np.ndarray) -> Spec:
    np.savez(folder / "a.npz", y=np.arange(8) % 2, **arrays)
    inputs = ", ".join(f"{name}: {{tensor: [h, 5, 2]}}" for name in arrays)
    (folder / "s.yaml").write_text(
        f"data: {{source: {{npz: a.npz}}}}\ninputs: {{{inputs}}}\ntargets: {{y: {{category: 2}}}}\n"
        f"network: [{network}, global_avg_pool2d, dense: 2]\nloss: cross_entropy\noptimizer: adam\n"
        "train: {batch_size: 4, epochs: 1}\n"
    )
    return dlc.load(folder / "s.yaml")


def test_a_size_has_one_value_and_must_suffice(tmp_path: Path) -> None:
    def image(height: int) -> np.ndarray:
        return np.ones((8, height, 5, 2), np.float32)

    spec = arrays_spec(tmp_path, "{add: [a, b]}", a=image(5), b=image(7))
    assert "`h` is 5 in one feature and 7" in raises("DLC406", dlc.train, spec).message
    spec = arrays_spec(tmp_path, "{conv2d: {filters: 2, kernel: 3}}", a=image(2))
    assert "larger than what it slides over, for data of h 2" in raises("DLC406", dlc.train, spec).message
    assert dlc.train(arrays_spec(tmp_path, "{conv2d: {filters: 2, kernel: 3}}", a=image(3))).steps == 2


def test_an_unrolled_repeat_can_be_shared() -> None:
    text = """
inputs: {x: {tensor: [12, 12, 2]}}
network:
  - repeat: {times: 2, layers: [{conv2d: {filters: 2, kernel: 3}}]}
    name: r
  - share: r
"""
    spec = dlc.loads(text)
    assert str(spec.graph.types["output"]) == "f32[batch, 4, 4, 2]"
    assert dlc.show(spec).params == 2 * 38


@pytest.mark.few(4)
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "result.json", "features.json", "resolved.yaml", "weights.safetensors"]
)
@pytest.mark.parametrize("damage", ["delete", "truncate", "garbage"])
def test_a_damaged_run_is_one_clear_error_or_right(
    small_run: RunFolder, tmp_path: Path, name: str, damage: str
) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    path = run.path / name
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b'{"a": [1]}\n')
    x = np.random.default_rng(0).normal(5, 2, (20, 4))
    calls: dict[str, Callable[[RunFolder], Any]] = {
        "train": lambda run: dlc.train(dlc.loads(SMALL), run.path, resume=True) and run.load_weights(),
        "evaluate": lambda run: dict(dlc.evaluate(run.path).metrics),
        "predict": lambda run: dlc.predict(run.path, {"features": x}),
    }
    for name, call in calls.items():
        try:
            found = call(run)
        except dlc.SpecError as error:
            spans = [item.span for item in error.report.diagnostics]
            assert len(spans) == 1 or all(span and span.file == str(run.path / "resolved.yaml") for span in spans), (
                "or all of a spec"
            )
        else:
            wanted = small_run.load_weights() if name == "train" else call(small_run)
            jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_a_replaced_checkpoint_is_put_back_after_a_kill(small: Spec, small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    answers = iter([False] * 6 + [True])
    with pytest.raises(Stopped):
        train_spec(small, run=run, chunk_iterations=2, stop=lambda: next(answers))
    paths = checkpoints.found(run)
    for path in paths[1:]:
        shutil.rmtree(path)
    paths[0].rename(run.checkpoints / f".old-{paths[0].name}")
    (run.checkpoints / f".part-{paths[0].name}").mkdir()
    (run.path / ".weights.safetensors.1.part").write_bytes(b"")
    (run.path / ".folder.part").mkdir()
    train_spec(small, run=run, resume=True)
    assert run.weights.read_bytes() == small_run.weights.read_bytes()
    assert not [path for path in run.checkpoints.iterdir() if path.name.startswith(".")]
    assert not (run.path / ".weights.safetensors.1.part").exists()


def test_columns_from_python_are_checked(small_run: RunFolder) -> None:
    raises("DLC405", dlc.predict, small_run.path, {"features": np.ones((0, 4))})
    raises("DLC401", dlc.predict, small_run.path, {"features": np.ones((2, 4)), "other": np.ones(3)})
    raises("DLC401", dlc.predict, small_run.path, {"features": 1.0})


def test_settings_of_calls_that_would_do_nothing(small: Spec) -> None:
    raises("DLC510", dlc.train, small, resume=True)


def test_weights_that_are_not_finite_are_never_the_best(tmp_path: Path) -> None:
    text = SMALL.replace("adam: 0.05", "sgd: 3e38").replace("batch_size: 16", "batch_size: full")
    text = text.replace("split: {validation: 0.2, test: 0.2}", "split: {test: 0.2}").replace("epochs: 4", "epochs: 1")
    text = text.replace("  - batch_norm: 0.9\n", "").replace("normalize: standard", "scale: 1e-20")
    raises("DLC508", dlc.train, dlc.loads(text), tmp_path / "run")
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": [3, 3]},
        {"kernel": [1, 1], "strides": [2, 3]},
        {"kernel": [2, 3], "strides": [2, 1], "padding": "same"},
        {"kernel": [3, 2], "dilation": [2, 3], "padding": "same"},
        {"kernel": [3, 3], "strides": [3, 2], "padding": [[2, 0], [1, 3]], "dilation": [1, 2]},
    ],
)
def test_both_forms_of_a_convolution_are_equal(options: dict) -> None:
    layer = Conv2D.model_validate({"filters": 4, **options})
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 9, 8, 3)).astype(np.float32)
    kernel = generator.standard_normal((*layer.kernel, 3, 4)).astype(np.float32)

    def both(form):
        value, pull = jax.vjp(form, x, kernel)
        return value, *pull(value)

    forms = (partial(form, layer.window) for form in (by_patches, by_window))
    for mine, wanted in zip(*map(both, forms), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("item", "instead"), [("conv2d: 4", "dot_general"), ("depthwise_conv2d: 3", "multiply")])
def test_a_program_for_a_gpu_has_the_convolution_itself(item: str, instead: str) -> None:
    spec = dlc.loads(f"inputs: {{x: {{tensor: [8, 8, 3]}}}}\nnetwork: [{{{item}}}]\n")
    program = dlc.compile(spec)
    function = jax.jit(lambda v, x: program.apply(v, {"x": x})[0])
    shapes = (program.init(0), jax.ShapeDtypeStruct((2, 8, 8, 3), np.float32))
    gpu = str(jax.export.export(function, platforms=["cuda"])(*shapes).mlir_module())
    cpu = str(jax.export.export(function, platforms=["cpu"])(*shapes).mlir_module())
    assert "stablehlo.convolution" in gpu
    assert "stablehlo.convolution" not in cpu
    assert f"stablehlo.{instead}" in cpu


@pytest.mark.parametrize(("name", "code"), [("weights.safetensors", "DLC503"), ("features.json", "DLC503")])
def test_one_changed_byte_is_noticed(small_run: RunFolder, tmp_path: Path, name: str, code: str) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    data = bytearray((run.path / name).read_bytes())
    at = data.index(b"0.") + 2 if name.endswith("json") else len(data) - 2
    data[at] = data[at] ^ 1
    (run.path / name).write_bytes(data)
    raises(code, dlc.predict, run.path, {"features": np.ones((2, 4))})
    raises(code, dlc.evaluate, run.path)


def test_deep_metadata_of_weights_is_damage(small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    run.weights.write_bytes(save(small_run.load_weights(), {"dlc": "[" * 100_000}))
    found = raises("DLC503", dlc.evaluate, run.path)
    assert found.message == f"`{run.weights}` is damaged: it is nested too deeply"


def test_a_lost_spec_is_not_made_up(small_run: RunFolder, small: Spec, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    (run.path / "resolved.yaml").unlink()
    raises("DLC503", train_spec, small, run=run, resume=True)


def test_a_write_does_not_replace_what_is_no_file(small_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "kept.safetensors").write_text("old")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "kept.safetensors")
    dlc.export(small_run.path, "safetensors", tmp_path / "link.safetensors")
    assert (tmp_path / "link.safetensors").is_symlink()
    assert (tmp_path / "kept.safetensors").stat().st_size > 100
    raises("DLC507", dlc.export, small_run.path, "safetensors", Path("/dev/null"))


@pytest.mark.parametrize("place", ["file/x.csv", "x" * 260 + ".csv", "none/x.csv"])
def test_a_failed_write_says_why(small_run: RunFolder, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    raises("DLC507", write_table, {"x": np.arange(2)}, tmp_path / place)
    if place != "none/x.csv":  # an export makes its folder
        raises("DLC507", dlc.export, small_run.path, "safetensors", tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_says_why_when_its_part_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    item = raises("DLC507", write_atomic, tmp_path / "x", b"")
    assert item.message.endswith("read-only file system")


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)  # 254 bytes
    write_atomic(path, b"x")
    assert [(path, path.read_bytes()) for path in tmp_path.iterdir()] == [(path, b"x")]


def test_a_table_without_header_is_read_like_the_training_data(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("".join(f"{i};{i % 2}\n" for i in range(16)))
    (tmp_path / "s.yaml").write_text(
        "data: {source: {csv: {path: t.csv, header: false, delimiter: ';'}}}\n"
        "inputs: {x: {number: {column: column_0}}}\ntargets: {y: {category: {classes: 2, column: column_1}}}\n"
        "network: [dense: 2]\nloss: cross_entropy\noptimizer: adam\ntrain: {epochs: 1, batch_size: 8}\n"
    )
    dlc.train(dlc.load(tmp_path / "s.yaml"), tmp_path / "run")
    assert len(dlc.predict(tmp_path / "run", tmp_path / "t.csv")["y"]) == 16
    assert dlc.evaluate(tmp_path / "run", data=tmp_path / "t.csv").examples == 16


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: '" + "a" * 101 + "'\n", "DLC104"),
        ('name: "a\\e[31m"\n', "DLC104"),
        ("", None),
    ],
)
def test_a_name_can_name_a_folder(text: str, code: str | None) -> None:
    assert codes(text + "inputs: {x: {tensor: [4]}}\nnetwork: [dense: 2]\n") == ((code,) if code else ())


@pytest.mark.parametrize(
    "network",
    [
        *("dense: 99999999999999999999", "dense: 9999999999", f"dense: {2**63 - 1}", f"dense: {2**63}"),
        *(f"dense: $({2**62} * 2)", f"dense: -{2**63 + 1}", f"repeat: {{times: {2**63}, layers: [dense: 8]}}"),
        *(f"reshape: [{2**63}]", f"dense: {'9' * 4000}", "dense: 1e308", "dense: .inf"),
    ],
)
def test_absurd_sizes_are_findings(network: str) -> None:
    found = codes(f"inputs: {{x: {{tensor: [8]}}}}\nnetwork: [{network}]\n")
    assert len(found) == 1 and found[0] in ("DLC103", "DLC104", "DLC205"), found


@pytest.mark.parametrize("size", [2**53, 2**63 - 1, 2**63, 2**64])
@pytest.mark.parametrize("place", ["inputs: {x: {tensor: [SIZE]}}", "targets: {y: {category: SIZE}}"])
def test_absurd_sizes_of_values_are_findings(size: int, place: str) -> None:
    section = place.replace("SIZE", str(size))
    rest = "" if place.startswith("inputs") else "inputs: {x: {tensor: [8]}}\n"
    assert codes(f"{section}\n{rest}network: [relu]\n")


@pytest.mark.parametrize("seed", ["null", "-1", "1.5", str(2**63), '"0"', "[]"])
@pytest.mark.parametrize("place", ["file", "setting"])
def test_a_seed_is_a_number_that_jax_takes(seed: str, place: str) -> None:
    text = SMALL + (f"seed: {seed}\n" if place == "file" else "")
    found = codes(text, *([f"seed={seed}"] if place == "setting" else []))
    removes = seed == "null" and place == "setting"  # as in a file that extends another one
    assert found == (() if removes else found[:1]), found
    assert removes or found[0] in ("DLC102", "DLC103", "DLC104")


def test_iterations_must_use_each_other() -> None:
    text = """
inputs: {x: {tensor: [4]}}
network:
  - dense: 4
    name: a
  - repeat: {times: 3, layers: [{dense: 4, inputs: a}]}
"""
    assert codes(text) == ("DLC208",)


def test_extends_can_not_be_set() -> None:
    assert codes(SMALL, "extends=other.yaml") == ("DLC110",)


def test_output_survives_a_poor_terminal(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    (tmp_path / "u.yaml").write_text("zzé: 1\ninputs: {x: {tensor: [4]}}\nnetwork: [dense: 2]\n", encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment.pop("PYTHONIOENCODING", None)
    command = [sys.executable, "-c", "from dlc.cli import main; main()", "check", str(tmp_path / "u.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"unknown section `zz\\xe9`" in done.stdout
    shell = f"{' '.join(map(repr, command[:1]))} -c 'from dlc.cli import main; main()' check {tmp_path / 'u.yaml'} >&-"
    assert subprocess.run(shell, shell=True, env=environment, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    ("network", "hint"),
    [
        ("[Linear: 4]", "dlc calls it `dense`"),
        ("[{linear: 4}]", "write only `linear`; for a learned affine map use `dense: 4`"),
        ("[Conv2D: {filters: 3}]", "dlc calls it `conv2d`"),
        ("[BatchNormalization]", "dlc calls it `batch_norm`"),
        ("[dense: {out_features: 3}]", "dlc calls it `units`"),
        ("[dense: {units: 3, bias: false}]", "dlc calls it `use_bias`"),
        ("[dropout: {p: 0.5}]", "dlc calls it `rate`"),
        ("[{lstm: {hidden_size: 3}}]", "dlc calls it `units`"),
        ("[{dense: 3, initializer: xavier_uniform}]", "dlc calls it `glorot_uniform`"),
    ],
)
def test_words_of_other_frameworks_lead_to_ours(network: str, hint: str) -> None:
    _, report = check_text(f"inputs: {{x: {{tensor: [5, 4]}}}}\nnetwork: {network}\n")
    assert report.diagnostics[0].hint == hint


RUN_FILES = (
    *("resolved.yaml", "spec.yaml", "environment.json", "lowering.json", "numerics.json", "features.json"),
    *("locations.json", "splits.safetensors", "weights.safetensors", "metrics.jsonl", "result.json", "timing.json"),
    *("checkpoints", "checkpoint.json", "state.safetensors"),
)


@pytest.mark.few(3)
@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize("how", ["fifo", "/dev/zero"])
def test_a_file_of_a_run_that_has_no_end_is_not_read(
    name: str, how: str, small: Spec, small_run: RunFolder, tmp_path: Path
) -> None:
    """A pipe would block, a device would fill the memory: each command ends with a diagnostic, or does not need it."""
    run = RunFolder(shutil.copytree(small_run.path, tmp_path / "run"))
    for path in sorted(run.path.rglob(name)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        if how == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(how)

    def late(*_: object) -> None:
        raise AssertionError(f"{name} was read")

    longer = dlc.loads(SMALL, sets=["train.epochs=5"])
    calls = {
        "eval": lambda: dlc.evaluate(run.path),
        "predict": lambda: dlc.predict(run.path, {"features": np.ones((2, 4))}),
        "report": lambda: dlc.report(run.path, tmp_path / "report.html"),
        "resume": lambda: train_spec(longer, run=run, resume=True),
    }
    refused = []
    former = signal.signal(signal.SIGALRM, late)
    try:
        for command, call in calls.items():
            signal.alarm(60)
            try:
                call()
            except dlc.SpecError as error:
                refused.append(command)
                assert set(error.report.codes) <= {"DLC001", "DLC502", "DLC503", "DLC504", "DLC507"}, error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    unread = {"result.json": "a later command does without it", "timing.json": "it is begun again"}
    assert refused or name in unread, "the file was not tried"
