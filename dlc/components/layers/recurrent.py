"""Recurrent layers: one step's rule each, one loop for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dlc.components.layers.activations import Activation, Sigmoid, Tanh
from dlc.ir import (
    ZEROS,
    Context,
    Example,
    Init,
    Layer,
    Outcome,
    ParamSpec,
    Signature,
    TensorType,
    known_size,
    need_float,
    refused_decoding,
)
from dlc.kernels.lstm import LSTM, Reading, cell
from dlc.kernels.products import product
from dlc.kernels.time_loop import Push, State, Weights, loop
from dlc.language.options import RuleViolation, main, option
from dlc.support.lazy import jax, jnp

if TYPE_CHECKING:
    from jax import Array

_DIRECTIONS = ("forward", "backward")


class Recurrent(Layer):
    """What recurrent layers share: a loop over time, whose step is the subclass's rule.

    Inputs after the first are the initial state, by default zeros. Padding leaves the state as it is.
    """

    arity = (1, 2)
    random = True
    masks = "used"
    decoding = "cached"

    units: int = main(ge=1, description="size of the state")
    activation: Activation = option(Tanh(), description="activation of the new state")
    use_bias: bool = option(True, description="add a learned vector")
    return_sequences: bool = option(False, description="give the state after every step, not only after the last")
    go_backwards: bool = option(False, description="read the sequence from its end; the states come in that order")
    bidirectional: bool = option(
        False, description="read it in both directions with weights of their own; states come in the input's order"
    )
    merge: Literal["concat", "add", "multiply", "average"] | None = option(
        None, description="how the two directions are joined; concat when left out"
    )
    dropout: float = option(0.0, ge=0, lt=1, description="share of the inputs dropped, the same at every step")
    recurrent_dropout: float = option(0.0, ge=0, lt=1, description="share of the state dropped, the same at every step")

    hyperparameters: ClassVar[tuple[str, ...]] = ("dropout", "recurrent_dropout")
    states: ClassVar[tuple[str, ...]] = ("state",)
    gates: ClassVar[int] = 1

    # ---- the subclass's part ----

    def bias(self) -> ParamSpec:
        """The declared bias."""
        return ParamSpec((self.gates * self.units,), ZEROS, ("out",))

    def project(self, weights: Weights, x: Array) -> Array:
        """What the inputs of all steps add to the gates: (batch, time, gates * units)."""
        y = product(x, weights["kernel"])
        return y + weights["bias"] if self.use_bias else y

    def step(self, weights: Weights, push: Push, now: Array, state: State, kept: Array | None) -> State:
        """The next state.

        Args:
            weights: those of one direction, but for the recurrent kernel.
            push: x -> x times the recurrent kernel, or times some columns of it.
            now: (batch, gates * units), one step of `project`.
            state: as many arrays as `states`, (batch, units).
            kept: (batch, units), factors of the state that the gates see, or None.
        """
        raise NotImplementedError

    # ---- shapes ----

    def infer(self, x: TensorType, *initial: TensorType) -> Signature:
        """(batch, units), or (batch, time, units) with `return_sequences`; twice as wide in both directions."""
        if x.rank != 3:
            hint = "give the sequence a channel axis: `reshape: [-1, 1]`, or `embedding` for token numbers"
            if x.rank == 4:
                hint = "an image is not a sequence: make its rows one with `reshape: [height, width * channels]`"
            raise RuleViolation("DLC204", f"`{self.word}` takes 3 axes", found=str(x), expected=_AXES, hint=hint)
        need_float(x, self.word)
        if self.merge is not None and not self.bidirectional:
            message = "`merge` has no effect in one direction"
            hint = "set `bidirectional: true`, or remove it"
            raise RuleViolation("DLC303", message, hint=hint, option="merge", because=("bidirectional",))
        if self.go_backwards and self.bidirectional:
            message = "`go_backwards` has no effect beside `bidirectional`, which reads both ways"
            because = ("bidirectional",)
            raise RuleViolation("DLC303", message, hint="remove it", option="go_backwards", because=because)
        directions = 2 if self.bidirectional else 1
        self._need_states(x, initial, directions)
        d = known_size(x, -1, self.word)
        wide = self.gates * self.units
        one = {
            "kernel": ParamSpec((d, wide), Init("glorot_uniform", d, wide), ("in", "out"), kernel=True),
            "recurrent_kernel": ParamSpec((self.units, wide), Init("orthogonal", self.units, wide), ("in", "out")),
        }
        if self.use_bias:
            one["bias"] = self.bias()
        params = {f"{prefix}{name}": spec for prefix in self._prefixes for name, spec in one.items()}
        state = TensorType((x.shape[0], directions * self.units), x.dtype)
        width = self.units if self.merge not in (None, "concat") else directions * self.units
        output = replace(state, shape=(x.shape[0], width))
        time = x.shape[1]
        if self.return_sequences:
            output = TensorType((x.shape[0], time, width), x.dtype, x.mask)
        steps = time if isinstance(time, int) else 1
        flops = directions * steps * (2 * (d + self.units) * wide + 8 * wide)
        results = dict.fromkeys(self.states, state)
        cache = {} if self.bidirectional or self.go_backwards else results
        return Signature(output, params, results=results, flops=flops, cache=cache)

    def check_decoding(self, inputs: Sequence[TensorType], stepped: Sequence[bool]) -> None:
        """The sequence must be read forwards."""
        for name, used in (("bidirectional", self.bidirectional), ("go_backwards", self.go_backwards)):
            if used:
                raise refused_decoding(self.word, f"`{name}` reads the sequence from its end", hint="remove it")

    @property
    def _prefixes(self) -> tuple[str, ...]:
        return tuple(f"{name}/" for name in _DIRECTIONS) if self.bidirectional else ("",)

    def _need_states(self, x: TensorType, initial: Sequence[TensorType], directions: int) -> None:
        if initial and len(initial) != len(self.states):
            names = " and ".join(f"`{name}`" for name in self.states)
            hint = f"`inputs: [previous, {', '.join(f'encoder.{name}' for name in self.states)}]`"
            raise RuleViolation("DLC206", f"`{self.word}` takes its initial {names} together", hint=hint)
        want = TensorType((x.shape[0], directions * self.units), x.dtype)
        for given in initial:
            if given.shape != want.shape or not given.is_float:
                message = f"the initial state of `{self.word}` must be as large as the state"
                raise RuleViolation("DLC205", message, expected=f"a state {want}")

    # ---- values ----

    def apply(self, weights: Mapping[str, Any], x: Array, *initial: Array, ctx: Context) -> Outcome:
        """The states after every step, or the last one; and the last one as a result."""
        mask, key = ctx.mask, ctx.key
        ends: list[State] = []
        outputs: list[Any] = []
        starts = [[jnp.zeros((x.shape[0], self.units), x.dtype)] * len(self.states)] * len(self._prefixes)
        if initial:
            parts = [jnp.split(given, len(self._prefixes), axis=-1) for given in initial]
            starts = [[part[index] for part in parts] for index in range(len(self._prefixes))]
        read = mask  # the positions that change the state
        if ctx.decode:
            starts = [self._resumed(starts[0], x.shape[0], ctx)]
            counted = ctx.counted(*x.shape[:2])
            read = mask if counted is None else counted if mask is None else mask & counted
        for index, start in enumerate(starts):
            own = weights[_DIRECTIONS[index]] if self.bidirectional else weights
            backwards = self.go_backwards or index == 1
            inner = jax.random.fold_in(key, index) if key is not None and self.bidirectional else key
            end, sequence = self._read(own, x, tuple(start), read, backwards, inner if ctx.train else None)
            ends.append(end)
            outputs.append(sequence if self.return_sequences else end[0])
        output = self._joined(outputs)
        if self.go_backwards and self.return_sequences:
            output, mask = _reversed(output, mask)
        results = {
            name: jnp.concatenate([end[place] for end in ends], axis=-1) for place, name in enumerate(self.states)
        }
        cache = results if ctx.decode else None
        return Outcome(output, results=results, mask=mask if self.return_sequences else None, cache=cache)

    def _resumed(self, initial: Sequence[Array], batch: Any, ctx: Context) -> list[Array]:
        """The states after the step before: the cached ones, or the initial ones at position 0."""
        assert ctx.cache is not None, "decoding needs a cache"
        first = ctx.begins(batch)[:, None]
        return [jnp.where(first, start, ctx.cache[name]) for name, start in zip(self.states, initial, strict=True)]

    def _read(
        self, weights: Weights, x: Array, start: State, mask: Array | None, backwards: bool, key: Array | None
    ) -> tuple[State, Any]:
        """One direction: the last state, and (batch, time, units) in the input's order, None when not wanted."""
        kept = None
        if key is not None and self.dropout:
            x = x * _factors(jax.random.fold_in(key, 0), self.dropout, (x.shape[0], 1, x.shape[2]), x.dtype)
        if key is not None and self.recurrent_dropout:
            kept = _factors(jax.random.fold_in(key, 1), self.recurrent_dropout, start[0].shape, x.dtype)

        steps = self.project(weights, jnp.swapaxes(x, 0, 1))  # (time, batch, gates * units)
        real = None if mask is None else mask.T

        end, sequence = self.run(weights, steps, start, real, backwards, kept)
        return end, None if sequence is None else jnp.swapaxes(sequence, 0, 1)

    def run(
        self, weights: Weights, steps: Array, start: State, real: Array | None, backwards: bool, kept: Array | None
    ) -> tuple[State, Any]:
        """The last state, and the states after every step, (time, batch, units), None when not wanted."""

        def iteration(
            weights: Weights, push: Push, state: State, part: tuple[Array, Array | None]
        ) -> tuple[State, Any]:
            now, real = part
            new = self.step(weights, push, now, state, weights.get("kept"))
            if real is not None:
                new = tuple(jnp.where(real[:, None], a, b) for a, b in zip(new, state, strict=True))
            return new, new[0] if self.return_sequences else None

        others = {name: value for name, value in weights.items() if name == "bias"}
        others |= {} if kept is None else {"kept": kept}
        found: tuple[State, Any] = loop(iteration, backwards, weights["recurrent_kernel"], others, start, (steps, real))
        return found

    def _joined(self, outputs: Sequence[Array]) -> Array:
        if len(outputs) == 1:
            return outputs[0]
        first, second = outputs
        if self.merge in (None, "concat"):
            return jnp.concatenate(outputs, axis=-1)
        if self.merge == "multiply":
            return first * second
        return first + second if self.merge == "add" else (first + second) / 2


