"""Numbers for symbolic sizes: whether the network accepts them, the smallest that it accepts, and assumed ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from dlc.diagnostics import Problems, Report, SpecError, did_you_mean, listing
from dlc.frontend.passes.freeze import freeze
from dlc.frontend.passes.infer import infer
from dlc.frontend.plan import Plan
from dlc.ir import TensorType, TypedGraph

ASSUMED = (*range(128, 0, -8), 4, 2, 1)  # for symbols of which nothing is known: the first that the network accepts
_LARGEST = 1 << 20


class Sizes(NamedTuple):
    """Numbers for the symbolic sizes of a spec.

    Args:
        numbers: a number for each symbol of inputs and targets, except the batch; a symbol without one counts as 1.
        assumed: the symbols whose number nobody gave.
    """

    numbers: Mapping[str, int]
    assumed: Sequence[str] = ()

    def __str__(self) -> str:
        return listed(self.numbers)

    def of(self, names: Collection[str]) -> Sizes:
        """Those of some symbols."""
        numbers = {name: size for name, size in self.numbers.items() if name in names}
        return Sizes(numbers, tuple(name for name in self.assumed if name in names))

    @property
    def note(self) -> str:
        """A sentence about assumed numbers; empty if there is none.

        >>> print(Sizes({"height": 128, "time": 30, "width": 128}, ("height", "width")).note)
        the spec doesn't fix `height`, `width`: 128 is assumed for each
        """
        if not self.assumed:
            return ""
        numbers = {self.numbers.get(name, 1) for name in self.assumed}
        each = " for each" if len(self.assumed) > 1 else ""
        values = f"{numbers.pop()} is assumed{each}" if len(numbers) == 1 else f"{self} is assumed"
        return f"the spec doesn't fix {listing(self.assumed)}: {values}"


def listed(numbers: Mapping[str, int]) -> str:
    """Sizes as in "time = 100, width = 28"."""
    return ", ".join(f"{name} = {size}" for name, size in numbers.items())


def symbols(kinds: Iterable[TensorType]) -> list[str]:
    """The symbolic sizes of values, except the batch, in their order."""
    return list(dict.fromkeys(dim for kind in kinds for dim in kind.shape[1:] if isinstance(dim, str)))


def sizes_of(plan: Plan, given: Mapping[str, int] | None = None) -> Sizes:
    """Numbers for all symbolic sizes of a spec: the given ones, and assumed ones for others.

    Raises:
        SpecError: DLC510 for a name that is no symbolic size of the spec or a number below 1, and what is wrong when
            the network does not accept the given sizes.
    """
    given = given or {}
    known = symbols([*plan.graph.inputs.values(), *(feature.value_type() for feature in plan.targets.values())])
    for name, size in given.items():
        if name not in known:
            raise _unknown(name, known)
        if size < 1:
            raise SpecError.of("DLC510", f"the size `{name}` can't be {size}", expected="a positive number")
    if not known:
        return Sizes({})
    report = prove_sizes(plan, given) if given else Report()
    if not report.ok:
        items = [replace(item, message=f"{item.message}, for {listed(given)}") for item in report.diagnostics]
        raise SpecError(Report(tuple(items)))
    left = tuple(name for name in known if name not in given)
    found = _assumed(plan, left, given) if left else given
    return Sizes({name: found[name] for name in known if name in found}, left)


def _unknown(name: str, known: Sequence[str]) -> SpecError:
    hint = did_you_mean(name, known) if known else "all sizes of this spec are numbers"
    if name == "batch":
        hint = "for the batch size use `--set train.batch_size=N`"
    expected = f"one of {listing(known)}" if known else None
    return SpecError.of("DLC510", f"the spec has no symbolic size `{name}`", expected=expected, hint=hint)


def _assumed(plan: Plan, names: Sequence[str], given: Mapping[str, int]) -> Mapping[str, int]:
    """The given numbers, and for these names numbers that the network accepts together; only the given if none fit."""
    for number in ASSUMED:
        found = {**dict.fromkeys(names, number), **given}
        if prove_sizes(plan, found).ok:
            return found
    found = {**dict.fromkeys(names, 1), **least_sizes(plan, given)}
    return found if prove_sizes(plan, found).ok else given


def prove_sizes(plan: Plan, sizes: Mapping[str, int]) -> Report:
    """Check the network with numbers in place of the symbols in its inputs.

    Args:
        plan: the spec.
        sizes: numbers by symbol; other symbols stay symbols.
    """
    problems = Problems()
    _inferred(plan, sizes, problems)
    return problems.report({})


def graph_of_sizes(plan: Plan, sizes: Mapping[str, int]) -> TypedGraph:
    """The network with numbers in place of the symbols in its inputs; `prove_sizes` has accepted them."""
    if not symbols(plan.graph.inputs.values()):
        return plan.graph
    graph = _inferred(plan, sizes, Problems())
    assert graph is not None, "the sizes were proved"
    return freeze(graph, plan.update.freezes) if plan.update is not None else graph


def _inferred(plan: Plan, sizes: Mapping[str, int], problems: Problems) -> TypedGraph | None:
    inputs = {name: _sized(kind, sizes) for name, kind in plan.graph.inputs.items()}
    rule = plan.update
    graph = replace(plan.untyped, inputs=inputs)
    if rule is None:
        return infer(graph, problems)
    return infer(graph, problems, lambda weight: (rule.freezes(weight), rule.label(weight)), rule.freezes)


def _sized(kind: TensorType, sizes: Mapping[str, int]) -> TensorType:
    return replace(kind, shape=tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in kind.shape))


def least_sizes(plan: Plan, given: Mapping[str, int] | None = None) -> dict[str, int]:
    """The smallest valid number for each symbol of the inputs, except the batch, all at once.

    A network that accepts a size is assumed to accept every larger one, as windows and slices do. Numbers of `given`
    are kept.
    """
    fixed = dict(given or {})
    free = [name for name in sorted(symbols(plan.graph.inputs.values())) if name not in fixed]
    if not free:
        return fixed
    together = _least(lambda size: prove_sizes(plan, {**dict.fromkeys(free, size), **fixed}).ok)
    found = {**dict.fromkeys(free, together), **fixed}
    for name in free if together > 1 else ():
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
