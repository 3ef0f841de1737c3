"""The plan: parts of it, pickled, are enough for another process to train a step."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.frontend.plan import Plan
from dlc.language.source import Places
from tests.common import ROOT, SMALL

STEP = """
import pickle, sys
from pathlib import Path

plan, stats, rows = pickle.loads(Path(sys.argv[1]).read_bytes())

import jax, numpy as np
from dlc.backend.network import lower
from dlc.backend.train_step import make_compiled_steps
from dlc.backend.update import make_updater
from dlc.components.schedules.schedule import Horizon
from dlc.data.feed import Feed

program = lower(plan.graph)
steps = make_compiled_steps(plan, program, make_updater(plan, program, Horizon(10, 5.0)), stats)
shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), rows)
state = steps.start(program.init(plan.seed), steps.batch_statistics(program.declared(), shapes))
feed = Feed(rows, np.tile(np.arange(16, dtype=np.int32), (2, 1)))
state = steps.chunk(state, feed, np.int32(1), np.bool_(True), stats)
np.savez(sys.argv[2], **program.to_flat(jax.device_get(state.variables)))
seen = sorted(name for name in sys.modules if name == "yaml" or name.startswith(("yaml.", "dlc.language.yaml")))
assert not seen, seen
"""


def stepped(plan: Plan, folder: Path) -> dict[str, np.ndarray]:
    """The weights after one step that a fresh process does with the plan, some records and what features fitted."""
    generator = np.random.default_rng(0)
    rows = {
        "inputs": {"features": generator.normal(size=(16, 4)).astype(np.float32)},
        "targets": {"species": generator.integers(0, 3, 16).astype(np.int32)},
    }
    stats = {"features": {"shift": np.zeros(4, np.float32), "scale": np.ones(4, np.float32)}, "species": {}}
    (folder / "plan").write_bytes(pickle.dumps((plan, stats, rows)))
    command = [sys.executable, "-c", STEP, str(folder / "plan"), str(folder / "weights.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "weights.npz") as found:
        return dict(found)


def test_parts_of_a_plan_train_a_step_in_a_process_that_never_saw_yaml(tmp_path: Path) -> None:
    spec = dlc.loads(SMALL)
    part = Plan(
        **{name: getattr(spec.plan, name) for name in Plan.__dataclass_fields__}
        | {"data": None, "metrics": (), "places": Places(), "untyped": None, "folder": ""}
    )
    weights = stepped(part, tmp_path)
    initial = dlc.compile(spec).to_flat(dlc.compile(spec).init(0))
    assert set(weights) == set(initial)
    assert np.any(weights["dense/kernel"] != initial["dense/kernel"])


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "iris_perceptron", "diabetes_regression"])
def test_a_plan_is_small_and_whole_after_pickling(name: str) -> None:
    plan = dlc.load(ROOT / "specs" / f"{name}.yaml").plan
    data = pickle.dumps(plan)
    assert len(data) < 12_000
    assert pickle.loads(data) == plan


def test_a_plan_names_its_plugins() -> None:
    assert dlc.loads(SMALL).plan.plugins == ()


def test_nothing_after_the_front_end_sees_the_document() -> None:
    behind = [
        path for name in ("data", "backend", "serving", "training") for path in (ROOT / "dlc" / name).rglob("*.py")
    ]
    wrong = [
        f"{path}: {word}"
        for path in behind
        for word in (".document", "frontend.document", "language.source", "Source(")
        if word in path.read_text() and "DataSource" not in path.read_text()
    ]
    assert behind and not wrong
