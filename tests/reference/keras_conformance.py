"""Conformance with Keras 3: the same weights and inputs give the same outputs, new state and gradients."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
import jax.numpy as jnp
import keras
import numpy as np

from dlc.backend.tree import flatten, nest
from dlc.ir import Context, Outcome, ParamSpec, TensorType
from tests.components.building import layer as build

__all__ = ["build", "conform", "keras"]


def random_values(declared: Mapping[str, ParamSpec], generator: np.random.Generator, state: bool) -> dict[str, Any]:
    """Values that hide nothing: no zeros and ones; those of state are positive, for variances are among them."""
    return {
        name: jnp.asarray(
            generator.uniform(0.5, 1.5, spec.shape) if state else generator.normal(size=spec.shape), jnp.float32
        )
        for name, spec in declared.items()
    }


def near(got: Any, want: Any, what: str, rtol: float) -> None:
    """Equal to `rtol`, relative to each value or to the largest one, which rounding errors of sums follow."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    room = rtol * float(np.abs(want).max(initial=0.0))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=room, err_msg=what)


def key_of(variable: Any) -> str:
    """A Keras variable's path inside its layer."""
    return variable.path.partition("/")[2] or variable.name


def with_gradients(run: Any) -> Any:
    """(params, floats, pull) -> outputs, state, gradients, compiled."""

    def function(params: Any, floats: Any, pull: Any) -> Any:
        y, back, moved = jax.vjp(run, params, floats, has_aux=True)
        return y, moved, back(pull)

    return jax.jit(function)


