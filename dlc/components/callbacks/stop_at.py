"""A run that ends when it is good enough."""

from __future__ import annotations

from pydantic import model_validator

from dlc.components.callbacks.callback import Callback, RunView
from dlc.language.options import OptionError, option, reject


class StopAt(Callback):
    """Ends the run after the epoch in which a monitored value reaches a bound."""

    word = "stop_at"
    examples = (
        "stop_at: {monitor: validation/accuracy, above: 0.98}",
        "stop_at: {monitor: train/loss, below: 0.01}",
    )

    monitor: str = option(description="SPLIT/METRIC, such as `validation/accuracy`")
    above: float | None = option(None, description="ends the run when the value is at least this")
    below: float | None = option(None, description="ends the run when the value is at most this")

    @model_validator(mode="after")
    def _check(self) -> StopAt:
        if self.above is None and self.below is None:
            example = f"for example `stop_at: {{monitor: {self.monitor}, below: 0.1}}`"
            raise reject(OptionError((), "DLC102", "`stop_at` needs `above` or `below`", hint=example, at_key=True))
        if self.above is not None and self.below is not None:
            message, hint = "`above` and `below` exclude each other", "use two `stop_at` callbacks"
            raise reject(OptionError(("below",), "DLC104", message, hint=hint, at_key=True))
        return self

    def monitored(self) -> str | None:
        """The monitored value."""
        return self.monitor

    def on_epoch(self, run: RunView) -> None:
        """Compare the epoch's value; one that is NaN reaches nothing."""
        value = run.metrics[self.monitor]
        if self.above is not None and value >= self.above:
            run.stop(f"{self.monitor} is {value:.6g}, at least {self.above:g}")
        if self.below is not None and value <= self.below:
            run.stop(f"{self.monitor} is {value:.6g}, at most {self.below:g}")
