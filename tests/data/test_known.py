"""What `dlc check` says about data whose number of records is known: those that ship with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlc

SPEC = """
data: {source: iris, split: SPLIT}
inputs: {features: {tensor: [4]}}
targets: {species: {category: [setosa, versicolor, virginica]}}
network: [dense: 3]
loss: cross_entropy
optimizer: {adam: {learning_rate: 0.01}, MORE}
train: {batch_size: SIZE}
"""


@pytest.mark.parametrize(
    ("split", "size", "more", "want"),
    [
        ("{validation: 0.2}", "120", "clip_norm: 1", ()),
        ("{validation: 0.2}", "121", "clip_norm: 1", ("DLC405",)),
        ("{validation: 0.2}", "31", "accumulate: 4", ("DLC405",)),
        ("{validation: 0.2}", "full", "clip_norm: 1", ()),
        ("{validation: 100, test: 50}", "1", "clip_norm: 1", ("DLC405",)),
    ],
)
def test_batches_and_splits_of_a_known_size(
    tmp_path: Path, split: str, size: str, more: str, want: tuple[str, ...]
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.replace("SPLIT", split).replace("SIZE", size).replace("MORE", more))
    report = dlc.check(path)
    assert report.codes == want
    assert all(item.span is not None for item in report.diagnostics)
