"""What every layer must do with each of its examples: in each element type, in each mode, compiled and eager."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlc.backend.decode import Decoder
from dlc.backend.network import Program, lower
from dlc.backend.tree import flatten
from dlc.diagnostics import Problems, SpecError
from dlc.frontend.passes.infer import infer
from dlc.ir import DTYPES, MASK, Context, Example, Graph, Node, Origin, Outcome, Ref, Settings, TensorType
from tests.components.layer_examples import build, mask, sizes, value, weights_of

ROUNDING = {"f32": 2.0**-24, "bf16": 2.0**-8, "f16": 2.0**-11}  # the relative rounding error of each element type
MODES = ("evaluate", "train", "decode")


class Case(NamedTuple):
    """An example as a network of one layer in an element type.

    Args:
        example: the example.
        dtype: the element type.
        program: the network.
        variables: its variables.
        inputs: its inputs, and the masks beside them.
    """

    example: Example
    dtype: str
    program: Program
    variables: Any
    inputs: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.example.spec} | {self.example.inputs} in {self.dtype}"

    @property
    def node(self) -> Any:
        """The layer with its signature."""
        return self.program.graph.nodes[0]


def apply_layer(case: Case, mode: str, variables: Any = None, inputs: Any = None) -> Any:
    """The results of a case's layer in a mode; for `decode` the output for the whole sequence, position by position.

    Args:
        case: the case.
        mode: one of `MODES`.
        variables: others than the case's.
        inputs: others than the case's.
    """
    variables, inputs = variables or case.variables, inputs or case.inputs
    if mode != "decode":
        key = jax.random.key(0) if mode == "train" else None
        return case.program.run(variables, inputs, key=key, train=mode == "train")
    names = _sequences(case)
    decoder = Decoder(case.program, names)
    time = inputs["x0"].shape[1]
    cache, found = decoder.cache(inputs["x0"].shape[0], time), []
    for position in range(time):
        stepped = {*names, *(f"{name}{MASK}" for name in names)}
        now = {name: x[:, position : position + 1] if name in stepped else x for name, x in inputs.items()}
        step = decoder.step(variables, now, cache, jnp.int32(position))
        cache = step.cache
        found.append(step.outputs["output"])
    want = sizes(case.node.signature.output)
    return jnp.concatenate(found, 1) if found[-1].shape != want else found[-1]


def _sequences(case: Case) -> list[str]:
    """The inputs that come position by position: a second one of attention or a recurrent layer is given whole."""
    many = case.node.layer.decoding == "pointwise"
    return [name for name in case.program.graph.inputs if many or name == "x0"]


def can_decode(case: Case) -> bool:
    """Whether an example can be decoded; what can't be must say so, with DLC213."""
    if case.node.types[0].rank < 2:
        return False
    try:
        Decoder(case.program, _sequences(case))
    except SpecError as error:
        assert error.report.codes == ("DLC213",), f"{case}: what can't be decoded is refused with DLC213: {error}"
        return False
    return True


def case_of(example: Example, dtype: str) -> Case | None:
    """An example in an element type, or None when the checker refuses it there and says why."""
    layer, types, signature, *_ = build(example)
    assert layer is not None and signature is not None
    names = [f"x{index}" for index in range(len(types))]
    settings = (Settings({"dtype": dtype}, {"dtype": None}),)
    node = Node("layer", layer, tuple(map(Ref, names)), Origin(), "layer", settings=settings)
    problems = Problems()
    graph = infer(Graph(dict(zip(names, types, strict=True)), (node,), {"output": Ref("layer")}), problems)
    if graph is None:
        found = problems.report({}).diagnostics
        assert dtype != "f32" and found and all(item.hint or item.expected for item in found), found
        return None
    program = lower(graph)
    variables = jax.tree.map(_rounded, program.init(0))
    inputs: dict[str, Any] = {}
    for index, kind in enumerate(types):
        inputs[f"x{index}"] = _rounded(value(kind, index)) if kind.is_float else value(kind, index)
        if kind.mask:
            inputs[f"x{index}{MASK}"] = mask(kind)
    return Case(example, dtype, program, variables, inputs)


def _rounded(x: Any) -> Any:
    """Numbers that half precision holds exactly, so that its rounding doesn't begin with the inputs."""
    return np.asarray(jnp.asarray(x, jnp.bfloat16), np.float32)


