"""Chunks of steps: how many steps the next one has, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import numpy as np

from dlc.backend.train_step import TrainState
from dlc.training.setup import Setup

CHUNK_SECONDS = 0.5  # progress moves about twice per second


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
        self.seconds_per_step: float | None = None
        self.waiting = 0.0  # share of the newest chunk's time in which the device waited for records

    def length(self, left: int) -> int:
        """How many of the steps that are left the next chunk does."""
        most = min(left, self.setup.feeder.max_iterations)
        if self.iterations is not None:
            return min(most, self.iterations)
        if self.seconds_per_step is None:  # the first step compiles, the next ones show the speed
            return min(most, 1 if self.first_step_seconds == 0.0 else 8)
        return min(most, max(1, int(CHUNK_SECONDS / self.seconds_per_step)))

    def run(self, state: TrainState, step: int, iterations: int, fresh: bool = True) -> TrainState:
        """Do some steps, and wait for them. The next chunk's batches are made meanwhile.

        Args:
            state: the state; its buffers are donated.
            step: the steps done.
            iterations: the steps to do.
            fresh: whether the sums over the epoch begin at zero.
        """
        began, waited = time.perf_counter(), self.setup.feeder.waited
        feed = self.setup.feeder.training(step, iterations)
        steps = self.setup.compiled_steps
        state = steps.chunk(state, feed, np.int32(iterations), np.bool_(fresh), self.stats)
        del feed  # otherwise the batches would outlive their use
        self._prepare(step + iterations)
        jax.block_until_ready(state.step)
        now = time.perf_counter()
        if self.first_step_seconds == 0.0:
            self.first_step_seconds = now - self.began
            self.started()
        else:
            waited = self.setup.feeder.waited - waited
            self.seconds += now - began
            self.input_seconds += waited
            self.waiting = waited / (now - began)
            self.seconds_per_step = (now - began) / iterations
        return state

    def _prepare(self, step: int) -> None:
        """Start making the batches that come next, up to the end of an epoch."""
        if step < self.setup.horizon.steps:
            self.setup.feeder.prepare(step, self.length(self._epoch_end(step) - step))

    def _epoch_end(self, step: int) -> int:
        """The steps done at the end of the epoch that a step is in."""
        sampler = self.setup.sampler
        return sampler.steps(step * sampler.batch_size // len(sampler.rows) + 1)
