"""The base of optimizers: a class for each rule, in its family's file, that gives optax's transformation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from dlc.components.schedules.schedule import Horizon, LearningRate, Schedule
from dlc.language.options import OptionError, Options, main, reject, validate

if TYPE_CHECKING:
    import optax

B1 = Annotated[float, Field(ge=0, lt=1, description="decay of the first moment")]
B2 = Annotated[float, Field(ge=0, lt=1, description="decay of the second moment")]
Eps = Annotated[float, Field(gt=0, description="added to the root of the second moment")]
EpsRoot = Annotated[float, Field(ge=0, description="added to the second moment, under its root")]
Momentum = Annotated[float, Field(ge=0, lt=1, description="share of the velocity that a step keeps")]
Nesterov = Annotated[bool, Field(description="use the gradient of the place ahead")]
WeightDecay = Annotated[float, Field(ge=0, description="share of a weight that a step takes off, times the rate")]


def rate(default: float, description: str = "step size, a number or a schedule") -> Any:
    """Declare the learning rate, which the short form sets."""
    return main(default, description=description)


class Optimizer(Options):
    """A rule that turns gradients into updates."""

    per_weight: ClassVar[bool] = False
    """Whether an update depends on a weight as a whole, its norm or its shape, and not on each element alone.

    Stacked weights of a `repeat` are then updated one iteration at a time.
    """

    learning_rate: LearningRate

    @model_validator(mode="after")
    def _check(self) -> Optimizer:
        errors = list(self.without_effect())
        if errors:
            raise reject(*errors)
        return self

    @classmethod
    def advice(cls, key: str) -> str | None:
        """The hint for an option that it does not have, but others do."""
        if key in ("weight_decay", "wd", "l2", "l1"):
            word = {"adam": "adamw", "nadam": "nadamw", "adamax": "adamaxw"}.get(cls.word)
            own = next((name for name in ("weight_decay", "weight_decay_rate") if name in cls.model_fields), None)
            if own and key != "l1":
                return f"{cls.word} calls it `{own}`"
            term = "l1" if key == "l1" else "l2"
            other = "" if key == "l1" else f"write `{word or 'adamw'}`, or "
            return f"{other}add the section `regularization: {{{term}: 1e-4}}`"
        if key in ("clip_norm", "clipnorm", "global_clipnorm", "max_norm", "max_grad_norm", "gradient_clip_val"):
            return f"it stands beside the word, as in `optimizer: {{{cls.word}: {{...}}, clip_norm: 1.0}}`"
        if key == "amsgrad" and cls.word.startswith("adam"):
            return "it is an optimizer of its own: `amsgrad`"
        if key == "momentum" and "b1" in cls.model_fields:
            return "its momentum is `b1`"
        if key == "betas" and "b1" in cls.model_fields:
            return "write `b1` and `b2`"
        return None

    def without_effect(self) -> Iterator[OptionError]:
        """Settings that would do nothing."""
        yield from ()

    def idle(self) -> Iterator[OptionError]:
        """Settings that do nothing unless a group of weights changes them."""
        yield from ()

    def schedules(self) -> dict[str, Schedule]:
        """The options that are schedules."""
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in options.items() if isinstance(value, Schedule)}

    def build(self, horizon: Horizon) -> optax.GradientTransformation:
        """The optax transformation for a run of this length."""
        raise NotImplementedError

    def evaluated(self, state: optax.OptState, params: Any) -> Any:
        """The weights to evaluate with, given the state of this optimizer and the weights that it trains."""
        return params


def with_options(optimizer: Optimizer, options: Mapping[str, Any]) -> Optimizer | list[OptionError]:
    """The same optimizer with some options replaced, or what is wrong with them.

    Args:
        optimizer: the optimizer.
        options: a plain tree, as it stands in a spec. Locations of faults start from it.
    """
    given = {name: getattr(optimizer, name) for name in optimizer.model_fields_set}
    made = validate(type(optimizer), {**given, **options})
    if isinstance(made, Optimizer):
        return made
    assert isinstance(made, list)  # of a class of optimizers nothing else is made
    return [error if error.loc and error.loc[0] in options else error._replace(loc=()) for error in made]


def needs_momentum(nesterov: bool, momentum: float) -> Iterator[OptionError]:
    """The fault of Nesterov's step without momentum, which is the plain one."""
    if nesterov and not momentum:
        hint = "add `momentum: 0.9`, or remove `nesterov`"
        yield OptionError(("nesterov",), "DLC303", "`nesterov` has no effect without `momentum`", hint=hint)


def decays_nothing(optimizer: Optimizer, weight_decay: float, plain: str) -> Iterator[OptionError]:
    """The fault of an optimizer whose name says that weights decay, and that decays none."""
    if not weight_decay:
        message = f"without decay `{optimizer.word}` is `{plain}`"
        yield OptionError(("weight_decay",), "DLC303", message, hint=f"write `{plain}`, or a `weight_decay` above 0")


def no_schedule(optimizer: Optimizer, why: str) -> Iterator[OptionError]:
    """The fault of a schedule where the rate is used once."""
    if isinstance(optimizer.learning_rate, Schedule):
        message = f"a schedule has no effect on `{optimizer.word}`: {why}"
        found = f"`{optimizer.learning_rate.word}`"
        yield OptionError(("learning_rate",), "DLC303", message, found=found, expected="a number")
