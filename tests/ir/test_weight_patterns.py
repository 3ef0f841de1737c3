"""Weights chosen by patterns of their paths: the patterns, repeats that tell iterations apart, frozen weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dlc
from dlc.backend.network import lower
from dlc.diagnostics import Problems
from dlc.frontend.passes.freeze import freeze, weight_paths
from dlc.frontend.passes.infer import infer
from dlc.ir import InternalError, TypedGraph, TypedRepeat, verify
from dlc.ir.weight_patterns import matches, pattern_error

# ---- patterns ----


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("encoder/**", "encoder/0/dense/kernel", True),
        ("encoder/**", "encoder", True),
        ("encoder/**", "encoder_2/dense/kernel", False),
        ("encoder/**", "my/encoder/dense/kernel", False),
        ("encoder/*", "encoder/dense/kernel", False),
        ("encoder/*/kernel", "encoder/dense/kernel", True),
        ("**/bias", "bias", True),
        ("**/bias", "a/b/c/bias", True),
        ("**/bias", "a/bias/c", False),
        ("**", "a/b", True),
        ("dense*/kernel", "dense_2/kernel", True),
        ("dense*/kernel", "dense/kernel", True),
        ("*_2/*", "dense_2/kernel", True),
        ("a/**/b/**/c", "a/b/x/b/c", True),
        ("a/**/b/**/c", "a/x/c", False),
        ("repeat/[0]/kernel", "repeat/0/kernel", False),
        ("a.b/kernel", "axb/kernel", False),
        ("encoder", "encoder/dense/kernel", False),
    ],
)
def test_a_pattern_fits(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern, path) is fits


NAMES = st.text("ab_0", min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)
PARTS = st.one_of(
    st.just("**"), st.text("ab_0*", min_size=1, max_size=5).map(lambda part: re.sub(r"\*+", "*", part)), st.just("*")
)
PATTERNS = st.lists(PARTS, min_size=1, max_size=6).map("/".join)


def expression(pattern: str) -> re.Pattern[str]:
    """The regular expression that means the same: of a path with a slash behind each part."""
    gaps = {"**": "(?:[^/]+/)*"}
    parts = [gaps.get(part, re.escape(part).replace(r"\*", "[^/]*") + "/") for part in pattern.split("/")]
    return re.compile("".join(parts))


@given(PATTERNS, PATHS)
@settings(max_examples=500, deadline=None)
@example("**/a*/**/b", "a/a0/b/b")
def test_a_pattern_fits_as_a_regular_expression_does(pattern: str, path: str) -> None:
    assert pattern_error(pattern) is None
    assert matches(pattern, path) == (expression(pattern).fullmatch(f"{path}/") is not None)


@given(PATHS, st.data())
@settings(max_examples=200, deadline=None)
def test_a_path_with_gaps_fits_itself(path: str, data: st.DataObject) -> None:
    parts = path.split("/")
    start, end = sorted(data.draw(st.lists(st.integers(0, len(parts)), min_size=2, max_size=2)))
    assert matches("/".join([*parts[:start], "**", *parts[end:]]), path)
    part = parts[0]
    cut = data.draw(st.integers(0, len(part)))
    assert matches("/".join([f"{part[:cut]}*", *parts[1:]]), path)
    assert not matches(f"{path}/more", path) and not matches(f"more/{path}", path)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not matches("/".join(["**", "a"] * 200), "/".join(["a"] * 399 + ["b"]))
    assert not matches("*a" * 200, "a" * 399 + "b")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "the pattern is empty"),
        ("/encoder", "the pattern has an empty part"),
        ("encoder//kernel", "the pattern has an empty part"),
        ("encoder/", "the pattern has an empty part"),
        ("/", "the pattern has an empty part"),
        ("encoder**", "`**` must be a part of its own"),
        ("a/***/b", "`**` must be a part of its own"),
        ("encoder.kernel", "a pattern can't contain `.`"),
        ("encoder/[0-3]/**", "a pattern can't contain `[`"),
        ("a" * 2000, "the pattern is too long"),
        (3, "`the pattern` has the wrong type"),
    ],
)
def test_what_is_wrong_with_a_pattern(pattern: object, message: str) -> None:
    error = pattern_error(pattern)
    assert error is not None
    assert error.code in ("DLC103", "DLC104")
    if isinstance(pattern, str):
        assert error.message == message


# ---- iterations told apart ----

STACK = """
inputs: {x: {tensor: [6]}}
network:
  - {dense: 6, name: stem}
  - repeat:
      times: 4
      layers:
        - residual:
            - {dense: 6, name: in}
            - batch_norm
            - {repeat: {times: 2, layers: [dense: 6]}, name: deep}
    name: encoder
  - {dense: 2, name: head}
