"""The evaluator with its backends: arrays and types; and what it reports of a layer that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import dlc
from dlc.backend.array_backend import ArrayBackend
from dlc.diagnostics import SpecError
from dlc.frontend.plugins import allow_plugins
from dlc.ir import Ref, TensorType, TypedNode
from dlc.ir.evaluator import Evaluator
from dlc.ir.type_backend import TypeBackend

NETWORK = """
inputs: {words: {tokens: {vocabulary: 9, length: 6}}}
network:
  - embedding: {vocabulary: 9, size: 4}
  - repeat:
      times: 3
      layers:
        - residual: [layer_norm, attention: 2]
        - dense: {units: 4, activation: relu}
  - lstm: 5
  - batch_norm
  - dense: 3
"""

PLUGIN = """
from dlc.ir import Layer, Signature

class Broken(Layer):
    '''(*shape) -> (*shape): fails.'''

    word = "broken"

    def infer(self, x):
        return Signature(x)

    def apply(self, weights, x, *, ctx):
        raise {error}

LAYERS = {{"broken": "{module}:Broken"}}
"""


@pytest.mark.parametrize("expanded", [False, True])
def test_the_backend_of_types_gives_the_table_of_show(expanded: bool) -> None:
    """The same walk that computes arrays gives the lines of `dlc show`."""
    spec = dlc.loads(NETWORK)
    lines: list[tuple[str, str, int, int]] = []

    def visit(node: TypedNode, backend: TypeBackend, output: TensorType) -> None:
        numbers = iter(backend.iterations)
        path = "/".join(str(next(numbers)) if expanded and part == "*" else part for part in node.path.split("/"))
        lines.append((path, str(output), node.signature.flops * backend.times, backend.times))

    evaluator = Evaluator(TypeBackend(visit, expanded), {Ref("words"): spec.graph.inputs["words"]}, {})
    evaluator.nodes(spec.graph.nodes, tuple(spec.graph.outputs.values()))
    table = dlc.show(spec, expanded)
    assert lines == [(row.path, str(row.output), row.flops, row.times) for row in table.rows]
    assert {name: evaluator.values[ref] for name, ref in spec.graph.outputs.items()} == dict(spec.graph.types)
    assert sum(flops for _, _, flops, _ in lines) == table.flops


def test_the_backend_of_types_needs_no_jax() -> None:
    program = (
        "import sys, dlc\n"
        f"print(len(dlc.show(dlc.loads({NETWORK!r})).rows))\n"
        "assert not {'jax', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_both_backends_see_the_same_values() -> None:
    """Types and arrays agree at every layer."""
    spec = dlc.loads(NETWORK.replace("repeat:", "repeat:\n      unroll: true"))
    program = dlc.compile(spec)
    types: dict[str, Any] = {}
    walk = TypeBackend(lambda node, _, output: types.update({node.path: output}))
    Evaluator(walk, {Ref("words"): spec.graph.inputs["words"]}, {}).nodes(spec.graph.nodes, ())
    arrays: dict[str, Any] = {}
    recorded = ArrayBackend.computed

    def computed(self: ArrayBackend, node: TypedNode, outcome: Any, values: Any) -> None:
        arrays[node.path] = values[0].shape[1:]
        recorded(self, node, outcome, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArrayBackend, "computed", computed)
        jax.eval_shape(program.apply, program.declared(), {"words": jnp.zeros((2, 6), jnp.int32)})
    assert arrays == {path: kind.shape[1:] for path, kind in types.items()}


# ---- what apply raises ----


def spec_of_plugin(folder: Path, module: str, error: str, network: str = "[dense: 3, broken]") -> Any:
    (folder / f"{module}.py").write_text(PLUGIN.format(error=error, module=module))
    return loaded(folder, module, network)


def loaded(folder: Path, module: str, network: str) -> Any:
    path = folder / "spec.yaml"
    path.write_text(f"plugins: [{module}]\ninputs: {{x: {{tensor: [4]}}}}\nnetwork: {network}\n")
    allow_plugins()
    try:
        return dlc.load(path)
    finally:
        allow_plugins(False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ValueError('the  sizes\\ndiffer')", "ValueError: the sizes differ"),
        ("TypeError()", "TypeError"),
        ("KeyError('scale')", "KeyError: 'scale'"),
    ],
)
@pytest.mark.parametrize("network", ["[dense: 3, broken]", "[dense: 3, repeat: {times: 8, layers: [broken]}]"])
def test_an_error_of_a_plugins_layer_names_it(tmp_path: Path, error: str, said: str, network: str) -> None:
    module = f"broken_{abs(hash((error, network)))}"
    program = dlc.compile(spec_of_plugin(tmp_path, module, error, network))
    with pytest.raises(SpecError) as caught:
        program.apply(program.init(0), {"x": jnp.ones((2, 4))})
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC214"
    assert item.message == f"the layer `broken` of the plugin `{module}` failed in `apply`: {said}"
    assert item.found == f"{module}.py, line 13"
    assert item.span is not None and item.span.line == 3
    assert item.notes[0].message.endswith("broken`, its input f32[batch, 3]")
    assert caught.value.__cause__ is not None


def test_an_error_in_training_names_the_layer(tmp_path: Path) -> None:
    """Also within a segment that the backward pass computes again, and its gradient."""
    network = "[dense: 3, {broken: {}, rematerialize: true}]"
    program = dlc.compile(spec_of_plugin(tmp_path, "broken_in_training", "ValueError('no')", network))
    variables = program.init(0)

    def total(params: Any) -> Any:
        inputs = {"x": jnp.ones((2, 4))}
        outputs, _ = program.apply({**variables, "params": params}, inputs, key=jax.random.key(0), train=True)
        return outputs["output"].sum()

    with pytest.raises(SpecError, match="DLC214: the layer `broken` of the plugin `broken_in_training`"):
        jax.jit(jax.grad(total))(variables["params"])


def test_lack_of_memory_is_not_the_layers_fault(tmp_path: Path) -> None:
    for index, error in enumerate(("MemoryError()", "__import__('jax').errors.JaxRuntimeError('RESOURCE_EXHAUSTED')")):
        program = dlc.compile(spec_of_plugin(tmp_path, f"short_{index}", error))
        with pytest.raises((MemoryError, jax.errors.JaxRuntimeError)):
            program.apply(program.init(0), {"x": jnp.ones((2, 4))})


def test_an_error_of_a_layer_of_dlc_names_it() -> None:
    program = dlc.compile(dlc.loads("inputs: {x: {tensor: [4]}}\nnetwork: [dense: 3]"))
    with pytest.raises(SpecError, match="DLC214: the layer `dense` of dlc failed in `apply`: TypeError"):
        program.apply(program.init(0), {"x": jnp.ones((2, 5))})


# ---- what apply returns ----

RETURNING = """
from dataclasses import replace

