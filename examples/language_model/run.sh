#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

# The text: the argument, or tinyshakespeare/input.txt in the folder DLC_TEST_DATA.
INPUT=${1:-${DLC_TEST_DATA:-../../../shared/data}/tinyshakespeare/input.txt}
if [ ! -f "$INPUT" ]; then
    echo "there is no $INPUT: give the path of a text, bash run.sh input.txt"
    exit 0
fi

dlc check shakespeare.yaml --set "data.source.text.path=$INPUT"
dlc train shakespeare.yaml --run run --set "data.source.text.path=$INPUT" --set "train.steps_per_epoch=${STEPS:-250}"
dlc eval run --split validation
dlc generate run --prompt "ROMEO:" --length 500
dlc generate run --prompt "ROMEO:" --length 500 --temperature 0.8 --samples 2
