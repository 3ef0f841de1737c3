"""Hyperparameters as arguments of compiled programs, so that changing one does not recompile.

A learning rate, a decay, a penalty's factor or a dropout rate is passed to the program at each call instead of being a
constant in it. Numbers that decide what is computed stay constants: zeros, which remove a term, and those that a class
lists in `static`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from dlc.language.options import Options

T = TypeVar("T", bound=Options)


class Hyperparameters(NamedTuple):
    """The hyperparameters of a program, as one array argument.

    Args:
        names: the path of each, such as `optimizer/learning_rate`.
        values: (len(names), 2), float32: each number, and 1 minus it, subtracted in double precision.
    """

    names: tuple[str, ...]
    values: Any

    @classmethod
    def of(cls, found: Mapping[str, float]) -> Hyperparameters:
        """Hyperparameters with the given values."""
        pairs = [(value, 1.0 - value) for value in found.values()]
        return cls(tuple(found), np.array(pairs, np.float32).reshape(-1, 2))

    def bound(self, values: Any) -> dict[str, Hyperparameter]:
        """Each hyperparameter by name, with values passed to a program."""
        return {name: Hyperparameter(*values[index]) for index, name in enumerate(self.names)}


@jax.tree_util.register_pytree_node_class
class Hyperparameter:
    """An argument of a program that replaces a Python float, with its arithmetic.

    Python computes `1 - decay` in double precision before the result becomes float32. The difference is therefore a
    separate argument, from which powers are computed. Code must not branch on a hyperparameter: comparing one is an
    error.
    """

    def __init__(self, value: Any, complement: Any) -> None:
        self._value, self._complement = value, complement

    def tree_flatten(self) -> tuple[tuple[Any, Any], None]:
        """The leaves for JAX, needed by compiled functions inside of optimizers."""
        return (self._value, self._complement), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: tuple[Any, Any]) -> Hyperparameter:
        """The inverse of `tree_flatten`."""
        return cls(*leaves)

    def __jax_array__(self) -> Any:
        return self._value

    def __bool__(self) -> bool:
        return True  # zeros are constants

    def __rsub__(self, other: Any) -> Any:
        return self._complement if isinstance(other, (int, float)) and other == 1 else other - self._value

    def __add__(self, other: Any) -> Any:
        return self._value + other

    def __radd__(self, other: Any) -> Any:
        return other + self._value

    def __sub__(self, other: Any) -> Any:
        return self._value - other

    def __mul__(self, other: Any) -> Any:
        return self._value * other

    def __rmul__(self, other: Any) -> Any:
        return other * self._value

    def __truediv__(self, other: Any) -> Any:
        return self._value / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self._value

    def __pow__(self, other: Any) -> Hyperparameter:
        """A power whose difference to 1 is exact to the last place, as `1 - decay**step` corrects a moment's bias.

        In float32 0.999 is 1.3e-8 too large, so that 1 minus its first power is 1.3e-5 too small.
        """
        small = self._value < 0.5
        logarithm = jnp.where(small, jnp.log(self._value), jnp.log1p(-self._complement))
        exponent = other * logarithm
        power = self._value**other if isinstance(other, (int, float)) else jnp.exp(exponent)
        return Hyperparameter(power, -jnp.expm1(exponent))

    def __rpow__(self, other: Any) -> Any:
        return other**self._value

    def __neg__(self) -> Any:
        return -self._value


def numbers_of(options: Options, name: str) -> dict[str, float]:
    """The numbers in options that can be arguments, including those of nested options.

    Args:
        options: the options.
        name: the prefix of the numbers' names.
    """
    found: dict[str, float] = {}
    for key in type(options).model_fields:
        value = getattr(options, key)
        if isinstance(value, Options):
            found |= numbers_of(value, f"{name}/{key}")
        elif type(value) is float and value != 0 and key not in options.static:
            found[f"{name}/{key}"] = value
    return found


def with_numbers(options: T, name: str, numbers: Mapping[str, Hyperparameter]) -> T:
    """The same options with the numbers that `numbers_of` found replaced by arguments of a program."""
    changed: dict[str, Any] = {}
    for key in type(options).model_fields:
        value, path = getattr(options, key), f"{name}/{key}"
        if path in numbers:
            changed[key] = numbers[path]
        elif isinstance(value, Options):
            changed[key] = with_numbers(value, path, numbers)
    return options.model_copy(update=changed) if changed else options
