"""What `expand` makes of a network's items: steps with paths, blocks opened, names not yet resolved."""

from __future__ import annotations

from typing import NamedTuple

from dlc.diagnostics import Span
from dlc.ir import Layer, Origin, Settings
from dlc.support.fast_dataclass import fast_dataclass


class Name(NamedTuple):
    """A name as the user wrote it, and where."""

    text: str
    span: Span | None


@fast_dataclass(frozen=True)
class Step:
    """What all steps have: a path, the user's name for it, the inputs it names (None: the item before)."""

    path: str
    name: str | None
    inputs: tuple[Name, ...] | None
    origin: Origin
    weights: str
    word: str
    settings: tuple[Settings, ...]


@fast_dataclass(frozen=True)
class LayerStep(Step):
    """One layer; None when its options are wrong."""

    layer: Layer | None


@fast_dataclass(frozen=True)
class ResidualStep(Step):
    """x + body(x), or shortcut(x) + body(x), then the activation."""

    body: tuple[Step, ...]
    shortcut: tuple[Step, ...] | None
    activation: Layer | None


@fast_dataclass(frozen=True)
class ParallelStep(Step):
    """Branches on the same input, merged."""

    branches: tuple[tuple[str, tuple[Step, ...]], ...]
    merge: Layer | None


@fast_dataclass(frozen=True)
class RepeatStep(Step):
    """A body that runs `times` times; the first time another one, if there is one."""

    times: int
    body: tuple[Step, ...]
    first: tuple[Step, ...] | None
    unroll: bool


@fast_dataclass(frozen=True)
class BlockStep(Step):
    """A block in use: its body sees only the block's own inputs."""

    block: str
    names: tuple[str, ...]
    places: tuple[Span | None, ...]  # where the inputs are declared
    body: tuple[Step, ...]


@fast_dataclass(frozen=True)
class BrokenStep(Step):
    """An item that could not be read: it was reported, and its result's type is unknown."""
