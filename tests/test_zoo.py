"""The zoo: well-known networks, each with exactly the published number of weights."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import jax
import pytest

import dlc
from dlc.expressions import substitute
from dlc.ir import DTYPES, TensorType
from tests.support import ROOT, run_dlc

FOLDER = ROOT / "specs" / "zoo"

WEIGHTS = {
    "perceptron": 5,
    "mlp": 669_706,
    "lenet5": 61_706,
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet20_cifar": 269_722,
    "resnet50": 25_557_032,
    "densenet121": 7_978_856,
    "squeezenet": 1_235_496,
    "mobilenet_v2": 3_504_872,
    "efficientnet_b0": 5_288_548,
    "convnext_tiny": 28_589_128,
    "unet": 31_030_658,
    "unet_batch_norm": 31_037_633,
    "lstm_language_model": 19_775_200,
    "bilstm_classifier": 2_757_761,
    "gru_seq2seq": 5_292_936,
    "transformer_base": 63_082_496,
    "bert_base": 109_482_240,
    "gpt2_small": 124_439_808,
    "char_gpt": 804_096,
    "vit_b16": 86_567_656,
    "dense_autoencoder": 10_484,
    "conv_autoencoder": 28_353,
    "variational_autoencoder": 134_165,
}
EACH = pytest.mark.parametrize("name", WEIGHTS)
SIZES = {"batch": 2, "time": 7, "source_time": 5, "target_time": 6}


def path(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


def test_all_are_in_the_table() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(WEIGHTS)


def sizes(kind: TensorType) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else int(substitute(f"$({dim})", SIZES)) for dim in kind.shape)


@EACH
def test_checks_clean(name: str) -> None:
    assert not dlc.check(path(name)).diagnostics


@EACH
def test_count(name: str) -> None:
    """Counted from the declarations, and from the arrays of the program."""
    spec = dlc.load(path(name))
    assert dlc.show(spec).params == WEIGHTS[name]
    program = dlc.compile(spec)
    assert sum(prod(shape) for shape, _ in program.shapes().values()) - dlc.show(spec).state == WEIGHTS[name]


def test_the_page_has_the_counts() -> None:
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([0-9,]+) \|", page, re.MULTILINE)
    assert {name: int(count.replace(",", "")) for name, count in rows} == WEIGHTS


@EACH
def test_says_what_it_is(name: str) -> None:
    """The comment at the top names the input and the weights as they are; the network is named like its file."""
    text = path(name).read_text(encoding="utf-8")
    head = text.partition("\n\ndlc: 1\n")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    assert any(line.startswith("#     input   ") for line in head)
    assert any(line.startswith(f"#     weights {WEIGHTS[name]:,}") for line in head), head
    assert dlc.load(path(name)).name == name.replace("_", "-")


@EACH
def test_the_program_has_the_inferred_types(name: str) -> None:
    spec = dlc.load(path(name))
    program = dlc.compile(spec)
    inputs = {name: jax.ShapeDtypeStruct(sizes(kind), DTYPES[kind.dtype]) for name, kind in spec.graph.inputs.items()}
    outputs, _ = jax.eval_shape(program.apply, program.declared(), inputs)
    assert {name: (value.shape, str(value.dtype)) for name, value in outputs.items()} == {
        name: (sizes(kind), DTYPES[kind.dtype]) for name, kind in spec.graph.types.items()
    }


def test_show_prints_the_count() -> None:
    done = run_dlc(["show", "specs/zoo/resnet50.yaml"], cwd=ROOT)
    assert "weights: 25,557,032 trained, and 53,120 numbers of state" in done.stdout


def test_the_command_finds_nothing() -> None:
    done = run_dlc(["check", *sorted(str(file) for file in FOLDER.glob("*.yaml"))])
    assert (done.returncode, done.stdout) == (0, f"no problems in {len(WEIGHTS)} files\n")


@pytest.mark.parametrize(
    ("name", "sets", "count"),
    [
        ("resnet20_cifar", ["vars.blocks=9"], 853_018),  # ResNet-56 of the same paper
        ("vgg16", ["vars.classes=10"], 138_357_544 - 990 * 4097),
        ("gpt2_small", ["vars.width=1024", "vars.layers=24", "vars.heads=16"], 354_823_168),  # GPT-2 medium
        ("bert_base", ["vars.width=1024", "vars.layers=24", "vars.heads=16"], 335_141_888),  # BERT-large
        ("vit_b16", ["vars.width=1024", "vars.layers=24", "vars.heads=16"], 304_326_632),  # ViT-L/16
        ("transformer_base", ["vars.width=1024", "vars.hidden=4096", "vars.heads=16"], 176_357_376 + 37_000 * 1024),
    ],
)
def test_variables(name: str, sets: list[str], count: int) -> None:
    """What a file lets vary gives the other members of the family."""
    assert dlc.show(dlc.load(path(name), sets)).params == count


def test_transformer_base_without_its_table() -> None:
    rows = dlc.show(dlc.load(path("transformer_base"))).rows
    assert sum(row.params for row in rows if row.path != "table") == 44_138_496
