"""Values computed again in the backward pass instead of kept: the same numbers from fewer residuals."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals

import dlc
import dlc.frontend.summary
from dlc.backend.network import Program
from dlc.frontend.pipeline import check_text
from dlc.ir import Segment
from tests.common import SMALL

BODY = "[layer_norm, {dense: {units: 12, activation: gelu}}, {dense: 6}, {batch_norm: 0.9}, {dropout: 0.3}]"
NETWORK = f"""
inputs: {{x: {{tensor: [8, 6]}}}}
network:
  - dense: 6
  - masking
  - repeat: {{times: 2, UNROLL layers: [{{residual: {BODY} INNER}}]}}
    name: stack
    AROUND
  - residual: {BODY}
    name: last
    AROUND
  - lstm: 4
    name: reader
    AROUND
  - gaussian_sample: 0.1
    inputs: [reader, reader.cell]
    AROUND
  - dense: 2
"""


def text(around: str = "", inner: str = "", unroll: bool = False) -> str:
    found = NETWORK.replace("    AROUND\n", f"    rematerialize: {around}\n" if around else "")
    found = found.replace("INNER", f", rematerialize: {inner}" if inner else "")
    return found.replace("UNROLL", "unroll: true," if unroll else "")


def inputs() -> dict[str, Any]:
    x = np.random.default_rng(0).normal(size=(3, 8, 6)).astype(np.float32)
    x[1:, 6:] = 0  # which `masking` hides
    return {"x": x}


def loss_of(program: Program) -> Any:
    variables = program.init(0)

    def loss(params: Any) -> Any:
        results = program.run({**variables, "params": params}, inputs(), key=jax.random.key(0), train=True)
        return jnp.square(results.outputs["output"]).sum() + results.penalty.sum(), (results.state, results.outputs)

    return loss, variables["params"]


@cache
def measured(around: str = "", inner: str = "", unroll: bool = False) -> tuple[Any, int, int]:
    """Values, state and gradients by file name; bytes of temporaries; how many values the forward pass keeps."""
    program = dlc.compile(dlc.loads(text(around, inner, unroll)))
    loss, params = loss_of(program)
    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(params).compile()
    (value, (state, outputs)), gradients = compiled(params)
    flat = program.to_flat({"params": jax.tree.map(np.asarray, gradients), "state": jax.tree.map(np.asarray, state)})
    memory = compiled.memory_analysis()
    assert memory is not None
    return {**flat, "loss": value, **outputs}, int(memory.temp_size_in_bytes), residuals(loss, params)


def residuals(loss: Any, params: Any) -> int:
    """Bytes that the forward pass keeps for the backward pass, without the weights, which are there anyway."""
    import contextlib
    import io
    import re

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_saved_residuals(lambda p: loss(p)[0], params)
    total = 0
    for line in printed.getvalue().splitlines():
        found = re.match(r"(f32|bool|i32|u32)\[([\d,]*)\] (?!from the argument)", line)
        if found:
            size = int(np.prod([int(part) for part in found[2].split(",") if part]))
            total += size * (1 if found[1] == "bool" else 4)
    return total


CASES = [("true", "", False), ("dots", "true", False), ("true", "", True)]


@pytest.mark.few(1)
@pytest.mark.parametrize(("around", "inner", "unroll"), CASES)
def test_numbers_stay_and_less_is_kept(around: str, inner: str, unroll: bool) -> None:
    """Loss, outputs, statistics and gradients, with dropout, masks, a penalty and a scan inside."""
    want, memory, kept = measured(unroll=unroll)
    got, less_memory, less_kept = measured(around, inner, unroll)
    assert set(got) == set(want)
    largest = max(float(np.abs(value).max()) for value in want.values())
    for name, value in want.items():  # some gradients are zero but for rounding: a bias before a norm
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-6 * largest, err_msg=name)
    assert less_kept < 0.9 * kept
    if not unroll:
        assert less_memory < memory


def test_what_is_kept_follows_the_policy() -> None:
    """Nothing within an iteration but its input; the products of matrices with `dots`; all of it without."""
    programs = [dlc.compile(dlc.loads(text(around))) for around in ("true", "dots", "")]
    nothing, dots, whole = (residuals(*loss_of(program)) for program in programs)
    assert nothing < dots < whole


def test_an_iteration_keeps_its_input_alone() -> None:
    """A repeat of wide layers: (times, batch, 4) is kept, and no value of the 64 units."""
    source = (
        "inputs: {x: {tensor: [4]}}\nnetwork: [{repeat: {times: 5, layers: "
        "[{dense: {units: 64, activation: tanh}}, {dense: {units: 64, activation: tanh}}, {dense: 4}]} MORE}]\n"
    )
    kept = {}
    for more in ("", ", rematerialize: true"):
        program = dlc.compile(dlc.loads(source.replace(" MORE", more)))
        variables, x = program.init(0), np.ones((2, 4), np.float32)

        def loss(params: Any, program: Program = program, x: Any = x) -> Any:
            return program.run({"params": params, "state": {}}, {"x": x}, train=True).outputs["output"].sum(), None

        kept[more] = residuals(loss, variables["params"])
    assert kept[""] > 5 * 2 * 64 * 4 * 2
    assert kept[", rematerialize: true"] < 5 * 2 * 4 * 4 + 200


SKIPS = """
inputs: {words: {tokens: {vocabulary: 7, padding: 0}}}
network:
  - {embedding: {vocabulary: 7, size: 4}, name: table}
  - {layer_norm: , name: skip}
  - {dense: 4, name: other}
  - repeat: {times: 2, layers: [{residual: [dense: 4, add: [previous, skip]]}]}
  - add: [previous, other]
  - {lstm: {units: 3, return_sequences: true}, name: read}
  - {global_avg_pool1d: , name: pooled}
