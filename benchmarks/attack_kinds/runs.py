"""Attacks with run folders: wrong values in their files, and files that are none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.attack_kinds.attack import JUNK, LIMITS, NAMES, Attack, Stream, Untouched
from benchmarks.attack_kinds.specs import SPECIAL, special_file
from dlc.support.files import digest, to_json

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
                    special_file(path, how)
            return on_run(command, folder)

        yield Attack("run-files", f"{command}: {name} is {how}", prepare)
