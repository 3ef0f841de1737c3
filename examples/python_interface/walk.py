"""dlc from Python: what the commands do, as functions.

Run it with `python walk.py`; it trains on the irises and writes into a temporary folder.
"""

import tempfile
from pathlib import Path

import numpy as np

import dlc

TEXT = """
dlc: 1
name: iris
vars: {width: 16}
data: {source: iris, split: {validation: 0.2, test: 0.2}}
inputs:
  features: {tensor: {shape: [4], normalize: standard}}
targets:
  species: {category: [setosa, versicolor, virginica]}
network:
  - dense: {units: $width, activation: tanh}
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: 1e-2}
train: {epochs: 30, batch_size: 16}
"""

# A spec from a text (`dlc.load` takes a file), with a setting on top. Mistakes raise `dlc.SpecError`.
spec = dlc.loads(TEXT, sets=["vars.width=8"])
try:
    dlc.loads(TEXT.replace("dense: 3", "dense: 4"))
except dlc.SpecError as error:
    print(error)

# The network's table, counted without JAX.
table = dlc.show(spec)
print(f"{table.params} weights, {table.flops} FLOPs for one example")

# The pure functions behind it: use them in any JAX code.
program = dlc.compile(spec)
variables = program.init(0)
outputs, state = program.apply(variables, {"features": np.zeros((2, 4), np.float32)})
print({name: value.shape for name, value in outputs.items()})

with tempfile.TemporaryDirectory() as folder:
    run = Path(folder) / "run"
    result = dlc.train(spec, run)
    print(f"best epoch {result.best_epoch}, test accuracy {result.test['accuracy']:.3f}")
    assert result.test["accuracy"] > 0.85

    found = dlc.evaluate(run, split="validation")
    print(f"{found.split}: {dict(found.metrics)}")

    answers = dlc.predict(run, {"features": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]})
    print(answers["species"].tolist(), answers["species_setosa"].astype(float).round(3).tolist())
    assert answers["species"].tolist() == ["setosa", "virginica"]

    print("exported", dlc.export(run, "safetensors").name)
