"""A replay of attacks: `python -m benchmarks.attacks [COUNT] [--seed S] [--kind KIND]... [--keep FOLDER]`.

Each attack is a command with hostile input: a spec, a data file, a run folder, an output path or an environment. It
survives if the command ends in time with one of dlc's exit codes, without a traceback or DLC900, within its memory, and
has written nothing outside its own folder. Attacks run in forked processes of one that has loaded dlc, each in a folder
of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
TABLE = """
name: attacked
data: {source: {csv: data.csv}}
inputs: {x: {tensor: []}}
targets: {y: {tensor: []}}
network: [{reshape: [1]}, {dense: 1}, {reshape: []}]
loss: mean_squared_error
optimizer: {sgd: 0.01}
train: {epochs: 1, batch_size: 2}
"""
CODES = {0, 1, 2, 75}
CHECK_SECONDS, SECONDS = 10.0, 60.0  # of CPU time: of `dlc check`, of commands that compute
PATIENCE = 5  # how many times as long a command may take on a busy machine
CHECK_BYTES, BYTES = 300 << 20, 1500 << 20  # of memory: of `dlc check`, of commands that compute
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
        prepare: writes its files into an empty folder, and returns the arguments of the command.
        environment: variables that it sets.
        limits: limits of resources that it sets, by their number.
        fresh: whether it needs a process of its own, because it changes how Python or JAX start.
    """

    kind: str
    name: str
    prepare: Callable[[Path], list[str]]
    environment: Mapping[str, str] = {}
    limits: Mapping[int, int] = {}
    fresh: bool = False


class Outcome(NamedTuple):
    """What an attack came to: `problem` is empty if it survived."""

    attack: Attack
    problem: str
    seconds: float
    bytes: int


def main() -> int:
    """Replay attacks, and print how many survived by kind; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.attacks", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only this kind; can be repeated")
    parser.add_argument("--keep", type=Path, help="where to keep the folders of attacks that failed")
    options = parser.parse_args()
    kinds = options.kind or list(KINDS)
    with tempfile.TemporaryDirectory(prefix="dlc-attacks-") as name:
        outcomes = list(replay(Path(name), attacks(options.count, options.seed, kinds), options.keep))
    failed = [outcome for outcome in outcomes if outcome.problem]
    survived = Counter(outcome.attack.kind for outcome in outcomes if not outcome.problem)
    total = Counter(outcome.attack.kind for outcome in outcomes)
    print(f"{'kind':<14}{'survived':>9}{'failed':>8}{'seconds':>9}{'MiB':>7}   (the slowest, the largest)")
    for kind in kinds:
        chosen = [outcome for outcome in outcomes if outcome.attack.kind == kind]
        if chosen:
            slowest, largest = max(each.seconds for each in chosen), max(each.bytes for each in chosen) >> 20
            print(f"{kind:<14}{survived[kind]:>9}{total[kind] - survived[kind]:>8}{slowest:>9.1f}{largest:>7}")
    for outcome in failed:
        print(f"FAILED {outcome.attack.kind}: {outcome.attack.name}: {outcome.problem}")
    print(f"{len(outcomes)} attacks: {len(outcomes) - len(failed)} survived, {len(failed)} failed")
    return 1 if failed else 0


def attacks(count: int, seed: int, kinds: list[str]) -> list[Attack]:
    """Attacks of some kinds, the same for a seed; the cheap kinds first."""
    shares = {kind: KINDS[kind][0] for kind in kinds}
    found = []
    for kind in kinds:
        number = max(1, round(count * shares[kind] / sum(shares.values())))
        stream = KINDS[kind][1](Random(f"{seed} {kind}"))
        found += [next(stream) for _ in range(number)]
    while len(found) < count:
        found.append(next(KINDS[kinds[0]][1](Random(f"{seed} {len(found)}"))))
    return sorted(found, key=lambda attack: list(KINDS).index(attack.kind))


# ---- how attacks run ----


def replay(base: Path, chosen: list[Attack], keep: Path | None = None) -> Iterator[Outcome]:
    """Run attacks one after another."""
    os.environ.update({"NO_COLOR": "1", "COLUMNS": "120", "DLC_CACHE": str(base / "cache")})
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    import dlc
    import dlc.cli.commands
    import dlc.diagnostics.render
    import dlc.frontend.pipeline

    dlc.loads(SPEC)  # loads the components
    made = False
    for number, attack in enumerate(chosen):
        if not made and attack.kind not in CHEAP:
            make_run(base)
            load_all()
            made = True
        folder = base / "attacks" / str(number)
        folder.mkdir(parents=True)
        (base / "outside").mkdir(exist_ok=True)
        (base / "outside" / "witness").write_text("untouched")
        outcome = run(attack, folder, base)
        if outcome.problem and keep is not None:
            shutil.copytree(folder, keep / str(number), symlinks=True, ignore=_special, dirs_exist_ok=True)
        if outcome.problem:
            print(f"FAILED {attack.kind}: {attack.name}: {outcome.problem}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        yield outcome


def _special(folder: str, names: list[str]) -> list[str]:
    """What can't be copied, or is too large to keep."""
    paths = [Path(folder) / name for name in names]
    kept = [path for path in paths if path.is_dir() or (path.is_file() and path.stat().st_size < 1 << 26)]
    return [path.name for path in paths if path not in kept]


