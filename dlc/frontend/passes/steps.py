"""The result of `expand`: steps with paths and expanded blocks, names not yet resolved."""

from __future__ import annotations

from typing import NamedTuple

from dlc.diagnostics import Span
from dlc.ir import CompositeBlock, Layer, Origin, Settings
from dlc.support.fast_dataclass import fast_dataclass


class Name(NamedTuple):
    """A name as the user wrote it, and its span."""

    text: str
    span: Span | None


@fast_dataclass(frozen=True)
class Step:
    """Shared by all steps: a path, the user's name for it, the inputs it names (None: the item before)."""

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
    """A body that runs `times` times, optionally with another first iteration."""

    times: int
    body: tuple[Step, ...]
    first: tuple[Step, ...] | None
    unroll: bool


@fast_dataclass(frozen=True)
class BlockStep(Step):
    """A block in use: its body sees only the block's own inputs."""

    block: str
    names: tuple[str, ...]
    spans: tuple[Span | None, ...]  # the spans of the inputs' declarations
    body: tuple[Step, ...]
    composite: CompositeBlock | None = None


@fast_dataclass(frozen=True)
class BrokenStep(Step):
    """An item with a reported error; the type of its result is unknown."""
