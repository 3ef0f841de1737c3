"""A program in StableHLO, with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from dlc.components.exports.export import Export, TrainedNetwork
from dlc.ir import DTYPES, TensorType
from dlc.language.options import OptionError, RuleViolation, main, option, reject, spell
from dlc.support.files import pack, read_json, to_json, unpack, write_atomic
from dlc.support.lazy import jax, np

if TYPE_CHECKING:
    from jax import ShapeDtypeStruct

PROGRAM, WEIGHTS, SIGNATURE = "model.stablehlo", "weights.safetensors", "signature.json"
Platform = Literal["cpu", "cuda", "rocm", "tpu"]


def _platforms(value: Any) -> Any:
    parts = (value,) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts:
        expected = "one platform, or a list of them"
        raise reject(OptionError((), "DLC104", "these are not platforms", found=spell(value), expected=expected))
    for index, part in enumerate(parts):
        if part in parts[:index]:
            raise reject(OptionError((index,), "DLC104", f"the platform `{part}` is listed twice"))
    return tuple(parts)


class StableHlo(Export):
    """A folder: `model.stablehlo` from (weights, inputs) to predictions, `weights.safetensors`, `signature.json`.

    `jax.export.deserialize` loads the program in any process that has JAX; dlc isn't needed there.
    """

    word = "stablehlo"
    examples = ("stablehlo", "stablehlo: cpu", "stablehlo: {platforms: [cpu, cuda], tolerance: 1.0e-5}")
    default_name: ClassVar[str] = "stablehlo"
    folder: ClassVar[bool] = True

    platforms: Annotated[tuple[Platform, ...], BeforeValidator(_platforms)] = main(
        ("cpu", "cuda", "tpu"), description="the platforms that the program can run on"
    )
    tolerance: float = option(
        1e-6, gt=0, description="largest difference of a prediction, relative to the largest prediction (at least 1)"
    )

    def write(self, network: TrainedNetwork, target: Path) -> None:
        """Write the three files."""
        from jax import export as jax_export

        scope = jax_export.SymbolicScope([f"{name} >= {size}" for name, size in network.least.items()])
        inputs = {name: _symbolic(kind, scope) for name, kind in network.inputs.items()}
        function = jax.jit(network.function)
        exported = jax_export.export(function, platforms=self.platforms)(network.weight_shapes, inputs)
        signature = {
            "name": network.name,
            "inputs": {name: _described(kind) for name, kind in network.inputs.items()},
            "outputs": {
                name: str(shape) for name, shape in zip(sorted(network.outputs), exported.out_avals, strict=True)
            },
            "decisions": {name: dict(rule) for name, rule in network.decisions.items()},
            "least": dict(network.least),
            "platforms": list(exported.platforms),
            "calling_convention_version": exported.calling_convention_version,
            "use": "jax.export.deserialize(open('model.stablehlo', 'rb').read()).call(weights, inputs)",
        }
        write_atomic(target / WEIGHTS, pack(network.weights))
        write_atomic(target / SIGNATURE, to_json(signature))
        write_atomic(target / PROGRAM, bytes(exported.serialize()))

    def verify(self, network: TrainedNetwork, target: Path) -> None:
        """Load the program and compare its predictions with the network's, at two batch sizes."""
        from jax import export as jax_export

        program = jax_export.deserialize(bytearray((target / PROGRAM).read_bytes()))
        here = {"gpu": ("cuda", "rocm")}.get(jax.default_backend(), (jax.default_backend(),))
        if not set(here) & set(program.platforms):
            message = "the program can't be verified here: it has no code for this machine's platform"
            hint = f"add `{here[0]}` to `platforms`"
            raise RuleViolation("DLC509", message, found=", ".join(program.platforms), expected=here[0], hint=hint)
        weights = unpack((target / WEIGHTS).read_bytes(), target / WEIGHTS)
        if read_json(target / SIGNATURE)["platforms"] != list(program.platforms):
            raise RuleViolation("DLC509", "the signature names other platforms than the program")
        for batch in (1, 5):
            inputs = network.sample(batch)
            found = program.call(weights, inputs)
            for name, value in network.predict(inputs).items():
                self._compare(name, np.asarray(found[name]), value)

    def _compare(self, name: str, found: Any, wanted: Any) -> None:
        both = np.isnan(found) & np.isnan(wanted)  # padding
        difference = float(np.max(np.where(both, 0, np.abs(found - wanted)), initial=0))
        allowed = self.tolerance * max(1.0, float(np.max(np.where(both, 0, np.abs(wanted)), initial=0)))
        if not difference <= allowed:
            message = f"the exported program gives other numbers for `{name}`"
            found_, expected = f"a difference of {difference:.3g}", f"at most {allowed:.3g}"
            raise RuleViolation("DLC509", message, found=found_, expected=expected)


def _symbolic(kind: TensorType, scope: Any) -> ShapeDtypeStruct:
    from jax import export as jax_export

    shape = jax_export.symbolic_shape(", ".join(str(dim) for dim in kind.shape), scope=scope)
    return jax.ShapeDtypeStruct(shape, DTYPES[kind.dtype])


def _described(kind: TensorType) -> dict[str, Any]:
    return {"shape": list(kind.shape), "dtype": DTYPES[kind.dtype], "classes": kind.bound}
