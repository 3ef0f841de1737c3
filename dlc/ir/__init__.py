"""The intermediate representation: types, weights, layers, nodes and graphs; and `verify`, run after every stage."""

from __future__ import annotations

from dlc.ir.context import Context, Mode
from dlc.ir.graph import (
    MAX_NODES,
    CompositeUse,
    Graph,
    Node,
    Origin,
    Ref,
    RepeatNode,
    Segment,
    Settings,
    TypedGraph,
    TypedNode,
    TypedRepeat,
    walk,
)
from dlc.ir.layer import (
    MIXED,
    CompositeBlock,
    Decoding,
    Example,
    Layer,
    Masks,
    Normalized,
    Outcome,
    Signature,
    need_time_axis,
    refused_decoding,
)
from dlc.ir.masks import over, where_real
from dlc.ir.parameters import ONES, ZEROS, Init, ParamSpec, RunningMean
from dlc.ir.paths import Iterations, instances
from dlc.ir.shape_checks import known_size, need_behind_mask, need_float, need_rank
from dlc.ir.types import BYTES, DTYPES, MASK, Dim, TensorType
from dlc.ir.verify import InternalError, verify

__all__ = [
    "BYTES",
    "DTYPES",
    "MASK",
    "MAX_NODES",
    "MIXED",
    "ONES",
    "ZEROS",
    "CompositeBlock",
    "CompositeUse",
    "Context",
    "Decoding",
    "Dim",
    "Example",
    "Graph",
    "Init",
    "InternalError",
    "Iterations",
    "Layer",
    "Masks",
    "Mode",
    "Node",
    "Normalized",
    "Origin",
    "Outcome",
    "ParamSpec",
    "Ref",
    "RepeatNode",
    "RunningMean",
    "Segment",
    "Settings",
    "Signature",
    "TensorType",
    "TypedGraph",
    "TypedNode",
    "TypedRepeat",
    "instances",
    "known_size",
    "need_behind_mask",
    "need_float",
    "need_rank",
    "need_time_axis",
    "over",
    "refused_decoding",
    "verify",
    "walk",
    "where_real",
]
