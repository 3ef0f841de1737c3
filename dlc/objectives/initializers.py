"""First values of weights, drawn on the host: nothing to compile, so the first step comes a second earlier."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from dlc.ir import DTYPES, Init, ParamSpec
from dlc.lazy import np

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


def path_hash(path: str) -> int:
    """A 32-bit number for a path: the same in every process and version.

    >>> path_hash("dense/kernel") == path_hash("dense/kernel")
    True
    """
    return int.from_bytes(hashlib.blake2s(path.encode(), digest_size=4).digest(), "little")


def draw(spec: ParamSpec, seed: int, path: str) -> NDArray[numpy.float32]:
    """The first value of the weight at `path`. It depends on the seed, the path and the declaration alone."""
    generator = np.random.Generator(np.random.Philox(key=[seed, path_hash(path)]))
    value = INITIALIZERS[spec.init.name](generator, spec.shape, spec.init)
    return np.ascontiguousarray(value.astype(DTYPES[spec.dtype]))


Drawer = Callable[["numpy.random.Generator", tuple[int, ...], Init], "NDArray[numpy.floating]"]


def _zeros(_generator: numpy.random.Generator, shape: tuple[int, ...], _init: Init) -> NDArray[numpy.floating]:
    return np.zeros(shape, np.float32)


def _ones(_generator: numpy.random.Generator, shape: tuple[int, ...], _init: Init) -> NDArray[numpy.floating]:
    return np.ones(shape, np.float32)


def _glorot_uniform(generator: numpy.random.Generator, shape: tuple[int, ...], init: Init) -> NDArray[numpy.floating]:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, proceedings.mlr.press/v9/glorot10a)."""
    limit = math.sqrt(6.0 / (init.fan_in + init.fan_out))
    return (generator.random(shape, np.float32) * 2 - 1) * np.float32(limit)


INITIALIZERS: dict[str, Drawer] = {"zeros": _zeros, "ones": _ones, "glorot_uniform": _glorot_uniform}
