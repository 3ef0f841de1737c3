"""`dlc generate`: which networks are language models, how prompts are read, and what is printed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.backend.sampling import Sampling
from dlc.cli.generate import GenerateOptions, generate_texts
from dlc.diagnostics import SpecError
from dlc.serving.generation import Alphabet, LanguageModel, _Growing, language_model, load_language_model
from dlc.training.run_folder import RunFolder

SPEC = """
name: lines
data: {source: {text: {path: lines.txt, records: file}}, split: {validation: 0.1}}
inputs: {text: {text: {tokens: characters, vocabulary: 20, window: 8}}}
targets: {next: {text: {column: text, tokens: characters, vocabulary: 20, window: 8, shift: 1}}}
network:
  - embedding: {vocabulary: 20, size: 8}
  - gru: {units: 12, return_sequences: true}
  - dense: 20
loss: cross_entropy
optimizer: {adam: 0.03}
train: {batch_size: 32, steps_per_epoch: 150, epochs: 1}
"""
LINES = "to be or not\n" * 60
OPTIONS = GenerateOptions("to", 30, 1.0, 0, 1.0, 0.0, 1.0, (), 0, 1, False, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "lines.txt").write_text(LINES)
    (folder / "spec.yaml").write_text(SPEC)
    dlc.train(folder / "spec.yaml", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path) -> LanguageModel:
    return load_language_model(RunFolder(run))


@pytest.fixture
def loaded(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command uses one model, so that it is compiled once."""
    monkeypatch.setattr("dlc.serving.generation.load_language_model", lambda run: model)


# ---- texts ----


def test_the_text_that_was_learned(model: LanguageModel) -> None:
    (found,) = model.generate("to be or", 30, Sampling(temperature=0))
    assert found.text.startswith(" not\nto be or not\nto be") and len(found.text) == found.tokens == 30
    assert found.ended == "length"


def test_what_is_shown_is_the_text(model: LanguageModel) -> None:
    shown: list[tuple[int, str]] = []
    texts = model.generate(
        "to", 40, samples=2, seed=3, stop=["t\n"], show=lambda number, text: shown.append((number, text))
    )
    assert model.generate("to", 40, samples=2, seed=3, stop=["t\n"]) == texts
    for number, text in enumerate(texts):
        assert "".join(part for index, part in shown if index == number) == text.text
        assert "t\n" not in text.text and text.ended == "stop"


def test_a_prompt_is_normalized_and_unknown_characters_are_noted(model: LanguageModel) -> None:
    assert model.prompt("to be")[1] is None
    tokens, note = model.prompt("tö bé")
    assert note == "the vocabulary lacks `ö`, `é` of the prompt; the network reads them as unknown"
    assert tokens[1] == tokens[4] != tokens[0]
    assert "\ufffd" not in model.generate("tö", 5)[0].text and "<unk>" not in model.generate("tö", 50)[0].text


def test_the_rest_is_generated_until_asked_to_stop(model: LanguageModel) -> None:
    (found,) = model.generate("to", 100_000, asked=lambda: True)
    assert found.ended == "interrupted" and found.tokens == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"temperature": -1.0}, "`temperature` is out of range"),
        ({"temperature": float("nan")}, "`temperature` is out of range"),
        ({"top_k": -1}, "`top-k` is out of range"),
        ({"top_p": 0.0}, "`top-p` is out of range"),
        ({"min_p": 1.5}, "`min-p` is out of range"),
        ({"repetition_penalty": 0.0}, "`repetition-penalty` is out of range"),
        ({"length": 0}, "`length` is out of range"),
        ({"samples": 0}, "`samples` is out of range"),
        ({"seed": -1}, "`seed` is out of range"),
        ({"stop": ("",)}, "a stop text is empty"),
    ],
)
@pytest.mark.usefixtures("loaded")
def test_options_that_are_refused(run: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        generate_texts(run, replace(OPTIONS, **change))


# ---- the command ----


@pytest.mark.usefixtures("loaded")
def test_text_is_printed_with_its_prompt(run: Path, model: LanguageModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_texts(run, OPTIONS) == 0
    one = capsys.readouterr()
    (want,) = model.generate("to", 30)
    assert one.out == f"to{want.text}\n"
    assert one.err.startswith("30 tokens, ") and one.err.endswith(" tokens/s\n")
    assert generate_texts(run, replace(OPTIONS, samples=2)) == 0
    assert capsys.readouterr().out.startswith(f"--- 1 of 2 ---\nto{want.text}\n--- 2 of 2 ---\nto")


@pytest.mark.usefixtures("loaded")
def test_json_and_a_file(
    run: Path, model: LanguageModel, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "texts.jsonl"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"to be\n")))
    assert generate_texts(run, replace(OPTIONS, prompt="-", json=True, samples=2, stop=("\n",), out=out)) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    texts = model.generate("to be", 30, samples=2, stop=("\n",))
    assert lines == [{"sample": number, **text._asdict()} for number, text in enumerate(texts)]
    assert capsys.readouterr().out == f"wrote {out}\n"


@pytest.mark.usefixtures("loaded")
def test_standard_input_must_be_text(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"to \xff")))
    with pytest.raises(SpecError, match="standard input is not UTF-8"):
        generate_texts(run, replace(OPTIONS, prompt="-"))


@pytest.mark.usefixtures("loaded")
def test_a_run_is_not_overwritten(run: Path) -> None:
    with pytest.raises(SpecError, match="is a run folder"):
        generate_texts(run, replace(OPTIONS, out=run / "best.txt"))


