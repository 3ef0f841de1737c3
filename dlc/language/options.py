"""Options of components: frozen pydantic models, and errors that know their location in the options.

A *word* is a component's name in a spec: `conv2d` in `conv2d: {filters: 32}`. A *table* maps words to the classes that
implement them, as `module:Class` strings, so that only the classes in use are imported.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from importlib import import_module
from inspect import get_annotations
from operator import or_
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, cast, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from dlc.diagnostics import Note, Problems, article, did_you_mean, listing, nearest, plural
from dlc.language.aliases import OPTIONS_KEYS, TYPE_KEYS, last_part, option_meant, word_meant
from dlc.language.option_errors import Location, OptionError, flow, spell, unknown_key, unquoted_hint, wrong_type
from dlc.language.source import Broken, Path, Source, holds_broken

__all__ = [
    "ItemParts",
    "Known",
    "Location",
    "OptionError",
    "Options",
    "RuleViolation",
    "Size1",
    "Size2",
    "Size3",
    "Table",
    "as_options",
    "build_word",
    "flow",
    "import_name",
    "judged",
    "load_class",
    "main",
    "option",
    "options_of",
    "parse_word",
    "read_sizes",
    "reject",
    "report_option_errors",
    "short_form",
    "spell",
    "split_item",
    "unknown_word",
    "unquoted_hint",
    "unshorten",
    "validate",
    "word_field",
    "words_field",
    "wrong_type",
]

Table = Mapping[str, str]
_EVALUATED: set[type] = set()


class Options(BaseModel):
    """The options of one component. Unknown keys are errors; values are never silently converted."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, ignored_types=(tuple,)
    )

    word: ClassVar[str] = ""
    examples: ClassVar[tuple[Any, ...]] = ()
    static: ClassVar[frozenset[str]] = frozenset()  # numbers that are compiled in: they decide a program's structure
    holds_items: ClassVar[tuple[str, ...]] = ()  # options that hold items of a network, which are read one by one

    def __init_subclass__(cls, **keys: Any) -> None:
        """Evaluate annotations before pydantic does, which would take most of the time that making a class takes.

        Annotations of the class itself are evaluated if they are plain names or unions of names. Those of its bases
        are evaluated once and kept: pydantic would evaluate their strings again for each subclass.
        """
        super().__init_subclass__(**keys)
        own = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 - as written; Python 3.14 would evaluate others
        if "<locals>" not in cls.__qualname__ and cls.__module__ in sys.modules:
            names = vars(sys.modules[cls.__module__])
            own.update({name: _known_type(text, names) for name, text in own.items() if isinstance(text, str)})
        for base in cls.__mro__[1:]:
            if issubclass(base, Options) and base not in _EVALUATED:
                _EVALUATED.add(base)
                own = type(base.__name__, (), {"__annotations__": get_annotations(base), "__module__": base.__module__})
                base.__annotations__ = get_type_hints(own, include_extras=True)

    @classmethod
    def main_option(cls) -> str | None:
        """The option that the short form sets (`dense: 10`), or None."""
        for name, field in cls.model_fields.items():
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("main"):
                return name
        return None

    @classmethod
    def advice(cls, key: str) -> str | None:  # noqa: ARG003 - used by overrides
        """The hint for an option that this component does not have; None leaves it to the spelling."""
        return None

    @classmethod
    def check_class(cls) -> None:
        """Check the class of a plugin when it is loaded, such as the names of its hooks.

        Raises:
            RuleViolation: DLC119 when it can't do what it is meant to.
        """

    def wrong_result(self, method: str, inputs: tuple[Any, ...], result: Any) -> str | None:
        """What is wrong with the result of a method of a plugin, None if nothing is.

        Args:
            method: the name of the method.
            inputs: its positional arguments.
            result: what it returned.
        """
        return None

    @classmethod
    def required_options(cls) -> list[str]:
        """The options that have no default."""
        return [name for name, field in cls.model_fields.items() if field.is_required()]


