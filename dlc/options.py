"""Options of a thing of the language: frozen pydantic models, and faults that know their place in the options.

A *word* is a name of the vocabulary with its options (`conv2d: {filters: 32}`); a *table* maps words to the classes
that implement them, as `module:Class` texts, so that only the classes in use are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from dlc.diagnostics import Note, Problems, did_you_mean, listing, nearest
from dlc.source import Path, Source

Table = Mapping[str, str]
Location = tuple[str | int, ...]


class Fault(NamedTuple):
    """What is wrong with an option. `loc` leads from the options to the value."""

    loc: Location
    code: str
    message: str
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    at_key: bool = False


class Options(BaseModel):
    """The options of one thing of the language. Unknown keys are errors, values are never converted in silence."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, ignored_types=(tuple,)
    )

    word: ClassVar[str] = ""
    examples: ClassVar[tuple[Any, ...]] = ()

    @classmethod
    def main_option(cls) -> str | None:
        """The option that the short form sets (`dense: 10`), or None."""
        for name, field in cls.model_fields.items():
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("main"):
                return name
        return None

    @classmethod
    def required_options(cls) -> list[str]:
        """The options that have no default."""
        return [name for name, field in cls.model_fields.items() if field.is_required()]


def main(default: Any = ..., **facts: Any) -> Any:
    """A field that the short form sets: `units: int = main(gt=0, description=...)`."""
    return Field(default, json_schema_extra={"main": True}, **facts)


def option(default: Any = ..., **facts: Any) -> Any:
    """A field with a description: `rate: float = option(0.5, description=...)`."""
    return Field(default, **facts)


class Wrong(Exception):
    """Raised by a thing's checks when its options, inputs or sizes don't fit. A pass turns it into a diagnostic.

    Args:
        code: the diagnostic's code.
        message: one lower-case sentence.
        found: what was found.
        expected: what would fit.
        hint: the likely fix.
        option: the option to point at; the whole item when None.
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
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.found, self.expected, self.hint = code, message, found, expected, hint
        self.option = option


def load_class(table: Table, word: str) -> type[Any]:
    """The class behind a word of a table."""
    module, _, name = table[word].partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def validate(cls: type[Options], options: Mapping[str, Any]) -> Options | list[Fault]:
    """An instance of `cls`, or everything that is wrong with the options."""
    try:
        return cls.model_validate(dict(options))
    except ValidationError as error:
        return list(_faults(cls, error.errors(include_url=False)))


def _faults(cls: type[Options], errors: Sequence[ErrorDetails]) -> Iterator[Fault]:
    what = f"`{cls.word}`" if cls.word else "this section"
    for error in errors:
        loc, kind, context = error["loc"], error["type"], error.get("ctx", {})
        if kind == "dlc":
            for fault in context["faults"]:
                yield fault._replace(loc=(*loc, *fault.loc))
        elif kind == "extra_forbidden":
            yield unknown_key(str(loc[-1]), _fields_at(cls, loc[:-1]), what)._replace(loc=loc)
        elif kind == "missing":
            yield Fault(loc[:-1], "DLC102", f"{what} needs `{loc[-1]}`", hint=_describe(cls, loc), at_key=True)
        else:
            yield _wrong_value(cls, error, loc, kind, context)


def unknown_key(key: str, known: Sequence[str], what: str) -> Fault:
    """The fault of a key that `what` does not have."""
    hint = did_you_mean(key, known)
    expected = f"one of {listing(known)}" if known else "no options"
    return Fault((key,), "DLC101", f"unknown option `{key}` of {what}", expected=expected, hint=hint, at_key=True)


def _fields_at(cls: type[Options], loc: Location) -> list[str]:
    model: Any = cls
    for name in loc:
        field = model.model_fields.get(name) if hasattr(model, "model_fields") else None
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())] if field is not None else []
        model = next((kind for kind in inner if isinstance(kind, type) and issubclass(kind, Options)), None)
        if model is None:
            return []
    return list(model.model_fields)


def _describe(cls: type[Options], loc: Location) -> str | None:
    field = cls.model_fields.get(str(loc[-1])) if len(loc) == 1 else None
    return f"`{loc[-1]}` is the {field.description}" if field is not None and field.description else None


_TYPES = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping of options",
    "model_attributes_type": "a mapping of options",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _wrong_value(
    cls: type[Options], error: ErrorDetails, loc: Location, kind: str, context: Mapping[str, Any]
) -> Fault:
    name, value = _option_name(loc), error["input"]
    if kind in _TYPES:
        message = f"`{name}` must be {_TYPES[kind]}"
        return Fault(loc, "DLC103", message, found=spell(value), expected=_TYPES[kind], hint=_type_hint(kind, value))
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        limit = f"{words} {context[key]}"
        return Fault(loc, "DLC104", f"`{name}` must be {limit}", found=spell(value), expected=f"a number {limit}")
    if kind == "literal_error":
        choices = context["expected"].replace("'", "`").replace(" or ", ", ")
        words = choices.replace("`", "").split(", ")
        hint = did_you_mean(str(value), words) if isinstance(value, str) else None
        return Fault(
            loc, "DLC104", f"unknown value for `{name}`", found=spell(value), expected=f"one of {choices}", hint=hint
        )
    message = error["msg"][:1].lower() + error["msg"][1:]
    return Fault(loc, "DLC104", f"`{name}`: {message}", found=spell(value))


def _option_name(loc: Location) -> str:
    names = [part for part in loc if isinstance(part, str)]
    return names[-1] if names else str(loc[-1]) if loc else "value"


def _type_hint(kind: str, value: Any) -> str | None:
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("yes", "no", "on", "off", "y", "n"):
        right = "true" if value.lower() in ("yes", "on", "y") else "false"
        return f"YAML 1.2 reads `{value}` as a text; write `{right}`"
    if kind in ("int_type", "float_type", "int_from_float") and isinstance(value, str):
        try:
            float(value.replace("_", ""))
        except ValueError:
            return None
        return f"remove the quotes: `{value}`" if "_" not in value else f"write `{value.replace('_', '')}`"
    return None


def spell(value: Any, limit: int = 60) -> str:
    """A value as the user would write it, with its kind where that may surprise.

    >>> spell("on"), spell(True), spell([1, 2]), spell(None)
    ('the text `on`', '`true`', 'the list `[1, 2]`', 'nothing')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"`{value}`"
    if isinstance(value, str):
        return f"the text `{value if len(value) <= limit else value[:limit] + '...'}`"
    words = flow(value)
    words = words if len(words) <= limit else words[:limit] + "..."
    return f"the {'list' if isinstance(value, (list, tuple)) else 'mapping'} `{words}`"


