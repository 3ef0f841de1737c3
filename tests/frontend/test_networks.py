"""Networks: sequences, names, blocks, residuals, branches, repeats, shared and tied weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dlc
from dlc.frontend.pipeline import check_text
from dlc.ir import (
    Ref,
    TypedGraph,
    TypedRepeat,
    verify,
)


def graph_of(network: str, inputs: str = "{x: {tensor: [4]}}", more: str = "") -> TypedGraph:
    spec, report = check_text(f"inputs: {inputs}\nnetwork: {network}\n{more}")
    assert spec is not None, report.diagnostics
    verify(spec.graph)
    return spec.graph


def codes_of(network: str, inputs: str = "{x: {tensor: [4]}}", more: str = "") -> tuple[str, ...]:
    return check_text(f"inputs: {inputs}\nnetwork: {network}\n{more}")[1].codes


def paths(graph: TypedGraph) -> list[str]:
    return [node.path for node, _ in graph.walk()]


def reads(graph: TypedGraph) -> dict[str, list[str]]:
    return {node.path: [str(ref) for ref in node.inputs] for node, _ in graph.walk()}


# ---- sequences and names ----


def test_a_list_is_a_sequence() -> None:
    graph = graph_of("[dense: 3, relu, dense: 2]")
    assert reads(graph) == {"dense": ["x"], "relu": ["dense"], "dense_2": ["relu"]}
    assert graph.outputs == {"output": Ref("dense_2")}
    assert str(graph.types["output"]) == "f32[batch, 2]"


def test_inserting_another_kind_renames_nothing() -> None:
    before = set(paths(graph_of("[dense: 3, dense: 4, relu]")))
    after = set(paths(graph_of("[dense: 3, layer_norm, tanh, dense: 4, relu]")))
    assert before == {"dense", "dense_2", "relu"}
    assert before < after


def test_names_given_and_made_do_not_collide() -> None:
    network = "[dense: 3, {dense: 3, name: dense_2}, dense: 3, {relu: , name: dense_3}, dense: 4]"
    assert paths(graph_of(network)) == ["dense", "dense_2", "dense_4", "dense_3", "dense_5"]


def test_an_input_may_be_named_like_a_layer() -> None:
    assert paths(graph_of("[dense: 3]", "{dense: {tensor: [4]}}")) == ["dense_2"]


def test_inputs_name_others() -> None:
    network = "[{dense: 3, name: a}, {dense: 3, inputs: x}, {add: [previous, a]}, {concat: , inputs: [previous, x, a]}]"
    assert reads(graph_of(network)) == {
        "a": ["x"],
        "dense": ["x"],
        "add": ["dense", "a"],
        "concat": ["add", "x", "a"],
    }


def test_several_inputs() -> None:
    graph = graph_of("[{dense: 3, inputs: a}, {concat: [previous, b]}]", "{a: {tensor: [4]}, b: {tensor: [2]}}")
    assert reads(graph) == {"dense": ["a"], "concat": ["dense", "b"]}


def test_outputs() -> None:
    network = "[{dense: 3, name: a}, {dense: 2, name: b}]"
    graph = graph_of(network, more="outputs: {first: a, last: previous, same: b, given: x}")
    assert graph.outputs == {"first": Ref("a"), "last": Ref("b"), "same": Ref("b"), "given": Ref("x")}
    assert {name: kind.shape[-1] for name, kind in graph.types.items()} == {
        "first": 3,
        "last": 2,
        "same": 2,
        "given": 4,
    }


# ---- residual and parallel ----


def test_residual() -> None:
    graph = graph_of("[{residual: [dense: 4, relu], name: r}, dense: 2]")
    assert reads(graph) == {"r/dense": ["x"], "r/relu": ["r/dense"], "r": ["r/relu", "x"], "dense": ["r"]}


def test_residual_with_shortcut_and_activation() -> None:
    graph = graph_of("[{residual: {layers: [dense: 5], shortcut: [{dense: 5}], activation: relu}}]")
    assert reads(graph) == {
        "residual/dense": ["x"],
        "residual/shortcut/dense": ["x"],
        "residual": ["residual/dense", "residual/shortcut/dense"],
        "residual/activation": ["residual"],
    }
    assert graph.outputs == {"output": Ref("residual/activation")}


def test_names_outside_are_seen_inside() -> None:
    graph = graph_of("[{dense: 4, name: a}, {dense: 4, name: b}, {residual: [add: [previous, a]]}]")
    assert reads(graph)["residual/add"] == ["b", "a"]


@pytest.mark.parametrize("inner", ["{dense: 4, name: shortcut}", "{dense: 4, name: activation}"])
def test_parts_of_a_residual_keep_their_names(inner: str) -> None:
    network = f"[residual: {{layers: [{inner}], shortcut: [dense: 4], activation: relu}}]"
    assert codes_of(network) == ("DLC202",)
    assert codes_of(f"[residual: [{inner}]]") == ()


def test_parallel_list() -> None:
    graph = graph_of("[parallel: {branches: [[dense: 3], [dense: 2, relu]], merge: concat}]")
    assert reads(graph) == {
        "parallel/0/dense": ["x"],
        "parallel/1/dense": ["x"],
        "parallel/1/relu": ["parallel/1/dense"],
        "parallel": ["parallel/0/dense", "parallel/1/relu"],
    }
    assert str(graph.types["output"]) == "f32[batch, 5]"


def test_parallel_mapping_and_merge_options() -> None:
    branches = "{deep: [reshape: [2, 2]], wide: [dense: 4, reshape: [2, 2]]}"
    graph = graph_of(f"[parallel: {{branches: {branches}, merge: {{concat: {{axis: 1}}}}}}]")
    assert str(graph.types["output"]) == "f32[batch, 4, 2]"
    assert "parallel/deep/reshape" in paths(graph)
    assert (
        str(graph_of("[parallel: {branches: {a: [dense: 3], b: [dense: 3]}, merge: add}]").types["output"])
        == "f32[batch, 3]"
    )


# ---- repeat ----


def test_repeat_that_agrees_stays_one_unit() -> None:
    graph = graph_of("[dense: 8, {repeat: {times: 3, layers: [dense: 8, relu]}, name: body}, dense: 2]")
    (repeat,) = [node for node in graph.nodes if isinstance(node, TypedRepeat)]
    assert (repeat.path, repeat.times, str(repeat.input), str(repeat.output)) == ("body", 3, "dense", "body/*/relu")
    assert [node.path for node in repeat.body] == ["body/*/dense", "body/*/relu"]
    assert [times for _, times in graph.walk()] == [(), (range(3),), (range(3),), ()]
    assert reads(graph)["body/*/dense"] == ["body/*"]
    assert reads(graph)["dense_2"] == ["body"]


def test_repeat_that_changes_shape_is_unrolled() -> None:
    graph = graph_of("[repeat: {times: 3, layers: [conv2d: 3]}, flatten]", "{x: {tensor: [8, 8, 1]}}")
    assert paths(graph) == ["repeat/0/conv2d", "repeat/1/conv2d", "repeat/2/conv2d", "flatten"]
    assert reads(graph)["repeat/1/conv2d"] == ["repeat/0/conv2d"]
    assert reads(graph)["flatten"] == ["repeat/2/conv2d"]
    assert [node.weights for node, _ in graph.walk()] == paths(graph)


def test_repeat_of_one_and_unrolled_output() -> None:
    graph = graph_of("[repeat: {times: 1, layers: [dense: 3]}]")
    assert graph.outputs == {"output": Ref("repeat/0/dense")}
    assert paths(graph) == ["repeat/0/dense"]


def test_nested_repeats() -> None:
    graph = graph_of("[repeat: {times: 2, layers: [repeat: {times: 3, layers: [dense: 4]}, relu]}]")
    (outer,) = graph.nodes
    assert isinstance(outer, TypedRepeat)
    inner = outer.body[0]
    assert isinstance(inner, TypedRepeat)
    assert (outer.times, inner.times, inner.path) == (2, 3, "repeat/*/repeat")
    assert [(node.path, times) for node, times in graph.walk()] == [
        ("repeat/*/repeat/*/dense", (range(2), range(3))),
        ("repeat/*/relu", (range(2),)),
    ]


def test_nested_repeat_in_an_unrolled_one() -> None:
    network = "[repeat: {times: 2, layers: [conv2d: 2, repeat: {times: 2, layers: [relu]}]}, flatten]"
    graph = graph_of(network, "{x: {tensor: [8, 8, 1]}}")
    assert paths(graph) == [
        "repeat/0/conv2d",
        "repeat/0/repeat/*/relu",
        "repeat/1/conv2d",
        "repeat/1/repeat/*/relu",
        "flatten",
    ]
    assert reads(graph)["repeat/1/conv2d"] == ["repeat/0/repeat"]
    assert reads(graph)["flatten"] == ["repeat/1/repeat"]


def test_unrolled_repeat_in_a_scanned_one() -> None:
    body = "[repeat: {times: 2, layers: [conv2d: {filters: 3, kernel: 1}]}]"
    graph = graph_of(f"[repeat: {{times: 2, layers: {body}}}, flatten]", "{x: {tensor: [8, 8, 1]}}")
    assert paths(graph)[:2] == ["repeat/0/repeat/0/conv2d", "repeat/0/repeat/1/conv2d"]
    assert reads(graph)["repeat/1/repeat/*/conv2d"] == ["repeat/1/repeat/*"]


def test_repeat_sees_outside_and_may_read_it() -> None:
    graph = graph_of("[{dense: 4, name: a}, dense: 4, {repeat: {times: 2, layers: [add: [previous, a]]}}]")
    assert reads(graph)["repeat/*/add"] == ["repeat/*", "a"]


# ---- blocks ----

BLOCKS = """blocks:
  wide:
    params: {units: int, rate: 0.5}
    layers: [dense: $units, dropout: $rate]
  pair:
    inputs: [left, right]
    layers: [{add: [left, right]}, {wide: {units: 4}}]
