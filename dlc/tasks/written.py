"""Tasks whose spec is a file."""

from __future__ import annotations

from pathlib import Path

from dlc.tasks.task import Given, Task

_FOLDER = Path(__file__).parent / "templates"


class Written(Task):
    """Shared by tasks whose spec is a file, `templates/WORD.yaml`."""

    def write(self, given: Given) -> str:
        """The content of the file."""
        del given
        return (_FOLDER / f"{self.word}.yaml").read_text(encoding="utf-8")


class BinaryClassification(Written):
    """Binary classification: yes or no, with a probability."""

    word = "binary_classification"


class Perceptron(Written):
    """Perceptron: one unit that outputs 0 or 1 and learns only from its mistakes."""

    word = "perceptron"


class NetworkOnly(Written):
    """A network only, without data and training: check it, count its weights, print its program."""

    word = "network_only"
