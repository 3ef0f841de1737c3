"""The zoo: well-known networks, each with exactly the published number of weights."""

from __future__ import annotations

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
    "dense_autoencoder": 10_484,
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
    ],
)
def test_variables(name: str, sets: list[str], count: int) -> None:
    """What a file lets vary gives the other members of the family."""
    assert dlc.show(dlc.load(path(name), sets)).params == count
