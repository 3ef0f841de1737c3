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
    assert item.message == f"`broken` of the plugin `{module}` failed to compute its result: {said}"
    assert item.found == "f32[batch, 3]"
    assert item.span is not None and item.span.line == 3
    assert item.notes[0].message.endswith("broken`")
    assert item.hint == f"the error is in `Broken.apply` of `{module}`"
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

    with pytest.raises(SpecError, match="DLC214: `broken` of the plugin `broken_in_training`"):
        jax.jit(jax.grad(total))(variables["params"])


def test_lack_of_memory_is_not_the_layers_fault(tmp_path: Path) -> None:
    for index, error in enumerate(("MemoryError()", "__import__('jax').errors.JaxRuntimeError('RESOURCE_EXHAUSTED')")):
        program = dlc.compile(spec_of_plugin(tmp_path, f"short_{index}", error))
        with pytest.raises((MemoryError, jax.errors.JaxRuntimeError)):
            program.apply(program.init(0), {"x": jnp.ones((2, 4))})


def test_an_error_of_a_layer_of_dlc_names_it() -> None:
    program = dlc.compile(dlc.loads("inputs: {x: {tensor: [4]}}\nnetwork: [dense: 3]"))
    with pytest.raises(SpecError, match="DLC214: `dense` of dlc failed to compute its result: TypeError"):
        program.apply(program.init(0), {"x": jnp.ones((2, 5))})
