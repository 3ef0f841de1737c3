"""The kinds of attacks that `python -m benchmarks.attacks` replays, and what each of them attacks, untouched."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from dlc.support.files import digest, to_json

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


# ---- specs ----


def _mutated(random: Random) -> tuple[str, str, list[str]]:
    """A spec with a value at its limits, what it is, and settings for the command line."""
    spec = random.choice((SPEC, RICH))
    places = [match.span() for match in re.finditer(r"(?<![\w.])[0-9.]+%?(?![\w.])|\b[a-z_]+\b(?=[,}\]\n])", spec)]
    start, end = random.choice(places)
    value = random.choice(LIMITS)
    keys = ("seed", "data.split.seed", "data.split.validation", "data.memory", "train.memory", "train.epochs")
    keys += ("train.batch_size", "train.early_stopping", "train.checkpoint_every", "train.checkpoint_seconds")
    keys += ("train.keep_checkpoints", "train.keep_checkpoints.every", "train.keep_checkpoints.last", "train.monitor")
    sets = ["--set", f"{random.choice(keys)}={random.choice(LIMITS)}"] if random.random() < 0.4 else []
    name = f"{spec[start:end]} is {value[:40]} {' '.join(sets)[6:60]}"
    return spec[:start] + value + spec[end:], name, sets


def numbers(random: Random) -> Stream:
    """Values at their limits anywhere in a spec that is checked."""
    while True:
        text, name, sets = _mutated(random)
        yield Attack("numbers", name, written({"spec.yaml": text}, ["check", "spec.yaml", *sets]))


TRAINING = (
    ["train", "spec.yaml", "--run", "new", "-q"],
    ["train", "spec.yaml", "--run", "new"],
    ["train", "spec.yaml", "--dry-run"],
    ["show", "spec.yaml"],
)


def trained_numbers(random: Random) -> Stream:
    """Values at their limits anywhere in a spec that is shown, tried or trained for some seconds."""
    while True:
        text, name, sets = _mutated(random)
        if random.random() < 0.3:
            which, value = random.choice(
                (
                    ("seed", random.choice(("null", "-1", str(2**63), str(2**64), str(2**32 - 1), "1.0", '""'))),
                    ("train.epochs", random.choice(("1000000000", str(2**53), str(2**63 - 1), str(2**63)))),
                    ("train.batch_size", random.choice(("1000000000", str(2**63), "full"))),
                    ("data.split.seed", random.choice(("null", str(2**63), "-1"))),
                )
            )
            kept = random.choice(("2", "{every: 1}", "{last: 1, every: 1, best: true}"))
            sets = ["--set", f"{which}={value}", "--set", f"train.keep_checkpoints={kept}"]
            text, name = random.choice((SPEC, RICH)), " ".join(sets)
        command = random.choice(TRAINING)
        yield Attack("numbers-run", f"{command[0]}: {name}", written({"spec.yaml": text}, [*command, *sets]), stop=4.0)


BEGIN = "inputs: {x: {tensor: [4]}}\n"
BOMBS: dict[str, tuple[Callable[[int], str], str]] = {
    "variables": (
        lambda n: (
            f"network: [dense: $v{n - 1}]\nvars:\n  v0: 1\n"
            + "".join(f"  v{i}: $(v{i - 1} * 1)\n" for i in range(1, n))
        ),
        "ok",
    ),
    "unused variables": (
        lambda n: "network: [dense: 4]\nvars:\n" + "".join(f"  v{i}: {i}\n" for i in range(n)),
        "DLC109",
    ),
    "unknown names": (lambda n: "network:\n" + "".join(f"  - dens{i}: 4\n" for i in range(n)), "DLC105"),
    "unknown variables": (
        lambda n: "network:\n" + "".join(f"  - dense: {{units: 4, unit{i}: $v{i}}}\n" for i in range(n)),
        "DLC101",
    ),
    "unknown inputs": (
        lambda n: f"network: [{{dense: 4}}, {{add: , inputs: [{', '.join(f'n{i}' for i in range(n))}]}}]\n",
        "DLC201",
    ),
    "unknown variables among known ones": (
        lambda n: (
            "vars:\n"
            + "".join(f"  v{i}: {i}\n" for i in range(n))
            + "network:\n"
            + "".join(f"  - dense: $w{i}\n" for i in range(n))
        ),
        "DLC107",
    ),
    "unknown blocks among known ones": (
        lambda n: (
            "blocks:\n"
            + "".join(f"  b{i}: {{layers: [dense: 4]}}\n" for i in range(n))
            + "network:\n"
            + "".join(f"  - c{i}\n" for i in range(n))
        ),
        "DLC105",
    ),
    "unknown items among known ones": (
        lambda n: (
            "network:\n"
            + "".join(f"  - {{dense: 4, name: a{i}}}\n" for i in range(n))
            + "".join(f"  - {{dense: 4, inputs: c{i}}}\n" for i in range(n))
        ),
        "DLC201",
    ),
    "nested repeats": (
        lambda n: (
            "network: [" + "{repeat: {times: 10000, layers: [" * min(n, 20) + "dense: 4" + "]}}" * min(n, 20) + "]\n"
        ),
        "ok",
    ),
    "small nested repeats": (
        lambda n: "network: [" + "{repeat: {times: 2, layers: [" * min(n, 20) + "dense: 4" + "]}}" * min(n, 20) + "]\n",
        "ok",
    ),
    "repeats that differ": (
        lambda n: (
            f"network: [repeat: {{times: {min(n, 10000)}, first: {{use_bias: false}}, "
            "layers: [dense: {units: 4}]}]\n"
        ),
        "ok",
    ),
    "brackets": (lambda n: f"network: [dense: 4]\nvars: {{a: {'[' * n}{']' * n}}}\n", "DLC109"),
    "parentheses": (lambda n: f"network: [dense: $({'(' * n}4{')' * n})]\n", "ok"),
    "products": (lambda n: f"network: [dense: $({'*'.join(['99999999999999'] * n)})]\n", "DLC104"),
    "powers": (lambda n: f"network: [dense: $({'**'.join(['9'] * (n + 1))})]\n", "DLC108"),
    "doubling variables": (
        lambda n: (
            "vars: {v0: 1, "
            + ", ".join(f"v{i}: [$v{i - 1}, $v{i - 1}]" for i in range(1, min(n, 60) + 1))
            + f"}}\nnetwork: [reshape: $v{min(n, 60)}]\n"
        ),
        "DLC205",
    ),
    "doubling strings": (
        lambda n: (
            "vars: {v0: aaaaaaaaaa, "
            + ", ".join(f"v{i}: '$v{i - 1}$v{i - 1}'" for i in range(1, min(n, 60) + 1))
            + f"}}\nnetwork: [{{dense: 4, name: $v{min(n, 60)}}}]\n"
        ),
        "ok",
    ),
    "doubling aliases": (
        lambda n: (
            "vars: {a: [&a0 [4], "
            + ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, min(n, 60)))
            + f"{', ' * (n > 1)}*a{min(n, 60) - 1}]}}\nnetwork: [reshape: $a]\n"
        ),
        "DLC104",
    ),
    "doubling blocks": (
        lambda n: (
            "blocks:\n"
            + "".join(f"  b{i}: {{layers: [b{i + 1}, b{i + 1}]}}\n" for i in range(min(n, 40)))
            + f"  b{min(n, 40)}: {{layers: [dense: 4]}}\nnetwork: [b0]\n"
        ),
        "ok",
    ),
    "blocks in circles": (
        lambda n: (
            "blocks:\n" + "".join(f"  b{i}: {{layers: [b{(i + 1) % n}]}}\n" for i in range(n)) + "network: [b0]\n"
        ),
        "DLC113",
    ),
    "blocks of repeats": (
        lambda n: (
            "blocks:\n"
            + "".join(f"  b{i}: {{layers: [repeat: {{times: 9, layers: [b{i + 1}]}}]}}\n" for i in range(min(n, 60)))
            + f"  b{min(n, 60)}: {{layers: [dense: 4]}}\nnetwork: [b0]\n"
        ),
        "ok",
    ),
    "nested formulas": (lambda n: f"network: [formula: '{'(' * n}x * x{')' * n}']\n", "ok"),
    "long formulas": (lambda n: f"network: [formula: '2 * x{'+x' * n}']\n", "ok"),
    "long names": (lambda n: f"network: [{{dense: 4, name: a{'x' * n}}}]\n", "ok"),
    "long comments": (lambda n: "network: [dense: 4]\n#" + "x" * min(45 * n, 900_000) + "\n", "ok"),
    "duplicate keys": (lambda n: "network: [{" + "dense: 4, " * n + "dense: 2}]\n", "DLC007"),
    "classes": (
        lambda n: (
            f"targets: {{y: {{category: [a, {', '.join(f'c{i}' for i in range(n))}]}}}}\n"
            f"network: [dense: {n + 1}]\nloss: cross_entropy\n"
        ),
        "ok",
    ),
    "inputs": (
        lambda n: (
            "network: [concat: ["
            + ", ".join(f"i{i}" for i in range(n + 1))
            + "]]\ninputs:\n"
            + "".join(f"  i{i}: {{tensor: [4]}}\n" for i in range(n + 1))
        ),
        "ok",
    ),
    "a deep network": (lambda n: "network:\n" + "  - dense: 4\n  - relu\n" * n, "ok"),
    "settings that merge": (
        lambda n: "network: [dense: 4]\nvars: {" + ", ".join(f"'a{i}.b': 1" for i in range(n)) + "}\n",
        "DLC104",
    ),
}
"""Specs by a size, and how the smallest one ends."""


def _bomb(name: str, size: int) -> str:
    text = BOMBS[name][0](size)
    return text if "\ninputs:" in text else BEGIN + text


def bombs(random: Random) -> Stream:
    """Specs whose work could grow without bound."""
    while True:
        name, size = random.choice(list(BOMBS)), random.choice((30, 63, 64, 100, 1000, 5000, 20_000, 45_000))
        yield Attack("bombs", f"{size} {name}", written({"spec.yaml": _bomb(name, size)}, ["check", "spec.yaml"]))


def untouched_bombs() -> Untouched:
    """The smallest ones."""
    for name, (_, end) in BOMBS.items():
        yield Attack("bombs", name, written({"spec.yaml": _bomb(name, 1)}, ["check", "spec.yaml"])), end


DAMAGE = (
    *(b"\xff", b"\x00", b"{", b"]", b": ", b"&a ", b"*a ", b"!!python/object ", b"\t", b"\r", b"<<: ", b"'", b'"'),
    *(b"$", b"- ", b"[/x]", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"#", b"|", b"%TAG ! x\n"),
)


def texts(random: Random) -> Stream:
    """Bytes that are no spec, and names that are no words."""
    while True:
        data = bytearray(random.choice((SPEC, RICH)).encode())
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(data))
            data[at : at + random.randrange(3)] = random.choice(DAMAGE)
        name = random.choice(NAMES)
        word = random.choice(("attacked", "features", "species", "setosa", "accuracy", "adam"))
        text = random.choice((bytes(data), SPEC.replace(word, json.dumps(name)).encode("utf-8", "surrogatepass")))
        form = random.choice(("text", "json", "sarif", "github"))
        yield Attack(
            "texts", f"{word} is {name[:20]}", written({"spec.yaml": text}, ["check", "--format", form, "spec.yaml"])
        )


def _named(first: str, kind: str, target: str) -> dict[str, str]:
    """A spec and its table with names of columns and a class."""
    text = NAMED
    for mark, name in (("FIRST", first), ("CLASS", kind), ("TARGET", target)):
        text = text.replace(mark, json.dumps(name, ensure_ascii=False))

    def cell(name: object) -> str:
        return '"' + str(name).replace('"', '""') + '"'

    rows = [(first, "b", target)] + [(i % 5, i % 7, kind if i % 2 else "other") for i in range(40)]
    return {"spec.yaml": text, "data.csv": "".join(",".join(map(cell, row)) + "\n" for row in rows)}


def trained_texts(random: Random) -> Stream:
    """Names of columns and classes that act on a terminal, a page or a path, in a spec that is trained."""
    while True:
        names = [random.choice((*NAMES, "plain")) for _ in range(3)]
        files = _named(f"1{names[0]}", f"2{names[1]}", f"3{names[2]}")
        command = random.choice(TRAINING)
        shown = ", ".join(name[:12] for name in names)
        yield Attack("names-run", f"{command[0]}: {shown}", written(files, command), verify=_inert)


def _inert(folder: Path, _: str) -> str:
    """Whether names became markup of a page, or control a terminal."""
    report = folder / "new" / "report.html"
    if report.is_file() and "<script>alert" in report.read_text():
        return "a name is a script of the report"
    output = (folder / "output").read_bytes()
    return "a name controls the terminal" if b"\x1b[2J" in output or "\u202e".encode() in output else ""


def untouched_names() -> Untouched:
    """Plain names."""
    for command in TRAINING:
        yield Attack("names-run", f"{command[0]} plain names", written(_named("a", "c", "d"), command)), "ok"


def _special_file(path: Path, how: str) -> None:
    """Put something that is no regular file, or has no end, in a place."""
    if how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "sparse":
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    elif how == "socket":
        import socket

        here = Path.cwd()
        os.chdir(path.parent)
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)
    else:
        path.symlink_to(how)


SPECIAL = (
    *("fifo", "folder", "loop", "sparse", "socket", "/dev/zero", "/dev/stdin", "/dev/tty", "/dev/full", "/nowhere"),
    *("/proc/kmsg", "/proc/self/mem", "/proc/self/environ", "/proc/kcore", "/dev/random", "/sys/kernel/notes"),
    "/proc/self/pagemap",
)
ROLES = ("the spec", "what it extends", "a plugin", "a plugin beside it")


def special_specs(random: Random) -> Stream:
    """Pipes, devices, links and files of /proc as a spec, as what it extends, or as its plugin."""
    while True:
        yield _special_spec(random.choice(SPECIAL), random.choice(ROLES))


def _special_spec(how: str, role: str) -> Attack:
    def prepare(folder: Path) -> list[str]:
        name = "it.py" if "plugin" in role else "it.yaml"
        head = {
            "the spec": "",
            "what it extends": "extends: it.yaml\n",
            "a plugin": "plugins: [it.py]\n",
            "a plugin beside it": "plugins: [it]\n",
        }[role]
        (folder / "spec.yaml").write_text(head + SPEC)
        if how:
            _special_file(folder / name, how)
        else:
            (folder / name).write_text(PLUGIN if "plugin" in role else SPEC)
        return ["check", "it.yaml" if role == "the spec" else "spec.yaml", "--allow-plugins"]

    return Attack("special-specs", f"{how or 'a regular file'} as {role}", prepare)


PLUGIN = """
from dlc.components.callbacks.callback import Callback