def _known_type(text: str, names: Mapping[str, Any]) -> Any:
    """The type that an annotation's string names, if it is a name or a union of names; otherwise the string.

    Args:
        text: the annotation; any class variable becomes `ClassVar`.
        names: the names of its module.

    >>> _known_type("int | None", {}), _known_type("Size", {"Size": str}), _known_type("list[int]", {})
    (int | None, <class 'str'>, 'list[int]')
    """
    if text.startswith("ClassVar["):
        return ClassVar
    parts = [None if part == "None" else names.get(part, getattr(builtins, part, text)) for part in text.split(" | ")]
    return text if text in parts else reduce(or_, parts)


def main(default: Any = ..., **facts: Any) -> Any:
    """Declare the option that the short form sets.

    For example `units: int = main(ge=1, description="size of the new last axis")`.
    """
    return Field(default, json_schema_extra={"main": True}, **facts)


def option(default: Any = ..., **facts: Any) -> Any:
    """Declare an option.

    For example `use_bias: bool = option(True, description="add a learned vector to the result")`.
    """
    return Field(default, **facts)


class RuleViolation(Exception):  # noqa: N818 - a finding, not an error of the program
    """Raised by a component's checks when its options, inputs or sizes don't fit. A pass turns it into a diagnostic.

    Args:
        code: the diagnostic's code.
        message: one lower-case sentence.
        found: what was found.
        expected: what would fit.
        hint: the likely fix.
        option: the option to point at; the whole item when None.
        because: for an option without effect (DLC303), the options whose values make it have none.
        part: the part of the option's value to point at, by keys and indices; the whole value if empty.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        option: str | None = None,
        because: tuple[str, ...] = (),
        part: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.found, self.expected, self.hint = code, message, found, expected, hint
        self.option, self.because, self.part = option, because, part


def import_name(name: str) -> type[Any]:
    """The class that `module:Class` names."""
    module, _, attribute = name.partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found


def load_class(table: Table, word: str) -> type[Any]:
    """Import the class of a word in a table."""
    return import_name(table[word])


def validate(
    cls: type[Options], options: Mapping[str, Any], given: Collection[str] = ()
) -> Options | list[OptionError]:
    """An instance of `cls`, or all errors in the options.

    Values that are known to be broken were reported before and are skipped. If they are the only errors, the list is
    empty.

    Args:
        cls: the class.
        options: its options.
        given: misplaced options, already reported: they do not count as missing.
    """
    broken = {
        key
        for key, value in options.items()
        if key in cls.model_fields  # an unknown key is still reported as unknown
        and (isinstance(value, Broken) or (key not in cls.holds_items and holds_broken(value)))
    }
    made, option_errors = None, []
    try:
        made = cls.model_validate({key: value for key, value in options.items() if key not in broken})
    except ValidationError as error:
        option_errors = list(_errors(cls, error.errors(include_url=False), {*given, *broken}))
    reported = {option_error.loc[0] for option_error in option_errors if option_error.loc}
    for key, value in options.items():
        if key in cls.model_fields and key not in {*broken, *reported, *cls.holds_items}:
            option_errors += _beyond(value, (key,))
    return option_errors if made is None or broken or option_errors else made


LARGEST = 3.4028234663852886e38  # of float32


def _beyond(value: Any, loc: Location) -> Iterator[OptionError]:
    """Errors of numbers beyond the range of float32, in which everything is computed."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _beyond(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _beyond(item, (*loc, index))
    elif isinstance(value, float) and LARGEST < abs(value) < float("inf"):
        message, expected = "the number is too large for float32", "a magnitude of at most 3.4e38"
        yield OptionError(loc, "DLC104", message, found=spell(value), expected=expected)


def _errors(cls: type[Options], errors: Sequence[ErrorDetails], given: Collection[str]) -> Iterator[OptionError]:
    missing = {error["loc"] for error in errors if error["type"] == "missing"}
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    # a misspelt key is one mistake, not an unknown key and a missing one
    meant = {(*loc[:-1], _meant(str(loc[-1]), _fields_at(cls, loc[:-1]))) for loc in unknown}
    for error in errors:
        loc, kind, context = error["loc"], error["type"], error.get("ctx", {})
        what = _owner(cls, loc[:-1])
        if kind == "dlc":
            for option_error in context["errors"]:
                yield option_error._replace(loc=(*loc, *option_error.loc))
        elif kind == "extra_forbidden":
            option_error = unknown_key(str(loc[-1]), _fields_at(cls, loc[:-1]), what)
            advice = cls.advice(str(loc[-1])) if len(loc) == 1 else None
            yield option_error._replace(loc=loc, hint=advice or option_error.hint)
        elif kind != "missing":
            option_error = _wrong_value(error, loc, kind, context)
            fields = _fields_at(cls, loc) if kind == "model_type" else []
            yield option_error._replace(expected=f"a mapping of {listing(fields)}") if fields else option_error
        elif loc not in meant and loc in missing and (len(loc) > 1 or loc[0] not in given):
            yield OptionError(loc[:-1], "DLC102", f"{what} needs `{loc[-1]}`", hint=_describe(cls, loc), at_key=True)


