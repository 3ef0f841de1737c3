"""Blocks: types of parameters, lists that become part of lists, bodies without items, options without effect."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.components.layers.activations import Relu
from dlc.diagnostics import Report, render
from dlc.frontend.passes import expand
from dlc.frontend.pipeline import Spec, check_text
from dlc.frontend.resolved import dump, resolved_text
from dlc.ir import TypedNode, TypedRepeat


def checked(text: str) -> tuple[Spec | None, Report]:
    return check_text(text if "inputs:" in text else f"inputs: {{x: {{tensor: [8, 8, 4]}}}}\n{text}")


def valid(text: str) -> Spec:
    spec, report = checked(text)
    assert spec is not None, render.text(report)
    return spec


def layers(spec: Spec) -> list[Any]:
    """The network without its paths: layers, types, and the bodies of repeats."""

    def plain(node: TypedNode | TypedRepeat) -> Any:
        if isinstance(node, TypedRepeat):
            return node.times, [plain(inner) for inner in node.body]
        return node.layer, node.types, node.signature.output

    return [plain(node) for node in spec.graph.nodes]


def block(params: str, body: str, use: str, kinds: str = "") -> str:
    return f"{kinds}blocks: {{b: {{params: {{{params}}}, layers: [{body}]}}}}\nnetwork: [{use}]\n"


# ---- types of parameters ----

FITS = {
    "int": ["3"],
    "float": ["3", "0.5"],
    "bool": ["true"],
    "string": ["relu"],
    "size": ["3", "[1, 7]"],
    "item": ["relu", "{leaky_relu: 0.2}"],
    "items": ["[]", "[relu, {dense: 3}]"],
    "list": ["[]", "[1, relu]"],
    "any": ["3", "true", "relu", "[1]", "{a: 1}"],
}
VALUES = sorted({value for values in FITS.values() for value in values})
ALSO = {("string", "relu"), ("item", "relu"), ("list", "[relu, {dense: 3}]"), ("list", "[1, 7]"), ("list", "[]")}
ALSO |= {("items", "[]"), ("item", "{a: 1}"), ("size", "[1]"), ("list", "[1]"), ("any", "0.5")}
ALSO |= {("any", value) for value in VALUES}


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("required", [True, False])
def test_a_parameter_takes_the_values_of_its_type(kind: str, required: bool) -> None:
    default = {"size": "2", "item": "elu", "items": "[elu]", "list": "[2]", "bool": "false", "string": "elu"}
    declared = kind if required else f"{{{kind}: {default.get(kind, '2')}}}"
    for value in VALUES:
        # a name that is not used in the network: only the type is judged
        text = block(f"p: {declared}, q: 1", "dense: $q", f"b: {{p: {value}}}")
        report = checked(text)[1]
        found = [item for item in report.diagnostics if item.code == "DLC112"]
        assert bool(found) != (value in FITS[kind] or (kind, value) in ALSO), (kind, value, report.codes)
        assert all(item.expected and item.span is not None for item in found)


def test_a_default_does_not_fix_the_type() -> None:
    convolution = "conv2d: {filters: 3, kernel: $kernel, padding: same, activation: $act}"
    use = "b, b: {kernel: [1, 7]}, b: {act: {leaky_relu: 0.2}}"
    spec = valid(block("kernel: 1, act: relu", convolution, use))
    assert [node.layer.kernel for node, _ in spec.graph.walk()] == [(1, 1), (1, 7), (1, 1)]  # type: ignore[attr-defined]
    assert [node.layer.activation.word for node, _ in spec.graph.walk()] == ["relu", "relu", "leaky_relu"]  # type: ignore[attr-defined]


def test_null_is_a_value_only_if_it_is_the_default() -> None:
    body = "dense: {units: 3, activation: $act}"
    assert layers(valid(block("act: {item: null}", body, "b, b: {act: null}, b: {act: relu}")))
    assert checked(block("act: item", body, "b: {act: null}"))[1].codes == ("DLC112",)
    assert checked(block("act: {item: relu}", body, "b: {act: null}"))[1].codes == ("DLC112",)


@pytest.mark.parametrize(
    ("params", "code"), [("p: {size: relu}", "DLC103"), ("p: {int: 2.5}", "DLC103"), ("p: {itmes: []}", "DLC104")]
)
def test_a_default_has_the_declared_type(params: str, code: str) -> None:
    _, report = checked(block(params, "dense: $p", "b"))
    assert report.codes == (code,)
    assert report.diagnostics[0].span is not None and report.diagnostics[0].span.line == 2


@pytest.mark.parametrize("use", ["b: relu", "b: {leaky_relu: 0.2}", "b: {act: relu}", "b: {act: {leaky_relu: 0.2}}"])
def test_the_short_form_of_an_item(use: str) -> None:
    spec = valid(block("act: item", "dense: 3, $act", use))
    assert [node.layer.word for node, _ in spec.graph.walk()][1:] == ["leaky_relu" if "leaky" in use else "relu"]


def test_a_wrong_item_is_reported_where_it_is_written() -> None:
    text = "blocks:\n  b: {params: {body: items}, layers: [relu, $body]}\nnetwork:\n  - b: [dense: 3, dens: 4]\n"
    _, report = checked(text)
    assert report.codes == ("DLC105",)
    assert report.diagnostics[0].span is not None and report.diagnostics[0].span.line == 5


# ---- a use means the body with its arguments ----

LAYERS = ["relu", "elu", {"dense": 4}, {"dense": {"units": 4, "activation": "tanh"}}, {"dropout": 0.5}, "layer_norm"]


def lists(depth: int) -> st.SearchStrategy[list[Any]]:
    items = st.sampled_from(LAYERS)
    if depth:
        inner = lists(depth - 1)
        items |= st.builds(lambda body: {"residual": {"layers": body}}, inner)
        items |= st.builds(lambda times, body: {"repeat": {"times": times, "layers": body}}, st.integers(0, 3), inner)
        branches = st.lists(inner, min_size=2, max_size=2)
        items |= st.builds(lambda parts: {"parallel": {"branches": parts, "merge": "add"}}, branches)
    return st.lists(items, max_size=3)


@st.composite
def used_blocks(draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A spec with a block, and the spec in which the body of the block is written out."""
    before, after, given = draw(lists(1)), draw(lists(1)), draw(lists(2))
    rate, times, act = draw(st.sampled_from([0, 0.5])), draw(st.integers(0, 3)), draw(st.sampled_from(["relu", "elu"]))
    wrapped = draw(st.booleans())  # whether the list is the whole body of an item, or a part of one

    def body(items: Any, rate: Any, times: Any, act: Any) -> list[Any]:
        inside = items if wrapped else [*before, *([items] if isinstance(items, str) else items), *after]
        loop = {"repeat": {"times": times, "layers": [{"dense": {"units": 4, "activation": act}}]}}
        return [{"residual": {"layers": inside}}, {"dropout": rate}, act, loop]

    types = {"items": {"items": []}, "rate": "float", "times": 1, "act": "item"}
    arguments = {"items": given, "rate": rate, "times": times, "act": act}
    inputs = {"x": {"tensor": [4]}}
    declared = {"params": types, "layers": body("$items", "$rate", "$times", "$act")}
    one = {"inputs": inputs, "blocks": {"b": declared}, "network": [{"b": arguments}, {"dense": 1}]}
    return one, {"inputs": inputs, "network": [*body(given, rate, times, act), {"dense": 1}]}


