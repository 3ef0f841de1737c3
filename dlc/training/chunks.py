"""Chunks of steps: how many steps the next one has, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from dlc.backend.train_step import TrainState
from dlc.frontend.decisions import deciding
from dlc.training.setup import Setup

CHUNK_SECONDS = 0.5  # progress moves about twice per second
AHEAD_SECONDS = 0.2  # longer chunks are not begun ahead: what the host does between them costs little beside them
AHEAD_BYTES = 64 << 20  # nor are those of larger states, which are copied for it


class Begun(NamedTuple):
    """A chunk that the device computes, or soon will.

    Args:
        source: the state that it starts from, by identity.
        state: the state after it.
        step: the steps done before it.
        iterations: its steps.
        since: when it was sent to the device, on `time.perf_counter`.
        waited: seconds that sending it waited for records.
    """

    source: TrainState
    state: TrainState
    step: int
    iterations: int
    since: float
    waited: float


class Chunks:
    """Runs chunks of steps, and measures them. The first chunk is a single step, since it compiles.

    Args:
        setup: what the run computes with.
        began: when the run was asked for, on `time.perf_counter`.
        iterations: the steps of every chunk; adapted to the speed when None.
        started: called when the first chunk is done.
    """

    def __init__(
        self, setup: Setup, began: float, iterations: int | None = None, started: Callable[[], None] = lambda: None
    ) -> None:
        self.setup, self.began, self.iterations, self.started = setup, began, iterations, started
        self.stats = setup.stats  # with the newest thresholds
        self.first_step_seconds = 0.0  # from `began` to the end of the first chunk
        self.seconds = self.input_seconds = 0.0  # of all other chunks, and how long of that the device waited for input
        self.blocked = 0.0  # how long the training thread was occupied with them
        self.seconds_per_step: float | None = None
        self.waiting = 0.0  # share of the newest chunk's time in which the device waited for records
        self._ended = 0.0  # when the newest chunk did
        self._ahead: Begun | None = None

    @property
    def compiling(self) -> bool:
        """Whether the next chunk is the first of this process, which compiles."""
        return self.first_step_seconds == 0.0

    def length(self, left: int) -> int:
        """How many of the steps that are left the next chunk does."""
        most = min(left, self.setup.feeder.max_iterations)
        if self.iterations is not None:
            return min(most, self.iterations)
        if self.seconds_per_step is None:  # the first step compiles, the next ones show the speed
            return min(most, 1 if self.first_step_seconds == 0.0 else 8)
        return min(most, max(1, int(CHUNK_SECONDS / self.seconds_per_step)))

    def run(self, state: TrainState, step: int, iterations: int, fresh: bool = True) -> TrainState:
        """Do some steps, and wait for them. The arguments are those of `begin`."""
        return self.end(self.begin(state, step, iterations, fresh))

    def begin(self, state: TrainState, step: int, iterations: int, fresh: bool = True) -> Begun:
        """Send some steps to the device. The next chunk's batches are made meanwhile.

        Args:
            state: the state; its buffers are donated, unless the chunk was begun ahead.
            step: the steps done.
            iterations: the steps to do.
            fresh: whether the sums over the epoch begin at zero.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if ahead.source is state and ahead.step == step and ahead.iterations == iterations:
                return ahead
            jax.block_until_ready(ahead.state.step)
        return self._send(state, state, step, iterations, fresh)

    def begin_ahead(self, state: TrainState, step: int) -> None:
        """Send the first steps of the next epoch to the device, from a copy of a state that may not be final yet.

        While the device computes them, the host evaluates and records the epoch before. If that changes the state, or
        ends the run, `begin` ignores them: whether steps are begun ahead can't change the result. Nothing is done
        where it would save little: see `AHEAD_SECONDS`.
        """
        fits = bool(deciding(self.setup.plan))  # the steps then need the thresholds that the evaluation finds
        if fits or self.seconds_per_step is None or step >= self.setup.horizon.steps:
            return
        iterations = self.next_length(step, self._epoch_end(step) - step)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        if iterations * self.seconds_per_step <= AHEAD_SECONDS and size <= AHEAD_BYTES:
            copy = jax.device_put(state, may_alias=False)
            self._ahead = self._send(state, copy, step, iterations, fresh=True)

    def next_length(self, step: int, left: int) -> int:
        """How many of the steps that are left the chunk from a step does: one that was begun or prepared is kept."""
        if self._ahead is not None and self._ahead.step == step:
            return self._ahead.iterations
        return self.setup.feeder.prepared(step) or self.length(left)

    def end(self, chunk: Begun) -> TrainState:
        """Wait for a chunk, and measure it."""
        began = time.perf_counter()
        jax.block_until_ready(chunk.state.step)
        now = time.perf_counter()
        if self.compiling:
            self.first_step_seconds = now - self.began
            self.started()
        else:
            seconds = now - max(chunk.since, self._ended)
            self.seconds += seconds
            self.blocked += now - began
            self.input_seconds += chunk.waited
            self.waiting = min(1.0, chunk.waited / seconds)
            self.seconds_per_step = seconds / chunk.iterations
        self._ended = now
        return chunk.state

    def close(self) -> None:
        """Wait for steps that were begun ahead: the device must not use records that are gone."""
        if self._ahead is not None:
            jax.block_until_ready(self._ahead.state.step)
            self._ahead = None

    def _send(self, source: TrainState, state: TrainState, step: int, iterations: int, fresh: bool) -> Begun:
        began, waited = time.perf_counter(), self.setup.feeder.waited
        feed = self.setup.feeder.training(step, iterations)
        steps = self.setup.compiled_steps
        after = steps.chunk(state, feed, np.int32(iterations), np.bool_(fresh), self.stats)
        del feed  # otherwise the batches would outlive their use
        self._prepare(step + iterations)
        if not self.compiling:
            self.blocked += time.perf_counter() - began
        return Begun(source, after, step, iterations, began, self.setup.feeder.waited - waited)

    def _prepare(self, step: int) -> None:
        """Start making the batches that come next, up to the end of an epoch."""
        if step < self.setup.horizon.steps:
            self.setup.feeder.prepare(step, self.length(self._epoch_end(step) - step))

    def _epoch_end(self, step: int) -> int:
        """The steps done at the end of the epoch that a step is in."""
        sampler = self.setup.sampler
        return sampler.steps(step * sampler.batch_size // sampler.batching.examples + 1)
