"""Behaviors broken one at a time: which of them the suite notices, in the file where a person would look.

Each is one small edit of a copy of the project, and is caught when a test fails in the files that are named beside it.
Prints `caught` or `MISSED` for each, and a count.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.arguments import one_of, parser

ROOT = Path(__file__).parent.parent
COPIED = ("dlc", "tests", "specs", "examples", "docs", "benchmarks", "pyproject.toml", "README.md", "CONTRIBUTING.md")


class Mutation(NamedTuple):
    """One broken behavior: `old` becomes `new` in `file`, and one of `tests` must fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


STEP = ("tests/backend/test_train_step.py",)
RECOVERY = ("tests/training/test_recovery.py",)
PRECISION = ("tests/frontend/test_precision.py",)
DATA = ("tests/data/test_dataset.py", "tests/data/test_splits.py")
LOSSES = ("tests/components/losses",)
METRICS = ("tests/components/metrics", "tests/training/test_metrics_in_runs.py")
LAYERS = ("tests/components/layers",)
TRAINING = ("tests/training/test_training.py", "tests/training/test_callbacks.py")
CHECKPOINT = ("tests/training/test_checkpoint.py", "tests/promises/test_no_silent_errors.py")

MUTATIONS = (
    # the training step
    Mutation(
        "a penalty counts once for each accumulated batch",
        "dlc/backend/gradients.py",
        "value = jnp.asarray(total + share * penalty)",
        "value = jnp.asarray(total + penalty)",
        STEP,
    ),
    Mutation(
        "accumulated batches are weighted by their own weights",
        "dlc/backend/gradients.py",
        "combined(self.plan, scores, weights or {name: found.weight for name, found in scores.items()})",
        "combined(self.plan, scores, {name: found.weight for name, found in scores.items()})",
        STEP,
    ),
    Mutation(
        "all accumulated batches have one random key",
        "dlc/backend/gradients.py",
        "jax.vmap(lambda iteration: jax.random.fold_in(key, iteration))",
        "jax.vmap(lambda iteration: jax.random.fold_in(key, 0 * iteration))",
        STEP,
    ),
    Mutation(
        "the key of a step does not depend on the step",
        "dlc/backend/train_step.py",
        "key = jax.random.fold_in(root, state.step)",
        "key = jax.random.fold_in(root, 0)",
        (*STEP, "tests/promises/test_exactness.py", *TRAINING),
    ),
    Mutation(
        "the count of skipped steps is never reset",
        "dlc/backend/skipped_steps.py",
        "jnp.where(good, 0, state.row + 1)",
        "jnp.where(good, state.row, state.row + 1)",
        RECOVERY,
    ),
    Mutation(
        "a skipped step changes the weights",
        "dlc/backend/loss_scale.py",
        "kept: T = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)",
        "kept: T = new",
        (*RECOVERY, *PRECISION),
    ),
    Mutation(
        "the loss scale is never halved",
        "dlc/backend/loss_scale.py",
        "smaller = jnp.maximum(state.scale / 2, LEAST)",
        "smaller = state.scale",
        PRECISION,
    ),
    Mutation(
        "gradients are not divided by the loss scale",
        "dlc/backend/gradients.py",
        "gradients = loss_scale.unscaled(scale, gradients) if scale is not None else gradients",
        "gradients = gradients",
        (*STEP, *PRECISION),
    ),
    Mutation(
        "the average of weights has a bias towards the initial ones",
        "dlc/backend/averaging.py",
        "return (1 - self.decay) / -jnp.expm1(jnp.asarray(step, jnp.float32) * math.log(self.decay))",
        "return jnp.float32(1 - self.decay)",
        STEP,
    ),
    Mutation(
        "averaged weights are evaluated with an average of running statistics",
        "dlc/backend/averaging.py",
        "if self.decay is None or not running:",
        "if True:",
        STEP,
    ),
    Mutation(
        "a layer that is frozen by a pattern computes as in training",
        "dlc/frontend/passes/freeze.py",
        "frozen=node.frozen or stays",
        "frozen=node.frozen",
        ("tests/ir/test_weight_patterns.py", *STEP),
    ),
    Mutation(
        "the count of the skipped steps of an epoch goes on in the next",
        "dlc/backend/train_step.py",
        "skipped = state.skipped._replace(epoch=jnp.where(fresh, 0, state.skipped.epoch))",
        "skipped = state.skipped",
        STEP,
    ),
    Mutation(
        "a batch norm may see a single element",
        "dlc/components/rules/learning.py",
        "if all(size == 1 for size in sizes):",
        'if "batch" not in found.sizes and all(size == 1 for size in sizes):',
        ("tests/components/rules",),
    ),
    Mutation(
        "weights are averaged at every step, whatever `every` says",
        "dlc/backend/averaging.py",
        "due = (since >= 0) & (since % self.every == 0)",
        "due = since >= 0",
        STEP,
    ),
    Mutation(
        "constraints are not applied after an update",
        "dlc/backend/train_step.py",
        "params = program.constrained(optax.apply_updates(params, updates))",
        "params = optax.apply_updates(params, updates)",
        ("tests/components/constraints", *STEP),
    ),
    Mutation(
        "an l2 penalty is halved",
        "dlc/backend/network.py",
        "total = total + l2 * jnp.square(weight).sum() if l2 else total",
        "total = total + 0.5 * l2 * jnp.square(weight).sum() if l2 else total",
        ("tests/backend/test_hyperparameters.py", "tests/backend/test_network.py"),
    ),
    Mutation(
        "frozen layers compute as in training",
        "dlc/backend/array_backend.py",
        'if about.mode == "train" and not node.frozen:',
        'if about.mode == "train":',
        STEP,
    ),
    Mutation(
        "frozen layers update their statistics",
        "dlc/backend/array_backend.py",
        "if signature.state and not node.frozen:",
        "if signature.state:",
        (*STEP, "tests/ir/test_weight_patterns.py", "tests/frontend"),
    ),
    Mutation(
        "random layers of one network share a key",
        "dlc/backend/array_backend.py",
        "key = jax.random.fold_in(about.key, self.salts[node.path])",
        "key = about.key",
        ("tests/backend/test_network.py", "tests/backend/test_hyperparameters.py"),
    ),
    Mutation(
        "mixed examples keep the loss of their own targets only",
        "dlc/backend/loss.py",
        "total = mixing.share * total + (1 - mixing.share) * more",
        "total = mixing.share * total + (1 - mixing.share) * total",
        (*STEP, "tests/frontend/test_augment.py", "tests/components/augmentations"),
    ),
    # data and splits
    Mutation(
        "held-out records are also trained on",
        "dlc/data/splits.py",
        "{name: order[owner == index] for",
        "{name: order if name == 'train' else order[owner == index] for",
        DATA,
    ),
    Mutation(
        "the split is not shuffled",
        "dlc/data/splits.py",
        "order = np.random.Generator(np.random.Philox(key=[split.seed, _SPLIT])).permutation(order)",
        "pass",
        DATA,
    ),
    Mutation(
        "a share of records is rounded down to nothing",
        "dlc/data/batching.py",
        "max(1, round(float(part) * count)) if part else 0",
        "int(part * count)",
        DATA,
    ),
    Mutation(
        "every epoch has the same order",
        "dlc/data/dataset.py",
        "counter=[0, 0, 0, epoch]",
        "counter=[0, 0, 0, 0]",
        DATA,
    ),
    Mutation(
        "`shuffle: false` shuffles",
        "dlc/data/dataset.py",
        "        if not self.shuffle:\n            return self.rows\n",
        "",
        DATA,
    ),
    Mutation(
        "the last batch of an epoch is dropped",
        "dlc/data/batching.py",
        "return -(-epochs * self.examples // self.batch_size)",
        "return epochs * (self.examples // self.batch_size)",
        (*DATA, *TRAINING),
    ),
    Mutation(
        "examples that only fill a batch count in metrics",
        "dlc/data/dataset.py",
        "real = np.arange(count * batch_size) < len(rows)",
        "real = np.arange(count * batch_size) >= 0",
        (*DATA, *TRAINING, *METRICS),
    ),
    # losses, masks and metrics
    Mutation(
        "weights of examples scale the loss and not its denominator",
        "dlc/backend/loss.py",
        "total, weight = factor * total, factor * weight",
        "total, weight = factor * total, weight",
        STEP,
    ),
    Mutation(
        "`reduction: sum` is a mean",
        "dlc/backend/loss.py",
        "total, weight = total * size, jnp.ones_like(weight)",
        "pass",
        STEP,
    ),
    Mutation(
        "the weight of a loss is ignored",
        "dlc/backend/loss.py",
        "total = total + (part if factor == 1 else factor * part)",
        "total = total + part",
        STEP,
    ),
    Mutation(
        "a target's mask is ignored beside an output's",
        "dlc/backend/loss.py",
        "return there[0] & there[1] if len(there) == 2 else there[0] if there else None",
        "return there[0] if there else None",
        (*STEP, "tests/promises/test_padding.py", *LOSSES),
    ),
    Mutation(
        "the joint mask of several inputs is that of the first",
        "dlc/backend/array_backend.py",
        "            total = total & mask\n",
        "            pass\n",
        ("tests/backend/test_network.py", "tests/promises/test_padding.py", *LAYERS, "tests/ir"),
    ),
    Mutation(
        "sums over a split lose their rounding errors",
        "dlc/backend/statistics.py",
        "rest = jnp.concatenate(leaves) - self.error",
        "rest = jnp.concatenate(leaves)",
        ("tests/backend", "tests/training/test_metrics_in_runs.py"),
    ),
    # layers
    Mutation(
        "dropout does not keep the mean",
        "dlc/components/layers/dropout.py",
        "return jnp.where(kept, x * jnp.asarray(1.0 / share, x.dtype), jnp.zeros((), x.dtype))",
        "return jnp.where(kept, x, jnp.zeros((), x.dtype))",
        LAYERS,
    ),
    # checkpoints, stopping and resuming
    Mutation(
        "a NaN improves on every value",
        "dlc/training/evaluation.py",
        "    if not math.isfinite(value):\n        return False\n",
        "",
        ("tests/training",),
    ),
    Mutation(
        "lower is better, whatever the metric",
        "dlc/training/evaluation.py",
        "return value > best + margin if higher else value < best - margin",
        "return value < best - margin",
        ("dlc/training/evaluation.py", "tests/training"),
    ),
    Mutation(
        "`min_delta` is ignored",
        "dlc/training/callbacks/early_stopping.py",
        "self._best, self._higher, self.options.min_delta)",
        "self._best, self._higher, 0.0)",
        ("tests/training/test_early_stopping.py", "tests/training"),
    ),
    Mutation(
        "early stopping waits one epoch longer",
        "dlc/training/callbacks/early_stopping.py",
        "self.stale >= self.options.patience",
        "self.stale > self.options.patience",
        ("tests/training/test_early_stopping.py", "tests/training"),
    ),
    Mutation(
        "the digest of a checkpoint's index is not written",
        "dlc/training/checkpoint.py",
        'index["digest"] = digest(to_json(index))',
        'index["digest"] = ""',
        CHECKPOINT,
    ),
    Mutation(
        "one checkpoint fewer is kept",
        "dlc/training/checkpoint.py",
        "for path in paths[self.last :]}",
        "for path in paths[self.last - 1 :]}",
        CHECKPOINT,
    ),
    # files and messages
    Mutation(
        "a failed write leaves its part behind",
        "dlc/support/files.py",
        "there may be none\n            part.unlink()",
        "there may be none\n            pass",
        ("tests/support", "tests/promises", "tests/training"),
    ),
    Mutation(
        "the digest of arrays is not checked",
        "dlc/support/files.py",
        "if _digest(arrays) != wanted:",
        "if False:",
        ("tests/support", "tests/promises", "tests/training"),
    ),
    Mutation(
        "findings are not in the order of the file",
        "dlc/diagnostics/report.py",
        "return Report(tuple(sorted(self._items.values(), key=position)), dict(texts))",
        "return Report(tuple(self._items.values()), dict(texts))",
        ("tests/diagnostics", "tests/broken"),
    ),
    Mutation(
        "a misspelt name gets no hint",
        "dlc/diagnostics/wording.py",
        'return f"did you mean `{close}`?" if close else None',
        "return None",
        ("dlc/diagnostics/wording.py", "tests/diagnostics", "tests/broken"),
    ),
)


