"""Variants of an operation that compute the same; the compiler picks one for each platform.

A layer calls an `Operation` where several programs compute the same. A fixed table chooses one
by platform, unless a run says otherwise: one that timed them, or one that goes on as it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from typing import Any

from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.lazy import jax, lax

REST = "default"  # the platforms that a table does not name


@fast_dataclass(frozen=True)
class Site:
    """An operation of a network that could be computed in several ways.

    Args:
        operation: what is computed.
        setting: what it is computed with besides arrays, such as a window.
        arrays: the shapes and element types of its arrays.
        fitting: the names of the variants that can compute it.
        picked: the variant by platform; `REST` stands for the others.
    """

    operation: Operation
    setting: Any
    arrays: tuple[Any, ...]
    fitting: tuple[str, ...]
    picked: Mapping[str, str]

    def variant(self, platform: str) -> str:
        """The variant on a platform."""
        return self.picked.get(platform, self.picked[REST])


@fast_dataclass
class Choices:
    """The choices of one program: those that are given, and those that tracing came across.

    Args:
        given: variant by site; a site is the path of a layer and the name of the operation, `stem/conv2d convolution`.
        platform: what they are given for.
        only: the platform that the program is for, of which only the variants are traced; any when None.
        sites: what tracing found, by site.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    platform: str = "cpu"
    only: str | None = None
    sites: dict[str, Site] = field(default_factory=dict)

    def variants(self, platform: str) -> dict[str, str]:
        """The variant at each site on a platform."""
        return {name: site.variant(platform) for name, site in self.sites.items()}


_HERE: ContextVar[tuple[Choices, str] | None] = ContextVar("here", default=None)


@contextmanager
def at(choices: Choices, path: str) -> Iterator[None]:
    """The layer whose operations are traced."""
    token = _HERE.set((choices, path))
    try:
        yield
    finally:
        _HERE.reset(token)


@fast_dataclass(frozen=True)
class Operation:
    """An operation that has several equivalent variants.

    Args:
        name: what is computed.
        variants: (setting, *arrays) -> the result, by name.
        fitting: (setting, *arrays) -> the names of the variants that can compute it.
        table: (setting, *arrays) -> the variant by platform; `REST` must be among them.
    """

    name: str
    variants: Mapping[str, Callable[..., Any]]
    fitting: Callable[..., tuple[str, ...]]
    table: Callable[..., Mapping[str, str]]

    def __call__(self, setting: Any, *arrays: Any) -> Any:
        """The result, by the variant that is picked."""
        picked, here = self.table(setting, *arrays), _HERE.get()
        if here is not None:
            choices, path = here
            name = f"{path} {self.name}"
            fitting = self.fitting(setting, *arrays)
            if choices.given.get(name) in fitting:
                picked = {**picked, choices.platform: choices.given[name]}
            shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arrays)
            choices.sites[name] = Site(self, setting, shapes, fitting, picked)
            if choices.only is not None:
                return self.variants[picked.get(choices.only, picked[REST])](setting, *arrays)
        names = dict.fromkeys(picked.values())
        if len(names) == 1:
            return self.variants[picked[REST]](setting, *arrays)
        branches = {platform: self.variants[variant] for platform, variant in picked.items()}
        bound = {platform: _bound(variant, setting) for platform, variant in branches.items()}
        return lax.platform_dependent(*arrays, **bound)


def _bound(variant: Callable[..., Any], setting: Any) -> Callable[..., Any]:
    return lambda *arrays: variant(setting, *arrays)
