"""Samples of a language model in its report."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import dlc
from dlc.backend.sampling import Sampling
from dlc.reports.samples import LENGTH, TEMPERATURES
from dlc.serving.generation import load_language_model
from dlc.training.run_folder import RunFolder

SPEC = """
name: pairs
data: {source: {text: {path: t.txt, records: file}}, split: {validation: 0.2}}
inputs: {text: {text: {tokens: characters, vocabulary: 9, window: 6}}}
targets: {next: {text: {column: text, tokens: characters, vocabulary: 9, window: 6, shift: 1}}}
network: [embedding: {vocabulary: 9, size: 9}, dense: 9]
loss: cross_entropy
optimizer: {adam: 0.02}
train: {batch_size: 16, steps_per_epoch: 10, epochs: 1}
"""


def test_samples_at_several_temperatures(tmp_path: Path) -> None:
    """They are what `dlc generate` writes with the run's seed."""
    (tmp_path / "t.txt").write_text("a<b c\n" * 60)
    (tmp_path / "spec.yaml").write_text(SPEC)
    dlc.train(tmp_path / "spec.yaml", tmp_path / "run")
    text = dlc.report(tmp_path / "run", tmp_path / "page.html").read_text()
    shown = [
        unescape(re.sub("<[^>]+>", "", part))
        for part in re.findall(r'<pre class="sample">(.*?)</pre>', text, re.DOTALL)
    ]
    model = load_language_model(RunFolder(tmp_path / "run"))
    prompt = shown[0][:3]
    assert prompt in "a<b c\n" * 2
    for temperature, part in zip(TEMPERATURES, shown, strict=True):
        assert part == prompt + model.generate(prompt, LENGTH, Sampling(temperature))[0].text
    assert len(set(shown)) == len(TEMPERATURES)