def make_run(base: Path) -> None:
    """A finished run and one that is not, which attacks copy."""
    (base / "spec.yaml").write_text(SPEC)
    code = "from dlc.cli import main; main()"
    for name, sets in (("run", []), ("unfinished", ["--set", "train.epochs=4"])):
        command = [sys.executable, "-c", code, "train", str(base / "spec.yaml"), "--run", str(base / name), "-q", *sets]
        if os.spawnv(os.P_WAIT, sys.executable, command):
            raise RuntimeError("no run to attack")
    (base / "unfinished" / "result.json").unlink()
    shutil.rmtree(base / "unfinished" / "checkpoints" / "step-0000000012", ignore_errors=True)


def load_all() -> None:
    """Import what commands import, but start no backend: its threads would be missing in forked processes."""
    import dlc.cli.app
    import dlc.cli.train
    import dlc.reports.page
    import dlc.serving.artifacts
    import dlc.serving.evaluation
    import dlc.serving.tables
    import dlc.training.train  # noqa: F401


def run(attack: Attack, folder: Path, base: Path) -> Outcome:
    """Run an attack; what it came to."""
    shared = {"run": base / "run", "unfinished": base / "unfinished"}
    for name, path in shared.items():
        if path.exists() and attack.kind not in CHEAP:
            shutil.copytree(path, folder / name)
    arguments = attack.prepare(folder)
    before = {path: path.read_bytes() for path in PROTECTED(folder)} if attack.kind == "output" else {}
    check = arguments[0] == "check"
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(attack, arguments, folder)
    status, usage = _waited(child, began + PATIENCE * (CHECK_SECONDS if check else SECONDS))
    seconds, used = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    text = (folder / "output").read_text(encoding="utf-8", errors="replace")
    problem = _problem(status, text, CODES)
    if not problem and seconds > (CHECK_SECONDS if check else SECONDS):
        problem = f"it took {seconds:.1f} s"
    limit = CHECK_BYTES if check else BYTES
    if not problem and used > limit:
        problem = f"it took {used >> 20} MiB"
    if not problem and _tree(base / "outside") != {"witness": b"untouched"}:
        problem = "it wrote outside its folder"
        shutil.rmtree(base / "outside")
    changed = [path.name for path, data in before.items() if not path.is_file() or path.read_bytes() != data]
    if not problem and changed:
        problem = f"it overwrote {', '.join(changed)}"
    return Outcome(attack, problem, seconds, used)


