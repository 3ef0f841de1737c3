"""`dlc layers`: the list of components, a search in it, and the page of one, all from the classes themselves."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dlc
from dlc.cli.console import colorful
from dlc.cli.option_values import allowed_values
from dlc.components.augmentations.augmentation import AugmentExample
from dlc.components.losses.loss import LossExample
from dlc.components.registry import KINDS
from dlc.components.rules.rule import Rule, RuleExample
from dlc.components.schedules.schedule import Length
from dlc.diagnostics import Problems, SpecError, nearest
from dlc.frontend.containers import CONTAINERS
from dlc.frontend.plugins import active, load_plugin
from dlc.ir import Example as LayerExample
from dlc.language.aliases import names_elsewhere
from dlc.language.options import Options, flow

WIDE = 28  # columns; longer descriptions of allowed values get a line of their own


class Component(NamedTuple):
    """A component as the list shows it.

    Args:
        word: its name in a spec.
        kind: the plural name of its kind.
        cls: its class.
        elsewhere: what other frameworks call it.
    """

    word: str
    kind: str
    cls: type[Any]
    elsewhere: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return self.text.split("\n")[0]

    @property
    def text(self) -> str:
        """Its own docstring: that of its base class would describe another component."""
        return inspect.cleandoc(self.cls.__dict__.get("__doc__") or "no description: the class has no docstring")

    @property
    def family(self) -> str:
        """The title of the file that it is in."""
        title = (sys.modules[self.cls.__module__].__doc__ or "").split("\n")[0]
        return title.partition(": ")[0].partition(". ")[0].rstrip(".")


def components() -> list[Component]:
    """All components, by kind in the order of the registry, plugins' included."""
    found: list[Component] = []
    for kind in KINDS.values():
        alias = "layer" if "network" in kind.sections else kind.name
        found += [Component(word, kind.plural, kind.load(word), names_elsewhere(word, alias)) for word in kind.words()]
        if kind.name == "block":
            found += [Component(word, "containers", cls) for word, cls in CONTAINERS.items()]
    return found


def print_components(name: str | None, search: str | None = None, plugins: Sequence[str] = ()) -> None:
    """Print the list of components, those that a search finds, or the page of one.

    Args:
        name: the component whose page is printed.
        search: what is searched for.
        plugins: modules or files whose components are included. Their code runs.

    Raises:
        SpecError: DLC510 when nothing is found, DLC119 when a plugin can't be loaded.
    """
    problems = Problems()
    loaded = [load_plugin(plugin, Path(), None, problems, typed=True) for plugin in plugins]
    report = problems.report({})
    if not report.ok:
        raise SpecError(report)
    with active([plugin for plugin in loaded if plugin is not None]):
        known = components()
        if name is not None:
            print(_pages(name, known))
        elif search is not None:
            print(_search_result(search, known))
        else:
            print("\n".join(_listing(known)))
            print("\n`dlc layers NAME` prints a reference page, `dlc layers --search TEXT` searches this list")


# ---- the list ----


def _listing(known: Iterable[Component], aliases: bool = False) -> Iterator[str]:
    """The lines of a list, grouped by kind and by family."""
    groups: dict[str, dict[str, list[Component]]] = {}
    for component in known:
        groups.setdefault(component.kind, {}).setdefault(component.family, []).append(component)
    for index, (kind, families) in enumerate(groups.items()):
        yield from [""] if index else []
        yield _bold(kind)
        width = max(len(component.word) for family in families.values() for component in family)
        for family, members in families.items():
            yield f"  {family}"
            for component in members:
                also = f"  (also called {', '.join(component.elsewhere)})" if aliases and component.elsewhere else ""
                yield from _wrapped(f"    {component.word:<{width}}  ", component.summary + also)


def _search_result(text: str, known: Sequence[Component]) -> str:
    found = [component for component in known if _matches(component, text)]
    if not found:
        hint = "search for one word of a name or description, such as `pool`"
        raise SpecError.of("DLC510", f"no component matches `{text}`", hint=hint)
    return "\n".join(_listing(found, aliases=True))


def _matches(component: Component, text: str) -> bool:
    """Whether each word of a text is in the name, the summary or a name that other frameworks use."""
    names = [component.word, *component.elsewhere]
    plain = " ".join([*names, *(name.replace("_", "") for name in names), component.summary, component.family]).lower()
    return all(part in plain or part.replace("_", "") in plain for part in text.lower().split())


