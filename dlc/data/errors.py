"""Errors in data: all of them at once, with the spans of the features and sources that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.components.wrong_values import Violations, WrongValues
from dlc.diagnostics import Diagnostic, Report, SpecError, listing, plural
from dlc.frontend.plan import Plan
from dlc.language.options import RuleViolation

Path = tuple[str, ...]

_MOST_COLUMNS = 8  # of one feature that are reported by themselves


class DataErrors:
    """Collects what is wrong with tables.

    Args:
        plan: the plan of the spec.
        table: the name of a table that the spec doesn't name. Its errors have this name and no span.
    """

    def __init__(self, plan: Plan, table: str | None = None) -> None:
        self.plan, self.table = plan, table
        self._found: dict[tuple[Path, str, str], RuleViolation] = {}
        self._chosen: dict[Path, tuple[str, ...]] = {}

    def add(self, path: Path, wrong: RuleViolation | Violations, chosen: Sequence[str] = ()) -> None:
        """Add errors of a feature or source. The same kind of wrong values in several blocks is one error.

        Args:
            path: the position of the feature or source in the spec.
            wrong: the errors.
            chosen: the columns that the feature reads.
        """
        self._chosen.setdefault(path, tuple(chosen))
        for error in wrong.found if isinstance(wrong, Violations) else [wrong]:
            key = (path, error.kind, error.column) if isinstance(error, WrongValues) else (path, error.code, "")
            before = self._found.get(key)
            if before is None:
                self._found[key] = error
            elif isinstance(before, WrongValues) and isinstance(error, WrongValues):
                self._found[key] = before.joined(error)

    @property
    def empty(self) -> bool:
        """Whether nothing was found."""
        return not self._found

    def check(self) -> None:
        """Raise what was found, if anything."""
        if self._found:
            raise self.error()

    def error(self) -> SpecError:
        """All errors, in the order of the spec. Many columns of one feature are summed up."""
        items: list[Diagnostic] = []
        by_path: dict[Path, list[RuleViolation]] = {}
        for (path, _, _), error in self._found.items():
            by_path.setdefault(path, []).append(error)
        for path, errors in by_path.items():
            errors.sort(key=lambda error: error.index if isinstance(error, WrongValues) else 0)
            items += [self._diagnostic(path, error) for error in errors[:_MOST_COLUMNS]]
            more = errors[_MOST_COLUMNS:]
            if more:
                names = list(dict.fromkeys(error.column for error in more if isinstance(error, WrongValues)))
                have = "has" if len(names) == 1 else "have"
                message = f"{plural(len(names), 'more column')} of `{path[1]}` {have} such values"
                items.append(self._diagnostic(path, RuleViolation(more[0].code, message, found=listing(names, 4))))
        items.sort(key=lambda item: (item.span.line, item.span.column) if item.span else (0, 0))
        return SpecError(Report(tuple(items)))

    def _diagnostic(self, path: Path, error: RuleViolation) -> Diagnostic:
        hint = error.hint
        if isinstance(error, WrongValues):
            hint = _shared(error.column, path, self._chosen, self.plan) or hint
        if self.table is not None:
            message = f"{self.table}: {error.message}" if self.table not in error.message else error.message
            return Diagnostic(error.code, message, None, error.found, error.expected, hint)
        location = (*path, error.option, *error.part) if error.option else path
        span = self.plan.places.span_of(location, path)
        return Diagnostic(error.code, error.message, span, error.found, error.expected, hint)


def _shared(column: str, path: Path, chosen: Mapping[Path, tuple[str, ...]], plan: Plan) -> str | None:
    """The hint for a column that a pattern selects and another feature reads by its name."""
    features = {**plan.inputs, **plan.targets}
    reads = features[path[1]].reads(path[1]) if path[1] in features else ()
    patterns = [name for name in reads if "*" in name]
    if not patterns or column in reads or len(chosen.get(path, ())) < 2:
        return None
    owner = next((name for name, other in features.items() if name != path[1] and column in other.reads(name)), None)
    return f"{listing(patterns)} also matches `{column}`, which `{owner}` reads: list the columns" if owner else None


def wrong_data(plan: Plan, wrong: RuleViolation, path: Path) -> SpecError:
    """An error in data, with the span of the feature that declares the data."""
    errors = DataErrors(plan)
    errors.add(path, wrong)
    return errors.error()