def _child(attack: Attack, arguments: list[str], folder: Path) -> None:
    """The process of an attack; never returns."""
    os.setsid()
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.update(attack.environment)
    for number, most in attack.limits.items():
        resource.setrlimit(number, (most, most))
    if attack.fresh:
        code = "from dlc.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
    from dlc.cli import main as command

    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = ["dlc", *arguments]
    code = 99
    try:
        command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _waited(child: int, deadline: float) -> tuple[int | None, Any]:
    """The status of a process and what it used; None if it did not end in time."""
    late = False
    while True:
        found, status, usage = os.wait4(child, 0 if late else os.WNOHANG)
        if found:
            return None if late else status, usage
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            late = True
        time.sleep(0.002)


def _problem(status: int | None, text: str, codes: set[int]) -> str:
    """What is wrong with how a command ended; empty if nothing is."""
    last = text.strip().splitlines()[-1][:200] if text.strip() else ""
    if status is None:
        return f"it did not end in time: {last}"
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}: {last}"
    code = os.WEXITSTATUS(status)
    if "Traceback" in text or "DLC900" in text or code not in codes:
        found = re.search(r"internal error.*|^\w+Error.*", text, re.MULTILINE)
        return f"exit code {code}: {found[0][:200] if found else last}"
    if code in (1, 2) and not re.search(r"DLC\d{3}|^Usage: ", text, re.MULTILINE):
        return f"exit code {code} without a diagnostic: {last}"
    return ""


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def PROTECTED(folder: Path) -> list[Path]:  # noqa: N802 - files that no command may change
    """The files of a run that no output may replace."""
    return [
        path for path in (folder / "run").rglob("*") if path.is_file() and path.name not in ("report.html", ".lock")
    ]


# ---- kinds of attacks ----

Stream = Iterator[Attack]


def numbers(random: Random) -> Stream:
    """Values at their limits anywhere in a spec."""
    places = [match.span() for match in re.finditer(r"\b[0-9.]+\b|\b[a-z_]+\b(?=[,}\]\n])", SPEC)]
    while True:
        start, end = random.choice(places)
        value = random.choice(LIMITS)
        text = SPEC[:start] + value + SPEC[end:]
        keys = ("seed", "train.keep_checkpoints.every", "train.checkpoint_every", "data.memory", "train.early_stopping")
        sets = ["--set", f"{random.choice(keys)}={random.choice(LIMITS)}"] if random.random() < 0.4 else []
        yield Attack(
            "numbers", f"{SPEC[start:end]} is {value[:40]} {sets[1:]}", _written(text, ["check", "spec.yaml", *sets])
        )


def _written(text: str | bytes, arguments: list[str], name: str = "spec.yaml") -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return arguments

    return prepare


