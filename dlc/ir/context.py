"""The context of a layer: all that `apply` may depend on besides its weights and its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import jnp

if TYPE_CHECKING:
    from jax import Array

Mode = Literal["train", "evaluate", "decode"]


@fast_dataclass(frozen=True)
class Context:
    """What a layer is applied in.

    In `decode` mode a layer gets the next positions of a sequence, one or more, and its cache holds what it needs of
    the positions before. It must then return the outputs that it would return for these positions if it had been given
    the whole sequence in `evaluate` mode.

    Args:
        mode: `train`, `evaluate` or `decode`.
        key: a random key when the layer is random and the mode is `train`, else None.
        masks: bool (batch, time) for each input that has a mask, else None; empty when no input has one.
        offset: the position of the inputs' first time step: an integer, or integers (batch,).
        cache: in `decode` mode, what the layer declares as its cache, by name; zeros before the first step.
        count: in `decode` mode, how many of the inputs' positions belong to the sequence: an integer, or integers
            (batch,); all of them when None. Those after them fill a prompt up to the shape of a compiled program: the
            new cache must not depend on them.
        sharding: how arrays are laid out over devices; None on one device.
    """

    mode: Mode = "evaluate"
    key: Any = None
    masks: tuple[Any, ...] = ()
    offset: Any = 0
    cache: Mapping[str, Any] | None = None
    count: Any = None
    sharding: Any = None

    @property
    def train(self) -> bool:
        """Whether this is a training step."""
        return self.mode == "train"

    @property
    def decode(self) -> bool:
        """Whether this is a step of decoding."""
        return self.mode == "decode"

    @property
    def mask(self) -> Array | None:
        """The mask of the first input, or None."""
        return self.masks[0] if self.masks else None

    def begins(self, batch: Any) -> Array:
        """Bool (batch,): for which sequences this step of decoding is the first, whose cache counts for nothing."""
        return jnp.broadcast_to(jnp.asarray(self.offset) == 0, (batch,))

    def counted(self, batch: Any, time: Any) -> Array | None:
        """Bool (batch, time): the positions of this step that belong to the sequence; None if all do."""
        if self.count is None:
            return None
        return jnp.arange(time) < jnp.broadcast_to(jnp.asarray(self.count), (batch,))[:, None]

    def positions(self, time: Any, dtype: Any = None) -> Array:
        """The positions of `time` time steps: (time,), or (batch, time) when each example has its own offset."""
        steps = jnp.arange(time, dtype=dtype)
        if isinstance(self.offset, int):
            return steps + self.offset if self.offset else steps
        offset = jnp.asarray(self.offset, steps.dtype)
        return offset[..., None] + steps if offset.ndim else offset + steps
