"""Tasks: what `dlc init` writes a spec for. A task is one class and one line in this table."""

from __future__ import annotations

TASKS: dict[str, str] = {
    "image_classification": "dlc.tasks.pictures:ImageClassification",
    "autoencoder": "dlc.tasks.pictures:Autoencoder",
    "denoising_autoencoder": "dlc.tasks.pictures:DenoisingAutoencoder",
    "tabular_classification": "dlc.tasks.tables:TabularClassification",
    "tabular_regression": "dlc.tasks.tables:TabularRegression",
    "forecasting": "dlc.tasks.series:Forecasting",
    "text_classification": "dlc.tasks.texts:TextClassification",
    "language_model": "dlc.tasks.texts:LanguageModel",
    "binary_classification": "dlc.tasks.written:BinaryClassification",
    "perceptron": "dlc.tasks.written:Perceptron",
    "network_only": "dlc.tasks.written:NetworkOnly",
}