class Nothing(Callback):
    'Does nothing.'

    word = 'nothing'
    examples = ('nothing',)

    def on_end(self, run):
        'Does nothing.'


CALLBACKS = {'nothing': 'it:Nothing'}
"""


def untouched_special_specs() -> Untouched:
    """Regular files."""
    for role in ROLES:
        yield _special_spec("", role), "ok"


# ---- runs ----

RUN_FILES = (
    *("resolved.yaml", "spec.yaml", "environment.json", "lowering.json", "numerics.json", "locations.json"),
    *("features.json", "splits.safetensors", "weights.safetensors", "metrics.jsonl", "result.json", "timing.json"),
)
RUN_COMMANDS = {
    "eval": ["eval", "run"],
    "report": ["report", "run"],
    "export": ["export", "run", "--to", "safetensors"],
    "predict": ["predict", "run", "x.npz"],
    "resume": ["train", "unfinished", "--resume", "-q"],
    "extend": ["train", "run", "--resume", "-q", "--set", "train.epochs=3"],
}


def on_run(command: str, folder: Path) -> list[str]:
    """The arguments of a command on the run in a folder."""
    import numpy as np

    np.savez(folder / "x.npz", features=np.array([[5, 3, 1, 0.2], [6, 3, 5, 2]]))
    return RUN_COMMANDS[command]


def attacked(command: str, folder: Path) -> Path:
    """The run that a command reads."""
    return folder / ("unfinished" if command == "resume" else "run")


def untouched_runs(kind: str) -> Callable[[], Untouched]:
    """Every command on an untouched run."""

    def attacks() -> Untouched:
        for command in RUN_COMMANDS:
            yield (
                Attack(
                    kind,
                    command,
                    lambda folder, command=command: on_run(command, folder),  # type: ignore[misc]
                    verify=_really_resumed if command == "resume" else None,
                ),
                "ok",
            )

    return attacks


def _really_resumed(folder: Path, _: str) -> str:
    """Whether a resume began with a checkpoint: it then has two sessions, the second from a later step on."""
    sessions = json.loads((folder / "unfinished" / "timing.json").read_text())["sessions"]
    return "" if sessions[-1]["first_step"] > 0 else "it began again"


def run_values(random: Random) -> Stream:
    """Values of wrong types, out of range or of unknown keys in the files of a run, their digests made right again."""
    names = [name for name in RUN_FILES if "json" in name or "tensors" in name or name == "resolved.yaml"]
    while True:
        command = random.choice(list(RUN_COMMANDS))
        name = random.choice([*names, "checkpoint.json", "state.safetensors", "best.safetensors"])
        value: Any = random.choice(LIMITS if name == "resolved.yaml" else JUNK)
        seed = random.random()

        def prepare(
            folder: Path, command: str = command, name: str = name, value: Any = value, seed: float = seed
        ) -> list[str]:
            if name == "locations.json":
                value = {"data.source.csv.path": {"absolute": value, "relative": value}}
            for path in sorted(attacked(command, folder).rglob(name)):
                damage(path, value, Random(seed))
            return on_run(command, folder)

        yield Attack("run-values", f"{command}: {name} with {str(value)[:30]!r}", prepare, stop=20.0)


def damage(path: Path, value: Any, random: Random) -> None:
    """Put a value somewhere into a file of a run; the digests of a checkpoint are made right again."""
    if path.suffix == ".yaml":
        _damage_yaml(path, value, random)
    elif path.suffix == ".safetensors":
        _damage_tensors(path, value, random)
    else:
        _damage_json(path, value, random)
    index = path.with_name("checkpoint.json")
    if path != index and index.is_file():
        tree = json.loads(index.read_text())
        tree["files"][path.name] = digest(path.read_bytes())
        _sign(tree, "digest")
        index.write_text(json.dumps(tree))


def _damage_yaml(path: Path, value: str, random: Random) -> None:
    text = path.read_text()
    start, end = random.choice([match.span(1) for match in re.finditer(r"(?::|-|,|\[) ?([\w.]+)(?=[,}\]\n])", text)])
    path.write_text(text[:start] + value + text[end:])


def _damage_tensors(path: Path, value: Any, random: Random) -> None:
    """Another value in the header of arrays, or numbers that are not finite."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    if random.random() < 0.4:
        at = random.randrange(max(1, len(body)))
        body = body[:at] + b"\xff" * (len(body) - at)
    else:
        entry = header[random.choice(list(header))]
        entry[random.choice(list(entry))] = value
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def _damage_json(path: Path, value: Any, random: Random) -> None:
    """Replace a value somewhere in a JSON file, or add a key."""
    lines = path.suffix == ".jsonl"
    tree = [json.loads(line) for line in path.read_text().splitlines()] if lines else json.loads(path.read_text())
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(tree)
    holder, key = random.choice(places) if places else (tree, "new")
    if isinstance(holder, dict) and random.random() < 0.25:
        key = random.choice((*NAMES, "new", "\ud800", "../x"))
    if isinstance(holder, (dict, list)):
        holder[key] = value
    if random.random() < 0.9:
        for name in ("digest", "sha256"):
            _sign(tree, name)
    text = "".join(json.dumps(line) + "\n" for line in tree) if lines else json.dumps(tree)
    path.write_text(text)