outputs: {all: read, pooled: pooled, state: read.cell}
"""


def test_values_and_masks_leave_a_segment() -> None:
    """Read by a loop, by a sum, by a layer that needs the mask, and as outputs."""
    plain = dlc.compile(dlc.loads(SKIPS))
    said = SKIPS
    for name in ("table", "skip", "other", "read", "pooled"):
        said = said.replace(f"name: {name}}}", f"name: {name}, rematerialize: true}}")
    remade = dlc.compile(dlc.loads(said))
    variables, words = plain.init(0), {"words": np.array([[1, 2, 3, 0], [4, 5, 0, 0]])}
    words["words.mask"] = words["words"] != 0
    one, other = (program.run(variables, words, key=jax.random.key(0), train=True) for program in (plain, remade))
    assert set(one.masks) == set(other.masks) == {"all"}
    for name, value in one.outputs.items():
        np.testing.assert_allclose(other.outputs[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
    np.testing.assert_array_equal(one.masks["all"], other.masks["all"])


def test_a_run_learns_the_same() -> None:
    """A whole training run, statistics and dropout among it: the losses of every epoch are those without."""
    source = SMALL.replace(
        "  - dense: {units: 8, activation: relu}\n  - batch_norm: 0.9\n  - dropout: 0.2\n", "  - unit\n"
    )
    block = "blocks: {unit: {layers: [{dense: {units: 8, activation: relu}}, {batch_norm: 0.9}, {dropout: 0.2}]}}\n"
    plain = dlc.train(dlc.loads(source + block)).history
    remade = dlc.train(dlc.loads(source.replace("- unit\n", "- unit:\n    rematerialize: true\n") + block)).history
    for one, other in zip(plain, remade, strict=True):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=2e-3)


def test_evaluation_is_the_program_without() -> None:
    """Of a repeat that is a loop either way."""
    plain, remade = (dlc.compile(dlc.loads(text(around).replace("times: 2", "times: 5"))) for around in ("", "true"))
    texts = [str(jax.make_jaxpr(lambda v, p=p: p.run(v, inputs()).outputs)(p.declared())) for p in (plain, remade)]
    assert texts[0] == texts[1]
    assert "checkpoint" not in texts[0]


def test_show_counts_what_is_kept() -> None:
    """The residual keeps its own result; inside the repeat an iteration keeps its last one."""

    def table(source: str) -> dlc.frontend.summary.Table:
        return dlc.show(dlc.loads(f"inputs: {{x: {{tensor: [6]}}}}\nnetwork: {source}\n"))

    inner = "[{dense: 12}, relu, dense: 6]"
    assert table(f"[{{residual: {inner}}}]").activation_bytes == 4 * (12 + 12 + 6 + 6)
    found = table(f"[{{residual: {inner}, rematerialize: true}}]")
    assert (found.activation_bytes, found.remade) == (4 * 6, True)
    assert table(f"[{{residual: {inner}, rematerialize: dots}}]").activation_bytes == 4 * (12 + 6 + 6)
    repeated = table(f"[{{repeat: {{times: 5, layers: {inner}}}, rematerialize: true}}, dense: 2]")
    assert repeated.activation_bytes == 4 * (5 * 6 + 2)
    half = dlc.show(dlc.loads("inputs: {x: {tensor: [6]}}\nprecision: bfloat16\nnetwork: [dense: 4]\n"))
    assert half.activation_bytes == 2 * 4


def segments(source: str) -> dict[str, tuple[Segment, ...]]:
    spec = dlc.loads(f"inputs: {{x: {{tensor: [6]}}}}\nnetwork:\n{source}")
    return {node.path: node.segments for node, _ in spec.graph.walk()}


def test_items_open_segments_and_close_them() -> None:
    found = segments(
        "  - residual: [dense: 6, {dense: 6, rematerialize: dots}, {relu: , rematerialize: false}, tanh]\n"
        "    rematerialize: true\n    name: a\n"
    )
    whole = Segment("a")
    assert found == {
        "a/dense": (whole,),
        "a/dense_2": (whole, Segment("a/dense_2", "dots")),
        "a/relu": (),
        "a/tanh": (whole,),
        "a": (whole,),
    }


def test_iterations_are_segments_of_their_own() -> None:
    body = "{times: 2, unroll: true, layers: [dense: 6, {relu: , rematerialize: true}]}"
    found = segments(f"  - repeat: {body}\n    rematerialize: true\n")
    assert found["repeat/0/dense"] == (Segment("repeat", iteration="repeat/0"),)
    assert found["repeat/1/dense"] == (Segment("repeat", iteration="repeat/1"),)
    assert found["repeat/1/relu"][1].iteration == "repeat/1"


def test_a_shared_item_is_computed_again_where_it_stands() -> None:
    """What is computed again is said where an item stands, and by the item itself; not by what is around the first."""
    found = segments(
        "  - {dense: 6, name: a, rematerialize: true}\n"
        "  - residual:\n      - share: a\n"
        "    rematerialize: dots\n    name: b\n"
        "  - share: a\n"
    )
    assert found["a"] == (Segment("a"),)
    assert found["b/share"] == (Segment("b", "dots"), Segment("b/share"))
    assert found["share"] == (Segment("share"),)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[{dense: 2, rematerialize: false}]", ["DLC303"]),
        ("[{residual: [{dense: 6, rematerialize: false}, {relu: }], rematerialize: true}]", []),
        ("[{repeat: {times: 2, layers: [{dense: 6, rematerialize: false}]}, rematerialize: true}]", ["DLC303"]),
        ("[{dense: 2, rematerialize: never}]", ["DLC104"]),
        ("[{dense: 2, rematerialize: 1}]", ["DLC104"]),
        ("[{dense: {units: 2, rematerialize: true}}]", ["DLC101"]),
    ],
)
def test_what_is_wrong_with_it(source: str, expected: list[str]) -> None:
    assert list(check_text(f"inputs: {{x: {{tensor: [6]}}}}\nnetwork: {source}\n")[1].codes) == expected