"""


def test_block() -> None:
    graph = graph_of(
        "[{wide: 8, name: w}, wide: {units: 3, rate: 0.1}]",
        more="blocks: {wide: {params: {units: int, rate: 0.5}, layers: [dense: $units, dropout: $rate]}}",
    )
    assert reads(graph) == {
        "w/dense": ["x"],
        "w/dropout": ["w/dense"],
        "wide/dense": ["w/dropout"],
        "wide/dropout": ["wide/dense"],
    }
    assert [dict(node.layer).get("rate") for node, _ in graph.walk()] == [None, 0.5, None, 0.1]


def test_block_in_block_and_block_inputs() -> None:
    graph = graph_of("[{dense: 4, name: a}, {pair: , inputs: [a, x]}, wide: 2]", more=BLOCKS)
    assert reads(graph) == {
        "a": ["x"],
        "pair/add": ["a", "x"],
        "pair/wide/dense": ["pair/add"],
        "pair/wide/dropout": ["pair/wide/dense"],
        "wide/dense": ["pair/wide/dropout"],
        "wide/dropout": ["wide/dense"],
    }


def test_names_in_blocks_are_their_own() -> None:
    more = "blocks: {b: {layers: [{dense: 4, name: a}, {dense: 4, name: x}, {add: [a, x]}]}}"
    graph = graph_of("[{dense: 4, name: a}, b, {b: , name: c}]", more=more)
    assert reads(graph)["b/add"] == ["b/a", "b/x"]
    assert reads(graph)["c/add"] == ["c/a", "c/x"]


def test_a_error_in_a_block_is_reported_once_with_its_use() -> None:
    more = "blocks: {b: {layers: [{dense: {unist: 3}}]}}"
    (item,) = check_text(f"inputs: {{x: {{tensor: [4]}}}}\nnetwork: [b, b, b]\n{more}")[1].diagnostics
    assert item.code == "DLC101"
    assert [note.span.line for note in item.notes if note.span] == [2]


# ---- shared weights ----


def weights(graph: TypedGraph) -> dict[str, str]:
    return {node.path: node.weights for node, _ in graph.walk()}


def test_share_beside_a_layer() -> None:
    graph = graph_of("[{dense: 4, name: a}, {dense: {units: 4, activation: relu}, share: a}]")
    assert weights(graph) == {"a": "a", "dense": "a"}


def test_share_as_an_item() -> None:
    graph = graph_of("[{dense: 4, name: a}, {share: a, name: b}, share: a, {add: [b, previous]}]")
    assert weights(graph) == {"a": "a", "b": "a", "share": "a", "add": "add"}
    assert reads(graph)["share"] == ["b"]


def test_share_of_a_share_keeps_the_first_weights() -> None:
    graph = graph_of("[{dense: 4, name: a}, {share: a, name: b}, share: b]")
    assert set(weights(graph).values()) == {"a"}


def test_share_of_containers_and_blocks() -> None:
    more = "blocks: {twice: {layers: [dense: 4, dense: 4]}}"
    network = "[{residual: [dense: 4], name: r}, share: r, {twice: , name: t}, {share: t, inputs: r}]"
    graph = graph_of(network.replace("{share: t, inputs: r}", "share: t"), more=more)
    assert weights(graph)["share/dense"] == "r/dense"
    assert weights(graph)["share_2/dense_2"] == "t/dense_2"


def test_share_of_an_outer_item_in_a_repeat() -> None:
    graph = graph_of("[{dense: 4, name: a}, {repeat: {times: 2, layers: [share: a]}}]")
    assert weights(graph) == {"a": "a", "repeat/*/share": "a"}
    assert isinstance(graph.nodes[1], TypedRepeat)


def test_shared_state_unrolls_a_repeat() -> None:
    """A scan can't carry running statistics that belong to a layer outside of it."""
    graph = graph_of("[{batch_norm: , name: n}, {repeat: {times: 2, layers: [share: n]}}]")
    assert weights(graph) == {"n": "n", "repeat/0/share": "n", "repeat/1/share": "n"}


