"""Operations with several equal forms: equal they are, picked by a table, kept by a run, timed when asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.backend import autotune, iterations
from dlc.backend.emit import sites_of
from dlc.backend.network import lower
from dlc.components.layers.conv import CONVOLUTION
from dlc.components.layers.depthwise import DEPTHWISE
from dlc.components.layers.transposed import TRANSPOSED, Spread
from dlc.components.layers.windows import Window
from dlc.diagnostics import SpecError
from dlc.kernels.lstm import LSTM, Reading
from dlc.kernels.products import fusion_barrier
from dlc.training.run_folder import RunFolder
from tests.common import run_dlc

NET = """dlc: 1
name: net
data: {source: digits, split: {test: 0.8}}
inputs: {image: {tensor: {shape: [8, 8, 1], scale: 16}}}
targets: {digit: {category: 10}}
network:
  - conv2d: {filters: 8, activation: relu}
  - repeat: {times: 2, layers: [conv2d: {filters: 8, padding: same, activation: relu}]}
  - depthwise_conv2d
  - global_avg_pool2d
  - dense: 10
loss: cross_entropy
optimizer: adam
train: {epochs: 2, batch_size: 128}
"""

WINDOWS = [
    Window((3, 3), (1, 1), (1, 1), "valid"),
    Window((3, 2), (1, 1), (1, 1), "same"),
    Window((3, 3), (1, 1), (1, 1), ((2, 0), (1, 1))),
    Window((1, 1), (1, 1), (1, 1), "valid"),
    Window((3, 3), (2, 1), (1, 1), "same"),
    Window((2, 3), (1, 1), (2, 1), ((3, 1), (0, 4))),
]


FAR = [  # more padding than the window reaches
    Window((3, 3), (1, 1), (1, 1), ((3, 1), (3, 1))),
    Window((5, 3), (1, 1), (1, 1), ((4, 4), (3, 1))),
    Window((3, 2), (2, 1), (1, 1), ((4, 3), (0, 2))),
]
LINES = [
    Window((3,), (1,), (1,), "causal"),
    Window((4,), (1,), (1,), "same"),
    Window((7,), (3,), (1,), "valid"),
    Window((2,), (3,), (1,), "same"),
    Window((3,), (2,), (2,), ((2, 1),)),
]
SPREADS = [
    Spread(Window((2, 2), (2, 2), (1, 1), "valid"), ((1, 1), (1, 1))),
    Spread(Window((3, 4), (2, 1), (1, 1), "valid"), ((2, 1), (1, 4))),
    Spread(Window((3, 2), (1, 1), (2, 1), "valid"), ((3, 0), (0, 0))),
    Spread(Window((1, 2), (3, 5), (1, 1), "valid"), ((0, 2), (1, 3))),
]
CASES: list[tuple[Any, Any, tuple[int, ...], tuple[int, ...]]] = [
    *((CONVOLUTION, window, (3, 6, 7, 4), (4, 5)) for window in WINDOWS),
    *((CONVOLUTION, window, (3, 6, 7, 4), (2, 6)) for window in WINDOWS),
    *((CONVOLUTION, window, (2, 6, 4, 1), (1, 2)) for window in FAR),
    *((CONVOLUTION, window, (2, 6, 7, 32), (32, 3)) for window in WINDOWS[:4]),
    *((CONVOLUTION, window, (3, 14, 2), (2, 3)) for window in LINES),
    (CONVOLUTION, Window((2, 3, 2), (1, 2, 3), (1, 1, 1), "same"), (2, 4, 5, 7, 2), (2, 3)),
    *((DEPTHWISE, window, (3, 6, 7, 4), (4, 2)) for window in WINDOWS),
    *((TRANSPOSED, spread, (3, 4, 5, 2), (3, 2)) for spread in SPREADS),
    (TRANSPOSED, Spread(Window((5,), (2,), (1,), "valid"), ((4, 4),)), (3, 4, 2), (3, 2)),
]


@pytest.mark.few(8)
@pytest.mark.parametrize(
    ("operation", "setting", "size", "last"), CASES, ids=lambda part: getattr(part, "name", str(part))
)
def test_all_forms_give_the_same_values_and_gradients(operation: Any, setting: Any, size: Any, last: Any) -> None:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=size), jnp.float32)
    window = setting.window if operation is TRANSPOSED else setting
    kernel = jnp.asarray(rng.normal(size=(*window.size, *last)), jnp.float32)
    fitting = operation.fitting(setting, x, kernel)
    assert len(fitting) > 1
    assert set(operation.table(setting, x, kernel).values()) <= set(fitting)

    def all_of(variant: str, x: Any, kernel: Any) -> Any:
        y, back = jax.vjp(lambda x, kernel: operation.variants[variant](setting, x, kernel), x, kernel)
        return y, back(jnp.cos(y))

    wanted, *others = jax.jit(lambda *given: [all_of(variant, *given) for variant in fitting])(x, kernel)
    for found in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)


def test_short_repeats_are_unrolled() -> None:
    """Not those that compute values again, which would save none."""
    text = "inputs: {x: {tensor: [4, 3]}}\nnetwork: [{repeat: {times: TIMES, layers: [LAYER]} MORE}]\n"
    for times, item, more, variant in (
        ("4", "dense: 3", "", "unrolled"),
        ("5", "dense: 3", "", "loop"),
        ("4", "conv1d: {filters: 3, padding: same}", "", "unrolled"),
        ("4", "dense: 3", ", rematerialize: true", "loop"),
        ("2", "repeat: {times: 2, layers: [dense: 3]}", "", "loop"),
    ):
        spec = dlc.loads(text.replace("TIMES", times).replace("LAYER", item).replace("MORE", more))
        assert sites_of(spec.plan)["repeat iterations"].picked == {"default": variant}, (times, item, more)


def test_unrolled_iterations_are_those_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, statistics and gradients, with masks and dropout."""
    spec = dlc.loads("""
inputs: {x: {tensor: [5, 4]}}
network:
  - masking
  - repeat: {times: 3, layers: [dense: {units: 4, activation: tanh}, batch_norm: 0.9, dropout: 0.3]}
  - global_avg_pool1d
""")
    x = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    x[2:, 3:] = 0  # which `masking` hides

    def values() -> Any:
        program = dlc.compile(spec)
        variables = program.init(0)

        def loss(params: Any) -> Any:
            found = program.run({**variables, "params": params}, {"x": x}, key=jax.random.key(1), train=True)
            total = jnp.square(found.outputs["output"]).sum()
            return total, (found.outputs, found.state)

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])

    found = values()
    monkeypatch.setattr(iterations, "FEW", 2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, values())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reading", [Reading(False, False), Reading(False, True), Reading(True, True)], ids=str)
