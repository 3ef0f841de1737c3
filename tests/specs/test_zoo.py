"""The zoo: well-known networks, each with exactly the published number of weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from math import prod
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import dlc
from dlc.ir import DTYPES, TensorType
from dlc.language.interpolation import substitute
from tests.common import ROOT, run_dlc

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


LARGE = {"densenet121", "efficientnet_b0", "convnext_tiny"}  # of layers that the other networks have, too


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in WEIGHTS]
)
def test_the_program_has_the_inferred_types(name: str) -> None:
    spec = dlc.load(path(name))
    program = dlc.compile(spec)
    inputs = {name: jax.ShapeDtypeStruct(sizes(kind), DTYPES[kind.dtype]) for name, kind in spec.graph.inputs.items()}
    for train in (False, True):
        run = partial(program.apply, key=jax.random.key(0), train=train)
        outputs, state = jax.eval_shape(run, program.declared(), inputs)
        assert {name: (value.shape, str(value.dtype)) for name, value in outputs.items()} == {
            name: (sizes(kind), DTYPES[kind.dtype]) for name, kind in spec.graph.types.items()
        }
        assert state == program.declared()["state"]


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


# ---- what sequence models promise, on small forms of them ----

SMALL = {
    "gru_seq2seq": ["vars.source_words=11", "vars.target_words=11", "vars.width=8"],
    "transformer_base": ["vars.vocabulary=11", "vars.width=8", "vars.hidden=16", "vars.heads=2", "vars.layers=2"],
    "lstm_language_model": ["vars.vocabulary=11", "vars.width=8"],
    "gpt2_small": ["vars.vocabulary=11", "vars.length=6", "vars.width=8", "vars.heads=2", "vars.layers=2"],
    "char_gpt": ["vars.characters=11", "vars.length=6", "vars.width=8", "vars.heads=2", "vars.layers=2"],
    "bert_base": ["vars.vocabulary=11", "vars.length=6", "vars.width=8", "vars.heads=2", "vars.layers=2"],
}


def words(seed: int, time: int = 6) -> np.ndarray[Any, Any]:
    """(3, time), none of them 0: that is padding."""
    return np.random.default_rng(seed).integers(1, 11, (3, time)).astype(np.int32)


@cache
def small(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A small form of a network, as a function of its inputs; 0 is padding."""
    program = dlc.compile(dlc.load(path(name), SMALL[name]))
    variables = program.init(0)
    apply = jax.jit(program.apply)

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        masks = {f"{key}.mask": value != 0 for key, value in inputs.items() if program.graph.inputs[key].mask}
        return dict(apply(variables, {**inputs, **masks})[0])

    return run


@pytest.mark.parametrize("name", ["gru_seq2seq", "transformer_base"])
def test_longer_padding_changes_nothing(name: str) -> None:
    run = small(name)
    source, target = words(0), words(1, 5)
    source[1, 4:] = target[2, 3:] = 0
    longer = {"source": np.pad(source, ((0, 0), (0, 3))), "target": np.pad(target, ((0, 0), (0, 2)))}
    got, want = run(longer)["output"][:, :5], run({"source": source, "target": target})["output"]
    real = target != 0
    np.testing.assert_allclose(got[real], want[real], rtol=1e-4, atol=1e-5)


def test_what_padding_hides_does_not_count() -> None:
    run = small("bert_base")
    tokens, sentences = words(0), np.zeros((3, 6), np.int32)
    tokens[:, 4:] = 0
    want, got = (run({"tokens": tokens, "sentences": kind}) for kind in (sentences, sentences | (tokens == 0)))
    np.testing.assert_allclose(got["pooled"], want["pooled"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gru_seq2seq", "transformer_base", "lstm_language_model", "gpt2_small", "char_gpt"])
def test_no_place_sees_those_behind_it(name: str) -> None:
    """A later word changes the scores from its place on, and none before."""
    run = small(name)
    names = list(dlc.load(path(name)).graph.inputs)
    inputs = {key: words(seed) for seed, key in enumerate(names)}
    changed = {**inputs, names[-1]: inputs[names[-1]].copy()}
    changed[names[-1]][:, 4] = changed[names[-1]][:, 4] % 10 + 1
    before, after = run(inputs)["output"], run(changed)["output"]
    np.testing.assert_allclose(after[:, :4], before[:, :4], rtol=1e-5, atol=1e-6)
    assert np.abs(after[:, 4] - before[:, 4]).max() > 1e-3


def test_bert_sees_both_sides() -> None:
    run = small("bert_base")
    tokens, sentences = words(0), np.zeros((3, 6), np.int32)
    other = np.concatenate([tokens[:, :5], tokens[:, 5:] % 10 + 1], axis=1)
    first, second = (run({"tokens": given, "sentences": sentences})["sequence"] for given in (tokens, other))
    assert np.abs(first[:, 0] - second[:, 0]).max() > 1e-4