@settings(max_examples=25, deadline=None)
@given(used_blocks())
def test_a_use_means_the_body_with_its_arguments(specs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    used, written = (valid(dump(spec)) for spec in specs)
    assert layers(used) == layers(written)
    again = valid(resolved_text(used))
    assert layers(again) == layers(used)


def test_a_variable_may_hold_items() -> None:
    spec = valid("vars: {tail: [relu, {dense: 3}]}\nnetwork: [flatten, $tail, elu, $tail]\n")
    assert [node.path for node, _ in spec.graph.walk()] == ["flatten", "relu", "dense", "elu", "relu_2", "dense_2"]
    assert layers(valid(resolved_text(spec))) == layers(spec)


def test_a_list_in_a_list_is_an_error_if_it_is_written_there() -> None:
    assert checked("network: [flatten, [relu, dense: 3]]")[1].codes == ("DLC106",)


# ---- what passes its input on ----


@pytest.mark.parametrize(
    "item",
    [
        "repeat: {times: 0, layers: [dense: 3, relu]}",
        "repeat: {times: 0, first: [dense: 5], layers: [dense: 3]}",
        "repeat: {times: 3, layers: []}",
        "repeat: {times: 1, first: [], layers: [dense: 3]}",
        "b",
    ],
)
def test_the_identity(item: str) -> None:
    blocks = "blocks: {b: {layers: []}}\n" if item == "b" else ""
    assert layers(valid(f"{blocks}network: [relu, {item}, dense: 3]")) == layers(valid("network: [relu, dense: 3]"))


def test_an_empty_branch_and_an_empty_body() -> None:
    spec = valid("network: [parallel: {branches: [[], [relu]], merge: concat}, residual: []]")
    assert [str(node.signature.output) for node, _ in spec.graph.walk()][1:] == ["f32[batch, 8, 8, 8]"] * 2
    assert [len(node.inputs) for node, _ in spec.graph.walk()][1:] == [2, 2]


def test_wrong_items_are_found_where_they_never_run() -> None:
    assert checked("network: [repeat: {times: 0, layers: [dens: 3, add: [nobody, previous]]}]")[1].codes == (
        "DLC105",
        "DLC201",
    )


# ---- options without effect ----


def test_first_may_get_the_value_of_all_iterations() -> None:
    stage = (
        "blocks:\n"
        "  unit: {params: {dilation: 1}, layers: [conv2d: {filters: 4, padding: same, dilation: $dilation}]}\n"
        "  stage:\n    params: {d: 1, first: 1}\n"
        "    layers: [repeat: {times: 3, first: {dilation: $first}, layers: [unit: {dilation: $d}]}]\n"
    )
    spec = valid(f"{stage}network: [stage: {{d: 2}}, stage: {{d: 4, first: 2}}, stage]\n")
    kinds = [node.layer.dilation for node, _ in spec.graph.walk()]  # type: ignore[attr-defined]
    assert kinds == [(1, 1), (2, 2), (2, 2), (4, 4), (1, 1)]


IDLE = [
    ("lstm: {units: 3, bidirectional: $on, go_backwards: $on}", "lstm: {units: 3, bidirectional: true}"),
    ("lstm: {units: 3, use_bias: $off, unit_forget_bias: true}", "lstm: {units: 3, use_bias: false}"),
    ("rnn: {units: 3, bidirectional: $off, merge: add}", "rnn: 3"),
    ("attention: {heads: 2, rotary: $off, rotary_base: 100.0}", "attention: 2"),
    ("slice: {start: $zero}", "linear"),
    ("repeat: {times: $one, unroll: $on, layers: [dense: 8]}", "repeat: {times: 1, layers: [dense: 8]}"),
    ("repeat: {times: 2, first: {units: $u}, layers: [dense: {units: 8}]}", "repeat: {times: 2, layers: [dense: 8]}"),
]
VARIABLES = {"on": "true", "off": "false", "zero": "0", "one": "1", "u": "8"}


@pytest.mark.parametrize(("item", "same"), IDLE)
@pytest.mark.parametrize("where", ["block", "vars", "written"])
def test_an_option_without_effect_is_an_error_only_if_that_is_written(item: str, same: str, where: str) -> None:
    used = {name: value for name, value in VARIABLES.items() if re.search(rf"\${name}\b", item)}
    head = "inputs: {x: {tensor: [5, 8]}}\n"
    named = ", ".join(f"{name}: {value}" for name, value in used.items())
    if where == "written":
        for name in sorted(used, key=len, reverse=True):
            item = item.replace(f"${name}", used[name])
        assert checked(f"{head}network: [{item}]")[1].codes == ("DLC303",)
        return
    text = f"vars: {{{named}}}\nnetwork: [{item}]" if where == "vars" else block(named, item, "b")
    spec = valid(head + text)
    assert layers(spec) == layers(valid(f"{head}network: [{same}]"))
    again = valid(resolved_text(spec))
    assert layers(again) == layers(spec)
    assert resolved_text(again) == resolved_text(spec)


def test_an_option_beside_a_parameter_is_judged() -> None:
    text = block("n: int", "lstm: {units: $n, go_backwards: true, bidirectional: true}", "b: 3")
    assert checked(f"inputs: {{x: {{tensor: [5, 8]}}}}\n{text}")[1].codes == ("DLC303",)


@pytest.mark.parametrize(
    ("body", "use", "codes"),
    [
        ("{dense: {units: 3, use_bias: $p}, initializer: {bias: ones}}", "b: false", ()),
        ("{dense: {units: 3, use_bias: $p}, initializer: {bais: ones}}", "b: true", ("DLC303",)),
        ("{repeat: {times: $p, layers: [dense: 4]}, l2: 0.1}", "b: 0", ()),
        ("{residual: [$p], trainable: false}", "b: relu", ()),
        ("{dense: 3, rematerialize: $p}", "b: false", ()),
        ("dropout: $p", "b: 0", ()),
    ],
)
def test_settings_of_weights_that_a_parameter_takes_away(body: str, use: str, codes: tuple[str, ...]) -> None:
    assert checked(block("p: any", body, use))[1].codes == codes


def test_momentum_may_be_a_variable() -> None:
    text = (
        "vars: {m: 0}\ntargets: {y: number}\nnetwork: [flatten, dense: 1]\nloss: mse\n"
        "optimizer: {sgd: {learning_rate: 0.1, momentum: $m, nesterov: true}}\n"
    )
    spec = valid(text)
    assert layers(valid(resolved_text(spec))) == layers(spec)
    assert checked(text.replace("$m", "0").replace("vars: {m: 0}\n", ""))[1].codes == ("DLC303",)


# ---- names of components ----


@pytest.mark.parametrize("word", ["dense", "relu", "transformer_encoder", "repeat"])
def test_a_block_may_have_the_name_of_a_component(word: str) -> None:
    spec, report = checked(f"blocks: {{{word}: {{layers: [elu]}}}}\nnetwork: [{word}]\n")
    assert spec is not None
    assert [node.layer.word for node, _ in spec.graph.walk()] == ["elu"]
    assert [(item.code, item.severity) for item in report.diagnostics] == [("DLC121", "note")]
    assert report.ok
    assert layers(valid(resolved_text(spec))) == layers(spec)
    assert render.summary(report, 1) == "1 note in 1 file"
    assert render.github(report).startswith("::notice ")
    assert '"level": "note"' in render.sarif(report)


def test_inside_itself_such_a_block_is_the_component() -> None:
    text = "blocks: {dense: {params: {units: int}, layers: [dense: {units: $units, use_bias: false}, relu]}}\n"
    spec = valid(f"{text}network: [dense: 3, dense: 2]\n")
    assert [node.layer.word for node, _ in spec.graph.walk()] == ["dense", "relu"] * 2


def test_a_block_is_not_named_like_a_key_beside_items() -> None:
    assert checked("blocks: {trainable: {layers: [relu]}}\nnetwork: [relu]\n")[1].codes[0] == "DLC202"


def test_blocks_of_a_base_file_that_are_not_used_resolve(tmp_path: Any) -> None:
    from dlc.frontend.pipeline import check_file

    blocks = "{a: {params: {n: int, k: 1}, layers: [dense: $n]}, b: {layers: [relu]}}"
    (tmp_path / "base.yaml").write_text(f"inputs: {{x: {{tensor: [8]}}}}\nblocks: {blocks}\nnetwork: [b]\n")
    (tmp_path / "spec.yaml").write_text("extends: base.yaml\nnetwork: [a: {n: 8, k: 3}]\n")
    spec, _ = check_file(tmp_path / "spec.yaml")
    assert spec is not None
    assert layers(valid(resolved_text(spec))) == layers(spec)


@pytest.mark.parametrize(
    ("variable", "where"),
    [
        ("averaged", "loss: {binary_focal: {soft_targets: VALUE}}\nnetwork: [flatten, dense: 1]\n"),
        ("0.5", "loss: cross_entropy\nmetrics: [accuracy: {threshold: VALUE}]\nnetwork: [flatten, dense: 3]\n"),
        ("nearest", "network: [{upsample2d: {interpolation: VALUE, align_corners: true}}]\n"),
        ("nearest", "network: [{upsample2d: {interpolation: VALUE, cubic_a: -0.75}}]\n"),
    ],
)
def test_an_option_of_a_loss_or_layer_without_effect_is_an_error_only_if_that_is_written(
    variable: str, where: str
) -> None:
    head = "inputs: {x: {tensor: [4, 4, 3]}}\n"
    head += (
        f"targets: {{y: {{category: {3 if 'accuracy' in where else 2}}}}}\noptimizer: {{adam: 0.01}}\n"
        if "loss" in where
        else ""
    )
    assert checked(head + where.replace("VALUE", variable))[1].codes == ("DLC303",)
    spec = valid(f"vars: {{v: {variable}}}\n{head}{where.replace('VALUE', '$v')}")
    again = valid(resolved_text(spec))
    assert again.plan.losses == spec.plan.losses
    assert again.plan.metrics == spec.plan.metrics


def test_a_network_that_is_too_large_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its top-level items keep their names, and no pass goes through the part of it that was expanded."""
    inferred: list[str] = []
    monkeypatch.setattr(expand, "MAX_NODES", 20)
    monkeypatch.setattr(Relu, "infer", lambda self, x: inferred.append("relu"))
    blocks = "{a: {layers: [relu, relu, relu, relu]}, b: {layers: [a, a, a, a, a, a]}}"
    _, report = checked(f"blocks: {blocks}\nnetwork: [{{b: , name: last}}]\noutputs: {{y: last}}\n")
    assert report.codes == ("DLC117",) and not inferred
