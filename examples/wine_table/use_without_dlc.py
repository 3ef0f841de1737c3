"""Run the exported network with JAX alone: read new.csv, print a class for each row, compare with predictions.csv."""

import csv
import json
import sys
from pathlib import Path

sys.modules["dlc"] = None  # from here on `import dlc` fails: this script needs jax, numpy and safetensors only

import numpy as np  # noqa: E402
from jax import export  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

folder = Path("exported")
signature = json.loads((folder / "signature.json").read_text())
program = export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
weights = load_file(folder / "weights.safetensors")
print("inputs:", signature["inputs"])

with open("new.csv", encoding="utf-8") as file:
    measurements = np.array([list(map(float, row)) for row in list(csv.reader(file))[1:]], np.float32)
probabilities = np.asarray(program.call(weights, {"measurements": measurements})["cultivar"])

with open("predictions.csv", encoding="utf-8") as file:
    wanted = list(csv.DictReader(file))
for row, expected in zip(probabilities, wanted, strict=True):
    label = f"class_{row.argmax()}"
    print(label, row.round(4))
    assert label == expected["cultivar"]
    assert abs(row.max() - float(expected[f"cultivar_{label}"])) < 1e-6
print("the same as dlc predict")