def _meant(key: str, known: Collection[str]) -> str | None:
    return option_meant(key, known) or nearest(key, known)


def _owner(cls: type[Options], loc: Location) -> str:
    """What messages call the owner of the options at a location."""
    names = [part for part in loc if isinstance(part, str)]
    return f"`{names[-1]}`" if names else f"`{cls.word}`" if cls.word else "this section"


def _fields_at(cls: type[Options], loc: Location) -> list[str]:
    model: type[Options] = cls
    for name in loc:
        field = model.model_fields.get(str(name))
        kinds = [field.annotation, *get_args(field.annotation)] if field is not None else []
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Options)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _describe(cls: type[Options], loc: Location) -> str | None:
    field = cls.model_fields.get(str(loc[-1])) if len(loc) == 1 else None
    return f"`{loc[-1]}`: {field.description}" if field is not None and field.description else None


_TYPES = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping of options",
    "model_attributes_type": "a mapping of options",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least", "item"),
    "too_long": ("max_length", "at most", "item"),
    "string_too_short": ("min_length", "at least", "character"),
    "string_too_long": ("max_length", "at most", "character"),
}


def _wrong_value(error: ErrorDetails, loc: Location, kind: str, context: Mapping[str, Any]) -> OptionError:
    name, value = _option_name(loc), error["input"]
    if kind == "model_type" and value is None:
        return OptionError(loc, "DLC103", f"`{name}` is empty", expected="a name, with or without options")
    if kind in _TYPES:
        return wrong_type(name, value, _TYPES[kind])._replace(loc=loc)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        expected = f"{words} {context[key]:g}"
        return OptionError(loc, "DLC104", f"`{name}` is out of range", found=spell(value), expected=expected)
    if kind in _LENGTHS:
        key, words, unit = _LENGTHS[kind]
        expected = f"{words} {plural(context[key], unit)}"
        message = f"`{name}` is empty" if len(value) == 0 else f"`{name}` has the wrong length"
        return OptionError(loc, "DLC104", message, found=spell(value) if len(value) else None, expected=expected)
    if kind == "literal_error":
        choices = context["expected"].replace("'", "`").replace(" or ", ", ")
        words = choices.replace("`", "").split(", ")
        hint = did_you_mean(str(value), words) if isinstance(value, str) else None
        expected = f"one of {choices}"
        return OptionError(
            loc, "DLC104", f"unknown value for `{name}`", found=spell(value), expected=expected, hint=hint
        )
    message = error["msg"][:1].lower() + error["msg"][1:]
    return OptionError(loc, "DLC104", f"`{name}`: {message}", found=spell(value))


def _option_name(loc: Location) -> str:
    names = [part for part in loc if isinstance(part, str)]
    return names[-1] if names else str(loc[-1]) if loc else "value"


# ---- components inside options: `activation: relu`, `learning_rate: {cosine: {...}}` ----


def reject(*option_errors: OptionError) -> PydanticCustomError:
    """The exception with which a field's validator reports its own errors."""
    return PydanticCustomError("dlc", "errors", {"errors": list(option_errors)})


class ItemParts(NamedTuple):
    """The parts of one item.

    Args:
        word: the component name.
        body: the value of its key.
        loc: the location of the value in the item.
        common: the modifiers: keys beside the component name.
        errors: the errors of keys that are not allowed beside it.
    """

    word: str
    body: Any
    loc: Location
    common: dict[str, Any]
    errors: tuple[OptionError, ...] = ()

    @property
    def misplaced(self) -> tuple[str, ...]:
        """The keys that are not allowed beside the component name."""
        return tuple(str(option_error.loc[0]) for option_error in self.errors)