def conform(  # noqa: C901 - one comparison from the inputs to the gradients; what it closes over is used throughout
    spec: str,
    reference: keras.layers.Layer,
    *inputs: Any,
    names: Mapping[str, str] | None = None,
    masks: Sequence[Any] | None = None,
    call: Mapping[str, Any] | None = None,
    vanishing: Sequence[str] = (),
    apart: bool = False,
    bound: int | None = None,
    rtol: float = 1e-5,
) -> None:
    """Assert that dlc's layer and Keras' agree in outputs, new state, and gradients of weights and inputs.

    Args:
        spec: the item as written in a spec.
        reference: the Keras layer; it need not be built.
        inputs: each a shape, batch axis included, or an array (of integers, say).
        names: Keras' name of a weight or state where it is not dlc's with `_` for `/`. Weights that only Keras has
            keep their values.
        masks: bool (batch, time) of each input or None, for dlc. Of a masked output only real places are compared.
        call: further arguments of the Keras layer's call, such as `mask`.
        vanishing: weights whose gradient is zero in exact arithmetic, so that both are rounding errors.
        apart: whether Keras takes several inputs as arguments of their own rather than as a list.
        bound: what integer inputs lie below.
        rtol: how far the results may differ.
    """
    generator = np.random.default_rng(0)
    arrays = [jnp.asarray(generator.normal(size=given) if isinstance(given, tuple) else given) for given in inputs]
    arrays = [x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.int32) for x in arrays]
    given_masks = tuple(masks) if masks is not None else (None,) * len(arrays)
    types = [
        TensorType(
            ("batch", *x.shape[1:]),
            "f32" if x.dtype == jnp.float32 else "i32",
            mask is not None,
            None if x.dtype == jnp.float32 else bound,
        )
        for x, mask in zip(arrays, given_masks, strict=True)
    ]
    layer = build(spec)
    signature = layer.infer(*types)
    params = random_values(signature.params, generator, state=False)
    state = random_values(signature.state, generator, state=True)

    feed = (lambda xs: xs) if apart else (lambda xs: (xs[0] if len(xs) == 1 else list(xs),))
    for name in [name for name in vars(reference) if name.endswith("_initializer")]:
        setattr(reference, name, keras.initializers.Zeros())  # a random one would be compiled for each shape
    if apart or not type(reference).__module__.startswith("keras"):
        reference(*feed(arrays), **(call or {}))  # builds it
    elif not reference.built:
        reference.build(arrays[0].shape if len(arrays) == 1 else [x.shape for x in arrays])
    known = {key_of(variable) for variable in reference.variables}

    def keras_name(name: str) -> str:
        return (names or {}).get(name, name.replace("/", "_"))

    def placed(values: Mapping[str, Any], variables: Sequence[Any]) -> list[Any]:
        """dlc's values in Keras' order."""
        by_key = {keras_name(name): value for name, value in values.items()}
        assert set(by_key) <= known, f"Keras has no {sorted(set(by_key) - known)}, only {sorted(known)}"
        found = [by_key.get(key_of(variable), variable.value) for variable in variables]
        for variable, value in zip(variables, found, strict=True):
            assert value.shape == tuple(variable.shape), f"{variable.path}: {value.shape} and {variable.shape}"
        return found

    assert len(reference.trainable_variables) == len(params), [v.path for v in reference.trainable_variables]
    real = [index for index, x in enumerate(arrays) if x.dtype == jnp.float32]

    def filled(floats: Sequence[Any]) -> list[Any]:
        xs = list(arrays)
        for index, value in zip(real, floats, strict=True):
            xs[index] = value
        return xs

    def shown(y: Any, mask: Any = None) -> Any:
        if given_masks[0] is None or not signature.output.mask:
            return y
        mask = given_masks[0] if mask is None else mask
        return jnp.where(mask.reshape(*mask.shape, *(1,) * (y.ndim - 2)), y, 0)

    for train in (False, True) if state else (False,):

        def ours(params: Any, floats: Any, train: bool = train) -> tuple[Any, Any]:
            more = {"masks": given_masks} if layer.masks == "used" else {}
            made = layer.apply(
                nest({**params, **state}), *filled(floats), ctx=Context("train" if train else "evaluate", **more)
            )
            outcome = made if isinstance(made, Outcome) else Outcome(made)
            return shown(outcome.output, outcome.mask), flatten(outcome.state or {})

        def theirs(params: Any, floats: Any, train: bool = train) -> tuple[Any, Any]:
            more = {**(call or {}), **({"training": train} if state else {})}
            variables = placed(params, reference.trainable_variables)
            moving = placed(state, reference.non_trainable_variables)
            y, moved = reference.stateless_call(variables, moving, *feed(filled(floats)), **more)
            by_key = dict(zip(map(key_of, reference.non_trainable_variables), moved, strict=True))
            return shown(y), {name: by_key[keras_name(name)] for name in state}

        floats = [arrays[index] for index in real]
        kind = jax.eval_shape(ours, params, floats)[0]
        assert kind.shape[1:] == signature.output.shape[1:], f"{kind.shape} is not {signature.output}"
        pull = jnp.asarray(generator.normal(size=kind.shape), kind.dtype)
        got, moved, gradients = with_gradients(ours)(params, floats, pull)
        want, want_moved, want_gradients = with_gradients(theirs)(params, floats, pull)
        assert got.shape == want.shape and got.dtype == want.dtype, (
            f"{got.shape} {got.dtype}, {want.shape} {want.dtype}"
        )
        near(got, want, f"{spec}: output, train={train}", rtol)
        for name in state:
            near(moved[name], want_moved[name], f"{spec}: state {name}, train={train}", rtol)
        largest = max((float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(want_gradients)), default=0.0)
        for name in params:
            if name in vanishing:
                assert max(np.abs(gradients[0][name]).max(), np.abs(want_gradients[0][name]).max()) < rtol * largest
                continue
            near(gradients[0][name], want_gradients[0][name], f"{spec}: gradient of {name}, train={train}", rtol)
        for index, one, other in zip(real, gradients[1], want_gradients[1], strict=True):
            near(one, other, f"{spec}: gradient of input {index}, train={train}", rtol)
