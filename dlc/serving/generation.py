"""Texts that a trained language model continues."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from dlc.backend.generate import CHUNK, Generator
from dlc.backend.lowering import platform
from dlc.backend.sampling import Sampling
from dlc.components.features.text import Text
from dlc.components.features.tokenizers import UNKNOWN, Tokenizer
from dlc.components.features.tokens import Tokens, TokenValues
from dlc.components.losses.classification import CrossEntropy, log_probabilities
from dlc.diagnostics import SpecError, listing, plural, quoting
from dlc.frontend.plan import Plan
from dlc.serving.model import Model, load_model
from dlc.support.exhaustion import noticing_exhaustion
from dlc.support.fast_dataclass import fast_dataclass
from dlc.training.run_folder import RunFolder

PART_SECONDS = 0.1  # how often a text is shown while it grows
Ending = Literal["length", "stop", "interrupted"]


class Generated(NamedTuple):
    """A text that continues a prompt.

    Args:
        prompt: the prompt.
        text: what follows it, up to the stop text.
        tokens: how many tokens were generated for it, with those of the stop text.
        ended: why it ends: its `length`, a `stop` text, or because the command was `interrupted`.
    """

    prompt: str
    text: str
    tokens: int
    ended: Ending


class Task(NamedTuple):
    """The part of a network that is a language model.

    Args:
        source: the name of its input.
        output: the name of the output with the scores of the next token.
        loss: the loss of that output.
        target: the name of its target.
    """

    source: str
    output: str
    loss: CrossEntropy
    target: str


@fast_dataclass(frozen=True)
class Alphabet:
    """How a language model reads and writes texts.

    Args:
        encode: a text as tokens; -1 for those that the vocabulary lacks.
        decode: tokens as a text.
        allowed: bool (vocabulary,), the tokens that may be generated.
        pattern: a stop text as what it is found by.
        normalized: a text as `encode` takes it.
        split: a text as the strings of its tokens.
        unknown: the token of what the vocabulary lacks, if there is one.
    """

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Iterable[int]], str]
    allowed: np.ndarray[Any, Any]
    pattern: Callable[[str], str]
    normalized: Callable[[str], str]
    split: Callable[[str], Iterable[str]]
    unknown: int | None = None


def language_model(plan: Plan) -> Task:
    """The part of a spec that predicts the next token of a sequence.

    Raises:
        SpecError: DLC510 when there is none.
    """
    graph = plan.graph
    sources = [name for name in graph.inputs if isinstance(plan.inputs.get(name), TokenValues)]
    if not sources:
        found = f"{'input' if len(graph.inputs) == 1 else 'inputs'} {listing(list(graph.inputs))}"
        raise _refused("no input is a sequence of tokens", found, "declare the input as `text` or `tokens`")
    if len(graph.inputs) > 1:
        others = [name for name in graph.inputs if name != sources[0]]
        found = f"{'input' if len(others) == 1 else 'inputs'} {listing(others)} beside `{sources[0]}`"
        raise _refused("the network needs more than a sequence of tokens", found)
    source = sources[0]
    bound = graph.inputs[source].bound
    other: str | None = None
    for term in plan.losses:
        feature = plan.targets.get(term.target or "")
        if not isinstance(term.loss, CrossEntropy) or not isinstance(feature, TokenValues) or term.target is None:
            continue
        if feature.value_type().bound != bound:
            other = f"{bound:,} tokens in `{source}`, {feature.value_type().bound:,} in `{term.target}`"
            continue
        given = plan.inputs[source]
        if isinstance(given, Text) and isinstance(feature, Text) and given.sequential:
            later = (feature.span or (0, 0))[1] - (given.span or (0, 0))[1]
            if later != 1:
                found = f"the last token of `{term.target}` is {plural(later, 'token')} after that of `{source}`"
                hint = f"set `shift: {given.shift + 1}` of `{term.target}`"
                raise _refused("the target is not the next token", found, hint)
        return Task(source, term.output, term.loss, term.target)
    if other is not None:
        raise _refused("the input and the target have different vocabularies", other)
    hint = "train an output with `cross_entropy` against the next tokens, such as `text: {window: 64, shift: 1}`"
    raise _refused("no output predicts the next token", hint=hint)


def _refused(reason: str, found: str | None = None, hint: str | None = None) -> SpecError:
    return SpecError.of("DLC510", f"the run is not a language model: {reason}", found=found, hint=hint)


def check_numbers(sampling: Sampling, length: int, samples: int, seed: int) -> None:
    """Refuse numbers out of range.

    Raises:
        SpecError: DLC510 for the first.
    """
    for name, value, good, expected in (
        ("temperature", sampling.temperature, 0 <= sampling.temperature < np.inf, "at least 0"),
        ("top-k", sampling.top_k, 0 <= sampling.top_k < 2**31, "at least 1, or 0 for all tokens"),
        ("top-p", sampling.top_p, 0 < sampling.top_p <= 1, "above 0, at most 1"),
        ("min-p", sampling.min_p, 0 <= sampling.min_p <= 1, "from 0 to 1"),
        ("repetition-penalty", sampling.repetition_penalty, 0 < sampling.repetition_penalty < np.inf, "above 0"),
        ("length", length, 1 <= length < 2**30, "at least 1"),
        ("samples", samples, 1 <= samples < 2**20, "at least 1"),
        ("seed", seed, 0 <= seed < 2**32, f"from 0 to {2**32 - 1}"),
    ):
        if not good:
            raise SpecError.of("DLC510", f"`{name}` is out of range", found=f"{value}", expected=expected)


class LanguageModel:
    """A trained language model, ready to continue texts.

    Args:
        model: the trained network.

    Raises:
        SpecError: DLC510 when it is not a language model, DLC213 for each layer that needs later positions.
    """

    def __init__(self, model: Model) -> None:
        plan = model.plan
        self.task = task = language_model(plan)
        self.alphabet = alphabet = _alphabet(model, task)
        closed = jnp.asarray(np.where(alphabet.allowed, np.float32(0), -np.inf))

        def scores(outputs: Any) -> Any:
            found = outputs[task.output]
            logits = task.loss.from_logits
            return (found if logits else log_probabilities(found, from_logits=False)) + closed

        with quoting(model.texts):
            self.generator = Generator(model.program, task.source, scores, len(alphabet.allowed))
        self.variables = self.generator.prepared(model.program.from_flat(model.weights))

    def prompt(self, text: str) -> tuple[list[int], str | None]:
        """The tokens of a prompt, and a note about characters that the vocabulary lacks.

        Raises:
            SpecError: DLC510 when there are none, DLC404 for tokens that the vocabulary lacks.
        """
        alphabet = self.alphabet
        if not text:
            raise SpecError.of("DLC510", "the prompt is empty", hint="give at least one token to continue")
        if any(0xD800 <= ord(char) < 0xE000 for char in text):
            raise SpecError.of("DLC510", "the prompt is not UTF-8", hint="give it in UTF-8")
        tokens = list(alphabet.encode(alphabet.normalized(text)))
        if not tokens:
            raise SpecError.of("DLC510", "the prompt has no tokens", found=_shown(text), hint="give at least one word")
        if -1 not in tokens and (alphabet.unknown is None or alphabet.unknown not in tokens):
            return tokens, None
        lacking = [
            _shown(part)
            for part, token in zip(alphabet.split(alphabet.normalized(text)), tokens, strict=True)
            if token in (-1, alphabet.unknown)
        ]
        named = list(dict.fromkeys(lacking))
        message = f"the vocabulary lacks {', '.join(named[:8])}"
        message += f" and {len(named) - 8:,} more" if len(named) > 8 else ""
        if -1 in tokens:
            hint = "the vocabulary is that of the training split: leave them out of the prompt"
            raise SpecError.of("DLC404", f"{message} of the prompt", hint=hint)
        return tokens, f"{message} of the prompt; the network reads them as unknown"

    def generate(
        self,
        prompt: str,
        length: int,
        sampling: Sampling | None = None,
        samples: int = 1,
        seed: int = 0,
        stop: Sequence[str] = (),
        show: Callable[[int, str], None] | None = None,
        asked: Callable[[], bool] = lambda: False,
    ) -> list[Generated]:
        """Texts that continue a prompt.

        Args:
            prompt: the text that they continue.
            length: how many tokens are generated at most.
            sampling: how they are drawn.
            samples: how many texts.
            seed: the seed of the random numbers.
            stop: texts that end a text when they occur in what is generated.
            show: receives the number of a text and its next characters, as they come.
            asked: whether to stop now.

        Raises:
            SpecError: DLC510 when the prompt is empty or a number is out of range, DLC404 when the vocabulary lacks a
                token, DLC508 when the network gives NaN.
        """
        sampling = sampling or Sampling()
        check_numbers(sampling, length, samples, seed)
        tokens, _ = self.prompt(prompt)
        growing = [_Growing(self.alphabet, tokens, stop, number, show) for number in range(samples)]
        pace, interrupted = _Pace(), False
        parts = self.generator.stream(self.variables, tokens, length, sampling, samples, seed, pace)
        try:
            for part in parts:
                for text, row in zip(growing, part.tolist(), strict=True):
                    text.add(row)
                pace.shown(part.shape[1])
                interrupted = asked()
                if interrupted or all(text.stopped for text in growing):
                    break
        except FloatingPointError as error:
            raise SpecError.of("DLC508", str(error), hint="train with a smaller learning rate") from None
        return [text.finished(prompt, interrupted) for text in growing]

    def compile(self, prompt: str, length: int, samples: int) -> None:
        """Compile what `generate` needs, so that its time is that of the tokens."""
        positions = self.generator.positions(len(self.prompt(prompt)[0]) + length)
        self.generator.compile(self.variables, samples, positions)


class _Pace:
    """How many tokens are generated before the next ones are shown: as many as take `PART_SECONDS`."""

    def __init__(self) -> None:
        self.count, self.begun = 1, time.monotonic()

    def __call__(self) -> int:
        self.begun = time.monotonic()
        return self.count

    def shown(self, count: int) -> None:
        """So many tokens came."""
        each = (time.monotonic() - self.begun) / count
        self.count = max(1, min(CHUNK, 2 * self.count, int(PART_SECONDS / max(each, 1e-6))))


class _Growing:
    """A text while it is generated.

    What may still change is held back: the beginning of a stop text, and bytes that are no whole character yet.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        prompt: Sequence[int],
        stop: Sequence[str],
        number: int,
        show: Callable[[int, str], None] | None,
    ) -> None:
        self.alphabet, self.number, self.show = alphabet, number, show
        self.tokens = list(prompt)
        self.before = len(alphabet.decode(self.tokens))
        self.stop = re.compile("|".join(map(alphabet.pattern, stop))) if stop else None
        self.held = max((len(text) for text in stop), default=1) - 1
        self.text, self.count, self.told, self.stopped = "", 0, 0, False

    def add(self, tokens: Sequence[int]) -> None:
        """The next tokens."""
        if self.stopped:
            return
        before = len(self.tokens)
        self.tokens += tokens
        self.text = self._decoded(len(self.tokens))
        found = self.stop.search(self.text) if self.stop is not None else None
        if self.stop is not None and found is not None:
            lengths = range(before + 1, len(self.tokens) + 1)  # the first with the stop text
            del self.tokens[next(end for end in lengths if self.stop.search(self._decoded(end))) :]
            self.text, self.stopped = self.text[: found.start()], True
        self.count += len(self.tokens) - before
        self._tell(len(self.text) if self.stopped else len(self.text.rstrip("\ufffd")) - self.held)

    def _decoded(self, end: int) -> str:
        return self.alphabet.decode(self.tokens[:end])[self.before :]

    def _tell(self, end: int) -> None:
        if self.show is not None and end > self.told:
            self.show(self.number, self.text[self.told : end])
            self.told = end

    def finished(self, prompt: str, interrupted: bool) -> Generated:
        """The whole text."""
        self._tell(len(self.text))
        ended: Ending = "stop" if self.stopped else "interrupted" if interrupted else "length"
        return Generated(prompt, self.text, self.count, ended)


