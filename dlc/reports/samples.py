"""Samples of a language model: what it writes at several temperatures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dlc.backend.sampling import Sampling
from dlc.diagnostics import SpecError, plural
from dlc.frontend.passes.sizes import sizes_of
from dlc.frontend.summary import table as summary_table
from dlc.reports.markup import Markup, element
from dlc.serving.generation import LanguageModel, language_model

if TYPE_CHECKING:
    from dlc.data.dataset import Dataset
    from dlc.serving.model import Model

TEMPERATURES = (0.0, 0.5, 0.8, 1.0, 1.2)
LENGTH = 300  # tokens of a sample
LEAST = 40  # tokens of a sample of an expensive network
PROMPT = 32  # tokens of the prompt at most


def samples(model: Model, data: Dataset, most_flops: float = math.inf) -> list[Markup]:
    """Continuations of the first record of a split at several temperatures; nothing if it is no language model.

    Args:
        model: the network with its best weights.
        data: the records that it was trained on.
        most_flops: bound on the work; short samples are generated in any case.
    """
    try:
        source = language_model(model.plan).source
        writer = LanguageModel(model)
    except SpecError:  # it predicts something else than the next token
        return []
    split = next(name for name in ("test", "validation", "train") if name in data.splits)
    first = np.asarray(data.rows["inputs"][source][data.splits[split][:1]])[0].tolist()
    tokens = [token for token in first if writer.alphabet.allowed[token]]
    prompt = writer.alphabet.decode(tokens[: max(1, min(PROMPT, len(tokens) // 2))])
    if not prompt:
        return []
    counts = summary_table(model.plan, sizes=sizes_of(model.plan))
    positions = writer.generator.most_positions or 1
    affordable = most_flops / max(1, counts.flops / positions) / len(TEMPERATURES)
    length = max(LEAST, int(min(LENGTH, affordable)))
    note = f"{plural(length, 'token')} after the beginning of the {split} split, at several temperatures. "
    note += "`dlc generate` continues other prompts."
    parts = [element("p", note, class_="note")]
    for temperature in TEMPERATURES:
        (text,) = writer.generate(prompt, length, Sampling(temperature), seed=model.plan.seed)
        label = "temperature 0: the most probable token" if temperature == 0 else f"temperature {temperature}"
        parts.append(element("h3", label))
        parts.append(element("pre", element("span", text.prompt, class_="quiet"), text.text, class_="sample"))
    return parts