def bombs(random: Random) -> Stream:
    """Specs whose work could grow without bound."""
    while True:
        count = random.choice((100, 1000, 5000, 20_000))
        depth = random.choice((30, 60, 63, 64, 1000, 20_000))
        begin = "inputs: {x: {tensor: [4]}}\n"
        nested = "dense: 4"
        for _ in range(random.randrange(1, 20)):
            nested = f"{{repeat: {{times: {random.choice((2, 1000, 10**9, 2**63))}, body: [{nested}]}}}}"
        bomb = random.choice(
            (
                begin + "network: [dense: $v1]\nvars:\n" + "".join(f"  v{i}: {i}\n" for i in range(count)),
                begin + "network:\n" + "".join(f"  - dens{i}: 4\n" for i in range(count)),
                begin + "network:\n" + "".join(f"  - dense: {{units: 4, unit{i}: $v{i}}}\n" for i in range(count)),
                begin + f"network: [{{add: {{}}, inputs: [{', '.join(f'n{i}' for i in range(count))}]}}]\n",
                begin + f"network: [{nested}]\n",
                begin + f"network: {'[' * depth}{']' * depth}\n",
                begin + f"network: [dense: $({'(' * depth}1{')' * depth})]\n",
                begin + f"network: [dense: $({'*'.join(['99999999999999'] * min(count, 2000))})]\n",
                begin
                + "vars: {v0: 1, "
                + ", ".join(f"v{i}: [$v{i - 1}, $v{i - 1}]" for i in range(1, 40))
                + "}\nnetwork: [dense: $v39]\n",
                begin
                + "vars:\n  a0: &a0 [1]\n"
                + "".join(f"  a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
                + "network: [dense: 4]\n",
                begin
                + "blocks:\n"
                + "".join(f"  b{i}: {{body: [b{i + 1}, b{i + 1}]}}\n" for i in range(40))
                + "  b40: {body: [dense: 4]}\nnetwork: [b0]\n",
                begin + f"network: [formula: '{'(' * depth}x{')' * depth}']\n",
                begin + f"network: [formula: '{'+'.join(['x'] * count)}']\n",
                begin + "network: [dense: 4]\n" + "#" + "x" * 900_000 + "\n",
                begin + "network: [" + "dense: 4, " * count + "dense: 2]\n",
                begin
                + f"targets: {{y: {{category: [{', '.join(f'c{i}' for i in range(count))}]}}}}\nnetwork: [dense: 4]\n",
            )
        )
        yield Attack("bombs", bomb[27:90].replace("\n", " "), _written(bomb, ["check", "spec.yaml"]))


def texts(random: Random) -> Stream:
    """Bytes that are no spec, and names that are no words."""
    while True:
        data = bytearray(SPEC.encode())
        for _ in range(random.randrange(1, 12)):
            at = random.randrange(len(data))
            data[at : at + random.randrange(3)] = random.choice(
                (
                    b"\xff",
                    b"\x00",
                    b"{",
                    b"]",
                    b": ",
                    b"&a ",
                    b"*a ",
                    b"!!python/object ",
                    b"\t",
                    b"\r",
                    b"<<: ",
                    b"'",
                    b'"',
                    b"$",
                    b"- ",
                )
            )
        name, word = (
            random.choice(NAMES),
            random.choice(("attacked", "features", "species", "setosa", "accuracy", "adam")),
        )
        text = random.choice((bytes(data), SPEC.replace(word, json.dumps(name)).encode("utf-8", "surrogatepass")))
        form = random.choice(("text", "json", "sarif", "github"))
        yield Attack("texts", f"{word} is {name[:20]}", _written(text, ["check", "--format", form, "spec.yaml"]))


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
    *(
        "/proc/kmsg",
        "/proc/self/mem",
        "/proc/self/environ",
        "/proc/kcore",
        "/dev/random",
        "/sys/kernel/notes",
        "/proc/self/pagemap",
    ),
)


def special_specs(random: Random) -> Stream:
    """Pipes, devices, links and files of /proc as a spec, or as what it extends."""
    while True:
        how, extends = random.choice(SPECIAL), random.random() < 0.5

        def prepare(folder: Path, how: str = how, extends: bool = extends) -> list[str]:
            _special_file(folder / "it.yaml", how)
            (folder / "spec.yaml").write_text("extends: it.yaml\n" + SPEC)
            return ["check", "spec.yaml" if extends else "it.yaml"]

        yield Attack("special-specs", f"{how} {'extended' if extends else 'as a spec'}", prepare)


def _with_run(command: str) -> list[str]:
    """A command on the run in a folder."""
    return {
        "eval": ["eval", "run"],
        "report": ["report", "run"],
        "export": ["export", "run", "--to", "safetensors"],
        "predict": ["predict", "run", "x.csv"],
        "resume": ["train", "unfinished", "--resume", "-q"],
        "extend": ["train", "run", "--resume", "-q", "--set", "train.epochs=3"],
    }[command]


RUN_FILES = (
    *(
        "resolved.yaml",
        "spec.yaml",
        "environment.json",
        "lowering.json",
        "numerics.json",
        "locations.json",
        "features.json",
    ),
    *("splits.safetensors", "weights.safetensors", "metrics.jsonl", "result.json", "timing.json"),
)
COMMANDS = ("eval", "report", "export", "predict", "resume", "extend")


