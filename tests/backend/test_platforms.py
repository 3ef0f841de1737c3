"""Programs for machines that are not this one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import dlc
from dlc.backend.emit import program_text
from dlc.training.run_folder import RunFolder
from tests.common import ROOT, SMALL, run_dlc

TEXT = (
    "extends: {root}/specs/zoo/{name}.yaml\ntargets: {{{target}}}\nloss: cross_entropy\nmetrics: [accuracy]\n"
    "data: {{source: {{npz: none.npz}}}}\n"
    "optimizer: {{adamw: 1e-3, clip_norm: 1.0, ema: 0.9}}\nprecision: bfloat16\ntrain: {{batch_size: 2}}\n"
)


@pytest.mark.few(2)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize(
    ("name", "target", "sets"),
    [
        (
            "gpt2_small",
            "next: {tokens: {vocabulary: $vocabulary, length: $length}}",
            ["vars.vocabulary=64", "vars.length=16", "vars.width=32", "vars.heads=2", "vars.layers=2"],
        ),
        ("resnet20_cifar", "label: {category: 10}", ["vars.width=8"]),
        ("bilstm_classifier", "label: {category: 2}", []),
    ],
)
def test_the_training_step_is_a_program_of_an_accelerator(
    platform: str, name: str, target: str, sets: list[str]
) -> None:
    """One loop of steps, without a call to the host in it; convolutions are the platform's own."""
    if name == "bilstm_classifier":
        sets = [*sets, "vars.vocabulary=64", "vars.length=8"]
    text = TEXT.format(root=ROOT, name=name, target=target)
    if name == "bilstm_classifier":
        text += "network:\n  - embedding: {vocabulary: $vocabulary, size: 8}\n  - lstm: 4\n  - dense: 2\n"
    spec = dlc.loads(text, sets)
    program = program_text(spec.plan, "stablehlo", step=True, platform=platform)
    calls = set(re.findall(r"custom_call @([\w.]+)", program))
    assert not {call for call in calls if "callback" in call or "cpu" in call}, calls
    assert "stablehlo.while" in program
    assert "bf16" in program
    assert ("stablehlo.convolution" in program) == (name == "resnet20_cifar")
    for word in ("infeed", "outfeed", "stablehlo.send", "stablehlo.recv"):
        assert word not in program


def test_a_run_goes_on_where_it_began(small_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(small_run.path, run.path)
    path = run.path / "lowering.json"
    path.write_text(path.read_text().replace('"cpu"', '"gpu"'))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(dlc.SpecError, match="DLC504: the run started on gpu, but this is cpu"):
        dlc.train(dlc.loads(SMALL, ["train.epochs=6"]), run.path, resume=True)
    assert dlc.train(dlc.loads(SMALL), run.path, resume=True).history  # of a finished run nothing is computed
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert dlc.evaluate(run.path).metrics == dlc.evaluate(small_run.path).metrics


def test_show_gives_the_program_of_another_platform(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "inputs: {x: {tensor: [6, 6, 8]}}\nnetwork: [conv2d: {filters: 8, padding: same}, flatten, dense: 2]\n"
    )
    here = run_dlc(["show", "net.yaml", "--emit", "stablehlo", "--platform", "cuda"], cwd=tmp_path)
    assert here.returncode == 0, here.stderr
    assert "stablehlo.convolution" in here.stdout
    for arguments, message in (
        (["--platform", "cuda"], "`--platform` has no effect without `--emit stablehlo`"),
        (["--emit", "hlo", "--platform", "cuda"], "`--platform` has no effect without `--emit stablehlo`"),
        (["--emit", "stablehlo", "--platform", "cdua"], "did you mean `cuda`?"),
    ):
        done = run_dlc(["show", "net.yaml", *arguments], cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr


def test_the_step_of_a_network_with_flags_is_shown() -> None:
    spec = dlc.loads(
        "data: {source: {npz: none.npz}}\ninputs: {x: {tensor: [4, 8]}}\ntargets: {y: {tensor: [4, 8]}}\n"
        "network: [attention: 2]\nloss: mse\noptimizer: adam\n"
    )
    assert "while" in program_text(spec.plan, "jaxpr", step=True)