# ---- what is checked ----


def check_states(example: Example) -> None:
    """The example gives the type and the counts that it states, or the code."""
    built, what = build(example), f"the example `{example.spec}` for {example.inputs}"
    given = f"{built.error}: {built.message}" if built.error is not None else "no error"
    assert built.error == example.error, f"{what} has error={example.error}, the layer gave {given}"
    if built.signature is not None:
        signature = built.signature
        output, params, state = (
            str(signature.output),
            sum(spec.size for spec in signature.params.values()),
            sum(spec.size for spec in signature.state.values()),
        )
        assert output == example.output, f"{what} says {example.output}, `infer` gave {output}"
        assert params == example.params, f"{what} says params={example.params}, `infer` gave {params}"
        assert state == example.state, f"{what} says state={example.state}, `infer` gave {state}"
        assert signature.flops >= 0, f"{what}: flops is {signature.flops}"
        trained = [name for name, spec in signature.state.items() if spec.trainable]
        assert not trained, f"{what}: the state {trained} is declared with trainable=True"


def check_layer(examples: list[Example]) -> None:
    """All examples of a layer that are right, in each element type and mode, as one compiled program.

    The first one in float32 is also computed eagerly, which costs a compilation for each operation.
    A layer whose weights are another item's needs that item: only its shapes are checked here.
    """
    for example in examples:
        check_types(example)
    cases = [case for example in examples for dtype in ROUNDING if (case := case_of(example, dtype)) is not None]
    decoded = [case for case in cases if can_decode(case)]

    def everything() -> Any:
        evaluated = [apply_layer(case, "evaluate").outputs["output"] for case in cases]
        trained = [_trained(case) for case in cases]
        return evaluated, trained, [apply_layer(case, "decode") for case in decoded]

    evaluated, trained, steps = jax.jit(everything)()
    exact: Any = None
    for case, output, (result, gradients) in zip(cases, evaluated, trained, strict=True):
        exact = output if case.dtype == "f32" else exact
        check_values(case, output, exact)
        check_training(case, output, result, gradients)
    for mode, results in (
        ("evaluate", (evaluated[0], None)),
        ("train", (trained[0][0].outputs["output"], trained[0][0].state)),
    ):
        compare(_leaves(cases[0], mode), results, cases[0], mode)
    whole = dict(zip(map(id, cases), evaluated, strict=True))
    for case, output in zip(decoded, steps, strict=True):
        real = _real(case, output)
        close(np.asarray(output)[real], np.asarray(whole[id(case)])[real], case.dtype, f"{case}, decoded")


def check_types(example: Example) -> None:
    """Without the casts around it: shapes and, in float32, the element type are those that are inferred."""
    layer, types, signature, *_ = build(example)
    assert layer is not None and signature is not None
    weights = weights_of({**signature.params, **signature.state})
    masks = tuple(mask(kind) for kind in types) if layer.masks == "used" else ()
    inputs = [value(kind, seed) for seed, kind in enumerate(types)]
    contexts = Context(masks=masks), Context("train", jax.random.key(0) if layer.random else None, masks)
    for ctx in contexts:
        result = jax.eval_shape(partial(layer.apply, ctx=ctx), weights, *inputs)
        outcome = result if isinstance(result, Outcome) else Outcome(result)
        what = f"{example.spec} | {example.inputs}, {ctx.mode}"
        _declared(what, "", outcome.output, signature.output)
        for role, found, declared in (
            ("state", outcome.state or {}, signature.state),
            ("results", outcome.results or {}, signature.results),
        ):
            assert set(found) == set(declared), (
                f"{what}: `apply` returned the {role} {sorted(found)}, `infer` declared {sorted(declared)}"
            )
        for name, kind in signature.results.items():
            assert outcome.results is not None
            _declared(what, f"`{name}` as ", outcome.results[name], kind, dtype=False)


def _declared(what: str, role: str, found: Any, kind: TensorType, dtype: bool = True) -> None:
    """Check a result of `apply` against the type that `infer` declared, with the sizes that the tests choose."""
    returned, declared = (f"{found.dtype.name} {found.shape}", f"{dtype_of(kind)} {sizes(kind)}")
    same = found.shape == sizes(kind) and (not dtype or found.dtype.name == dtype_of(kind))
    assert same, f"{what}: `apply` returned {role}{returned}, `infer` declared {declared}, which is {kind}"