def _alphabet(model: Model, task: Task) -> Alphabet:
    """How the model's input is read and written."""
    plan, artifacts = model.plan, model.fitted.artifacts
    feature, target = plan.inputs[task.source], plan.targets[task.target]
    if isinstance(feature, Tokens):
        allowed = np.ones(feature.vocabulary, bool)
        padding = [each.padding for each in (feature, target) if isinstance(each, Tokens) and each.padding is not None]
        allowed[padding] = False

        def encode(text: str) -> list[int]:
            return _numbers(text, feature.vocabulary)

        return Alphabet(encode, _spelled, allowed, _whole_numbers, str, str.split)
    assert isinstance(feature, Text), "a sequence of tokens is `tokens` or `text`"
    if isinstance(target, Text) and artifacts[task.source] != artifacts[task.target]:
        message = f"the vocabularies that `{task.source}` and `{task.target}` learned differ"
        raise _refused(message, hint="let both read the same column with the same options")
    tokenizer = Tokenizer.load(artifacts[task.source])
    allowed = np.zeros(feature.vocabulary, bool)
    allowed[tokenizer.special : len(tokenizer)] = True
    unknown = tokenizer.ids.get(UNKNOWN) if tokenizer.unknown is not None else None
    encode, decode, split = tokenizer.encode, tokenizer.decode, tokenizer.split
    return Alphabet(encode, decode, allowed, re.escape, feature.normalized, split, unknown)


