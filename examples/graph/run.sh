#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

dlc check graph.yaml
dlc show graph.yaml
dlc show graph.yaml --expanded
dlc train graph.yaml --run run
dlc train graph.yaml --set vars.width=24 --dry-run