def _wrapped(begin: str, text: str) -> list[str]:
    """A line with a description; on a terminal, wrapped and indented to its width."""
    if not sys.stdout.isatty():
        return [(begin + text).rstrip()]
    width = max(shutil.get_terminal_size().columns, len(begin) + 30)
    return textwrap.wrap(begin + text, width, subsequent_indent=" " * len(begin), drop_whitespace=True) or [begin]


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if colorful(sys.stdout) else text


# ---- a page ----


def _pages(name: str, known: Sequence[Component]) -> str:
    found = [component for component in known if component.word == name]
    if not found:
        meant = next((component.word for component in known if _plain(name) in component.elsewhere), None)
        close = meant or nearest(name, [component.word for component in known])
        hint = f"did you mean `{close}`?" if close else "`dlc layers` lists all components"
        raise SpecError.of("DLC510", f"there is no component `{name}`", hint=hint)
    return "\n\n".join(page(component) for component in found)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def page(component: Component) -> str:
    """The reference page of a component: what it does, its options with their allowed values, examples, its source."""
    cls = component.cls
    lines = [_bold(f"{component.word} ({component.kind})"), "", component.text]
    if issubclass(cls, Rule):
        lines += ["", f"code: {cls.code}"]
        lines += [f"fix: {cls.fix}"] if cls.fix else []
    elif issubclass(cls, Options) and cls.model_fields:
        lines += ["", _bold("options:"), *_options(cls)]
        if cls.main_option():
            lines += ["", f"short form: `{component.word}: {cls.main_option()}`"]
    examples = [line for example in cls.examples for line in _example(example)]
    if examples:
        lines += ["", _bold("examples:"), *(f"  {line}".rstrip() for line in examples)]
    lines += ["", f"source: {_source(cls)}"]
    return "\n".join(lines)


def _options(cls: type[Options]) -> Iterator[str]:
    """A line for each option: its name, the allowed values, the default and what it is."""
    rows = [
        (_label(cls, name), allowed_values(field), _default(field), field.description or "")
        for name, field in cls.model_fields.items()
    ]
    names = max(len(row[0]) for row in rows)
    values = max((len(row[1]) for row in rows if len(row[1]) <= WIDE), default=0)
    defaults = max(len(row[2]) for row in rows)
    for label, allowed, default, text in rows:
        short = allowed if len(allowed) <= WIDE else ""
        begin = f"  {label:<{names}}  {short:<{values}}  {default:<{defaults}}  "
        yield from _wrapped(begin, text)
        if not short and allowed:
            yield from _wrapped(" " * len(begin), f"values: {allowed}")


def _label(cls: type[Options], name: str) -> str:
    return f"{name}*" if name in cls.required_options() else name


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, Options):
        return value.word or "defaults"
    if value is None:
        return "-"
    return str(value) if isinstance(value, Length) else flow(value)


def _source(cls: type[Any]) -> str:
    """The file and line of a class; from the folder that holds `dlc/` where it is dlc's own."""
    file = Path(inspect.getsourcefile(cls) or "")
    root = Path(dlc.__file__).parent.parent
    shown = file.relative_to(root).as_posix() if file.is_relative_to(root / "dlc") else str(file)
    return f"{shown}:{inspect.getsourcelines(cls)[1]}"


def _example(example: Any) -> list[str]:
    """The lines of an example."""
    if isinstance(example, str):
        return [example]
    if isinstance(example, RuleExample):
        return ["wrong:", *_indented(example.wrong), "right:", *_indented(example.right)]
    error = f"error {example.error}" if example.error else None
    if isinstance(example, LayerExample):
        given = ", ".join(example.inputs) if isinstance(example.inputs, tuple) else example.inputs
        weights = f", {example.params:,} weights" if example.params else ""
        return [f"{example.spec}    {given} -> {error or f'{example.output}{weights}'}"]
    if isinstance(example, LossExample):
        return [
            f"{example.spec}    output {example.output}, target {example.target}" + (f" -> {error}" if error else "")
        ]
    if isinstance(example, AugmentExample):
        on = ", ".join(example.on) if isinstance(example.on, tuple) else example.on
        return [f"{example.spec}    {on}" + (f" -> {error}" if error else "")]
    return [f"{example.spec}    {list(example.column)} -> {error or example.type}"]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