def _numbers(text: str, vocabulary: int) -> list[int]:
    """Tokens as the numbers of a prompt, separated by blanks or commas."""
    found = []
    for part in text.replace(",", " ").split():
        if not re.fullmatch(r"[0-9]{1,9}", part) or int(part) >= vocabulary:
            message, expected = "the prompt is not a sequence of tokens", f"numbers from 0 to {vocabulary - 1}"
            raise SpecError.of("DLC404", message, found=_shown(part), expected=f"{expected}, separated by blanks")
        found.append(int(part))
    return found


def _spelled(tokens: Iterable[int]) -> str:
    return " ".join(map(str, tokens))


def _whole_numbers(stop: str) -> str:
    """The pattern of numbers in a text, so that `5` is not found in `15`."""
    return rf"(?<!\d){re.escape(' '.join(stop.split()))}(?!\d)"


def _shown(text: str) -> str:
    """A part of a prompt for messages, its control characters escaped."""
    short = text if len(text) <= 40 else text[:40] + "..."
    return f"`{short}`" if short.isprintable() and short.strip() else f"`{short!r}`"


@noticing_exhaustion()
def load_language_model(run: RunFolder) -> LanguageModel:
    """The best network of a run as a language model.

    Raises:
        SpecError: DLC502 without run or weights, DLC503 when a file is damaged, DLC510 when it is not a language model.
    """
    return LanguageModel(load_model(run, platform()))