def _sign(tree: Any, name: str) -> None:
    """Make the digest in a mapping right, if it has one and its values can be written."""
    if isinstance(tree, dict) and name in tree:
        rest = {key: item for key, item in tree.items() if key != name}
        try:
            tree[name] = digest(to_json(rest))
        except (ValueError, TypeError):
            return


def run_files(random: Random) -> Stream:
    """Pipes, devices, links and random bytes in place of the files of a run, and links that lead out of it."""
    names = (*RUN_FILES, "checkpoints", ".lock", "exports", "report.html", "state.safetensors", "checkpoint.json")
    while True:
        command, name = random.choice(list(RUN_COMMANDS)), random.choice(names)
        how = random.choice((*SPECIAL, "bytes", "half", "outside", "outside"))

        def prepare(folder: Path, command: str = command, name: str = name, how: str = how) -> list[str]:
            run = attacked(command, folder)
            outside = folder.parent.parent / "outside"
            for path in sorted(run.rglob(name)) or [run / name]:
                data = path.read_bytes() if path.is_file() else b""
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
                if how in ("bytes", "half"):
                    path.write_bytes(data[: len(data) // 2] if how == "half" else bytes(range(256)) * 4)
                elif how == "outside":
                    path.symlink_to(outside / ("witness" if "." in name else "new"))
                else:
                    _special_file(path, how)
            return on_run(command, folder)

        yield Attack("run-files", f"{command}: {name} is {how}", prepare)


# ---- data ----

DATA_COMMANDS = ("train", "eval", "predict", "validation")


def tables(random: Random) -> Stream:
    """Data files that are no tables, that have no end, or that unpack to more than fits into memory."""
    while True:
        memory = random.choice(("1 GB", "1 MB", "100 kB", "auto"))
        yield _table(random.choice(DATA_COMMANDS), random.choice((*SPECIAL, *MADE, *MADE)), memory)


def _table(command: str, how: str, memory: str = "1 GB") -> Attack:
    """A command that reads a table; a regular one if `how` is empty."""

    def prepare(folder: Path) -> list[str]:
        kind = "npz" if how.startswith("npz") else "csv"
        path = folder / f"data.{kind}"
        if how in MADE:
            MADE[how](path)
        elif how:
            _special_file(path, how)
        else:
            path.write_text(XY)
        (folder / "good.csv").write_text(XY)
        text = TABLE.replace("memory: 1 GB", f"memory: {memory}")
        if command == "validation":
            text = text.replace("data.csv}", f"good.csv}}, validation: {{{kind}: data.{kind}}}")
        (folder / "spec.yaml").write_text(text.replace("csv: data.csv", f"{kind}: data.{kind}"))
        if command == "eval":
            return ["eval", "table", "--data", path.name]
        return ["predict", "table", path.name] if command == "predict" else ["train", "spec.yaml", "--run", "new", "-q"]

    return Attack("tables", f"{command}: {how or 'a table'}", prepare)


def untouched_tables() -> Untouched:
    """Tables of two columns, as text and as an archive."""
    for command in DATA_COMMANDS:
        yield _table(command, ""), "ok"
        yield _table(command, "npz of two arrays"), "ok"


def _npz_of_zeros(path: Path, members: int = 2, size: int = 4 << 30, header: bytes | None = None) -> None:
    """An archive of arrays of zeros; only their compressed form is ever made."""
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for index in range(members):
            shape = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}".ljust(117) + "\n"
            first = header or b"\x93NUMPY\1\0" + len(shape).to_bytes(2, "little") + shape.encode()
            with archive.open(
                "xy"[index % 2] + (str(index) if index > 1 else "") + ".npy", "w", force_zip64=True
            ) as file:
                file.write(first)
                piece = bytes(1 << 24)
                for _ in range(min(size, 1 << 26) >> 24):  # the header says more than there is
                    file.write(piece)


def _whole_zeros(path: Path) -> None:
    """Two arrays of 4 GiB of zeros, put together from one compressed piece."""
    import struct
    import zlib

    shape = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({4 << 30},), }}".ljust(117) + "\n"
    header = b"\x93NUMPY\1\0" + len(shape).to_bytes(2, "little") + shape.encode()
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    first = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(1 << 22)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = first + piece * 1024 + packer.flush()
    size = len(header) + (4 << 30)
    body, central = b"", b""
    for name in (b"x.npy", b"y.npy"):
        extra = struct.pack("<HHQQ", 1, 16, size, len(data))
        local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
        central += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            45,
            45,
            0,
            8,
            0,
            33,
            0,
            0xFFFFFFFF,
            0xFFFFFFFF,
            len(name),
            len(extra),
            0,
            0,
            0,
            0,
            len(body),
        )
        central += name + extra
        body += local + name + extra + data
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(central), len(body), 0)
    path.write_bytes(body + central + end)