_AXES = "(batch, time, channels)"


def _factors(key: Array, rate: float, shape: tuple[Any, ...], dtype: Any) -> Array:
    """0 with probability `rate`, else 1 / (1 - rate)."""
    return jax.random.bernoulli(key, 1 - rate, shape).astype(dtype) / jnp.asarray(1 - rate, dtype)


def _reversed(x: Array, mask: Array | None) -> tuple[Array, Array | None]:
    """The real positions of (batch, time, ...) in reverse, what a mask hides after them; and where they are then."""
    if mask is None:
        return x[:, ::-1], None
    place = jnp.arange(mask.shape[1])
    order = jnp.argsort(jnp.where(mask, -place, mask.shape[1]), axis=1, stable=True)  # (batch, time)
    return jnp.take_along_axis(x, order[:, :, None], axis=1), jnp.take_along_axis(mask, order, axis=1)


def _through(activation: Any, x: Array) -> Array:
    value: Array = x if activation is None else activation.function(x)
    return value


class Rnn(Recurrent):
    """(batch, time, d) -> (batch, units): h' = tanh(x W + h U + b), step by step (Elman 1990).

    Its last state is also the result `state`; an initial one may be given as second input.
    """

    word = "rnn"
    examples = (
        Example("rnn: 4", "f32[batch, time, 3]", "f32[batch, 4]", params=32),
        Example(
            "rnn: {units: 4, return_sequences: true}", "f32[batch, 5, 3] masked", "f32[batch, 5, 4] masked", params=32
        ),
        Example("rnn: {units: 2, activation: relu, use_bias: false}", "f32[batch, 5, 3]", "f32[batch, 2]", params=10),
        Example("rnn: 4", ("f32[batch, time, 3]", "f32[batch, 4]"), "f32[batch, 4]", params=32),
        Example("rnn: 4", ("f32[batch, time, 3]", "f32[batch, 5]"), error="DLC205"),
        Example("rnn: 4", "f32[batch, 8, 8, 3]", error="DLC204"),
        Example("rnn: 4", "f32[batch, 8]", error="DLC204"),
        Example("rnn: 4", "i32[batch, time, 3]", error="DLC207"),
        Example("rnn: {units: 4, merge: add}", "f32[batch, time, 3]", error="DLC303"),
        Example("rnn: 4", "f32[batch, time, channels]", error="DLC203"),
    )

    def step(self, weights: Weights, push: Push, now: Array, state: State, kept: Array | None) -> State:
        """tanh(now + h U)."""
        (h,) = state
        return (_through(self.activation, now + push(h if kept is None else h * kept)),)


