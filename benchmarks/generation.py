"""Tokens per second of a character-level GPT (`specs/zoo/char_gpt.yaml`) on this machine.

`python -m benchmarks.generation PYTHON` compares the loop of `dlc generate` with computing the whole window for each
token, in dlc and in PyTorch as nanoGPT's `sample.py` does, and with eager PyTorch with a cache. PYTHON has torch. Each
program is a process of its own that waits for its turn; turns are interleaved.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.arguments import parser
from benchmarks.timing import machine, ratio, summary

ROOT = Path(__file__).parent.parent
OWN = "import sys, benchmarks.generation as b; b.own(sys.argv[1], int(sys.argv[2]))"
PROGRAMS = {
    "dlc generate": "loop",
    "dlc, whole window": "window",
    "PyTorch with a cache": "cache",
    "PyTorch, whole window": "window",
}


def own(how: str, length: int) -> None:
    """Generate in this process whenever a line comes; see `benchmarks/generation_pytorch.py`."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import dlc
    from dlc.backend.generate import Generator

    program = dlc.compile(dlc.load(ROOT / "specs" / "zoo" / "char_gpt.yaml"))
    variables = jax.tree.map(jnp.asarray, program.init(0))
    generator = Generator(program, "text", lambda outputs: outputs["output"], 65)
    prepared = generator.prepared(variables)

    @jax.jit
    def following(window: jax.Array, count: jax.Array, key: jax.Array) -> jax.Array:
        scores = program.apply(variables, {"text": window})[0]["output"]
        return jax.random.categorical(key, scores[0, count - 1])

    def generate(length: int) -> None:
        if how == "loop":
            for _ in generator.stream(prepared, [0], length, seed=1):
                pass
            return
        tokens, keys = [0], jax.random.split(jax.random.key(0), length)
        for key in keys:
            last = tokens[-64:]
            window = np.zeros((1, 64), np.int32)
            window[0, : len(last)] = last
            tokens.append(int(following(window, jnp.int32(len(last)), key)))

    generate(100)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        generate(length)
        print(length / (time.perf_counter() - start), flush=True)


def begin(name: str, python: str, length: int) -> subprocess.Popen[str]:
    """Start a program; it waits when it has compiled and warmed up."""
    if name.startswith("dlc"):
        command = [sys.executable, "-c", OWN, PROGRAMS[name], str(length)]
    else:
        command = [python, str(Path(__file__).with_name("generation_pytorch.py")), PROGRAMS[name], str(length)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.wait()
        raise SystemExit(f"{name} failed: run {' '.join(command)}")
    return process


def turn(process: subprocess.Popen[str]) -> float:
    """Tokens per second of one turn."""
    assert process.stdin is not None and process.stdout is not None
    print("go", file=process.stdin, flush=True)
    return float(process.stdout.readline())


def main() -> None:
    """Print the medians of all programs, and the ratios of the first to the others."""
    arguments = parser("generation", __doc__)
    arguments.add_argument("python", metavar="PYTHON", help="a Python that has torch")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--length", type=int, default=1000, help="tokens of a turn")
    options = arguments.parse_args()
    lengths = {name: max(100, options.length // (10 if "whole" in name else 1)) for name in PROGRAMS}
    running = {name: begin(name, options.python, lengths[name]) for name in PROGRAMS}
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    try:
        for _ in range(options.rounds):
            for name, process in running.items():
                found[name].append(turn(process))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    print(f"{machine()}; {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    first, *others = PROGRAMS
    for name in PROGRAMS:
        print(f"  {name:22} {statistics.median(found[name]):9,.0f} tokens/s   {summary(found[name], '')}")
    for name in others:
        print(f"  {first} / {name}: {ratio(found[first], found[name])}")


if __name__ == "__main__":
    main()
