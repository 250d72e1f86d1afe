#!/usr/bin/env bash
# Re-resolves requirements/*.txt: every file pinned by hash, none naming an index.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { # OUT ARGS...
  local out=$1; shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@" -o "requirements/$out.txt"
}
compile operator --extra operator --extra archiver pyproject.toml
compile runtime --extra runtime pyproject.toml
compile jobs --extra jobs pyproject.toml
compile dev --extra dev pyproject.toml
compile bootstrap requirements/bootstrap.in
# What the benches compare with, and clients of tests that must not share an environment with ours.
for source in requirements/bench-*.in; do
  compile "$(basename "$source" .in)" "$source"
done