def flow(value: Any) -> str:
    """A plain value in YAML's flow style.

    >>> flow({"kernel": [3, 3], "padding": "same"})
    '{kernel: [3, 3], padding: same}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)


# ---- words inside options: `activation: relu`, `learning_rate: {cosine: {...}}` ----


def reject(*faults: Fault) -> PydanticCustomError:
    """The error that a field's validator raises to report faults of its own."""
    return PydanticCustomError("dlc", "faults", {"faults": list(faults)})


class ItemParts(NamedTuple):
    """One item taken apart: the word, what stands behind it, its location in the item, and the common keys."""

    word: str
    body: Any
    loc: Location
    common: dict[str, Any]


def split_item(value: Any, words: Iterable[str], kind: str, common: Collection[str] = ()) -> ItemParts | list[Fault]:
    """Take an item apart: a bare word, or a mapping of one key that names the thing and the common keys beside it.

    Args:
        value: the item as a plain tree.
        words: the names that are known.
        kind: what messages call the thing: `layer`, `loss`.
        common: the keys that may stand beside the word.
    """
    known = words if isinstance(words, Mapping) else list(words)
    if isinstance(value, str):
        if value in known:
            return ItemParts(value, None, (), {})
        return [unknown_word(value, known, kind, ())]
    expected = f"the name of a {kind}, alone or with its options"
    if not isinstance(value, dict) or not value:
        return [Fault((), "DLC106", f"this is no {kind}", found=spell(value), expected=expected)]
    beside = {key: item for key, item in value.items() if key in common}
    names = [key for key in value if key not in common]
    things = [key for key in names if key in known]
    if len(names) == 1 and things:
        return ItemParts(names[0], value[names[0]], (names[0],), beside)
    if not names:
        return [Fault((), "DLC106", f"no {kind} is named here", found=listing(value), expected=expected)]
    if len(names) == 1:
        return [unknown_word(names[0], known, kind, (names[0],))]
    if len(things) > 1:
        hint = "begin each with `- `" if common else "keep one of them"
        return [Fault((things[1],), "DLC106", f"two things in one {kind}: {listing(things)}", hint=hint, at_key=True)]
    if not things:
        expected = f"a single key that names the {kind}"
        return [Fault((), "DLC106", f"no {kind} is named here", found=listing(value), expected=expected)]
    faults = []
    for key in names:
        if key != things[0]:
            inside = f"{things[0]}: {{{key}: {flow(value[key])}}}"
            hint = did_you_mean(key, common) or f"options go inside: `{inside}`"
            expected = f"only {listing(common)} beside a {kind}" if common else f"a single key that names the {kind}"
            message = f"`{key}` can't stand beside `{things[0]}`"
            faults.append(Fault((key,), "DLC106", message, expected=expected, hint=hint, at_key=True))
    return faults


