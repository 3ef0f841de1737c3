"""Tokens per second, and per CPU second, of a character-level GPT (`specs/zoo/char_gpt.yaml`) on this machine.

`python -m benchmarks.generation PYTHON` compares the loop of `dlc generate` with computing the whole window for each
token, in dlc and in PyTorch as nanoGPT's `sample.py` does, and with eager PyTorch with a cache. PYTHON has torch. Each
program is a process of its own that waits for its turn; turns are interleaved.
"""

from __future__ import annotations

import os
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
        start = time.perf_counter(), time.process_time()
        generate(length)
        print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)


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


def turn(process: subprocess.Popen[str]) -> tuple[float, float]:
    """The seconds and CPU seconds of one turn."""
    assert process.stdin is not None and process.stdout is not None
    print("go", file=process.stdin, flush=True)
    wall, cpu = process.stdout.readline().split()
    return float(wall), float(cpu)


def main() -> None:
    """Print the medians of all programs, and the ratios of the first to the others."""
    arguments = parser("generation", __doc__)
    arguments.add_argument("python", metavar="PYTHON", help="a Python that has torch")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--length", type=int, default=500, help="tokens of a turn")
    options = arguments.parse_args()
    running = {name: begin(name, options.python, options.length) for name in PROGRAMS}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    try:
        for _ in range(options.rounds):
            for name, process in running.items():
                found[name].append(turn(process))
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    print(f"{machine()}; {options.rounds} rounds of {options.length} tokens, load {os.getloadavg()[0]:.1f}")
    first, *others = PROGRAMS
    for place, unit in enumerate(("second", "CPU second")):
        rates = {name: [options.length / seconds[place] for seconds in found[name]] for name in PROGRAMS}
        for name in PROGRAMS:
            print(f"  {name:22} {summary(rates[name], f'tokens per {unit}')}")
        for name in others:
            print(f"  {first} / {name}: {ratio(rates[first], rates[name])}")


if __name__ == "__main__":
    main()