def run_values(random: Random) -> Stream:
    """Values of wrong types, out of range or of unknown keys in the files of a run, their digests made right again."""
    while True:
        command, name = (
            random.choice(COMMANDS),
            random.choice([file for file in RUN_FILES if "json" in file] + ["checkpoint.json"]),
        )
        value, seed = random.choice(JUNK), random.random()

        def prepare(
            folder: Path, command: str = command, name: str = name, value: Any = value, seed: float = seed
        ) -> list[str]:
            run = folder / ("unfinished" if command == "resume" else "run")
            if name == "locations.json":
                value = {"data.source.csv.path": {"absolute": value, "relative": value}}
            for path in sorted(run.rglob(name)):
                _damage_json(path, value, Random(seed))
            (folder / "x.csv").write_text("features_0\n1\n")
            return _with_run(command)

        yield Attack("run-values", f"{command}: {name} with {str(value)[:30]!r}", prepare)


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
    for name in ("digest", "sha256"):
        if isinstance(tree, dict) and name in tree and random.random() < 0.9:
            rest = {key: item for key, item in tree.items() if key != name}
            try:
                tree[name] = digest(to_json(rest))
            except (ValueError, TypeError):
                continue
    text = "".join(json.dumps(line) + "\n" for line in tree) if lines else json.dumps(tree)
    path.write_text(text)


def run_files(random: Random) -> Stream:
    """Pipes, devices, links and random bytes in place of the files of a run, and links that lead out of it."""
    while True:
        command = random.choice(COMMANDS)
        name = random.choice(
            (*RUN_FILES, "checkpoints", ".lock", "exports", "report.html", "state.safetensors", "checkpoint.json")
        )
        how = random.choice((*SPECIAL, "bytes", "half", "outside", "outside"))

        def prepare(folder: Path, command: str = command, name: str = name, how: str = how) -> list[str]:
            run = folder / ("unfinished" if command == "resume" else "run")
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
            (folder / "x.csv").write_text("features_0\n1\n")
            return _with_run(command)

        yield Attack("run-files", f"{command}: {name} is {how}", prepare)


def tables(random: Random) -> Stream:
    """Data files that are no tables, that have no end, or that unpack to more than fits into memory."""
    while True:
        command = random.choice(("train", "eval", "predict"))
        how = random.choice((*SPECIAL, *MADE))

        def prepare(folder: Path, command: str = command, how: str = how) -> list[str]:
            kind = "npz" if how.startswith("npz") else "csv"
            path = folder / f"data.{kind}"
            if how in MADE:
                MADE[how](path)
            else:
                _special_file(path, how)
            (folder / "spec.yaml").write_text(TABLE.replace("csv: data.csv", f"{kind}: data.{kind}"))
            if command == "train":
                return ["train", "spec.yaml", "--run", "new", "-q"]
            return ["eval", "run", "--data", path.name] if command == "eval" else ["predict", "run", path.name]

        yield Attack("tables", f"{command}: {how}", prepare)


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


MADE: dict[str, Callable[[Path], None]] = {
    "npz of 2 x 4 GiB of zeros": _whole_zeros,
    "npz that says more than it holds": lambda path: _npz_of_zeros(path, 1, 1 << 40),
    "npz with a header of 3 GiB": lambda path: _npz_of_zeros(
        path, 1, 1 << 25, b"\x93NUMPY\2\0" + (3 << 30).to_bytes(4, "little")
    ),
    "npz of 3,000 arrays": lambda path: _npz_of_zeros(path, 3000, 10),
    "npz of random bytes": lambda path: path.write_bytes(b"PK\3\4" + bytes(range(256)) * 20) and None,
    "csv cell of 1 GiB": _cell,
    "csv of 40,000 columns": lambda path: path.write_text(",".join(f"c{i}" for i in range(40_000)) + "\n") and None,
    "csv of NUL": lambda path: path.write_bytes(bytes(1000)) and None,
    "csv that is not UTF-8": lambda path: path.write_bytes(b"x,y\n\xff\xfe,1\n" * 5) and None,
    "csv with an open quote": lambda path: path.write_text('x,y\n"1,2\n' + "3,4\n" * 100_000) and None,
    "csv of infinities": lambda path: path.write_text("x,y\n1e999,nan\n" * 1 + "inf,-inf\n" * 5) and None,
    "csv of huge numbers": lambda path: path.write_text("x,y\n" + ("9" * 5000 + ",1\n") * 4) and None,
}