def test_both_forms_of_an_lstm_are_equal(reading: Reading, masked: bool) -> None:
    rng = np.random.default_rng(0)
    sizes = ((4, 16), (5, 3, 16), (3, 4), (3, 4))
    arrays = [jnp.asarray(rng.normal(size=size), jnp.float32) for size in sizes]
    real = jnp.arange(5)[:, None] < jnp.array([[5, 2, 0]]) if masked else None

    def slopes(variant: str) -> Any:
        made, back = jax.vjp(lambda *given: LSTM.variants[variant](reading, *given, real), *arrays)
        assert (made[1] is not None) == reading.sequence
        rng = np.random.default_rng(1)
        return made, back(jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), made))

    assert set(LSTM.fitting(reading, *arrays)) == set(LSTM.variants) == {"rule", "gates"}
    found, wanted = jax.jit(lambda: (slopes("gates"), slopes("rule")))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, wanted)


def test_which_forms_fit() -> None:
    x, kernel = jax.ShapeDtypeStruct((2, 6, 6, 4), jnp.float32), jax.ShapeDtypeStruct((3, 3, 4, 5), jnp.float32)
    assert CONVOLUTION.fitting(WINDOWS[0], x, kernel) == ("xla", "product", "channels_last")
    assert CONVOLUTION.fitting(WINDOWS[0], jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), kernel) == ("xla", "product")
    for window in (*WINDOWS[4:], Window((1, 1), (1, 1), (1, 1), ((2, 2), (0, 0)))):
        assert CONVOLUTION.fitting(window, x, kernel) == ("xla", "product")