# ---- tie: an embedding's weights once more ----

TOKENS = "{a: {category: 5}, b: {category: 5}}"
TWO = "{stack: [a, b]}, {embedding: {vocabulary: 5, size: 4}, name: tokens}"


def test_tie_uses_the_weights_of_an_embedding() -> None:
    graph = graph_of(f"[{TWO}, {{tie: tokens, name: logits}}]", TOKENS)
    assert weights(graph) == {"stack": "stack", "tokens": "tokens", "logits": "tokens"}
    assert str(graph.types["output"]) == "f32[batch, 2, 5]"
    assert weights(graph_of(f"[{TWO}, {{tie: {{item: tokens}}}}]", TOKENS))["tie"] == "tokens"


def test_tied_weights_are_counted_and_kept_once() -> None:
    spec, _ = check_text(f"inputs: {TOKENS}\nnetwork: [{TWO}, tie: tokens]\n")
    assert spec is not None
    assert dlc.show(spec).params == 20
    program = dlc.compile(spec)
    assert set(program.params) == {"tokens/embedding"}


def test_a_tied_embedding_gets_gradients_from_both_uses() -> None:
    program = dlc.compile(dlc.loads(f"inputs: {TOKENS}\nnetwork: [{TWO}, tie: tokens]\n"))
    variables = program.init(0)
    feed = {"a": np.array([0, 1], np.int32), "b": np.array([1, 3], np.int32)}
    table = variables["params"]["tokens"]["embedding"]
    ids = np.array([[0, 1], [1, 3]])
    pull = np.random.default_rng(0).normal(size=(2, 2, 5)).astype(np.float32)

    def total(table: Any) -> Any:
        kept = {**variables, "params": {"tokens": {"embedding": table}}}
        return (program.apply(kept, feed)[0]["output"] * pull).sum()

    want = np.einsum("btv,btd->vd", pull, table[ids])  # as the output's kernel
    np.add.at(want, ids, pull @ table)  # as the table that was read
    np.testing.assert_allclose(jax.grad(total)(jnp.asarray(table)), want, rtol=1e-5, atol=1e-6)