def outputs(random: Random) -> Stream:
    """Outputs that would overwrite an input, a part of a run, or something that is no file."""
    while True:
        out = random.choice(
            (
                *(f"run/{name}" for name in RUN_FILES),
                "run",
                "run/checkpoints",
                "run/.lock",
                "x.csv",
                "/dev/full",
                "/dev/null/x",
                "link",
                "loop",
                "run/new.csv",
                "x" * 300 + ".csv",
                "no/where/x.csv",
            )
        )
        command = random.choice(
            (["report", "run"], ["export", "run", "--to", "safetensors"], ["predict", "run", "x.csv"])
        )

        def prepare(folder: Path, out: str = out, command: list[str] = command) -> list[str]:
            (folder / "link").symlink_to("run/weights.safetensors")
            (folder / "loop").symlink_to("loop")
            (folder / "x.csv").write_text("features_0,features_1,features_2,features_3\n1,2,3,4\n")
            return [*command, "--out", out + (".csv" if command[0] == "predict" and not out.endswith(".csv") else "")]

        yield Attack("output", f"{command[0]} --out {out[:40]}", prepare)


def surroundings(random: Random) -> Stream:
    """Limits of resources, locales, temporary folders and settings of JAX from outside."""
    variables: list[dict[str, str]] = [
        {"JAX_ENABLE_X64": "1"},
        {"JAX_DISABLE_JIT": "1"},
        {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
        {"JAX_NUMPY_RANK_PROMOTION": "raise"},
        {"JAX_RANDOM_SEED_OFFSET": "7"},
        {"JAX_DEBUG_NANS": "1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TMPDIR": "/nowhere"},
        {"HOME": "/nowhere", "XDG_CACHE_HOME": "/dev/null", "DLC_CACHE": "/dev/null/x"},
        {"COLUMNS": "0"},
        {"COLUMNS": "-5", "TERM": "dumb"},
        {"PYTHONIOENCODING": "ascii"},
    ]
    while True:
        command = random.choice(("check", "eval", "report", "extend", "resume"))
        limits: dict[int, int] = {}
        environment: dict[str, str] = {}
        if random.random() < 0.6:
            megabytes = random.choice((100, 200, 400, 700, 1000, 1500, 2000))
            limits = random.choice(
                ({resource.RLIMIT_AS: megabytes << 20}, {resource.RLIMIT_NOFILE: random.choice((6, 10, 16, 32))})
            )
        else:
            environment = random.choice(variables)

        def prepare(folder: Path, command: str = command) -> list[str]:
            (folder / "spec.yaml").write_text(SPEC)
            return ["check", "spec.yaml"] if command == "check" else _with_run(command)

        yield Attack("surroundings", f"{command} {environment} {limits}", prepare, environment, limits, fresh=True)


KINDS: dict[str, tuple[float, Callable[[Random], Stream]]] = {
    "numbers": (28, numbers),
    "bombs": (8, bombs),
    "texts": (20, texts),
    "special-specs": (6, special_specs),
    "output": (6, outputs),
    "run-values": (16, run_values),
    "run-files": (10, run_files),
    "tables": (4, tables),
    "surroundings": (2, surroundings),
}
"""The kinds of attacks with their shares, the cheap ones first."""
CHEAP = ("numbers", "bombs", "texts", "special-specs")
"""The kinds that only check specs."""

if __name__ == "__main__":
    raise SystemExit(main())