class Lstm(Recurrent):
    """(batch, time, d) -> (batch, units): long short-term memory (Hochreiter and Schmidhuber 1997; gates as in Keras).

    i, f, o = sigmoid(x W + h U + b), g = tanh(...), c' = f c + i g, h' = o tanh(c'); in the order i, f, g, o.
    Its last state and cell are also the results `state` and `cell`; initial ones may be given as further inputs.
    """

    word = "lstm"
    arity = (1, 3)
    states = ("state", "cell")
    gates = 4
    recurrent_activation: Activation = option(Sigmoid(), description="activation of the gates")
    unit_forget_bias: bool | None = option(None, description="initialize the forget gate's bias to 1; the default")

    examples = (
        Example("lstm: 4", "f32[batch, time, 3]", "f32[batch, 4]", params=128),
        Example("lstm: {units: 4, return_sequences: true}", "f32[batch, 5, 3]", "f32[batch, 5, 4]", params=128),
        Example("lstm: {units: 4, go_backwards: true}", "f32[batch, 5, 3] masked", "f32[batch, 4]", params=128),
        Example(
            "lstm: {units: 4, bidirectional: true, return_sequences: true}",
            "f32[batch, time, 3] masked",
            "f32[batch, time, 8] masked",
            params=256,
        ),
        Example(
            "lstm: {units: 2, bidirectional: true, merge: average}", "f32[batch, 5, 3]", "f32[batch, 2]", params=96
        ),
        Example(
            "lstm: {units: 2, dropout: 0.5, recurrent_dropout: 0.5}", "f32[batch, 5, 3]", "f32[batch, 2]", params=48
        ),
        Example("lstm: 2", ("f32[batch, 5, 3]", "f32[batch, 2]", "f32[batch, 2]"), "f32[batch, 2]", params=48),
        Example("lstm: 2", ("f32[batch, 5, 3]", "f32[batch, 2]"), error="DLC206"),
        Example("lstm: 2", ("f32[batch, 5, 3]", "f32[batch, 2]", "f32[batch, 3]"), error="DLC205"),
        Example("lstm: {units: 4, bidirectional: true, go_backwards: true}", "f32[batch, 5, 3]", error="DLC303"),
        Example("lstm: {units: 4, unit_forget_bias: true, use_bias: false}", "f32[batch, 5, 3]", error="DLC303"),
        Example("lstm: 0", "f32[batch, 5, 3]", error="DLC104"),
        Example("lstm: 4", "f32[batch, 28, 28, 1]", error="DLC204"),
    )

    def infer(self, x: TensorType, *initial: TensorType) -> Signature:
        """As every recurrent layer."""
        if self.unit_forget_bias is not None and not self.use_bias:
            message = "`unit_forget_bias` has no effect without biases"
            because = ("use_bias",)
            raise RuleViolation("DLC303", message, hint="remove it", option="unit_forget_bias", because=because)
        return super().infer(x, *initial)

    def bias(self) -> ParamSpec:
        """Zeros, and ones for the forget gate."""
        return replace(super().bias(), init=ZEROS if self.unit_forget_bias is False else Init("forget_bias"))

    def step(self, weights: Weights, push: Push, now: Array, state: State, kept: Array | None) -> State:
        """The new state and cell."""
        h, c = state
        gate, activation = (partial(_through, each) for each in (self.recurrent_activation, self.activation))
        return cell(now + push(h if kept is None else h * kept), c, gate, activation)

    def run(
        self, weights: Weights, steps: Array, start: State, real: Array | None, backwards: bool, kept: Array | None
    ) -> tuple[State, Any]:
        """As every recurrent layer; in one of several variants when the activations are the usual ones."""
        usual = isinstance(self.recurrent_activation, Sigmoid) and isinstance(self.activation, Tanh)
        if not usual or kept is not None:
            return super().run(weights, steps, start, real, backwards, kept)
        arrays = (weights["recurrent_kernel"], steps, *start, *(() if real is None else (real,)))
        found: tuple[State, Any] = LSTM(Reading(backwards, self.return_sequences), *arrays)
        return found


