"""A replay of attacks: `python -m benchmarks.attacks [COUNT] [--seed S] [--kind KIND]... [--keep FOLDER]`.

Each attack is a command with hostile input: a spec, a data file, a run folder, an output path or an environment. It
survives if the command ends in time with one of dlc's exit codes, without a traceback or DLC900, within its memory, and
has written nothing outside its own folder. Attacks run in forked processes of one that has loaded dlc, each in a folder
of its own. What a kind attacks is first tried untouched: an attack on what never worked would show nothing. A table at
the end says how the attacks of each kind ended, by command.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.attack_kinds import KINDS
from benchmarks.attack_kinds.attack import SPEC, TABLE, XY, Attack

CODES = {0, 1, 2, 75}
CHECK_SECONDS, SECONDS = 10.0, 60.0  # of CPU time: of `dlc check`, of commands that compute
PATIENCE = 5  # how many times as long a command may take on a busy machine
CHECK_BYTES, BYTES = 300 << 20, 1500 << 20  # of memory: of `dlc check`, of commands that compute
CODE = "from dlc.cli import main; main()"


class Outcome(NamedTuple):
    """What an attack came to.

    Args:
        attack: the attack.
        command: the command that it used.
        end: `ok`, `stopped`, `usage`, or the code of the first finding.
        problem: why it did not survive; empty if it did.
        seconds: of CPU time.
        bytes: the largest memory.
    """

    attack: Attack
    command: str
    end: str
    problem: str
    seconds: float
    bytes: int


def main() -> int:
    """Replay attacks, and print how many survived by kind; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.attacks", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; can be repeated")
    parser.add_argument("--keep", type=Path, help="where to keep the folders of attacks that failed")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if options.kind is None or kind in options.kind]
    with tempfile.TemporaryDirectory(prefix="dlc-attacks-") as name:
        outcomes = list(replay(Path(name), attacks(options.count, options.seed, kinds), options.keep))
    failed = [outcome for outcome in outcomes if outcome.problem]
    print(f"{'kind':<14}{'survived':>9}{'failed':>8}{'seconds':>9}{'MiB':>7}   (the slowest, the largest)")
    for kind in kinds:
        chosen = [outcome for outcome in outcomes if outcome.attack.kind == kind]
        if chosen:
            wrong = sum(bool(each.problem) for each in chosen)
            slowest, largest = max(each.seconds for each in chosen), max(each.bytes for each in chosen) >> 20
            print(f"{kind:<14}{len(chosen) - wrong:>9}{wrong:>8}{slowest:>9.1f}{largest:>7}")
    print("\n".join(("", "how they ended", *endings(outcomes))))
    for outcome in failed:
        print(f"FAILED {outcome.attack.kind}: {outcome.attack.name}: {outcome.problem}")
    print(f"{len(outcomes)} attacks: {len(outcomes) - len(failed)} survived, {len(failed)} failed")
    return 1 if failed else 0


def attacks(count: int, seed: int, kinds: Sequence[str]) -> list[Attack]:
    """Attacks of some kinds, the same for a seed; the cheap kinds first."""
    shares = {kind: KINDS[kind].share for kind in kinds}
    found = []
    for index, kind in enumerate(kinds):
        left = sum(shares[each] for each in kinds[index:])
        number = max(1, round((count - len(found)) * shares[kind] / left)) if index + 1 < len(kinds) else count
        stream = KINDS[kind].stream(Random(f"{seed} {kind}"))
        found += [next(stream) for _ in range(min(number, count - len(found)))]
    return found


def endings(outcomes: Sequence[Outcome]) -> list[str]:
    """How the attacks of each kind and command ended, the most frequent first."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        found[outcome.attack.kind, outcome.command][outcome.end] += 1
    return [
        f"{kind:<14}{command:<9}{', '.join(f'{number} x {end}' for end, number in ends.most_common())}"
        for (kind, command), ends in found.items()
    ]


# ---- how attacks run ----


def replay(base: Path, chosen: Sequence[Attack], keep: Path | None = None) -> Iterator[Outcome]:
    """Run attacks one after another; before the first of a kind, what the kind attacks.

    Raises:
        RuntimeError: when what is attacked does not end as it should.
    """
    os.environ.update({"NO_COLOR": "1", "COLUMNS": "120", "DLC_CACHE": str(base / "cache")})
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    import dlc
    import dlc.cli.commands
    import dlc.diagnostics.render
    import dlc.frontend.pipeline

    dlc.loads(SPEC)  # loads the components
    made, tried = False, set()
    (base / "outside").mkdir(exist_ok=True)
    for number, attack in enumerate(chosen):
        if not made and not KINDS[attack.kind].checks:
            make_runs(base)
            load_all()
            made = True
        if attack.kind not in tried:
            tried.add(attack.kind)
            try_untouched(attack.kind, base)
        folder = base / "attacks" / str(number)
        outcome = run(attack, folder, base)
        if outcome.problem:
            print(f"FAILED {attack.kind}: {attack.name}: {outcome.problem}", file=sys.stderr, flush=True)
            if keep is not None:
                shutil.copytree(folder, keep / str(number), symlinks=True, ignore=_special, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        yield outcome


def try_untouched(kind: str, base: Path) -> None:
    """Run what a kind attacks.

    Raises:
        RuntimeError: when it does not end as it should.
    """
    for index, (attack, end) in enumerate(KINDS[kind].untouched()):
        folder = base / "untouched" / f"{kind}-{index}"
        outcome = run(attack, folder, base)
        if outcome.problem or outcome.end != end:
            text = (folder / "output").read_text(errors="replace")[-2000:]
            message = f"{kind}: {attack.name}, untouched, ends with {outcome.end} instead of {end}: {outcome.problem}"
            raise RuntimeError(f"{message}\n{text}")
        shutil.rmtree(folder)


def _special(folder: str, names: list[str]) -> list[str]:
    """What can't be copied, or is too large to keep."""
    paths = [Path(folder) / name for name in names]
    kept = [path for path in paths if path.is_dir() or (path.is_file() and path.stat().st_size < 1 << 26)]
    return [path.name for path in paths if path not in kept]