"""


def typed(text: str, marks: Callable[[str], Hashable] | None = None) -> TypedGraph:
    problems = Problems()
    found = infer(dlc.loads(text).plan.untyped, problems, marks)
    assert found is not None, problems.report({}).codes
    verify(found)
    return found


def scans(graph: TypedGraph) -> dict[str, tuple[int, int]]:
    """The scans of a graph: where they start and how often they turn."""
    found: dict[str, tuple[int, int]] = {}

    def look(nodes: object) -> None:
        for node in nodes:  # type: ignore[attr-defined]
            if isinstance(node, TypedRepeat):
                found[node.path] = (node.start, node.times)
                look(node.body)

    look(graph.nodes)
    return found


def test_marks_of_one_kind_change_nothing() -> None:
    assert typed(STACK, lambda path: 0) == typed(STACK)
    assert typed(STACK, lambda path: path.rpartition("/")[2]) == typed(STACK)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("encoder/**", {"encoder": (0, 4), "encoder/*/residual/deep": (0, 2)}),
        ("stem/**", {"encoder": (0, 4), "encoder/*/residual/deep": (0, 2)}),
        # the first iteration alone is apart: it runs before the scan of the others
        (
            "encoder/0/**",
            {"encoder": (1, 3), "encoder/0/residual/deep": (0, 2), "encoder/*/residual/deep": (0, 2)},
        ),
        ("encoder/2/**", {f"encoder/{index}/residual/deep": (0, 2) for index in range(4)}),
        ("encoder/*/residual/deep/1/**", {"encoder": (0, 4)}),
        (
            "encoder/3/residual/deep/1/**",
            {f"encoder/{index}/residual/deep": (0, 2) for index in range(3)},
        ),
    ],
)
def test_a_repeat_whose_iterations_are_told_apart_is_not_scanned(
    pattern: str, expected: dict[str, tuple[int, int]]
) -> None:
    graph = typed(STACK, lambda path: matches(pattern, path))
    assert scans(graph) == expected
    assert sorted(weight_paths(graph)) == sorted(weight_paths(typed(STACK)))


def test_told_apart_the_numbers_stay() -> None:
    plain, fusion_barrier = lower(typed(STACK)), lower(typed(STACK, lambda path: matches("encoder/2/**", path)))
    x = {"x": np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)}
    outputs = []
    flats = [program.to_flat(program.init(0)) for program in (plain, fusion_barrier)]
    assert flats[0].keys() == flats[1].keys()
    for program, flat in zip((plain, fusion_barrier), flats, strict=True):
        outputs.append(program.apply(program.from_flat(flat), x)[0]["output"])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=2e-5, atol=1e-6)


def test_a_shared_repeat_is_told_apart_as_its_owner() -> None:
    text = (
        "inputs: {x: {tensor: [6]}}\nnetwork:\n  - {repeat: {times: 3, layers: [dense: 6]}, name: a}\n"
        "  - {share: a, name: b}\n"
    )
    graph = typed(text, lambda path: matches("a/2/**", path))
    assert scans(graph) == {}
    assert {node.weights for node, _ in graph.walk()} == {"a/0/dense", "a/1/dense", "a/2/dense"}
    assert scans(typed(text, lambda path: matches("a/0/**", path))) == {"a": (1, 2), "b": (1, 2)}


# ---- frozen weights ----


def frozen_by(pattern: str, text: str = STACK) -> TypedGraph:
    def choose(path: str) -> bool:
        return matches(pattern, path)

    found = freeze(typed(text, choose), choose)
    verify(found)
    return found


def test_all_paths_of_trained_weights() -> None:
    paths = weight_paths(typed(STACK))
    assert paths[:2] == ["stem/kernel", "stem/bias"]
    assert "encoder/3/residual/deep/1/dense/kernel" in paths
    program = lower(typed(STACK))
    flat = program.to_flat(program.init(0))
    assert sorted(paths) == sorted(path for path in flat if not path.endswith(("/mean", "/variance")))


@pytest.mark.parametrize("pattern", ["encoder/**", "**/kernel", "encoder/1/**", "**/deep/0/**", "stem/*"])
def test_chosen_weights_are_frozen_and_no_others(pattern: str) -> None:
    before, after = weight_paths(typed(STACK)), weight_paths(frozen_by(pattern))
    chosen = [path for path in before if matches(pattern, path)]
    assert chosen
    assert sorted(after) == sorted(path for path in before if path not in chosen)
    program = lower(frozen_by(pattern))
    flat = program.to_flat(program.init(0))
    np.testing.assert_equal(flat, lower(typed(STACK)).to_flat(lower(typed(STACK)).init(0)))


def test_a_frozen_pattern_is_trainable_false() -> None:
    """The same graph as the key beside the item gives, but for where it was said."""
    written = typed(STACK.replace("    name: encoder\n", "    name: encoder\n    trainable: false\n"))
    chosen = frozen_by("encoder/**")
    for (one, around), (other, other_around) in zip(written.walk(), chosen.walk(), strict=True):
        assert (one.path, one.frozen, dict(one.signature.params), around) == (
            other.path,
            other.frozen,
            dict(other.signature.params),
            other_around,
        )


def test_statistics_stay_where_all_weights_do() -> None:
    text = (
        "inputs: {x: {tensor: [6]}}\nnetwork:\n  - {batch_norm: 0.5, name: norm}\n"
        "  - {batch_norm: {center: false, scale: false}, name: bare}\n"
    )
    kinds = {}
    for pattern in ("norm/scale", "norm/**", "bare/**", "**/scale"):
        kinds[pattern] = {node.path for node, _ in frozen_by(pattern, text).walk() if node.frozen}
    assert kinds == {"norm/scale": set(), "norm/**": {"norm"}, "bare/**": {"bare"}, "**/scale": set()}
    program = lower(frozen_by("norm/**", text))
    x = np.random.default_rng(0).normal(3, 1, (8, 6)).astype(np.float32)
    _, state = program.apply(program.init(0), {"x": x}, key=jax.random.key(0), train=True)
    np.testing.assert_array_equal(state["norm"]["mean"], 0)
    assert np.any(state["bare"]["mean"])


def test_what_is_frozen_has_no_penalty_and_no_constraint() -> None:
    text = "inputs: {x: {tensor: [6]}}\nnetwork: [{dense: 6, l2: 0.1, constraint: unit_norm}]\n"
    program = lower(frozen_by("**", text))
    assert not program.params
    assert program.penalty({"params": {}}) == 0.0
    spec = program.slots["frozen"]["dense/kernel"].spec
    assert spec.l2 == 0 and spec.constraint is None


def test_iterations_of_a_scan_can_not_be_frozen_one_by_one() -> None:
    with pytest.raises(InternalError, match="differ"):
        freeze(typed(STACK), lambda path: matches("encoder/1/**", path))