import jax
import jax.numpy as jnp

from dlc.ir import ONES, Layer, Outcome, ParamSpec, Signature, TensorType


class Returning(Layer):
    '''(*shape) -> (*shape): returns something else.'''

    word = "broken"

    def infer(self, x):
        return Signature({declared})

    def apply(self, weights, x, *, ctx):
        return {returned}

LAYERS = {{"broken": "{module}:Returning"}}
"""


@pytest.mark.parametrize(
    ("declared", "returned", "message"),
    [
        ("x", "x[:, :2]", "returned f32[5, 2], but `infer` declared f32[batch, 3]"),
        ("x", "x[:1]", "returned f32[1, 3], but `infer` declared f32[batch, 3]"),
        ("x", "x[..., None]", "returned f32[5, 3, 1], but `infer` declared f32[batch, 3]"),
        ("x", "x.sum()", "returned f32[], but `infer` declared f32[batch, 3]"),
        ("x", "None", "returned None, but `infer` declared f32[batch, 3]"),
        ("x", "[x]", "returned a value of type list, but `infer` declared f32[batch, 3]"),
        ("x", "x.astype(jnp.bfloat16)", "returned bf16[5, 3], but `infer` declared f32[batch, 3]"),
        ("x", "x > 0", "returned bool[5, 3], but `infer` declared f32[batch, 3]"),
        ("x.of('i32')", "x", "returned f32[5, 3], but `infer` declared i32[batch, 3]"),
        (
            "x, results={'last': x}",
            "Outcome(x, results={'last': x[:, 0]})",
            "returned `last` as f32[5], but `infer` declared f32[batch, 3]",
        ),
        ("x, results={'last': x}", "x", "returned the results [], but `infer` declared ['last']"),
    ],
)
@pytest.mark.parametrize("network", ["[dense: 3, broken]", "[dense: 3, repeat: {times: 8, layers: [broken]}]"])
def test_a_result_of_another_type_than_declared_names_the_layer(
    tmp_path: Path, declared: str, returned: str, message: str, network: str
) -> None:
    if "repeat" in network and declared != "x":
        return  # the checker refuses the repeat
    module = f"returning_{abs(hash((declared, returned, network)))}"
    (tmp_path / f"{module}.py").write_text(RETURNING.format(declared=declared, returned=returned, module=module))
    program = dlc.compile(loaded(tmp_path, module, network))
    with pytest.raises(SpecError) as caught:
        program.apply(program.init(0), {"x": jnp.ones((5, 4))})
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC214" and item.message == f"the layer `broken` of the plugin `{module}` {message}"
    assert item.span is not None and item.span.line == 3 and "broken`, its input" in item.notes[0].message


def test_half_precision_may_be_computed_in_float32(tmp_path: Path) -> None:
    module = "returning_wide"
    (tmp_path / f"{module}.py").write_text(
        RETURNING.format(declared="x", returned="x.astype(jnp.float32)", module=module)
    )
    program = dlc.compile(loaded(tmp_path, module, "[dense: 3, broken]\nprecision: bfloat16"))
    program.apply(program.init(0), {"x": jnp.ones((5, 4))})


def test_a_missing_state_names_the_layer(tmp_path: Path) -> None:
    module = "returning_no_state"
    declared = "x, state={'mean': ParamSpec((3,), ONES, trainable=False)}"
    (tmp_path / f"{module}.py").write_text(RETURNING.format(declared=declared, returned="x", module=module))
    program = dlc.compile(loaded(tmp_path, module, "[dense: 3, broken]"))
    with pytest.raises(SpecError, match=r"`apply` returned the state \[\], but `infer` declared \['mean'\]"):
        program.apply(program.init(0), {"x": jnp.ones((5, 4))}, key=jax.random.key(0), train=True)


@pytest.mark.parametrize("random", [False, True])
def test_a_missing_random_key_is_explained(tmp_path: Path, random: bool) -> None:
    module = f"returning_random_{random}"
    code = RETURNING.format(declared="x", returned="x + jax.random.normal(ctx.key, x.shape)", module=module)
    code = code.replace('word = "broken"', f'word = "broken"\n    random = {random}')
    (tmp_path / f"{module}.py").write_text(code)
    program = dlc.compile(loaded(tmp_path, module, "[dense: 3, broken]"))
    with pytest.raises(SpecError) as caught:
        program.apply(program.init(0), {"x": jnp.ones((5, 4))}, key=jax.random.key(0), train=not random)
    hint = caught.value.report.diagnostics[0].hint
    assert (
        hint is not None and ("where `ctx.train` is true" if random else "set `random = True` in `Returning`") in hint
    )


def test_sizes_are_compared_through_formulas() -> None:
    """A symbol has one size in a network, and a formula of symbols has the size that it comes to."""
    from dlc.ir.declared import _fits

    sizes: dict[str, int] = {}
    assert _fits((2, 7), TensorType(("batch", "time")), sizes, False)
    assert _fits((2, 5), TensorType(("batch", "time - 2")), sizes, False)
    assert not _fits((2, 4), TensorType(("batch", "time - 2")), sizes, False)
    assert not _fits((3, 7), TensorType(("batch", "time")), sizes, False)
    assert _fits((2, 1), TensorType(("batch", "time")), sizes, True)


def test_a_network_of_symbolic_sizes_is_traced() -> None:
    """An export has symbols of its own for sizes that are not known."""
    spec = dlc.loads("inputs: {x: {tensor: [time, 4]}}\nnetwork: [conv1d: {filters: 2, kernel: 3}, relu]\n")
    program = dlc.compile(spec)
    batch, time = jax.export.symbolic_shape("batch, time")
    x = jax.ShapeDtypeStruct((batch, time, 4), jnp.float32)
    found = jax.export.export(jax.jit(lambda x: program.apply(program.init(0), {"x": x})[0]["output"]))(x)
    assert found.out_avals[0].shape[-1] == 2
