#!/usr/bin/env bash
# Every test layer but the fault campaign, from nothing: static checks, then one pytest run, whose last line ends the output.
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory lint
.venv/bin/python -m hack.cluster up
.venv/bin/python -m hack.cluster.images
exec .venv/bin/pytest tests --ignore=tests/faults
