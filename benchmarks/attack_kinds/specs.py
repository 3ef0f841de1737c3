"""Attacks with specs: numbers at their limits, expansions, strings, and files that are none."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.attack_kinds.attack import LIMITS, NAMED, NAMES, RICH, SPEC, Attack, Stream, Untouched, written


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


def special_file(path: Path, how: str) -> None:
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
            special_file(folder / name, how)
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