@pytest.mark.slow  # `test_the_rest_is_generated_until_asked_to_stop` covers the model's part
def test_an_interrupt_ends_the_command_with_the_text_so_far(run: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from dlc.cli import main; main()",
        "generate",
        str(run),
        "-p",
        "to be",
        "-n",
        "9999999",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        start = os.read(process.stdout.fileno(), 100)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert start.startswith(b"to be") and rest.endswith(b"\n")
    assert errors.startswith(b"interrupted: ") and errors.count(b"\n") == 1


# ---- runs that are no language models ----

WORDS = "inputs: {words: {tokens: {vocabulary: 9, length: 5}}}\n"
NEXT = "targets: {next: {tokens: {vocabulary: 9, length: 5}}}\n"
REST = "loss: cross_entropy\noptimizer: adam\ndata: {source: {npz: t.npz}}\n"


@pytest.mark.parametrize(
    ("text", "message", "found"),
    [
        (
            "inputs: {x: {tensor: [4]}}\ntargets: {y: {category: [a, b]}}\nnetwork: [dense: 2]\n",
            "no input is a sequence of tokens",
            "input `x`",
        ),
        (
            WORDS
            + "targets: {y: {category: [a, b]}}\n"
            + "network: [embedding: {vocabulary: 9, size: 4}, gru: 3, dense: 2]\n",
            "no output predicts the next token",
            None,
        ),
        (
            WORDS
            + "targets: {next: {tokens: {vocabulary: 7, length: 5}}}\n"
            + "network: [embedding: {vocabulary: 9, size: 4}, dense: 7]\n",
            "the input and the target have different vocabularies",
            "9 tokens in `words`, 7 in `next`",
        ),
        (
            "inputs: {words: {tokens: {vocabulary: 9, length: 5}}, x: {tensor: [5, 4]}}\n"
            + NEXT
            + "network: [{embedding: {vocabulary: 9, size: 4}, inputs: words}, concat: [previous, x], dense: 9]\n",
            "the network needs more than a sequence of tokens",
            "input `x` beside `words`",
        ),
        (
            SPEC.replace("shift: 1", "shift: 2"),
            "the target is not the next token",
            "the last token of `next` is 2 tokens after that of `text`",
        ),
    ],
)
def test_the_reason_is_given(text: str, message: str, found: str | None) -> None:
    text = text if "data" in text else text + REST
    with pytest.raises(SpecError) as caught:
        language_model(dlc.loads(text).plan)
    (item,) = caught.value.report.diagnostics
    assert item.code == "DLC510" and item.message == f"the run is not a language model: {message}"
    assert item.found == found


def test_numbers_of_tokens(tmp_path: Path) -> None:
    """A run of `tokens`: its prompts and texts are numbers."""
    count = np.arange(60)[:, None]
    np.savez(tmp_path / "t.npz", words=(count + np.arange(5)) % 9, next=(count + np.arange(1, 6)) % 9)
    network = "network: [embedding: {vocabulary: 9, size: 9}, dense: 9]\n"
    train = "loss: cross_entropy\noptimizer: {adam: 0.1}\ntrain: {epochs: 8}\n"
    source = "data: {source: {npz: t.npz}, split: {validation: 0.1}}\n"
    (tmp_path / "spec.yaml").write_text("name: t\n" + WORDS + NEXT + network + train + source)
    dlc.train(tmp_path / "spec.yaml", tmp_path / "run")
    (found,) = dlc.generate(tmp_path / "run", "1 2,3", 20, temperature=0, stop=["8 0 1"])
    assert (found.text, found.tokens, found.ended) == (" 4 5 6 7 ", 7, "stop")
    for wrong in ("1 9", "one", "1 -2", "9" * 5000):
        with pytest.raises(SpecError, match="the prompt is not a sequence of tokens"):
            dlc.generate(tmp_path / "run", wrong)


# ---- stop texts, and tokens that are no whole characters ----


def grown(decode: Any, parts: Sequence[Sequence[int]], *stop: str) -> tuple[list[str], Any]:
    """What is shown of a text that grows by parts, and the text."""
    shown: list[str] = []
    alphabet = Alphabet(lambda text: [], decode, np.ones(9, bool), __import__("re").escape, str, list)
    growing = _Growing(alphabet, [], stop, 0, lambda number, text: shown.append(text))
    for part in parts:
        growing.add(part)
    return shown, growing.finished("", False)


def test_the_beginning_of_a_stop_text_is_not_shown() -> None:
    def decode(tokens: Sequence[int]) -> str:
        return "".join("abcdefghi"[token] for token in tokens)

    assert grown(decode, [[0, 1, 2, 3], [4, 0]], "cde")[0] == ["ab"]
    shown, text = grown(decode, [[0, 1, 2, 3], [0, 4], [1]], "cde", "zzzz")
    assert "".join(shown) == text.text == "abcdaeb" and shown[0] == "a"
    _, text = grown(decode, [[0, 1, 2, 3, 4, 5, 6]], "cd")
    assert (text.text, text.tokens, text.ended) == ("ab", 4, "stop")


def test_a_character_is_shown_when_all_of_its_bytes_are_there() -> None:
    data = "né€".encode()

    def decode(tokens: Sequence[int]) -> str:
        return bytes(data[token] for token in tokens).decode("utf-8", "replace")

    assert grown(decode, [[0, 1], [2], [3, 4], [5]])[0] == ["n", "é", "€"]
    assert grown(decode, [[0, 1]])[0] == ["n", "\ufffd"]