def _cell(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(b"x,y\n1,2\n")
        file.truncate(1 << 30)


def _cell(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(b"x,y\n1,2\n")
        file.truncate(1 << 30)


def _gzip(path: Path) -> None:
    """A table in gzip that unpacks to 4 GiB: one compressed piece, many times."""
    import gzip

    piece = gzip.compress(b"0,0\n" * (1 << 22), 9)
    path.write_bytes(gzip.compress(b"x,y\n") + piece * 256)


def _arrays(path: Path) -> None:
    import numpy as np

    np.savez(path, x=np.arange(8.0), y=np.arange(8.0) * 2)


def _as_bytes(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


MADE: dict[str, Callable[[Path], None]] = {
    "npz of two arrays": _arrays,
    "npz of 2 x 4 GiB of zeros": _whole_zeros,
    "npz that says more than it holds": lambda path: _npz_of_zeros(path, 2, 1 << 40),
    "npz with a header of 3 GiB": lambda path: _npz_of_zeros(
        path, 2, 1 << 25, b"\x93NUMPY\2\0" + (3 << 30).to_bytes(4, "little")
    ),
    "npz of 3,000 arrays": lambda path: _npz_of_zeros(path, 3000, 10),
    "npz of random bytes": _as_bytes(b"PK\3\4" + bytes(range(256)) * 20),
    "csv cell of 1 GiB": _cell,
    "csv in gzip of 4 GiB": _gzip,
    "csv of 40,000 columns": _as_bytes((",".join(f"c{i}" for i in range(40_000)) + "\n").encode()),
    "csv of 40,000 further columns": _as_bytes(
        ("x,y," + ",".join(f"c{i}" for i in range(40_000)) + "\n" + ("1," * 40_001 + "2\n") * 4).encode()
    ),
    "csv of NUL": _as_bytes(bytes(1000)),
    "csv of NUL in fields": _as_bytes(b"x,y\n1\0,2\n3,4\0\n" * 3),
    "csv that is not UTF-8": _as_bytes(b"x,y\n\xff\xfe,1\n" * 5),
    "csv with an open quote": _as_bytes(b'x,y\n"1,2\n' + b"3,4\n" * 100_000),
    "csv of infinities": _as_bytes(b"x,y\n1e999,nan\n" + b"inf,-inf\n" * 5),
    "csv of huge numbers": _as_bytes(b"x,y\n" + (b"9" * 5000 + b",1\n") * 4),
    "csv of long numbers": _as_bytes(b"x,y\n" + (b"0." + b"3" * 900_000 + b",1\n") * 4),
    "csv of one record": _as_bytes(b"x,y\n1,2\n"),
    "csv without records": _as_bytes(b"x,y\n"),
    "csv with a column twice": _as_bytes(b"x,x,y\n" + b"1,1,2\n" * 5),
    "csv of the largest numbers": _as_bytes(b"x,y\n" + b"1.7e308,-1.7e308\n-1.7e308,1.7e308\n" * 4),
}


# ---- outputs and surroundings ----


def outputs(random: Random) -> Stream:
    """Outputs that would overwrite an input, a part of a run, or something that is no file."""
    names = (
        *(f"run/{name}" for name in RUN_FILES),
        *("run", "run/checkpoints", "run/.lock", "x.csv", "/dev/full", "/dev/null/x", "link", "loop", "dangling"),
        *("run/new.csv", "x" * 300 + ".csv", "no/where/x.csv", "hard", "run/../run/result.json", "\udcff.csv", "plain"),
    )
    while True:
        yield _output(random.choice(("report", "export", "predict")), random.choice(names))


def _output(command: str, out: str) -> Attack:
    """A command with an output; predictions are from a table in CSV, as the output is."""

    def prepare(folder: Path) -> list[str]:
        run = "table" if command == "predict" else "run"
        (folder / "x.csv").write_text(XY)
        (folder / "link").symlink_to(f"{run}/weights.safetensors")
        (folder / "loop").symlink_to("loop")
        (folder / "dangling").symlink_to(f"{run}/new.json")
        os.link(folder / run / "weights.safetensors", folder / "hard")
        if command != "predict":
            return [*on_run(command, folder), "--out", out]
        for name in ("link", "loop", "hard", "dangling"):
            (folder / name).rename(folder / f"{name}.csv")
        ending = "" if out.endswith(".csv") else ".csv"
        return ["predict", run, "x.csv", "--out", out.replace("run", run) + ending]

    return Attack("output", f"{command} --out {out[:40]!a}", prepare, verify=partial(_kept, command == "predict"))


def _kept(reads: bool, folder: Path, _: str) -> str:
    """Which files of the run a command changed, and whether it changed the table, if it reads that."""
    base, own = folder.parents[1], ("report.html", ".lock")
    paths = [path for run in ("run", "table") for path in (base / run).rglob("*")]
    files = [path.relative_to(base) for path in paths if path.is_file() and path.name not in own]
    changed = [str(name) for name in files if not _same(base / name, folder / name)]
    changed += ["x.csv"] if reads and (folder / "x.csv").read_text() != XY else []
    return f"it overwrote {', '.join(changed)}" if changed else ""


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and not other.is_symlink() and one.read_bytes() == other.read_bytes()


def untouched_outputs() -> Untouched:
    """Outputs beside the run."""
    for command in ("report", "export", "predict"):
        yield _output(command, "plain"), "ok"


VARIABLES: tuple[Mapping[str, str], ...] = (
    {"JAX_ENABLE_X64": "1"},
    {"JAX_DISABLE_JIT": "1"},
    {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
    {"JAX_NUMPY_RANK_PROMOTION": "raise"},
    {"JAX_RANDOM_SEED_OFFSET": "7"},
    {"JAX_DEBUG_NANS": "1", "JAX_DEBUG_INFS": "1"},
    {"JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_ENABLE_CUSTOM_PRNG": "1"},
    {"JAX_THREEFRY_PARTITIONABLE": "0"},
    {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"},
    {"JAX_TRANSFER_GUARD": "disallow"},
    {"JAX_CHECK_TRACER_LEAKS": "1", "JAX_ENABLE_CHECKS": "1", "JAX_DEBUG_KEY_REUSE": "1"},
    {"JAX_SOFTMAX_CUSTOM_JVP": "0"},
    {"JAX_COMPILATION_CACHE_DIR": "/dev/null/x", "JAX_ENABLE_COMPILATION_CACHE": "0"},
    {"JAX_LOG_COMPILES": "1", "JAX_EXPLAIN_CACHE_MISSES": "1"},
    {"JAX_PLATFORMS": "nonsense"},
    {"JAX_ENABLE_X64": "perhaps"},
    {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_enable_fast_math=true"},
    {"XLA_FLAGS": "--xla_backend_optimization_level=3"},
    {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2 --xla_backend_optimization_level=0"},
    {"XLA_FLAGS": "--xla_dump_to=dump --xla_backend_optimization_level=0"},
    {"XLA_FLAGS": "--xla_no_such_flag=1"},
    {"XLA_FLAGS": "nonsense"},
    {"NPROC": "1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"TMPDIR": "/nowhere", "TEMP": "/nowhere", "TMP": "/nowhere"},
    {"HOME": "/nowhere", "XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null", "DLC_CACHE": "/dev/null/x"},
    {"COLUMNS": "0"},
    {"COLUMNS": "-5", "TERM": "dumb"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONWARNINGS": "error"},
    {"PYTHONHASHSEED": "7"},
)
"""Variables of the environment. Those of JAX and XLA may change no bit of a resumed run, unless it is refused."""


def surroundings(random: Random) -> Stream:
    """Limits of resources, locales, temporary folders and settings of JAX from outside."""
    while True:
        command = random.choice(("check", "eval", "report", "extend", "resume", "resume", "predict", "train"))
        if random.random() < 0.4:
            megabytes = random.choice((100, 200, 400, 700, 1000, 1500, 2000, 3000))
            limits: dict[int, int] = random.choice(
                ({resource.RLIMIT_AS: megabytes << 20}, {resource.RLIMIT_NOFILE: random.choice((6, 10, 16, 32))})
            )
            yield _surrounded(command, {}, limits)
        else:
            yield _surrounded(command, random.choice(VARIABLES), {})


def _surrounded(command: str, environment: Mapping[str, str], limits: Mapping[int, int]) -> Attack:
    def prepare(folder: Path) -> list[str]:
        (folder / "spec.yaml").write_text(SPEC)
        if command == "train":
            return ["train", "spec.yaml", "--run", "new", "-q"]
        return ["check", "spec.yaml"] if command == "check" else on_run(command, folder)

    name = f"{command} {dict(environment) or dict(limits)}"
    verify = {"resume": _same_bits, "train": _trained_alike}.get(command)
    return Attack("surroundings", name, prepare, environment, limits, fresh=True, verify=verify)


def _same_bits(folder: Path, end: str) -> str:
    """Whether a resumed run has the weights that it always has, or was refused without a change."""
    base = folder.parents[1]
    if end == "ok":
        wanted, found = (place / "weights.safetensors" for place in (base / "resumed", folder / "unfinished"))
        return "" if _same(wanted, found) else "the resumed run has other weights"
    if end != "DLC504":
        return ""
    files = [path.relative_to(base / "unfinished") for path in (base / "unfinished").rglob("*") if path.is_file()]
    changed = [str(name) for name in files if not _same(base / "unfinished" / name, folder / "unfinished" / name)]
    return f"it was refused, but changed {', '.join(changed)}" if changed else ""


def _trained_alike(folder: Path, end: str) -> str:
    """Whether a run has the bits that it always has where it records no other settings."""
    base, new = folder.parents[1] / "run", folder / "new"
    if end != "ok" or not _same(base / "numerics.json", new / "numerics.json"):
        return ""
    return "" if _same(base / "weights.safetensors", new / "weights.safetensors") else "the run has other weights"


def untouched_surroundings() -> Untouched:
    """Every command as it is."""
    for command in ("check", "eval", "report", "extend", "resume", "predict", "train"):
        yield _surrounded(command, {}, {}), "ok"


KINDS: dict[str, Kind] = {
    "numbers": Kind(20, numbers, untouched_specs("numbers", {"a small spec": SPEC, "a rich one": RICH}), checks=True),
    "bombs": Kind(10, bombs, untouched_bombs, checks=True),
    "texts": Kind(14, texts, untouched_specs("texts", {"a small spec": SPEC, "a rich one": RICH}), checks=True),
    "special-specs": Kind(6, special_specs, untouched_special_specs, checks=True),
    "numbers-run": Kind(
        8, trained_numbers, untouched_specs("numbers-run", {"a small spec": SPEC, "a rich one": RICH}, *TRAINING)
    ),
    "names-run": Kind(4, trained_texts, untouched_names),
    "output": Kind(6, outputs, untouched_outputs),
    "run-values": Kind(16, run_values, untouched_runs("run-values")),
    "run-files": Kind(8, run_files, untouched_runs("run-files")),
    "tables": Kind(5, tables, untouched_tables),
    "surroundings": Kind(3, surroundings, untouched_surroundings),
}
"""The kinds of attacks, the cheap ones first."""