Known = Callable[[str], Collection[str]]


def split_item(
    value: Any, words: Iterable[str], kind: str, common: Collection[str] = (), options: Known | None = None
) -> ItemParts | list[OptionError]:
    """Split an item: a bare component name, or a mapping of that name and the common keys beside it.

    Args:
        value: the item as a plain tree.
        words: the known component names.
        kind: what messages call the component: `layer`, `loss`.
        common: the keys that may stand beside the name.
        options: the options of a component, for hints.
    """
    known = words if isinstance(words, Mapping) else list(words)
    if isinstance(value, str):
        if value in known:
            return ItemParts(value, None, (), {})
        return [unknown_word(value, known, kind, ())]
    expected = f"{article(kind)} name, with or without options"
    if not isinstance(value, dict) or not value:
        only = isinstance(value, list) and len(value) == 1
        hint = "write it without the brackets" if only else None
        return [OptionError((), "DLC106", f"not a valid {kind}", found=spell(value), expected=expected, hint=hint)]
    beside = {key: item for key, item in value.items() if key in common}
    names = [key for key in value if key not in common]
    components = [key for key in names if key in known]
    if len(components) > 1:
        hint = "begin each with `- `" if common else "keep one of them"
        message = f"more than one {kind} name in one item: {listing(components)}"
        return [OptionError((components[1],), "DLC106", message, hint=hint, at_key=True)]
    if not components and (typed := _by_type_key(value, known, kind, options)):
        return [typed]
    if len(names) == 1 and not components:
        return [unknown_word(names[0], known, kind, (names[0],))]
    if not components:
        message = f"the {kind} name is missing"
        return [OptionError((), "DLC106", message, found=f"only {listing(value)}", expected=expected)]
    word, body = components[0], value[components[0]]
    arity = options(word) if options is not None and len(names) > 1 else ()
    option_errors = tuple(_misplaced(key, word, body, value, kind, common, arity) for key in names if key != word)
    return ItemParts(word, body, (word,), beside, option_errors)


def _by_type_key(
    item: Mapping[str, Any], known: Collection[str], kind: str, options: Known | None
) -> OptionError | None:
    """The error of an item that gives its component as a value, as other frameworks do: `{type: Adam, lr: 0.001}`."""
    for key in item:
        value = item[key]
        if key not in {*TYPE_KEYS, kind} or not isinstance(value, str):
            continue
        word = value if value in known else word_meant(value, kind, known)
        if word is None:
            continue
        inner = {name: given for name, given in item.items() if name != key and name not in OPTIONS_KEYS}
        for name in OPTIONS_KEYS & set(item):
            inner |= item[name] if isinstance(item[name], Mapping) else {}
        fields = options(word) if options is not None else ()
        named = {
            option_meant(name, fields) or name if name not in fields else name: given for name, given in inner.items()
        }
        hint = f"write `{word}: {flow(named)}`" if named else f"write `{word}`"
        message = f"the {kind} is named by its key, not by `{key}`"
        return OptionError((key,), "DLC106", message, found=f"`{key}: {value}`", hint=hint, at_key=True)
    return None


def _misplaced(
    key: str, word: str, body: Any, item: Mapping[str, Any], kind: str, common: Collection[str], arity: Collection[str]
) -> OptionError:
    """The error of a key that is not allowed beside a component name."""
    close = nearest(key, [*common, *arity])
    hint = f"did you mean `{close}`?" if close in common else None
    if close in arity:
        inside = {close: item[key]}
        if isinstance(body, dict):
            inside = {**body, **inside}
        rest = "..., " if body is not None and not isinstance(body, dict) else ""
        hint = f"put options inside: `{word}: {{{rest}{flow(inside)[1:-1]}}}`"
    expected = f"only {listing(common)} beside {article(kind)}" if common else f"a single key, the {kind} name"
    message = f"`{key}` is not allowed beside `{word}`"
    return OptionError((key,), "DLC106", message, expected=expected, hint=hint, at_key=True)