class Gru(Recurrent):
    """(batch, time, d) -> (batch, units): gated recurrent unit (Cho et al. 2014, arXiv:1406.1078; gates as in Keras).

    z, r = sigmoid(x W + h U + b), g = tanh(x W + r (h U + b')), h' = z h + (1 - z) g; with `reset_after: false` the
    paper's g = tanh(x W + (r h) U + b). The gates lie in the order z, r, g.
    """

    word = "gru"
    gates = 3
    recurrent_activation: Activation = option(Sigmoid(), description="activation of the gates")
    reset_after: bool = option(True, description="apply the reset gate after the recurrent product, not before")

    examples = (
        Example("gru: 4", "f32[batch, time, 3]", "f32[batch, 4]", params=108),
        Example("gru: {units: 4, reset_after: false}", "f32[batch, time, 3]", "f32[batch, 4]", params=96),
        Example(
            "gru: {units: 4, go_backwards: true, return_sequences: true}",
            "f32[batch, 5, 3] masked",
            "f32[batch, 5, 4] masked",
            params=108,
        ),
        Example(
            "gru: {units: 2, bidirectional: true}", ("f32[batch, 5, 3]", "f32[batch, 4]"), "f32[batch, 4]", params=84
        ),
        Example("gru: 4", "f32[batch, 12]", error="DLC204"),
    )

    def bias(self) -> ParamSpec:
        """With `reset_after` one for the inputs and one for the state."""
        wide = self.gates * self.units
        return ParamSpec((2, wide), ZEROS, ("", "out")) if self.reset_after else super().bias()

    def project(self, weights: Weights, x: Array) -> Array:
        """X W + b."""
        y = product(x, weights["kernel"])
        if self.use_bias:
            y = y + (weights["bias"][0] if self.reset_after else weights["bias"])
        return y

    def step(self, weights: Weights, push: Push, now: Array, state: State, kept: Array | None) -> State:
        """The new state."""
        (h,) = state
        seen, units = h if kept is None else h * kept, self.units
        gate = self.recurrent_activation
        if self.reset_after:
            inner = push(seen) + weights["bias"][1] if self.use_bias else push(seen)
            z, r = jnp.split(_through(gate, now[:, : 2 * units] + inner[:, : 2 * units]), 2, axis=-1)
            new = now[:, 2 * units :] + r * inner[:, 2 * units :]
        else:
            inner = push(seen, slice(2 * units))
            z, r = jnp.split(_through(gate, now[:, : 2 * units] + inner), 2, axis=-1)
            new = now[:, 2 * units :] + push(r * seen, slice(2 * units, None))
        return ((1 - z) * _through(self.activation, new) + z * h,)
