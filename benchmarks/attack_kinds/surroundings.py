"""Attacks with outputs that would overwrite something, and with environments and limits."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.attack_kinds.attack import SPEC, XY, Attack, Stream, Untouched
from benchmarks.attack_kinds.runs import RUN_FILES, on_run


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