def options_of(table: Table) -> Known:
    """A function that lists the options of a word in a table."""
    return lambda word: list(load_class(table, word).model_fields)


def parse_word(
    value: Any, table: Table, kind: str
) -> tuple[type[Options], dict[str, Any], Location] | list[OptionError]:
    """Read one item without common keys: a bare name, a short form, or a single key with options.

    Returns:
        The class, its options, and the location of the options inside `value`; or the errors.
    """
    parts = split_item(value, table, kind, options=options_of(table))
    if isinstance(parts, list):
        return parts
    if parts.errors:
        return list(parts.errors)
    cls = cast(type[Options], load_class(table, parts.word))
    options = as_options(cls, parts.body, parts.loc)
    return [options] if isinstance(options, OptionError) else (cls, *options)


_CALL = re.compile(r"([A-Za-z_][\w.]*) *\((.*)\)\Z")


def _arguments(text: str) -> str:
    """The arguments of a call as options are written.

    >>> _arguments("3"), _arguments("units=3, activation='relu'")
    ('3', '{units: 3, activation: relu}')
    """
    pairs = [part.partition("=") for part in text.split(",")]
    plain = [(name.strip(), value.strip(" '\"")) for name, equals, value in pairs if equals]
    return "{" + ", ".join(f"{name}: {value}" for name, value in plain) + "}" if len(plain) == len(pairs) else text


MANY = 30  # known names that a hint does not list


def unknown_word(word: str, known: Collection[str], kind: str, loc: Location) -> OptionError:
    """The error of an unknown component name."""
    meant, close = word_meant(word, kind, known), nearest(last_part(word), known)
    hint = f"did you mean `{close}`?" if close else f"known: {listing(known)}"
    if not close and len(known) > MANY:
        hint = "`dlc layers` lists all components"
    hint = f"dlc calls it `{meant}`" if meant else hint
    if word in ("None", "none", "nil", "undefined"):
        hint = "write null, or leave it out"
    if (match := _CALL.match(word)) and (name := word_meant(match.group(1), kind, known) or match.group(1)) in known:
        hint = f"write `{name}: {_arguments(match.group(2))}`" if match.group(2).strip() else f"write `{name}`"
    before, colon, after = word.partition(":")
    if colon and before in known:
        hint = f"a space is missing after the colon: `{before}: {after.strip()}`"
    return OptionError(loc, "DLC105", f"unknown {kind} `{word}`", hint=hint, at_key=bool(loc))


def as_options(cls: type[Options], body: Any, loc: Location) -> tuple[dict[str, Any], Location] | OptionError:
    """The options in a component's value: a mapping as it is, nothing as {}, any other value as the main option."""
    if body is None:
        return {}, loc
    if isinstance(body, dict):
        return body, loc
    name = cls.main_option()
    if name is None:
        if not cls.model_fields:
            message, hint = f"`{cls.word}` takes no options", f"write only `{cls.word}`"
            if other := word_meant(cls.word, "layer", ("dense",)):
                hint = f"{hint}; for a learned affine map use `{other}: {flow(body)}`"
            return OptionError(loc, "DLC106", message, found=spell(body), hint=hint)
        expected = f"a mapping with {listing(cls.model_fields)}"
        return OptionError(loc, "DLC106", f"`{cls.word}` has no short form", found=spell(body), expected=expected)
    return {name: body}, loc


def unshorten(option_errors: list[OptionError], body: Any, main_name: str | None) -> list[OptionError]:
    """Move the errors of a short form's main option to the value itself: there is no key to point at."""
    if isinstance(body, dict) or main_name is None:
        return option_errors
    return [
        option_error._replace(loc=option_error.loc[1:]) if option_error.loc[:1] == (main_name,) else option_error
        for option_error in option_errors
    ]


def build_word(value: Any, table: Table, kind: str) -> Options | list[OptionError]:
    """The instance that an item without common keys describes, or the errors."""
    parsed = parse_word(value, table, kind)
    if isinstance(parsed, list):
        return parsed
    cls, options, location = parsed
    made = validate(cls, options)
    if isinstance(made, Options):
        return made
    body = value[cls.word] if isinstance(value, dict) else None
    option_errors = unshorten(made, body if body is not None else {}, cls.main_option())
    return [option_error._replace(loc=(*location, *option_error.loc)) for option_error in option_errors]