def test_show_tells_the_choice(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    said = run_dlc(["show", "net.yaml", "--lowering"], cwd=tmp_path)
    assert said.stdout.splitlines() == [
        "layer and operation                     on cpu         elsewhere  variants",
        "conv2d convolution                      product        xla        xla, product, channels_last",
        "repeat iterations                       unrolled       unrolled   unrolled",
        "repeat/*/conv2d convolution             channels_last  xla        xla, product, channels_last",
        "depthwise_conv2d depthwise convolution  elements       channels   channels, elements",
        "XLA flag xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE",
    ]
    (tmp_path / "flat.yaml").write_text("inputs: {x: {tensor: [3]}}\nnetwork: [dense: 2]\n")
    said = run_dlc(["show", "flat.yaml", "--lowering"], cwd=tmp_path)
    assert said.stdout.splitlines()[0] == "no operation has more than one variant"
    both = run_dlc(["show", "flat.yaml", "--lowering", "--expanded"], cwd=tmp_path)
    assert both.returncode == 2
    assert "error[DLC510]: `--expanded` can't be used with `--lowering`" in both.stderr


def test_a_run_keeps_its_forms(tmp_path: Path) -> None:
    """A resumed run computes as it began, whatever the table says by then."""
    spec = dlc.loads(NET)
    dlc.train(spec, tmp_path / "run")
    path = tmp_path / "run" / "lowering.json"
    kept = json.loads(path.read_text())
    assert kept["variants"] == {name: site.variant("cpu") for name, site in sites_of(spec.plan).items()}
    other = {**kept, "variants": {**kept["variants"], "repeat/*/conv2d convolution": "product"}}
    path.write_text(json.dumps(other))
    program = lower(spec.graph, RunFolder(tmp_path / "run").load_lowering())
    jax.eval_shape(program.apply, program.declared(), {"image": jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)})
    assert program.choices.variants("cpu") == other["variants"]
    assert program.choices.variants("gpu")["repeat/*/conv2d convolution"] == "xla"

    longer = dlc.loads(NET, ["train.epochs=3"])
    path.write_text(json.dumps({**kept, "variants": {**kept["variants"], "conv2d convolution": "fft"}}))
    with pytest.raises(SpecError, match=r"DLC503: the run uses the variant `fft` of `conv2d convolution`"):
        dlc.train(longer, tmp_path / "run", resume=True)
    path.write_text(json.dumps({**kept, "variants": {}}))
    with pytest.raises(SpecError, match=r"DLC503: the run records no variant of `conv2d convolution`"):
        dlc.train(longer, tmp_path / "run", resume=True)
    for text in ("[]", "{", '{"platform": "cpu", "variants": {}, "flags": {"xla_dump_to": "/"}}'):
        path.write_text(text)
        with pytest.raises(SpecError, match=r"DLC503: `.*lowering.json` is damaged"):
            dlc.train(longer, tmp_path / "run", resume=True)
    path.unlink()
    with pytest.raises(SpecError, match=r"DLC502: `.*lowering.json` is missing"):
        dlc.train(longer, tmp_path / "run", resume=True)
    path.write_text(json.dumps(kept))
    assert dlc.train(longer, tmp_path / "run", resume=True).steps == 9


def test_autotune_takes_the_fastest_and_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is clearly faster than the table's form is taken; what was timed once is not timed again."""
    timed: list[str] = []

    def times(site: Any, _flags: Any) -> dict[str, float]:
        timed.append(site.operation.name)
        given = {"xla": 1.0, "product": 1.02, "channels_last": 3.0, "channels": 1.0, "elements": 2.0}
        return {variant: given[variant] for variant in site.fitting}

    stored: dict[str, Any] = {}
    monkeypatch.setattr(autotune, "_times", times)
    monkeypatch.setattr(autotune, "_known", lambda: dict(stored))
    monkeypatch.setattr(autotune, "_keep", stored.update)
    spec = dlc.loads(NET)
    first = dlc.train(spec, tmp_path / "first", autotune=True)
    variants = json.loads((tmp_path / "first" / "lowering.json").read_text())["variants"]
    assert variants == {
        "repeat iterations": "unrolled",
        "conv2d convolution": "product",  # the table's: what is faster is so by 2 %
        "repeat/*/conv2d convolution": "xla",
        "depthwise_conv2d depthwise convolution": "channels",
    }
    assert timed == ["convolution", "convolution", "depthwise convolution"]
    second = dlc.train(spec, tmp_path / "second", autotune=True)
    assert len(timed) == 3
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def test_autotune_times_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "SECONDS", 1e-4)
    spec = dlc.loads(NET.replace("  - depthwise_conv2d\n", "").replace("{epochs: 2", "{epochs: 1"))
    dlc.train(spec, tmp_path / "run", autotune=True)
    sites = sites_of(spec.plan)
    kept = json.loads((tmp_path / "run" / "lowering.json").read_text())
    assert {name: variant in sites[name].fitting for name, variant in kept["variants"].items()} == dict.fromkeys(
        sites, True
    )
    assert any("convolution Window" in key for key in autotune._known())


def test_autotune_beside_resume_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    done = run_dlc(["train", "net.yaml", "--resume", "--autotune"], cwd=tmp_path)
    assert done.returncode == 2
    assert "`--autotune` can't be used with `--resume`" in done.stderr


def test_what_is_computed_apart_is_computed_once() -> None:
    """XLA fuses what windows are made of into each of them, but not into a branch."""

    def windows(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x[:, start : start + 20] for start in range(9)], 1).T

    def plain(x: jax.Array) -> jax.Array:
        return windows(jnp.exp(x * 2))

    def kept(x: jax.Array) -> jax.Array:
        like = jax.ShapeDtypeStruct((180, 8), jnp.float32)
        found: jax.Array = fusion_barrier(windows, like, jnp.exp(x * 2))
        return found

    x = np.random.default_rng(0).normal(size=(8, 28)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(kept)(x), jax.jit(plain)(x), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(kept)(x[None])[0], plain(x), rtol=1e-6)
    compiled = jax.jit(kept).lower(x).compile().as_text()
    assert "conditional(" in compiled
    assert re.findall(r"= f32\[([\d,]+)\]\S* exponential\(", compiled) == ["8,28"]
    for kind in (jnp.bfloat16, jnp.float16, jnp.uint32):
        given = jnp.ones((8, 28), kind)
        np.testing.assert_array_equal(
            fusion_barrier(windows, jax.ShapeDtypeStruct((180, 8), kind), given), windows(given)
        )
