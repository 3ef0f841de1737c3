"""Exports: StableHLO with its weights, and weights alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from dlc.backend.predict import raw_inputs, serving, weight_shapes
from dlc.diagnostics import SpecError, did_you_mean, listing
from dlc.frontend.passes.sizes import least_sizes, prove_sizes
from dlc.ir import DTYPES, TensorType
from dlc.serving.model import Model, load_model
from dlc.support.files import cannot_write, pack, to_json, unpack, write_atomic
from dlc.training.run_folder import RunFolder

PLATFORMS = ("cpu", "cuda", "tpu")
TOLERANCE = 1e-6


def export_run(run: RunFolder, to: str, out: Path | None = None) -> Path:
    """Export a run's best network.

    Args:
        run: the run.
        to: `stablehlo` (a folder: program, weights, signature) or `safetensors` (a file: weights by name).
        out: where to; `RUN/exports/...` when None.

    Raises:
        SpecError: DLC502, DLC503, DLC507, DLC509 when the artifact gives other numbers, DLC510 for an unknown format.
    """
    if to not in FORMATS:
        raise SpecError.of(
            "DLC510",
            f"unknown export format `{to}`",
            expected=f"one of {listing(FORMATS)}",
            hint=did_you_mean(to, FORMATS),
        )
    model = load_model(run)
    target = out or run.path / "exports" / ("stablehlo" if to == "stablehlo" else "weights.safetensors")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stands = target.is_dir()
    except OSError as error:
        raise cannot_write(target, error) from None
    if to == "safetensors" and stands:
        raise SpecError.of("DLC507", f"can't write `{target}`: it is a directory", hint="name a file")
    FORMATS[to](model, target)
    return target


def _safetensors(model: Model, target: Path) -> None:
    """All weights and state by path, with what the features fitted; the spec's name as metadata."""
    data = pack(model.weights, {"spec": model.plan.name, "format": "dlc"})
    again = unpack(data, target)
    if set(again) != set(model.weights) or not all(
        np.array_equal(again[name], value) for name, value in model.weights.items()
    ):
        raise SpecError.of("DLC509", "the weights read back differ from those written")
    write_atomic(target, data)


def _stablehlo(model: Model, target: Path) -> None:
    """A folder: `model.stablehlo` from (weights, inputs) to predictions, `weights.safetensors`, `signature.json`."""
    least = least_sizes(model.plan)
    scope = jax_export.SymbolicScope([f"{name} >= {size}" for name, size in least.items()])
    inputs = {name: _symbolic(kind, scope) for name, kind in raw_inputs(model.plan).items()}
    function = jax.jit(serving(model.plan, model.program))
    exported = jax_export.export(function, platforms=PLATFORMS)(weight_shapes(model.plan, model.program), inputs)
    program = bytes(exported.serialize())
    weights = pack(model.weights)
    _verify(model, program, unpack(weights, target / "weights.safetensors"))
    signature = {
        "name": model.plan.name,
        "inputs": {name: _described(kind) for name, kind in raw_inputs(model.plan).items()},
        "outputs": {name: str(shape) for name, shape in zip(sorted(_outputs(model)), exported.out_avals, strict=True)},
        "least": least,
        "platforms": list(exported.platforms),
        "calling_convention_version": exported.calling_convention_version,
        "use": "jax.export.deserialize(open('model.stablehlo', 'rb').read()).call(weights, inputs)",
    }
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from None
    write_atomic(target / "weights.safetensors", weights)
    write_atomic(target / "signature.json", to_json(json.loads(json.dumps(signature))))
    write_atomic(target / "model.stablehlo", program)


def _outputs(model: Model) -> list[str]:
    from dlc.backend.predict import answers

    return list(answers(model.plan))


def _symbolic(kind: TensorType, scope: Any) -> jax.ShapeDtypeStruct:
    shape = jax_export.symbolic_shape(", ".join(str(dim) for dim in kind.shape), scope=scope)
    return jax.ShapeDtypeStruct(shape, DTYPES[kind.dtype])


def _described(kind: TensorType) -> dict[str, Any]:
    return {"shape": list(kind.shape), "dtype": DTYPES[kind.dtype], "classes": kind.bound}


def sample_inputs(model: Model, batch: int) -> dict[str, Any]:
    """Made-up raw inputs of the right types, the same every time; sizes that vary are at least 8 where that fits."""
    generator = np.random.Generator(np.random.Philox(key=[0, batch]))
    least = least_sizes(model.plan)
    longer = {name: max(size, 8) for name, size in least.items()}
    sizes = longer if prove_sizes(model.plan, longer).ok else least
    found: dict[str, Any] = {}
    for name, kind in raw_inputs(model.plan).items():
        shape = (batch, *(dim if isinstance(dim, int) else sizes.get(dim, 8) for dim in kind.shape[1:]))
        if kind.bound is not None:
            found[name] = generator.integers(0, kind.bound, shape).astype(DTYPES[kind.dtype])
        else:
            found[name] = generator.standard_normal(shape).astype(DTYPES[kind.dtype])
    return found


def _verify(model: Model, program: bytes, weights: Mapping[str, Any]) -> None:
    """Load the artifact and compare its predictions with the model's, at two batch sizes.

    Raises:
        SpecError: DLC509 when they differ by more than TOLERANCE, relative to the largest value.
    """
    loaded = jax_export.deserialize(bytearray(program))
    for batch in (1, 5):
        inputs = sample_inputs(model, batch)
        wanted = model.predict(inputs)
        got = loaded.call(weights, inputs)
        for name, value in wanted.items():
            error = float(np.max(np.abs(np.asarray(got[name]) - value), initial=0))
            scale = max(1.0, float(np.max(np.abs(value), initial=0)))
            if not error <= TOLERANCE * scale:
                raise SpecError.of(
                    "DLC509",
                    f"the exported program gives other numbers for `{name}`",
                    found=f"a difference of {error:.3g}",
                    expected=f"at most {TOLERANCE * scale:.3g}",
                )


FORMATS = {"stablehlo": _stablehlo, "safetensors": _safetensors}
