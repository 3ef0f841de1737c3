"""Plugins: components from modules of a user. Loading one runs its code, so none is loaded unless the user allows it.

A plugin is a module with one or more of the tables that dlc has itself, by the same names: `LAYERS = {"word":
"module:Class"}`. A spec names it, `plugins: [my_layers]`: a module beside the spec or an installed one, or a path to a
`.py` file. It is allowed by `--allow-plugins`, by `dlc.allow_plugins()`, or by the user's configuration.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import PydanticUserError

from dlc.components.registry import KINDS, PLUGIN_TABLES
from dlc.diagnostics import Problems, Span, SpecError, nearest
from dlc.frontend.containers import CONTAINERS
from dlc.ir.guard import guard, line_of
from dlc.language.options import Options, RuleViolation, load_class, report_option_errors, spell, wrong_type
from dlc.language.source import Broken, Source
from dlc.support.fast_dataclass import fast_dataclass
from dlc.support.regular_files import read_whole

_allowed = False


@fast_dataclass(frozen=True)
class Plugin:
    """A loaded plugin.

    Args:
        name: how a spec names it wherever it stands: the module, or the full path of its file.
        tables: what it adds to the table of each kind, by the table's name.
    """

    name: str
    tables: Mapping[str, Mapping[str, str]]


def allow_plugins(allow: bool = True) -> None:
    """Let specs load their plugins, which runs the code in them, from here on in this process."""
    global _allowed  # noqa: PLW0603 - the user's word holds for the whole process
    _allowed = allow


def config_file() -> Path:
    """The user's configuration: `allow_plugins:` lists modules, and full paths of files."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "dlc" / "config.yaml"


def read_plugins(source: Source, folder: Path, problems: Problems) -> list[Plugin]:
    """The plugins that a spec names, loaded. Finds DLC103, DLC118 and DLC119."""
    tree = source.tree.get("plugins", [])
    if isinstance(tree, Broken):
        return []
    names = [tree] if isinstance(tree, str) else tree
    if not isinstance(names, list):
        option_error = wrong_type("plugins", tree, "a list of modules")
        report_option_errors([option_error], source, ("plugins",), problems)
        return []
    found: list[Plugin] = []
    for index, name in enumerate(names):
        path = ("plugins", index) if isinstance(tree, list) else ("plugins",)
        if isinstance(name, str) and name.strip():
            plugin = load_plugin(name, folder, source.span(path), problems)
            twice = _twice(found, plugin) if plugin is not None else None
            if twice is not None:
                message = f"the plugins `{twice[1]}` and `{name}` both define `{twice[0]}`"
                problems.add("DLC119", message, source.span(path), hint="rename one of the two")
            found += [plugin] if plugin is not None else []
        elif not isinstance(name, Broken):
            report_option_errors([wrong_type("a plugin", name, "the name of a module")], source, path, problems)
    return found


def load_plugin(name: str, folder: Path, span: Span | None, problems: Problems, typed: bool = False) -> Plugin | None:
    """A plugin by its module's name or its file's path; None after what is wrong was added.

    Args:
        name: the module or path.
        folder: where paths start, and modules are looked for first.
        span: where it is named.
        problems: what findings are added to.
        typed: whether the user named it on the command line, which allows it.
    """
    if not name.endswith(".py") and not all(part.isidentifier() for part in name.split(".")):
        hint = "for example `plugins: [my_layers]`, or `plugins: [parts/my_layers.py]`"
        problems.add("DLC119", f"`{name[:60]}` is not the name of a module", span, hint=hint)
        return None
    try:
        file = _file(name, folder)
        listed = _listed()
    except (OSError, UnicodeDecodeError) as error:
        problems.add("DLC119", f"the plugin `{name[:60]}` can't be looked for: {error}", span)
        return None
    except SpecError as error:
        for item in error.report.diagnostics:
            problems.append(item)
        return None
    where = str(file) if file is not None else name
    if not (typed or _allowed or where in listed):
        message = f"the plugin `{name}` is not allowed to run its code"
        hint = f"read {file or 'its code'}, then pass `--allow-plugins`, or list `{where}` in {_short(config_file())}"
        problems.add("DLC118", message, span, hint=hint)
        return None
    try:
        module = _load(file) if file is not None else import_module(name)
    except (Exception, SystemExit) as error:  # whatever the plugin does, it is the plugin's
        message, fix = _not_loaded(error)
        found = line_of(error, file)
        problems.add("DLC119", f"the plugin `{name}` {message}", span, found=found, hint=fix)
        return None
    tables = {key: value for key in PLUGIN_TABLES if isinstance(value := getattr(module, key, None), dict)}
    tables = {
        key: {word: place for word, place in table.items() if _own(place, module.__name__)}
        for key, table in tables.items()
    }
    if not any(tables.values()):
        hint = f'for example `LAYERS = {{"my_layer": "{module.__name__}:MyLayer"}}`'
        known = [key for key in vars(module) if key.isupper()]
        close = next((f"did you mean `{near}`?" for key in known if (near := nearest(key, PLUGIN_TABLES))), hint)
        problems.add("DLC119", f"the plugin `{name}` defines no components", span, hint=close)
        return None
    good = [
        _sound(name, key, word, place, span, problems) for key, table in tables.items() for word, place in table.items()
    ]
    return Plugin(where, tables) if all(good) else None


