#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

python make_csv.py
dlc check wine.yaml
dlc train wine.yaml --run run --quiet
dlc eval run --confusion
dlc predict run new.csv --out predictions.csv
dlc export run --to stablehlo --out exported
python use_without_dlc.py
