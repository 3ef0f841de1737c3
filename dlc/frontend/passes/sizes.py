"""Numbers for symbolic sizes: whether the network accepts them, and the smallest that it accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dlc.diagnostics import Problems, Report, SpecError
from dlc.frontend.passes.freeze import freeze
from dlc.frontend.passes.infer import infer
from dlc.frontend.plan import Plan
from dlc.ir import Graph, TypedGraph

_LARGEST = 1 << 20


def prove_sizes(plan: Plan, sizes: Mapping[str, int]) -> Report:
    """Check the network with numbers in place of the symbols in its inputs.

    Args:
        plan: the spec.
        sizes: numbers by symbol; other symbols stay symbols.
    """
    problems = Problems()
    infer(_untyped(plan, sizes), problems)
    return problems.report({})


def sized(plan: Plan, sizes: Mapping[str, int]) -> TypedGraph:
    """The network with numbers in place of the symbols in its inputs.

    Raises:
        SpecError: when it does not accept them.
    """
    problems, rule = Problems(), plan.update
    if rule is None:
        found = infer(_untyped(plan, sizes), problems)
    else:
        found = infer(
            _untyped(plan, sizes), problems, lambda path: (rule.freezes(path), rule.label(path)), rule.freezes
        )
    if found is None:
        raise SpecError(problems.report({}))
    return freeze(found, rule.freezes) if rule else found


def _untyped(plan: Plan, sizes: Mapping[str, int]) -> Graph:
    types = {
        name: replace(kind, shape=tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in kind.shape))
        for name, kind in plan.graph.inputs.items()
    }
    return replace(plan.untyped, inputs=types)


def least_sizes(plan: Plan) -> dict[str, int]:
    """The smallest valid number for each symbol of the inputs, except the batch, all at once.

    A network that accepts a size is assumed to accept every larger one, as windows and slices do.
    """
    symbols = sorted({dim for kind in plan.graph.inputs.values() for dim in kind.shape[1:] if isinstance(dim, str)})
    if not symbols:
        return {}
    together = _least(lambda size: prove_sizes(plan, dict.fromkeys(symbols, size)).ok)
    found = dict.fromkeys(symbols, together)
    for name in symbols if together > 1 else ():
        found[name] = _least(lambda size: prove_sizes(plan, {**found, name: size}).ok)  # noqa: B023 - called at once
    return found


def _least(fits: Callable[[int], bool]) -> int:
    """The smallest number from 1 on that fits; 1 if there is none within reason."""
    size = 1
    while not fits(size):
        size *= 2
        if size > _LARGEST:
            return 1
    low, high = size // 2, size  # the first does not fit, the second does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
