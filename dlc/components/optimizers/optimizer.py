"""The base of optimizers: each is a class that builds an optax transformation."""

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
Nesterov = Annotated[bool, Field(description="use the gradient at the next position")]
EpsHat = Annotated[bool, Field(description="add eps to the root of the uncorrected second moment (epsilon hat)")]
MomentumDecay = Annotated[
    float | None,
    Field(
        gt=0,
        description="the momentum of step t is b1 * (1 - 0.5 * 0.96^(t * momentum_decay)): 0.004 in PyTorch and the "
        "publication, 1 in Keras; default: b1 at every step",
    ),
]
WeightDecay = Annotated[float, Field(ge=0, description="share of a weight that a step subtracts, times the rate")]


def rate(default: float, description: str = "step size, a number or a schedule") -> Any:
    """Declare the learning rate, which the short form sets."""
    return main(default, description=description)


class Optimizer(Options):
    """A rule that turns gradients into updates."""

    per_weight: ClassVar[bool] = False
    """Whether an update depends on a whole weight, its norm or shape, and not only on single elements.

    Stacked weights of a `repeat` are then updated one iteration at a time.
    """

    copies: ClassVar[int] = 0
    """How many numbers it keeps for each trained one, at least: two moments are 2."""

    learning_rate: LearningRate

    @model_validator(mode="after")
    def _check(self) -> Optimizer:
        errors = list(self.without_effect())
        if errors:
            raise reject(*errors)
        return self

    @classmethod
    def advice(cls, key: str) -> str | None:
        """The hint for an option that only other optimizers have."""
        if key in ("weight_decay", "wd", "l2", "l1"):
            word = {"adam": "adamw", "nadam": "nadamw", "adamax": "adamaxw"}.get(cls.word)
            own = next((name for name in ("weight_decay", "weight_decay_rate") if name in cls.model_fields), None)
            if own and key != "l1":
                return f"`{cls.word}` calls it `{own}`"
            term = "l1" if key == "l1" else "l2"
            other = "" if key == "l1" else f"write `{word or 'adamw'}`, or "
            return f"{other}add the section `regularization: {{{term}: 1e-4}}`"
        if key in ("clip_norm", "clipnorm", "global_clipnorm", "max_norm", "max_grad_norm", "gradient_clip_val"):
            return f"put it beside `{cls.word}`, as in `optimizer: {{{cls.word}: {{...}}, clip_norm: 1.0}}`"
        if key == "amsgrad" and cls.word.startswith("adam"):
            return "use the optimizer `amsgrad`"
        if key == "momentum" and "b1" in cls.model_fields:
            return "its momentum is `b1`"
        if key == "betas" and "b1" in cls.model_fields:
            return "write `b1` and `b2`"
        return None

    def without_effect(self) -> Iterator[OptionError]:
        """Errors of settings that would have no effect."""
        yield from ()

    def idle(self) -> Iterator[OptionError]:
        """Errors of settings that have no effect unless a group of weights changes them."""
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
    """The same optimizer with some options replaced, or the errors in them.

    Args:
        optimizer: the optimizer.
        options: a plain tree, as in a spec. Locations of errors start from it.
    """
    given = {name: getattr(optimizer, name) for name in optimizer.model_fields_set}
    made = validate(type(optimizer), {**given, **options})
    if isinstance(made, Optimizer):
        return made
    assert isinstance(made, list)  # a class of optimizers makes nothing else
    return [error if error.loc and error.loc[0] in options else error._replace(loc=()) for error in made]


def needs_momentum(nesterov: bool, momentum: float) -> Iterator[OptionError]:
    """The error of Nesterov's step without momentum, which is the plain step."""
    if nesterov and not momentum:
        hint = "add `momentum: 0.9`, or remove `nesterov`"
        message, because = "`nesterov` has no effect without `momentum`", ("nesterov", "momentum")
        yield OptionError(("nesterov",), "DLC303", message, hint=hint, because=because)


def decays_nothing(optimizer: Optimizer, weight_decay: float, plain: str) -> Iterator[OptionError]:
    """The error of an optimizer with decoupled weight decay whose decay is 0."""
    if not weight_decay:
        message = f"without decay `{optimizer.word}` is the same as `{plain}`"
        hint = f"write `{plain}`, or a `weight_decay` above 0"
        yield OptionError(("weight_decay",), "DLC303", message, hint=hint, because=("weight_decay",))


def no_schedule(optimizer: Optimizer, why: str) -> Iterator[OptionError]:
    """The error of a schedule where the rate is used only once."""
    if isinstance(optimizer.learning_rate, Schedule):
        message = f"a schedule has no effect on `{optimizer.word}`: {why}"
        found = f"`{optimizer.learning_rate.word}`"
        yield OptionError(("learning_rate",), "DLC303", message, found=found, expected="a number")
