#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

dlc check graph.yaml
dlc show graph.yaml
dlc show graph.yaml --expanded
dlc show graph.yaml --set vars.width=24
dlc train graph.yaml --run run
