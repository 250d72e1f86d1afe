#!/usr/bin/env bash
# Every test layer with a fixed sample of the fault campaign, from nothing: static checks, then one pytest run, whose last
# line ends the output.
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory lint
# hypothesis tries the same examples in every such run; new ones are tried wherever tests are run by themselves.
export CI=true
.venv/bin/python -m hack.cluster up
.venv/bin/python -m hack.cluster.images
# Two tests at a time; those of the cluster one by one, when the others are done (tests/conftest.py).
exec .venv/bin/pytest -n 2 --no-loadscope-reorder \
  tests/unit tests/property tests/contract tests/controller \
  tests/e2e tests/faults/test_sample.py tests/faults/test_ledger.py