def make_runs(base: Path) -> None:
    """The runs that attacks copy: `run` is finished, `unfinished` has a checkpoint, `resumed` is its end, `table`."""
    (base / "spec.yaml").write_text(SPEC)
    (base / "table.yaml").write_text(TABLE)
    (base / "data.csv").write_text(XY)
    longer = ["--set", "train.epochs=4", "--set", "train.checkpoint_seconds=0", "--set", "train.keep_checkpoints=3"]
    _dlc("train", str(base / "spec.yaml"), "--run", str(base / "run"), "-q")
    _dlc("train", str(base / "table.yaml"), "--run", str(base / "table"), "-q")
    _dlc("train", str(base / "spec.yaml"), "--run", str(base / "unfinished"), "-q", *longer)
    (base / "unfinished" / "result.json").unlink()
    newest = max((base / "unfinished" / "checkpoints").iterdir())
    shutil.rmtree(newest)
    shutil.copytree(base / "unfinished", base / "resumed")
    _dlc("train", str(base / "resumed"), "--resume", "-q")


def _dlc(*arguments: str) -> None:
    if os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", CODE, *arguments]):
        raise RuntimeError("no run to attack")


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
    folder.mkdir(parents=True)
    (base / "outside" / "witness").write_text("untouched")
    if not KINDS[attack.kind].checks:
        for name in ("run", "unfinished", "table"):
            shutil.copytree(base / name, folder / name)
    arguments = attack.prepare(folder)
    check = arguments[0] == "check"
    seconds_allowed = CHECK_SECONDS if check else SECONDS
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(attack, arguments, folder)
    stop = None if attack.stop is None else began + attack.stop
    status, usage = _waited(child, began + PATIENCE * seconds_allowed, stop)
    seconds, used = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    text = (folder / "output").read_text(encoding="utf-8", errors="replace")
    end = _end(status, text)
    problem = _problem(status, text, CODES)
    if not problem and seconds > seconds_allowed:
        problem = f"it took {seconds:.1f} s"
    if not problem and used > (CHECK_BYTES if check else BYTES):
        problem = f"it took {used >> 20} MiB"
    if not problem and _tree(base / "outside") != {"witness": b"untouched"}:
        problem = "it wrote outside its folder"
        shutil.rmtree(base / "outside")
        (base / "outside").mkdir()
    if not problem and attack.verify is not None:
        problem = attack.verify(folder, end)
    return Outcome(attack, arguments[0], end, problem, seconds, used)


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
        os.execv(sys.executable, [sys.executable, "-c", CODE, *arguments])
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


def _waited(child: int, deadline: float, stop: float | None) -> tuple[int | None, Any]:
    """The status of a process and what it used; None if it did not end in time. At `stop` it is asked to end."""
    late = False
    while True:
        found, status, usage = os.wait4(child, 0 if late else os.WNOHANG)
        if found:
            return None if late else status, usage
        now = time.monotonic()
        if stop is not None and now > stop:
            os.kill(child, signal.SIGTERM)
            stop = None
        if now > deadline:
            os.killpg(child, signal.SIGKILL)
            late = True
        time.sleep(0.002)


def _end(status: int | None, text: str) -> str:
    """How a command ended: `ok`, `stopped`, `usage`, or the code of the first finding."""
    if status is None or os.WIFSIGNALED(status):
        return "killed"
    code = os.WEXITSTATUS(status)
    if code in (0, 75):
        return "ok" if code == 0 else "stopped"
    found = re.search(r"error\W+(DLC\d{3})|(DLC\d{3})", text)
    if found:
        return found[1] or found[2]
    return "usage" if "Usage: " in text else f"exit code {code}"


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


if __name__ == "__main__":
    raise SystemExit(main())