def parse_word(value: Any, table: Table, kind: str) -> tuple[type[Options], dict[str, Any], Location] | list[Fault]:
    """Read one item without common keys: a bare word, a short form, or a single key with options.

    Returns:
        The class, its options, and the location of the options inside `value`; or what is wrong.
    """
    parts = split_item(value, table, kind)
    if isinstance(parts, list):
        return parts
    cls = cast(type[Options], load_class(table, parts.word))
    options = as_options(cls, parts.body, parts.loc)
    return [options] if isinstance(options, Fault) else (cls, *options)


def unknown_word(word: str, table: Iterable[str], kind: str, loc: Location) -> Fault:
    """The fault of a name that the vocabulary lacks."""
    close = nearest(word, table)
    hint = f"did you mean `{close}`?" if close else f"known: {listing(table)}"
    return Fault(loc, "DLC105", f"unknown {kind} `{word}`", hint=hint, at_key=bool(loc))


def as_options(cls: type[Options], body: Any, loc: Location) -> tuple[dict[str, Any], Location] | Fault:
    """The options behind a word: a mapping as it is, nothing as the defaults, any other value as the main option."""
    if body is None:
        return {}, loc
    if isinstance(body, dict):
        return body, loc
    name = cls.main_option()
    if name is None:
        expected = "no options" if not cls.model_fields else f"a mapping with {listing(cls.model_fields)}"
        hint = f"write `{cls.word}` alone" if not cls.model_fields else None
        return Fault(loc, "DLC106", f"`{cls.word}` has no short form", found=spell(body), expected=expected, hint=hint)
    return {name: body}, loc


def unshorten(faults: list[Fault], body: Any, main_name: str | None) -> list[Fault]:
    """Let the faults of a short form's only option point at the value itself, where no key stands."""
    if isinstance(body, dict) or main_name is None:
        return faults
    return [fault._replace(loc=fault.loc[1:]) if fault.loc[:1] == (main_name,) else fault for fault in faults]


def build_word(value: Any, table: Table, kind: str) -> Options | list[Fault]:
    """The instance that an item without common keys describes, or what is wrong."""
    parsed = parse_word(value, table, kind)
    if isinstance(parsed, list):
        return parsed
    cls, options, location = parsed
    made = validate(cls, options)
    if isinstance(made, Options):
        return made
    body = value[cls.word] if isinstance(value, dict) else None
    faults = unshorten(made, body if body is not None else {}, cls.main_option())
    return [fault._replace(loc=(*location, *fault.loc)) for fault in faults]


T = TypeVar("T")


def word_field(table: Callable[[], Table], kind: str) -> BeforeValidator:
    """The validator of an option that holds a word: `Annotated[Activation, word_field(...)]`."""

    def parse(value: Any) -> Any:
        if isinstance(value, Options) or value is None:
            return value
        made = build_word(value, table(), kind)
        if isinstance(made, list):
            raise reject(*made)
        return made

    return BeforeValidator(parse)


# ---- sizes ----


def _sizes(count: int, minimum: int) -> BeforeValidator:
    def parse(value: Any) -> Any:
        parts = value if isinstance(value, (list, tuple)) else [value] * count
        whole = all(isinstance(part, int) and not isinstance(part, bool) and part >= minimum for part in parts)
        if len(parts) != count or not whole:
            expected = f"an integer of at least {minimum}, or a list of {count}"
            code = "DLC103" if not all(isinstance(part, int) for part in parts) else "DLC104"
            raise reject(Fault((), code, "this is not a size", found=spell(value), expected=expected))
        return tuple(parts)

    return BeforeValidator(parse)


Size2 = Annotated[tuple[int, int], _sizes(2, 1)]
"""Height and width: one integer for both, or a list of two."""


# ---- from faults to diagnostics ----


def report_faults(
    faults: Sequence[Fault], source: Source, path: Path, problems: Problems, notes: Sequence[Note] = ()
) -> None:
    """Add faults as diagnostics; `path` leads to the value that the locations start from."""
    for fault in faults:
        place = (*path, *fault.loc)
        span = source.key_span(place) if fault.at_key else source.span(place)
        problems.add(
            fault.code,
            fault.message,
            span,
            found=fault.found,
            expected=fault.expected,
            hint=fault.hint,
            notes=notes,
        )