def dtype_of(kind: TensorType) -> str:
    """The name of an element type as numpy has it."""
    return np.dtype(DTYPES[kind.dtype]).name


def _trained(case: Case) -> Any:
    """The results of a training step and, in float32, the gradients of weights and inputs."""
    kind = case.node.signature.output
    pull = value(TensorType(sizes(kind)), seed=9)  # so that no gradient cancels by symmetry
    floats = {name: x for name, x in case.inputs.items() if jnp.issubdtype(x.dtype, jnp.floating)}

    def total(params: Any, floats: Any) -> Any:
        results = apply_layer(case, "train", {**case.variables, "params": params}, {**case.inputs, **floats})
        return (results.outputs["output"] * pull).sum(), results

    if case.dtype != "f32":
        return total(case.variables["params"], floats)[1], None
    (_, results), gradients = jax.value_and_grad(total, (0, 1), has_aux=True)(case.variables["params"], floats)
    return results, gradients


def check_values(case: Case, output: Any, exact: Any) -> None:
    """The inferred shape and type, finite values, and those of float32 within the rounding of the element type."""
    kind = case.node.signature.output
    assert output.shape == sizes(kind), f"{case}: `apply` returned {output.shape}, `infer` declared {kind}"
    assert not kind.is_float or kind.dtype == case.dtype, f"{case}: the result has the element type {kind.dtype}"
    assert np.isfinite(output).all(), f"{case} gives a value that is not finite"
    if case.dtype != "f32":
        close(output, exact, case.dtype, str(case))


def check_training(case: Case, evaluated: Any, results: Any, gradients: Any) -> None:
    """Finite values, state and penalties in float32; gradients that are finite and reach every weight."""
    output, layer = results.outputs["output"], case.node.layer
    assert output.shape == evaluated.shape and np.isfinite(output).all(), f"{case}, training"
    types = [jax.tree.map(lambda leaf: np.dtype(leaf.dtype), tree) for tree in (results.state, case.variables["state"])]
    assert types[0] == types[1], f"the state of {case} changes its type"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results.state)), f"{case}: the state is not finite"
    assert isinstance(results.penalty, float) or results.penalty.dtype == jnp.float32, f"{case}: the penalty"
    if not layer.random and not case.node.signature.state:
        close(output, evaluated, case.dtype, f"{case}: nothing else depends on the mode")
    if gradients is None:
        return
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients)), f"{case}: a gradient is not finite"
    for name, gradient in flatten(gradients[0]).items():
        assert np.any(gradient), f"the weight `{name}` of {case} gets no gradient"


def check_eager(case: Case) -> None:
    """What is computed operation by operation is what is compiled, in each mode."""
    modes = [mode for mode in MODES if mode != "decode" or can_decode(case)]

    compiled = jax.jit(lambda: [_leaves(case, mode) for mode in modes])()
    for mode, want in zip(modes, compiled, strict=True):
        compare(_leaves(case, mode), want, case, mode)


def _leaves(case: Case, mode: str) -> Any:
    """The output and the new state; evaluation and decoding have none."""
    found = apply_layer(case, mode)
    return (found, None) if mode == "decode" else (found.outputs["output"], found.state if mode == "train" else None)


def compare(eager: Any, compiled: Any, case: Case, mode: str) -> None:
    """Check that eager results are the compiled ones."""
    for one, other in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled), strict=True):
        close(one, other, case.dtype, f"{case}, {mode}, eager")


def _real(case: Case, output: Any) -> Any:
    """Where the output of a sequence is not padding."""
    given = case.inputs.get(f"x0{MASK}")
    return np.asarray(given) if given is not None and output.ndim > 2 else np.ones(output.shape[:2], bool)


def close(got: Any, want: Any, dtype: str, what: str) -> None:
    """Equal within the rounding of an element type, relative to the largest value."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    room = (8 if dtype != "f32" else 16) * ROUNDING[dtype] * max(1.0, float(np.abs(want).max(initial=0.0)))
    np.testing.assert_allclose(got, want, rtol=0, atol=room, err_msg=what)
