"""What an attack is, and the specs and tables that attacks are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

SPEC = """
name: attacked
data: {source: iris, split: {validation: 0.2, test: 0.2}}
inputs: {features: {tensor: {shape: [4], normalize: standard}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network: [{dense: {units: 4, activation: relu}}, {dense: 3}]
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 0.05}
train: {epochs: 2, batch_size: 30}
"""
RICH = """
name: rich
seed: 3
vars: {width: 4}
data: {source: iris, split: {validation: 0.2, test: 0.2, seed: 1}, memory: 1 GB}
inputs: {features: {tensor: {shape: [4], scale: 2.0, normalize: minmax, missing: mean}}}
targets: {species: {category: [setosa, versicolor, virginica]}}
blocks: {unit: {params: {size: 4, rate: 0.1}, layers: [{dense: {units: $size, activation: relu}}, {dropout: $rate}]}}
network: [{repeat: {times: 2, layers: [{unit: {size: $width, rate: 0.2}}]}}, {batch_norm: 0.9}, {dense: 3, l2: 0.001}]
loss: {cross_entropy: {label_smoothing: 0.1}}
metrics: [accuracy, {top_k_accuracy: 2}]
optimizer: {adamw: {learning_rate: {cosine: {peak: 0.05, warmup: 10%}}, weight_decay: 0.01}, clip_norm: 1.0, ema: 0.9}
train: {epochs: 2, batch_size: 30, early_stopping: {patience: 1, min_delta: 0.001}, checkpoint_seconds: 0.5}
"""
TABLE = """
name: attacked
data: {source: {csv: data.csv}, memory: 1 GB}
inputs: {x: {number: standard}}
targets: {y: {number: standard}}
network: [{dense: 2}, {dense: 1}]
loss: mse
optimizer: {sgd: 0.01}
train: {epochs: 1, batch_size: 2}
"""
NAMED = """
name: attacked
data: {source: {csv: data.csv}, split: {validation: 0.2, test: 0.2}}
inputs: {x: {tensor: {shape: [2], columns: [FIRST, b]}}}
targets: {y: {category: {classes: [CLASS, other], column: TARGET}}}
network: [{dense: 2}]
loss: cross_entropy
metrics: [accuracy]
optimizer: {sgd: 0.01}
train: {epochs: 1, batch_size: 4}
"""
XY = "x,y\n" + "".join(f"{i},{2 * i + i % 3}\n" for i in range(8))
"""The records of `TABLE`."""

LIMITS = (
    *("0", "-1", "1", "2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551616", "-9223372036854775809", "1e308", "1e-320", ".inf", "-.inf", ".nan", "1e400"),
    *("null", "true", '""', "[]", "{}", "[null]", "{a: b}", "1" * 390, "0.1", '"[/x]"', "$x", "$(1/0)", "x" * 5000),
    *("$(" + "9" * 300 + " * " + "9" * 300 + ")", "$(" + "(" * 200 + "1" + ")" * 200 + ")", '"\\u0000"', '"\\e[2J"'),
)
NAMES = (
    "[/x]",
    "[bold]",
    "<script>alert(1)</script>",
    "../../x",
    "a\u202eb",
    "x" * 3000,
    "\U0001f600",
    "a\u0300",
    "%s%n",
)
JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**53, 2**64, 10**300, 1e308, float("nan"), float("inf"), "", "0", "NaN", "[/x]"),
    *("\ud800", "\x00", "\x1b[2J", "x" * 100_000, [], {}, [[]], {"a": 1}, "../../outside/x", "/etc/passwd"),
    *("--xla_dump_to=/tmp/x", "<script>", "9" * 5000),
)


class Attack(NamedTuple):
    """An attack.

    Args:
        kind: its kind.
        name: what it does.
        prepare: writes its files into a folder that holds copies of the runs, and returns the arguments of the command.
        environment: variables that it sets.
        limits: limits of resources that it sets, by their number.
        fresh: whether it needs a process of its own, because it changes how Python or JAX start.
        stop: the seconds after which the command is asked to stop (SIGTERM).
        verify: what is wrong with the folder after a command that ended as the second argument says; empty if nothing.
    """

    kind: str
    name: str
    prepare: Callable[[Path], list[str]]
    environment: Mapping[str, str] = {}
    limits: Mapping[int, int] = {}
    fresh: bool = False
    stop: float | None = None
    verify: Callable[[Path, str], str] | None = None


Stream = Iterator[Attack]
Untouched = Iterator[tuple[Attack, str]]
"""What a kind attacks before it is touched, and how it ends: `ok`, or the code of its first finding."""


class Kind(NamedTuple):
    """A kind of attack.

    Args:
        share: its share of all attacks.
        stream: an endless stream of them.
        untouched: what it attacks, untouched.
        checks: whether it only checks specs: it then needs no run.
    """

    share: float
    stream: Callable[[Random], Stream]
    untouched: Callable[[], Untouched]
    checks: bool = False


def written(files: Mapping[str, str | bytes], arguments: list[str]) -> Callable[[Path], list[str]]:
    """What writes files, and returns arguments."""

    def prepare(folder: Path) -> list[str]:
        for name, text in files.items():
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return arguments

    return prepare


def untouched_specs(kind: str, texts: Mapping[str, str], *commands: list[str]) -> Callable[[], Untouched]:
    """Commands on specs as they are written."""

    def attacks() -> Untouched:
        for name, text in texts.items():
            for command in commands or (["check", "spec.yaml"],):
                yield Attack(kind, f"{command[0]} {name}", written({"spec.yaml": text}, command)), "ok"

    return attacks
