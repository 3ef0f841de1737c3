"""JAX modules, imported at first use: a layer's file reads like JAX but costs the checker nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from jax import lax
else:

    class _Lazy:
        """A module that is imported when one of its attributes is first used."""

        def __init__(self, name: str) -> None:
            self.__name = name

        def __getattr__(self, attribute: str) -> Any:
            value = getattr(import_module(self.__name), attribute)
            setattr(self, attribute, value)
            return value

    jax = _Lazy("jax")
    jnp = _Lazy("jax.numpy")
    lax = _Lazy("jax.lax")
    np = _Lazy("numpy")
    optax = _Lazy("optax")

__all__ = ["jax", "jnp", "lax", "np", "optax"]
