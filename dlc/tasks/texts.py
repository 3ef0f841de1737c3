"""Tasks whose inputs are texts."""

from __future__ import annotations

from dlc.diagnostics import plural
from dlc.language.options import RuleViolation
from dlc.tasks.looking_at_texts import Texts, look_at_texts
from dlc.tasks.task import Given, Page, Task, class_name, feature_name, length, need_classes, need_records, scalar

_LONGEST = 400  # words of a text in a spec
_WINDOW = 64  # characters that a language model sees


class TextClassification(Task):
    """Text classification: a class for each text."""

    word = "text_classification"
    reads = "a table with a column of texts, or a folder with text files for each class"
    targets = True

    def write(self, given: Given) -> str:
        """A convolution that finds phrases, wherever they are (Kim 2014)."""
        seen = look_at_texts(given) if given.data is not None else _PLACEHOLDER
        where = f"`{given.data}`"
        if given.data is not None:
            if seen.label is None:
                hint = "add a column of classes, or name it with `--target`; a folder needs a folder for each class"
                raise RuleViolation("DLC402", f"{where} has no classes", hint=hint)
            need_records(sum(seen.counts.values()), "texts", given.data)
            need_classes(seen.classes, where, "`--target` names another column")
            if len(seen.classes) > 100:
                message, hint = f"`{seen.label}` of {where} is not a class", "`--target` names another column"
                raise RuleViolation("DLC405", message, found=f"{len(seen.classes):,} different values", hint=hint)
        origin = f"Written for {plural(sum(seen.counts.values()), 'text')} of {len(seen.classes)} classes."
        if given.data is None:
            origin = "`texts.csv` is a placeholder: `--data PATH` writes a spec for your texts."
        page = Page(type(self), origin)
        held = [option for option in ("validation", "test") if option not in seen.sources]
        page.section("data:", *(f"  {option}: {source}" for option, source in seen.sources.items()))
        if held:
            split = [*(f"{option}: 0.15" for option in held), f"stratify: {scalar(seen.label or '')}"]
            page.line(f"  split: {{{', '.join(split)}}}")
        if seen.empty:
            page.line("  on_bad_record: skip", f"{plural(seen.empty, 'text')} without words: left out")
        words = seen.lengths[int(0.98 * (len(seen.lengths) - 1))]
        most = max(8, min(_LONGEST, words))
        vocabulary = min(20_000, max(50, round(seen.words, -1) + 10))
        options = ["tokens: words", "lowercase: true", f"vocabulary: {vocabulary}", f"length: {most}"]
        options += ["column: " + scalar(seen.text)] if seen.text != "text" else []
        comment = f"longer texts are cut at {most} words; the vocabulary is learned from the training split"
        page.section("inputs:", (f"  text: {{text: {{{', '.join(options)}}}}}", comment))
        name = feature_name(seen.label or "", ["text"])
        names = [class_name(value) for value in seen.classes]
        page.section()
        options = [] if name == seen.label else [f"column: {scalar(seen.label or '')}"]
        options += ["missing: drop"] if seen.unlabelled else []
        if options:
            page.items(f"targets: {{{name}: {{category: {{classes: [", names, f"], {', '.join(options)}}}}}}}")
        else:
            page.items(f"targets: {{{name}: {{category: [", names, "]}}")
        page.section("network:", (f"  - embedding: {{vocabulary: {vocabulary}, size: 64}}", "a vector for each word"))
        page.line("  - dropout: 0.3")
        page.line("  - conv1d: {filters: 64, kernel: 3, padding: same, activation: relu}", "phrases of three words")
        page.line("  - global_max_pool1d", "the strongest, wherever it is")
        page.line("  - dropout: 0.5")
        page.line(f"  - dense: {len(names)}", "one logit per class")
        count = int(seen.counts["source"] * (1 - 0.15 * len(held)))
        page.section(
            "loss: cross_entropy",
            "metrics: [accuracy]",
            "optimizer: {adam: {learning_rate: {cosine: 2e-3}}}",
            f"train: {{{length(count, 20)}, early_stopping: {{patience: 5}}}}",
        )
        return page.text()


_PLACEHOLDER = Texts(
    {"source": "{csv: texts.csv}    # CHANGE: a table with the columns `text` and `label`"},
    {"source": 1000},
    "text",
    "label",
    ["negative", "positive"],
    [100],
    20_000,
    (0, 0),
)


class LanguageModel(Task):
    """Language model: the next character of a text, to generate more of it."""

    word = "language_model"
    reads = "a text file"

    def write(self, given: Given) -> str:
        """A small transformer."""
        source, count, characters = "{text: {path: input.txt, records: file}}", 1_000_000, 99
        origin = "`input.txt` is a placeholder: `--data FILE` writes a spec for your text."
        comment = "CHANGE: a text"
        if given.data is not None:
            seen = look_at_texts(given)
            (count, characters), source, comment = seen.characters, seen.sources["source"], ""
            origin = f"Written for {count:,} characters, {characters:,} of them different."
            if count < 40 * _LEAST:
                message = f"`{given.data}` is too short to divide into training and validation"
                expected = f"at least {40 * _LEAST:,}"
                raise RuleViolation("DLC405", message, found=plural(count, "character"), expected=expected)
        window = max(_LEAST, min(_WINDOW, count // 40))
        vocabulary = characters + 1
        page = Page(type(self), origin)
        page.section("vars:", (f"  window: {window}", "characters that the network sees"))
        page.line(f"  vocabulary: {vocabulary}", "different characters, and one for unknown ones")
        page.line("  width: 128")
        page.section("data:", (f"  source: {source}", comment))
        page.line("  split: {validation: 0.1}", "the last tenth of the text")
        page.line("  windows: {evaluation_stride: $window}", "each character of it once")
        rules = "{tokens: characters, vocabulary: $vocabulary, window: $window"
        page.section(f"inputs: {{text: {{text: {rules}}}}}}}")
        page.line(f"targets: {{next: {{text: {rules}, shift: 1, column: text}}}}}}", "the same, one later")
        page.section("network:", "  - embedding: {vocabulary: $vocabulary, size: $width}")
        page.line("  - learned_positions: $window")
        page.line("  - repeat:")
        page.line("      times: 4")
        block = "{size: $width, heads: 4, norm: pre, causal: true, activation: gelu}"
        page.line(f"      layers: [transformer_encoder: {block}]", "each position reads the earlier ones")
        page.line("  - layer_norm")
        page.line("  - dense: $vocabulary", "logits of the next character")
        steps = max(5, min(250, count // window // 12))
        page.section(
            "loss: cross_entropy",
            "optimizer: {adamw: {learning_rate: {cosine: 1e-3}, weight_decay: 0.1}, clip_norm: 1.0}",
            f"train: {{epochs: 8, steps_per_epoch: {steps}, batch_size: 12}}",
        )
        return page.text()


_LEAST = 8  # characters of a window
