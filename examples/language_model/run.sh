#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

INPUT=${1:-README.md} # a text

dlc init language_model --data "$INPUT" --out spec.yaml
dlc train spec.yaml --run run --quiet
dlc eval run --split validation
dlc generate run --prompt "The " --length 300
dlc generate run --prompt "The " --length 100 --temperature 0.5 --samples 2