def _twice(plugins: Sequence[Plugin], plugin: Plugin) -> tuple[str, str] | None:
    """A word that an earlier plugin brought already, and that one's name."""
    for earlier in plugins:
        for key, words in plugin.tables.items():
            for word in words:
                if word in earlier.tables.get(key, {}):
                    return word, earlier.name
    return None


def _own(place: object, module: str) -> bool:
    """Whether an entry is the plugin's: a table that it imported from dlc and filled holds dlc's own as well."""
    return not (isinstance(place, str) and place.startswith("dlc.")) or module.startswith("dlc.")


def _file(name: str, folder: Path) -> Path | None:
    """The file that a name means, or None for an installed module."""
    if name.endswith(".py"):
        return (folder / name).absolute()
    beside = folder.joinpath(*name.split("."))
    for path in (beside.with_suffix(".py"), beside / "__init__.py"):
        if path.is_file():
            return path.absolute()
    return None


class _Loader(SourceFileLoader):
    """Loads a module from a regular file: a file of `/proc` may block, and is empty by its size."""

    def get_data(self, path: str) -> bytes:
        """The source, or what Python has compiled from it."""
        return read_whole(Path(path))


def _load(file: Path) -> ModuleType:
    """The module in a file, under its own name: its table names it so."""
    from importlib.util import module_from_spec, spec_from_file_location

    name = file.parent.name if file.stem == "__init__" else file.stem
    known = sys.modules.get(name)
    if known is not None:
        if Path(str(getattr(known, "__file__", None))).absolute() == file:
            return known
        raise ImportError(f"another module is called `{name}`; rename the file")
    loader = _Loader(name, str(file))
    spec = spec_from_file_location(name, file, loader=loader)
    if spec is None or not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _sound(plugin: str, key: str, word: object, place: object, span: Span | None, problems: Problems) -> bool:
    """Whether an entry of a plugin's table can be used."""

    def wrong(message: str, hint: str | None = None) -> bool:
        problems.add("DLC119", f"the plugin `{plugin}`: {message}", span, hint=hint)
        return False

    if isinstance(word, str) and isinstance(place, type):
        example = f'`"{word}": "{place.__module__}:{place.__name__}"`'
        return wrong(f"the entry `{word}` of {key} is a class, not its name", f"write {example}")
    if not isinstance(word, str) or not isinstance(place, str) or ":" not in place:
        return wrong(f"{key} holds {spell(word)}: {spell(place)}", 'an entry is `"name": "module:Class"`')
    kind = PLUGIN_TABLES[key]
    taken = CONTAINERS if "network" in kind.sections else ()
    if word in taken or any(other.table.get(word, place) != place for other in kind.shares_words()):
        return wrong(f"dlc has a component `{word}` already", "choose another name")
    try:
        cls: Any = load_class({word: place}, word)
    except (Exception, SystemExit) as error:
        message, fix = _not_loaded(error)
        return wrong(f"`{place}` {message}", fix)
    base: type[Any] = kind.base_class()
    if not isinstance(cls, type) or not issubclass(cls, base):
        return wrong(
            f"`{place}` is not a subclass of `{base.__name__}`", f"{key} holds subclasses of `{base.__name__}`"
        )
    own = getattr(cls, "word", "")
    if own != word:
        hint = "write the same name in both"
        return wrong(f'`{place}` has `word = "{own}"`, but its name in {key} is "{word}"', hint)
    try:
        if issubclass(cls, Options):
            cls.check_class()
    except RuleViolation as error:
        return wrong(f"the {kind.name} `{word}` can't be used: {error.message}", error.hint)
    guard(cls, kind.name, Path(plugin).stem if plugin.endswith(".py") else plugin)
    return True


def _not_loaded(error: BaseException) -> tuple[str, str | None]:
    """What a message says of a module that can't be loaded, and a hint."""
    if isinstance(error, PydanticUserError) and error.code == "model-field-missing-annotation":
        match = re.search(r"(?:Field '|`)(\w+)", error.message)
        name = match[1] if match is not None else "name"
        return f"can't be loaded: the option `{name}` has no type", f"annotate it, as in `{name}: int = option(...)`"
    return f"can't be loaded: {type(error).__name__}: {error}", None


def _short(path: Path) -> str:
    """A path as its user writes it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _listed() -> list[str]:
    """The plugins that the user's configuration allows."""
    from dlc.language.yaml_text import MAX_BYTES, parse_yaml

    try:
        text = read_whole(config_file(), MAX_BYTES).decode()
    except FileNotFoundError:
        return []
    if not text.strip():
        return []
    names = parse_yaml(text, str(config_file())).tree.get("allow_plugins", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OSError(f"`allow_plugins` in {_short(config_file())} is not a list of names")
    return names


@contextmanager
def active(plugins: Sequence[Plugin]) -> Iterator[None]:
    """Within, the components of the plugins are known by their names."""
    added: list[tuple[dict[str, str], str]] = []
    for plugin in plugins:
        for key, words in plugin.tables.items():
            kind = PLUGIN_TABLES[key]
            for table in (kind.table, *((KINDS[kind.also].table,) if kind.also else ())):
                new = {word: place for word, place in words.items() if word not in table}
                added += [(table, word) for word in new]
                table.update(new)
    try:
        yield
    finally:
        for table, word in added:
            del table[word]