def test_tie_in_a_repeat() -> None:
    network = f"[{TWO}, {{repeat: {{times: 2, layers: [{{tie: tokens}}, softmax, dense: 4]}}}}]"
    graph = graph_of(network, TOKENS)
    assert isinstance(graph.nodes[2], TypedRepeat)
    assert weights(graph)["repeat/*/tie"] == "tokens"


@pytest.mark.parametrize(
    ("items", "code", "hint"),
    [
        ("{dense: 4, name: wide}, {tie: wide}", "DLC211", "give the `embedding` item a `name:` and write that"),
        ("relu, {tie: tokenz}", "DLC211", "did you mean `tokens`?"),
        ("{tie: tokens, share: tokens}", "DLC106", "remove `share`"),
        ("dense: 3, tie: tokens", "DLC205", "bring it to 4 with `dense: 4`"),
        ("{relu: , name: plain}, {tie: plain}", "DLC211", "give the `embedding` item a `name:` and write that"),
        ("{tie: tokens, l2: 0.1}", "DLC303", "remove it"),
        ("{tie: tokens, trainable: false}", "DLC303", "remove it"),
    ],
)
def test_wrong_ties(items: str, code: str, hint: str) -> None:
    report = check_text(f"inputs: {TOKENS}\nnetwork: [{TWO}, {items}]\n")[1]
    assert [(item.code, item.hint) for item in report.diagnostics] == [(code, hint)]


# ---- merges of unlike shapes ----


def test_a_size_of_1_is_spread_by_add_and_multiply_but_not_in_a_residual() -> None:
    network = "[{dense: 1, name: a}, {WORD: [a, x]}]"
    for word, codes in (("add", ()), ("multiply", ()), ("subtract", ("DLC205",)), ("maximum", ("DLC205",))):
        assert codes_of(network.replace("WORD", word)) == codes
    assert codes_of("[residual: [dense: 1]]") == ("DLC205",)


@pytest.mark.parametrize("word", ["add", "subtract", "multiply", "average", "maximum", "minimum", "stack", "dot"])
def test_a_merge_of_unlike_shapes_names_both_and_where_they_come_from(word: str) -> None:
    network = f"[{{dense: 3, name: a}}, {{dense: 2, inputs: x, name: b}}, {{{word}: [a, b]}}]"
    (item,) = check_text(f"inputs: {{x: {{tensor: [4]}}}}\nnetwork: {network}\n")[1].diagnostics
    assert (item.code, item.found) == ("DLC205", "`a` f32[batch, 3], `b` f32[batch, 2]")
    assert [note.message for note in item.notes] == ["`a` comes from here", "`b` comes from here"]