T = TypeVar("T")


def word_field(table: Callable[[], Table], kind: str) -> BeforeValidator:
    """Make the validator of an option that holds a component.

    For example `Activation = Annotated[Elementwise | None, word_field(lambda: ACTIVATIONS, "activation")]`.
    """

    def parse(value: Any) -> Any:
        if isinstance(value, Options) or value is None:
            return value
        made = build_word(value, table(), kind)
        if isinstance(made, list):
            raise reject(*made)
        return made

    return BeforeValidator(parse)


def words_field(table: Callable[[], Table], kind: str) -> BeforeValidator:
    """Make the validator of an option that holds a list of words, or a single one. The value is a tuple."""

    def parse(value: Any) -> Any:
        many = isinstance(value, (list, tuple))
        made: list[Options] = []
        errors: list[OptionError] = []
        for index, part in enumerate(value if many else [value]):
            found = part if isinstance(part, Options) else build_word(part, table(), kind)
            if isinstance(found, Options):
                made.append(found)
            else:
                errors += [error._replace(loc=(index, *error.loc) if many else error.loc) for error in found]
        if errors:
            raise reject(*errors)
        return tuple(made)

    return BeforeValidator(parse)


# ---- sizes ----


def short_form(cls: type[Options]) -> BeforeValidator:
    """Accept the short form of a setting: the value of its main option."""
    return BeforeValidator(
        lambda value: value if value is None or isinstance(value, (dict, Options)) else {str(cls.main_option()): value}
    )


def read_sizes(value: Any, count: int, minimum: int) -> tuple[int, ...]:
    """Sizes along `count` axes: one integer for all, or a list of one for each; rejects anything else.

    >>> read_sizes(3, 2, 1), read_sizes([2, 4], 2, 1)
    ((3, 3), (2, 4))
    """
    parts = value if isinstance(value, (list, tuple)) else [value] * count
    whole = all(isinstance(part, int) and not isinstance(part, bool) and part >= minimum for part in parts)
    if len(parts) != count or not whole:
        expected = f"an integer of at least {minimum}" + (f", or a list of {count}" if count > 1 else "")
        code, hint = "DLC103" if not all(isinstance(part, int) for part in parts) else "DLC104", unquoted_hint(value)
        raise reject(OptionError((), code, "not a valid size", found=spell(value), expected=expected, hint=hint))
    return tuple(parts)


Size1 = Annotated[tuple[int], BeforeValidator(lambda value: read_sizes(value, 1, 1))]
"""The size along time: an integer, or a list of one."""

Size2 = Annotated[tuple[int, int], BeforeValidator(lambda value: read_sizes(value, 2, 1))]
"""Height and width: one integer for both, or a list of two."""

Size3 = Annotated[tuple[int, int, int], BeforeValidator(lambda value: read_sizes(value, 3, 1))]
"""Depth, height and width: one integer for all, or a list of three."""


# ---- from errors to diagnostics ----


def judged(error: OptionError, source: Source, path: Path) -> bool:
    """Whether an option without effect is an error: not if that follows from the value of a variable or a parameter.

    With another value it has an effect, and a block that passes its parameter on must accept all of them.

    Args:
        error: the error.
        source: the source.
        path: leads to the options that it is about.
    """
    because = error.because or (error.loc[-1:] if error.code == "DLC303" else ())
    return all(source.is_literal((*path, *error.loc[:-1], name)) for name in because)


def report_option_errors(
    option_errors: Sequence[OptionError],
    source: Source,
    path: Path,
    problems: Problems,
    notes: Sequence[Note] = (),
    severity: str = "error",
) -> None:
    """Add errors as diagnostics; `path` leads to the value that the locations start from."""
    for option_error in option_errors:
        location = (*path, *option_error.loc)
        span = source.key_span(location) if option_error.at_key else source.span(location)
        problems.add(
            option_error.code,
            option_error.message,
            source.within(location, *option_error.inside) if option_error.inside is not None else span,
            found=option_error.found,
            expected=option_error.expected,
            hint=option_error.hint,
            notes=[*source.notes(location), *notes],
            severity=severity,
        )
