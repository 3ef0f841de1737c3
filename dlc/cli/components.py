"""`dlc layers`: the vocabulary, and a page for each word, all from the classes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlc.components.augmentations import AUGMENTATIONS
from dlc.components.augmentations.augmentation import AugmentExample
from dlc.components.callbacks import CALLBACKS
from dlc.components.constraints import CONSTRAINTS
from dlc.components.features import FEATURES
from dlc.components.initializers import INITIALIZERS
from dlc.components.layers import ACTIVATIONS, BLOCKS, LAYERS
from dlc.components.losses import LOSSES
from dlc.components.losses.loss import LossExample
from dlc.components.metrics import METRICS
from dlc.components.optimizers import OPTIMIZERS
from dlc.components.schedules import SCHEDULES
from dlc.components.schedules.schedule import Length
from dlc.components.sources import SOURCES
from dlc.diagnostics import Problems, SpecError, nearest
from dlc.frontend.passes.expand import CONTAINERS
from dlc.frontend.plugins import active, load_plugin
from dlc.ir import Example as LayerExample
from dlc.language.options import Options, flow, load_class


def vocabulary() -> dict[str, dict[str, type[Options]]]:
    """All words by kind."""
    plain = {word: place for word, place in LAYERS.items() if word not in ACTIVATIONS}
    tables: Mapping[str, Mapping[str, str]] = {
        "layers": plain,
        "activations": ACTIVATIONS,
        "blocks": BLOCKS,
        "initializers": INITIALIZERS,
        "constraints": CONSTRAINTS,
        "losses": LOSSES,
        "metrics": METRICS,
        "optimizers": OPTIMIZERS,
        "schedules": SCHEDULES,
        "augmentations": AUGMENTATIONS,
        "features": FEATURES,
        "sources": SOURCES,
        "callbacks": CALLBACKS,
    }
    words = {kind: {word: load_class(table, word) for word in table} for kind, table in tables.items()}
    return {"layers": words.pop("layers"), "containers": dict(CONTAINERS), **words}


def print_words(name: str | None, plugins: Sequence[str] = ()) -> None:
    """Print the list of words, or one word's page. `plugins` are modules or files whose words count, too."""
    problems = Problems()
    loaded = [load_plugin(plugin, Path(), None, problems, typed=True) for plugin in plugins]
    report = problems.report({})
    if not report.ok:
        raise SpecError(report)
    with active([plugin for plugin in loaded if plugin is not None]):
        _print(name, vocabulary())


def _print(name: str | None, words: Mapping[str, Mapping[str, type[Options]]]) -> None:
    if name is None:
        for kind, table in words.items():
            print(kind)
            width = max(len(word) for word in table)
            for word, cls in table.items():
                print(f"  {word:<{width}}  {first_line(cls)}")
        print("\n`dlc layers NAME` prints a page")
        return
    kinds = [kind for kind, table in words.items() if name in table]
    if not kinds:
        known = [word for table in words.values() for word in table]
        close = nearest(name, known)
        raise SpecError.of(
            "DLC510",
            f"no word of the language is called `{name}`",
            hint=f"did you mean `{close}`?" if close else "`dlc layers` lists them",
        )
    print("\n\n".join(page(words[kind][name], kind) for kind in kinds))


def first_line(cls: type[Options]) -> str:
    """What a class does, in a line."""
    return (inspect.getdoc(cls) or "").splitlines()[0]


def page(cls: type[Options], kind: str) -> str:
    """The reference page of a word: what it does, options, examples."""
    lines = [f"{cls.word} ({kind})", "", inspect.getdoc(cls) or ""]
    if cls.model_fields:
        lines += ["", "options:"]
        rows = [
            (_label(cls, name), _default(field), field.description or "") for name, field in cls.model_fields.items()
        ]
        widths = [max(len(row[index]) for row in rows) for index in (0, 1)]
        lines += [f"  {label:<{widths[0]}}  {default:<{widths[1]}}  {text}".rstrip() for label, default, text in rows]
        if cls.main_option():
            lines += ["", f"short form: `{cls.word}: {cls.main_option()}`"]
    examples = [_example(example) for example in cls.examples]
    if examples:
        lines += ["", "examples:", *(f"  {example}" for example in examples)]
    return "\n".join(lines)


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


def _example(example: Any) -> str:
    if isinstance(example, str):
        return example
    error = f"error {example.error}" if example.error else None
    if isinstance(example, LayerExample):
        given = ", ".join(example.inputs) if isinstance(example.inputs, tuple) else example.inputs
        weights = f", {example.params:,} weights" if example.params else ""
        return f"{example.spec}    {given} -> {error or f'{example.output}{weights}'}"
    if isinstance(example, LossExample):
        return f"{example.spec}    output {example.output}, target {example.target}" + (f" -> {error}" if error else "")
    if isinstance(example, AugmentExample):
        on = ", ".join(example.on) if isinstance(example.on, tuple) else example.on
        return f"{example.spec}    {on}" + (f" -> {error}" if error else "")
    return f"{example.spec}    {list(example.column)} -> {error or example.type}"
