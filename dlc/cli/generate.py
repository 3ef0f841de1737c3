"""The command `generate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.cli.console import EXIT_CLEAN
from dlc.cli.interruption import Interruption
from dlc.diagnostics import SpecError
from dlc.support.fast_dataclass import fast_dataclass

if TYPE_CHECKING:
    from dlc.backend.sampling import Sampling
    from dlc.serving.generation import Generated, LanguageModel


@fast_dataclass(frozen=True)
class GenerateOptions:
    """The options of `dlc generate`, as `dlc generate --help` describes them."""

    prompt: str
    length: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    stop: tuple[str, ...]
    seed: int
    samples: int
    json: bool
    out: Path | None


def generate_texts(run: Path, options: GenerateOptions) -> int:
    """Print texts as they are generated, or write them to a file; the exit code.

    Raises:
        SpecError: DLC404, DLC502, DLC503, DLC507, DLC508, DLC510.
    """
    from dlc.backend.jax_config import configure

    configure()
    from dlc.backend.sampling import Sampling
    from dlc.serving.generation import check_numbers, load_language_model
    from dlc.training.run_folder import RunFolder, check_output

    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.min_p, options.repetition_penalty)
    check_numbers(sampling, options.length, options.samples, options.seed)
    if "" in options.stop:
        raise SpecError.of("DLC510", "a stop text is empty", hint="remove `--stop`")
    folder = RunFolder(run)
    if options.out is not None:
        check_output(options.out)
    model = load_language_model(folder)
    prompt = _standard_input() if options.prompt == "-" else options.prompt
    _, note = model.prompt(prompt)
    if note is not None:
        print(f"note: {note}", file=sys.stderr)
    return _printed(model, prompt, sampling, options)


def _printed(model: LanguageModel, prompt: str, sampling: Sampling, options: GenerateOptions) -> int:
    """Generate and print; the exit code."""
    model.compile(prompt, options.length, options.samples)  # a signal during this ends the process
    streams = options.out is None and not options.json
    page = _Page(prompt, options.samples) if streams else None
    start = time.perf_counter()
    with Interruption(lambda _: None, second="interrupted") as stop:
        texts = model.generate(
            prompt,
            options.length,
            sampling,
            options.samples,
            options.seed,
            options.stop,
            show=page.show if page is not None else None,
            asked=stop.asked,
        )
    seconds = time.perf_counter() - start
    if page is not None:
        page.finish(texts)
    else:
        _deliver(_as_json(texts) if options.json else _as_text(texts), options.out)
    count = sum(text.tokens for text in texts)
    rate = f"{count / seconds:,.0f} tokens/s"
    print(f"{'interrupted: ' if stop.asked() else ''}{count:,} tokens, {rate}", file=sys.stderr)
    return 128 + stop.number if stop.number is not None else EXIT_CLEAN


class _Page:
    """Texts on standard output: the first one as it comes, the others after it.

    Args:
        prompt: what all begin with.
        count: how many there are.
    """

    def __init__(self, prompt: str, count: int) -> None:
        self.prompt, self.count, self.begun = prompt, count, False

    def show(self, number: int, text: str) -> None:
        """The next characters of a text."""
        if number:
            return
        if not self.begun:
            self._begin(0)
        self._write(text)

    def finish(self, texts: Sequence[Generated]) -> None:
        """All that has not been shown."""
        for number, text in enumerate(texts):
            if number or not self.begun:
                self._begin(number)
                self._write(text.text)
            print(flush=True)

    def _begin(self, number: int) -> None:
        self.begun = True
        if self.count > 1:
            print(f"--- {number + 1} of {self.count} ---")
        self._write(self.prompt)

    def _write(self, text: str) -> None:
        from dlc.diagnostics.render import clean

        lines = text.split("\n")  # control characters could change what a terminal shows
        print("\n".join(map(clean, lines)) if sys.stdout.isatty() else text, end="", flush=True)


def _as_text(texts: Sequence[Generated]) -> str:
    """Texts as they are printed."""
    parts = []
    for number, text in enumerate(texts):
        heading = f"--- {number + 1} of {len(texts)} ---\n" if len(texts) > 1 else ""
        parts.append(f"{heading}{text.prompt}{text.text}\n")
    return "".join(parts)


def _as_json(texts: Sequence[Generated]) -> str:
    """A JSON object per line: the number of the text, the prompt, what follows it, its tokens and why it ends."""
    import json

    lines = ({"sample": number, **text._asdict()} for number, text in enumerate(texts))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _deliver(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file."""
    if out is None:
        sys.stdout.write(text)
        return
    from dlc.support.files import write_atomic

    write_atomic(out, text.encode("utf-8", "backslashreplace"), follow=True)
    print(f"wrote {out}")


def _standard_input() -> str:
    """Standard input without the newline at its end.

    Raises:
        SpecError: DLC510 when it is not UTF-8.
    """
    data = sys.stdin.buffer.read() if sys.stdin is not None else b""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"the byte {data[error.start]:#04x} at position {error.start}"
        raise SpecError.of("DLC510", "standard input is not UTF-8", found=found) from None
    return text.replace("\r\n", "\n").removesuffix("\n")