def broken(mutation: Mutation, folder: Path) -> None:
    """Apply one to a copy of the project."""
    path = folder / mutation.file
    text = path.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.file} holds {mutation.old!r} {text.count(mutation.old)} times"
    path.write_text(text.replace(mutation.old, mutation.new))


def caught(mutation: Mutation) -> bool:
    """Whether a test notices."""
    with tempfile.TemporaryDirectory(prefix="dlc-mutation-") as name:
        folder = Path(name)
        for part in COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        broken(mutation, folder)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutation.tests]
        environment = {**os.environ, "PYTHONPATH": name}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{mutation.what}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def main() -> None:
    """Break, test and print."""
    every = range(1, len(MUTATIONS) + 1)
    arguments = parser("mutations", __doc__)
    arguments.add_argument("numbers", metavar="NUMBER", nargs="*", type=one_of(every), help="all by default")
    chosen = arguments.parse_args().numbers or every
    missed = []
    for number in chosen:
        mutation, began = MUTATIONS[number - 1], time.perf_counter()
        good = caught(mutation)
        missed += [] if good else [number]
        seconds = time.perf_counter() - began
        print(f"{number:2} {'caught' if good else 'MISSED'} {seconds:5.0f} s  {mutation.what}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} caught{f'; missed: {missed}' if missed else ''}")


if __name__ == "__main__":
    main()
